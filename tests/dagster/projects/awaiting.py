"""A project that stores its data itself; what it publishes waits for a check, by day and as a whole."""

import os
from pathlib import Path

import dagster as dg

from metadata_assets import with_metadata

DAYS = dg.StaticPartitionsDefinition(["mon", "tue"])
WAITS = {"metadata_assets/publish": "when_checks_pass"}


@dg.asset(metadata=WAITS)
def orders() -> None: ...


@dg.asset_check(asset=orders, blocking=True)
def good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(metadata={"metadata_assets/publish": "manually"}, partitions_def=DAYS, deps=[orders])
def days() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.asset(deps=[orders])
def report() -> dg.MaterializeResult:
    note = Path(os.environ["METADATA_PROJECT"]) / "fail"
    if note.exists():
        note.unlink()
        raise RuntimeError("asked to fail")
    return dg.MaterializeResult()


@dg.asset(partitions_def=DAYS, deps=[days, report])
def summary() -> None: ...


WHOLE = dg.AssetSelection.assets("orders", "report")
JOBS = [
    dg.define_asset_job("in_process", WHOLE, executor_def=dg.in_process_executor),
    dg.define_asset_job("processes", WHOLE, executor_def=dg.multiprocess_executor),
    dg.define_asset_job("report_alone", dg.AssetSelection.assets("report").without_checks()),
]
defs = with_metadata(
    dg.Definitions(
        assets=[orders, days, report, summary], asset_checks=[good], jobs=JOBS, executor=dg.in_process_executor
    )
)
