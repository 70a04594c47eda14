"""What our I/O manager adds to a Dagster run: its share of the time of 200 trivial assets, each reading the one before.

The limit is the run itself: Dagster on the same PostgreSQL, the same assets, in one process. Our part is everything
inside `handle_output` and `load_input`: leasing, writing and syncing files, the commit, the publish, reading back.
"""

import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from benchmarks.report import Result
from metadata_assets.datasets import key_of
from metadata_assets.io_manager import MetadataIOManager
from resources.configurable import MetadataResource, close_all
from resources.postgres.embedded import stop

ASSETS = 200
_spent: list[float] = []


class TimedIOManager(MetadataIOManager):
    """Ours, with a stop watch at its two doors."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        with _timed():
            super().handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        with _timed():
            return super().load_input(context)


@contextmanager
def _timed() -> Iterator[None]:
    start = time.perf_counter()
    yield
    _spent.append(time.perf_counter() - start)


def run() -> list[Result]:
    """One run over 200 assets on an embedded server of its own."""
    home = Path(tempfile.mkdtemp(prefix="metadata-bench-"))
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", home)
    os.environ |= {"METADATA_HOME": str(home / "home"), "DAGSTER_HOME": str(home)}
    logging.disable(logging.CRITICAL)
    try:
        return [_share()]
    finally:
        close_all()
        logging.disable(logging.NOTSET)
        stop(home / "home" / "postgres", remove=True)
        shutil.rmtree(home)


def _share() -> Result:
    assets = [_asset(number) for number in range(ASSETS)]
    metadata = MetadataResource()
    resources: dict[str, Any] = {"io_manager": TimedIOManager(metadata=metadata)}
    with dg.DagsterInstance.get() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dg.materialize(assets, instance=instance, resources=resources)  # warm: servers, caches, registered datasets
        _spent.clear()
        start = time.perf_counter()
        result = dg.materialize(assets, instance=instance, resources=resources)
        total = time.perf_counter() - start
    versions = {metadata.store().versions(key_of(asset.key, None))[0].number for asset in assets}
    if not result.success or versions != {2}:
        raise AssertionError(f"expected two versions of each asset, found {versions}")
    return Result.share(
        "io_manager", "handle_output and load_input", "a run of 200 assets", part=sum(_spent), whole=total, at_most=0.25
    )


def _asset(number: int) -> dg.AssetsDefinition:
    before = {"before": dg.AssetIn(f"asset_{number - 1}")} if number else {}

    @dg.asset(name=f"asset_{number}", ins=before)
    def trivial(**_inputs: object) -> pl.DataFrame:
        return pl.DataFrame({"number": [number]})

    return trivial
