"""A project whose assets fail where a test asks for it, and return something else each time they are computed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from metadata_assets.io_manager import Audited, MetadataIOManager
from resources.configurable import MetadataResource

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")


def fail_if_asked(moment: str) -> None:
    """Fail once when the test left a note about this moment."""
    note = Path(os.environ["METADATA_PROJECT"]) / f"fail {moment}"
    if note.exists():
        note.unlink()
        raise RuntimeError(f"asked to fail {moment}")


def computed(name: str, **columns: Any) -> pl.DataFrame:
    """A table that says how often it was computed: a retry has other bytes."""
    tally = Path(os.environ["METADATA_PROJECT"]) / f"{name} computed"
    with tally.open("a") as file:
        file.write("x")
    return pl.DataFrame({**columns, "computed": [len(tally.read_text())]})


def audited(name: str, values: Mapping[str | None, Any]) -> Audited:
    """Values whose audit, after its commit and before its publication, fails if asked."""

    def audit(_committed: Mapping[str | None, Any]) -> Sequence[dg.AssetCheckResult]:
        fail_if_asked(f"{name} after commit")
        return ()

    return Audited(values, audit)


@dg.asset
def numbers() -> Any:
    return audited("numbers", {None: computed("numbers")})


@dg.asset
def doubled(numbers: pl.DataFrame) -> Any:
    fail_if_asked("doubled before commit")
    return numbers


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
def persistent() -> Any:
    return audited("persistent", {None: computed("persistent")})


@dg.multi_asset(outs={"first": dg.AssetOut(), "second": dg.AssetOut()}, retry_policy=dg.RetryPolicy(max_retries=1))
def halves() -> Iterator[dg.Output[Any]]:
    yield dg.Output(computed("first"), "first")
    fail_if_asked("halves after the first")
    yield dg.Output(computed("second"), "second")


@dg.asset(partitions_def=DAILY)
def days(context: dg.AssetExecutionContext) -> Any:
    day = context.partition_key
    fail_if_asked(f"{day} before commit")
    return audited(day, {day: computed(day)})


@dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
def together(context: dg.AssetExecutionContext) -> Any:
    return audited("together", {day: computed(f"together {day}") for day in context.partition_keys})


@dg.multi_asset(
    outs={"judged": dg.AssetOut(metadata={"metadata_assets/publish": "when_checks_pass"})},
    check_specs=[dg.AssetCheckSpec("first_is_bad", asset="judged", blocking=True)],
)
def judged() -> Iterator[Any]:
    """Its blocking check refuses what it computes first."""

    def audit(committed: Mapping[str | None, Any]) -> Sequence[dg.AssetCheckResult]:
        passed = committed[None]["computed"].to_pylist() != [1]
        results.append(dg.AssetCheckResult(asset_key="judged", check_name="first_is_bad", passed=passed))
        return results

    results: list[dg.AssetCheckResult] = []
    yield dg.Output(Audited({None: computed("judged")}, audit, frozenset({"first_is_bad"})), "judged")
    yield from results


@dg.multi_asset(
    outs={"warned": dg.AssetOut(metadata={"metadata_assets/publish": "when_checks_pass"}), "after": dg.AssetOut()},
    check_specs=[dg.AssetCheckSpec("is_long", asset="warned", blocking=True)],
)
def warning() -> Iterator[Any]:
    """Its blocking check fails with severity WARN, which keeps nothing from being published."""
    yield dg.Output(computed("warned"), "warned")
    severity = dg.AssetCheckSeverity.WARN
    yield dg.AssetCheckResult(asset_key="warned", check_name="is_long", passed=False, severity=severity)
    fail_if_asked("after before commit")
    yield dg.Output(computed("after"), "after")


@dg.schedule(job_name="count", cron_schedule="* * * * *", execution_timezone="UTC")
def each_minute() -> dg.RunRequest:
    return dg.RunRequest()


@dg.sensor(job_name="count")
def asking() -> list[dg.RunRequest]:
    return [dg.RunRequest(run_key="a"), dg.RunRequest(run_key="b")]


metadata = MetadataResource()
defs = dg.Definitions(
    assets=[numbers, doubled, persistent, halves, days, together, judged, warning],
    jobs=[dg.define_asset_job("count", selection=["numbers"])],
    schedules=[each_minute],
    sensors=[asking],
    resources={"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)},
    executor=dg.in_process_executor,
)
