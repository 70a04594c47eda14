"""After the shape of Dagster's fully featured project (recommendations for a news site): I/O managers of its own for
tables by hour and for anything else, several outputs of one step, graphs, outputs with metadata, an observable source.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

HOURLY = dg.HourlyPartitionsDefinition("2026-01-01-00:00", end_date="2026-01-01-04:00")


class Files(dg.ConfigurableIOManager):
    """One file for each partition of an asset; what it holds is another matter for each kind of file."""

    suffix: str

    def _path(self, *names: str) -> Path:
        path = Path(os.environ["METADATA_PROJECT"]) / "stored" / "/".join(names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f"{path.name}{self.suffix}")

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if self.suffix == ".parquet":
            partitions = [context.partition_key] if context.has_asset_partitions else []
            obj.write_parquet(self._path(*context.asset_key.path, *partitions))
            context.add_output_metadata({"dagster/row_count": len(obj)})
        else:
            self._path(*context.get_identifier()).write_bytes(pickle.dumps(obj))

    def load_input(self, context: dg.InputContext) -> Any:
        if self.suffix == ".parquet":
            some = [[one] for one in context.asset_partition_keys] if context.has_asset_partitions else [[]]
            return pl.concat([pl.read_parquet(self._path(*context.asset_key.path, *one)) for one in some])
        assert context.upstream_output is not None
        return pickle.loads(self._path(*context.upstream_output.get_identifier()).read_bytes())


@dg.observable_source_asset(io_manager_key="warehouse")
def ids() -> dg.DataVersion:
    return dg.DataVersion("17")


@dg.asset(io_manager_key="warehouse", partitions_def=HOURLY, key_prefix=["core"], deps=[ids])
def items(context: dg.AssetExecutionContext) -> dg.Output[pl.DataFrame]:
    table = pl.DataFrame({"id": [1, 2, 3], "kind": ["story", "comment", "story"], "hour": [context.partition_key] * 3})
    return dg.Output(table, metadata={"non-empty": True})


@dg.multi_asset(
    outs={
        "stories": dg.AssetOut(key_prefix="core", io_manager_key="warehouse"),
        "comments": dg.AssetOut(key_prefix="core", io_manager_key="warehouse"),
    },
    ins={"items": dg.AssetIn(key=["core", "items"])},
    partitions_def=HOURLY,
)
def by_kind(items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return items.filter(kind="story"), items.filter(kind="comment")


@dg.op(out=dg.DynamicOut(int))
def each_row(stories: pl.DataFrame) -> Any:
    for number in range(len(stories)):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op
def weighed(number: int) -> int:
    return number + 1


@dg.op
def summed(numbers: list[int]) -> int:
    return sum(numbers)


LAST = dg.LastPartitionMapping()


@dg.graph_asset(
    key_prefix="recommender",
    ins={"stories": dg.AssetIn(key=["core", "stories"], partition_mapping=LAST)},
)
def model(stories: Any) -> Any:
    """A model of an op for each story."""
    return summed(each_row(stories).map(weighed).collect())


@dg.asset(
    ins={
        "model": dg.AssetIn(key=["recommender", "model"]),
        "comments": dg.AssetIn(key=["core", "comments"], partition_mapping=LAST),
    },
    key_prefix="recommender",
    io_manager_key="warehouse",
)
def top(model: int, comments: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"top": [model], "comments": [len(comments)]})


defs = dg.Definitions(
    assets=[ids, items, by_kind, model, top],
    resources={"warehouse": Files(suffix=".parquet"), "io_manager": Files(suffix=".pickle")},
    jobs=[dg.define_asset_job("core", selection='key:"core/*"')],
)
EXPECTED = {
    "core/items": 1,
    "core/stories": 1,
    "core/comments": 1,
    "recommender/model": 1,
    "recommender/top": 1,
    "ids": 1,
}
PARTITION = "2026-01-01-03:00"
