"""A project of one dataset that is something else each time it is computed."""

import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from metadata_assets.io_manager import Audited, MetadataIOManager
from resources.configurable import MetadataResource


def computed(rows: int) -> pl.DataFrame:
    """So many rows that all say how often the dataset was computed."""
    tally = Path(os.environ["METADATA_PROJECT"]) / "computed"
    with tally.open("a") as file:
        file.write("x")
    return pl.DataFrame({"computed": [len(tally.read_text())] * rows})


@dg.asset
def data() -> Any:
    """Audited, so that it is committed before it is published; unless a test wants both at once."""
    table = computed(rows=1_000)
    note = Path(os.environ["METADATA_PROJECT"]) / "stop while computing"
    if note.exists():
        note.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    return table if "WITHOUT_AUDIT" in os.environ else Audited({None: table}, lambda _committed: ())


metadata = MetadataResource()
defs = dg.Definitions(
    assets=[data],
    resources={"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)},
    executor=dg.in_process_executor,
)
