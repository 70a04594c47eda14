"""An asset graph with a bit of everything, to be mirrored. Run as a program it prints the graph's digest."""

import dagster as dg

from metadata_assets.datasets import KEY_METADATA
from metadata_assets.mirror.lineage import snapshot
from metadata_assets.sensors import lineage_sensor

ORDERS = "mid1:dataset:shop:{database}/public/orders"


def assets(database: str = "shop") -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """orders (a table of a source) → clean → daily and total; and two that are related to nothing, and to all."""
    orders = dg.AssetSpec(["shop", "public", "orders"], metadata={KEY_METADATA: ORDERS.format(database=database)})

    @dg.asset(deps=[orders], owners=["a@example.com", "team:b"], tags={"x": "1", "y": "2"}, kinds={"polars", "s3"})
    def clean() -> None: ...

    @dg.asset(deps=[clean], partitions_def=dg.DailyPartitionsDefinition("2026-01-01"), code_version="3")
    def daily() -> None: ...

    @dg.asset(deps=[clean, daily], description="All there is.", metadata={"metadata_assets/publish": "manually"})
    def total() -> None: ...

    odd = dg.AssetSpec(["of", "parts"], partitions_def=dg.StaticPartitionsDefinition(["a"]), group_name="odd")

    @dg.multi_asset(outs={"left": dg.AssetOut(), "right": dg.AssetOut()}, deps=[odd, total])
    def sides() -> tuple[int, int]:
        return 1, 2

    return [orders, clean, daily, total, odd, sides]


def definitions(database: str = "shop", *, reverse: bool = False, without: str | None = None) -> dg.Definitions:
    """The same graph in one order or the other, or without one of its assets."""
    found = [one for one in assets(database) if isinstance(one, dg.AssetSpec) or one.op.name != without]
    return dg.Definitions(assets=found[::-1] if reverse else found, sensors=[lineage_sensor(code_location="here")])


if __name__ == "__main__":
    print(snapshot(definitions(reverse=True).resolve_asset_graph()).digest)
