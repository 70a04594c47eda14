"""A project without our I/O manager: assets and ops that succeed, fail, are tried again, or die with their process."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from metadata_assets.sensors import runs_sensor
from resources.configurable import MetadataResource


def asked(moment: str) -> bool:
    """Whether the test left a note about this moment; the note is taken away."""
    note = Path(os.environ["METADATA_PROJECT"]) / moment
    there = note.exists()
    note.unlink(missing_ok=True)
    return there


@dg.asset
def well() -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset(deps=[well])
def broken() -> None:
    try:
        raise ConnectionError("cannot reach postgresql://me:secret@db/x")
    except ConnectionError as error:
        raise ValueError("no data from postgresql://me:secret@db/x") from error


@dg.asset(deps=[broken])
def after_it() -> None:
    """Is skipped."""


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=3))
def persistent() -> None:
    if asked("fail once"):
        raise TimeoutError("once")


@dg.multi_asset(specs=[dg.AssetSpec("mortal")])
def dying() -> Iterator[dg.MaterializeResult[Any]]:
    if asked("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    yield dg.MaterializeResult("mortal")


@dg.op
def counting() -> int:
    return 1


@dg.op
def told(number: int) -> None:
    raise dg.Failure(f"told so {number}")


@dg.job
def plain_ops() -> None:
    told(counting())


defs = dg.Definitions(
    assets=[well, broken, after_it, persistent, dying],
    jobs=[plain_ops],
    sensors=[runs_sensor(every=timedelta(seconds=1))],
    resources={"metadata": MetadataResource(), "io_manager": dg.mem_io_manager},
    executor=dg.in_process_executor,
)
