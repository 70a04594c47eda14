"""A project with assets of the kinds whose steps are not simply theirs, adopted in one line; a job for each kind."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from metadata_assets import with_metadata

MADE = {"graph": ("graphed",), "dynamic": ("mapped",), "specs": ("first", "second"), "outputs": ("left", "right")}
"""What the job of each kind makes before its last step."""


@dg.op
def one() -> int:
    return 1


@dg.op
def more(number: int) -> int:
    return number + 1


@dg.op(out=dg.DynamicOut(int))
def several() -> Iterator[Any]:
    for number in range(2):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op
def summed(numbers: list[int]) -> int:
    return sum(numbers)


@dg.graph_asset
def graphed() -> Any:
    return more(one())


@dg.graph_asset
def mapped() -> Any:
    return summed(several().map(more).collect())


@dg.multi_asset(specs=[dg.AssetSpec("first"), dg.AssetSpec("second", deps=["first"])])
def halves() -> Iterator[dg.MaterializeResult]:
    yield dg.MaterializeResult(asset_key="first")
    yield dg.MaterializeResult(asset_key="second")


@dg.multi_asset(outs={"left": dg.AssetOut(), "right": dg.AssetOut()})
def sides() -> tuple[int, int]:
    return 1, 2


@dg.asset(deps=["second"])
def after_halves() -> None: ...


@dg.asset(deps=["left", "right"])
def after_sides() -> None: ...


defs = with_metadata(
    dg.Definitions(
        assets=[graphed, mapped, halves, sides, after_halves, after_sides],
        jobs=[
            dg.define_asset_job("graph", selection=[graphed]),
            dg.define_asset_job("dynamic", selection=[mapped]),
            dg.define_asset_job("specs", selection=[halves, after_halves]),
            dg.define_asset_job("outputs", selection=[sides, after_sides]),
        ],
        resources={"io_manager": dg.mem_io_manager},
        executor=dg.in_process_executor,
    )
)
