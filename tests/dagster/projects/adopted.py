"""A project that stores its data itself, adopted in one line; its assets fail where a test asks for it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from metadata_assets import with_metadata

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04")


def fail_if_asked(moment: str) -> None:
    note = Path(os.environ["METADATA_PROJECT"]) / f"fail {moment}"
    if note.exists():
        note.unlink()
        raise RuntimeError(f"asked to fail {moment}")


class Own(dg.ConfigurableIOManager):
    """Where this project has its data: nothing of ours."""

    below: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        fail_if_asked(f"storing {context.name}")
        folder = Path(os.environ["METADATA_PROJECT"]) / self.below
        folder.mkdir(exist_ok=True)
        (folder / "-".join(context.get_identifier()[-2:])).write_text(str(obj))

    def load_input(self, context: dg.InputContext) -> Any:
        raise NotImplementedError


@dg.asset
def data() -> int:
    """Stored by an I/O manager."""
    return 1


@dg.asset
def wrote() -> dg.MaterializeResult:
    """Stored by its function."""
    return dg.MaterializeResult(metadata={"dagster/row_count": 3})


@dg.multi_asset(
    specs=[dg.AssetSpec("first"), dg.AssetSpec("second", deps=["first"])], retry_policy=dg.RetryPolicy(max_retries=1)
)
def halves() -> Iterator[dg.MaterializeResult]:
    yield dg.MaterializeResult(asset_key="first")
    fail_if_asked("after the first")
    yield dg.MaterializeResult(asset_key="second")


@dg.asset(partitions_def=DAYS, deps=[wrote])
def days(context: dg.AssetExecutionContext) -> None:
    fail_if_asked(context.partition_key)


@dg.asset(partitions_def=DAYS, deps=[days], backfill_policy=dg.BackfillPolicy.single_run())
def together() -> dg.MaterializeResult:
    return dg.MaterializeResult()


defs = with_metadata(
    dg.Definitions(
        assets=[data, wrote, halves, days, together, dg.AssetSpec("outside")],
        resources={"io_manager": Own(below="own")},
        executor=dg.in_process_executor,
    )
)
