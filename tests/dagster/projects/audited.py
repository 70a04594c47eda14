"""data, which waits for two blocking checks, and report, which reads it. What fails is written into a file."""

import os
from pathlib import Path

import dagster as dg
import polars as pl

from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.sensors import checks_sensor
from resources.configurable import MetadataResource

FAILING = Path(os.environ["METADATA_PROJECT"]) / "failing"


def _passes(name: str) -> bool:
    return not (FAILING.exists() and name in FAILING.read_text())


@dg.asset(metadata={"metadata_assets/publish": "when_checks_pass"})
def data() -> pl.DataFrame:
    return pl.DataFrame({"a": [1]})


@dg.asset_check(asset=data, blocking=True)
def first(data: pl.DataFrame) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=_passes("first") and data.height == 1)


@dg.asset_check(asset=data, blocking=True)
def second() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=_passes("second"))


@dg.asset
def report(data: pl.DataFrame) -> pl.DataFrame:
    return data


_metadata = MetadataResource()
defs = dg.Definitions(
    assets=[data, report],
    asset_checks=[first, second],
    sensors=[checks_sensor()],
    executor=dg.in_process_executor,
    resources={"metadata": _metadata, "io_manager": MetadataIOManager(metadata=_metadata)},
)
