"""What a materialization was made from: exactly its own inputs, and lineage that follows what is published."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from identity.ids import Entity
from metadata_assets.datasets import key_of
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore

Resources = dict[str, Any]
ROW = pl.DataFrame({"a": [1]})
Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(instance: dg.DagsterInstance, resources: Resources) -> Run:
    """A function that materializes assets, or some of them, in a run."""
    return lambda assets, **how: dg.materialize(assets, instance=instance, resources=resources, **how)


def upstream(metadata: MetadataResource, down: Entity) -> set[str]:
    return {key.table for key in metadata.graph().lineage(down, "up").nodes} - {down.key.table}


def made(name: str, *inputs: str, **options: Any) -> dg.AssetsDefinition:
    @dg.asset(name=name, ins={one: dg.AssetIn(one) for one in inputs}, **options)
    def compute(**_loaded: object) -> pl.DataFrame:
        return ROW

    return compute


def test_an_output_has_its_own_inputs_only(run: Run, stored: MetadataStore) -> None:
    @dg.multi_asset(
        outs={"left": dg.AssetOut(), "right": dg.AssetOut()},
        ins={"a": dg.AssetIn("a"), "b": dg.AssetIn("b")},
        internal_asset_deps={"left": {dg.AssetKey("a")}, "right": {dg.AssetKey("b")}},
    )
    def both(a: pl.DataFrame, b: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        return a, b

    assert run([made("a"), made("b"), both]).success
    for output, expected in (("left", ["a"]), ("right", ["b"])):
        (record,) = stored.materializations(key_of(dg.AssetKey(output), None))
        assert [one.key.table for one in stored.inputs(record.id)] == expected


def test_lineage_follows_what_is_published(run: Run, stored: MetadataStore, metadata: MetadataResource) -> None:
    """Nothing is mirrored here: what is seen comes from materializations alone."""
    down = stored.entity(key_of(dg.AssetKey("down"), None))
    sources = [made("first"), made("second")]
    assert run([*sources, made("down", "first", "second")]).success
    assert upstream(metadata, down) == {"first", "second"}
    run([*sources, made("down", "first")], selection=["down"])
    assert upstream(metadata, down) == {"first"}


def test_an_edge_is_open_again_when_what_waited_is_published(
    run: Run, stored: MetadataStore, metadata: MetadataResource
) -> None:
    days = dg.StaticPartitionsDefinition(["one", "two"])
    sources = [made("first"), made("second")]
    manually = {"metadata_assets/publish": "manually"}
    run(sources)
    run(
        [*sources, made("down", "second", metadata=manually, partitions_def=days)],
        selection=["down"],
        partition_key="one",
    )
    down = stored.entity(key_of(dg.AssetKey("down"), None))
    (waiting,) = stored.materializations(down.key)
    run([*sources, made("down", "first", partitions_def=days)], selection=["down"], partition_key="two")
    assert upstream(metadata, down) == {"first"}
    stored.publish([waiting.id])
    assert upstream(metadata, down) == {"first", "second"}


def test_an_input_that_some_partition_still_has_stays(
    run: Run, stored: MetadataStore, metadata: MetadataResource
) -> None:
    days = dg.StaticPartitionsDefinition(["one", "two"])
    sources = [made("first"), made("second")]
    both = made("down", "first", "second", partitions_def=days)
    run([*sources, both], selection=["first", "second"])
    for day in ("one", "two"):
        run([*sources, both], selection=["down"], partition_key=day)
    less = made("down", "first", partitions_def=days)
    seen = []
    for day in ("one", "two"):
        run([*sources, less], selection=["down"], partition_key=day)
        seen.append(upstream(metadata, stored.entity(key_of(dg.AssetKey("down"), None))))
    assert seen == [{"first", "second"}, {"first"}]


def test_a_run_that_was_overtaken_while_it_worked_replaces_nothing(
    run: Run, instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    """A plain asset without inputs: we see its step for the first time when it is done."""
    overtaking: list[bool] = []

    @dg.asset(name="slow")
    def quick() -> pl.DataFrame:
        return pl.DataFrame({"who": ["quick"]})

    @dg.asset
    def slow() -> pl.DataFrame:
        other = dg.materialize([quick], instance=instance, resources=resources)
        overtaking.append(other.success)
        return pl.DataFrame({"who": ["slow"]})

    assert run([slow]).success
    assert overtaking == [True]
    late, early = stored.materializations(key_of(dg.AssetKey("slow"), None))
    assert (late.current, early.current) == (False, True)


def test_checks_that_nobody_gives_cannot_decide(run: Run, stored: MetadataStore) -> None:
    undecidable = made("undecidable", metadata={"metadata_assets/publish": "when_checks_pass"})
    with pytest.raises(Exception, match="says publish: when_checks_pass and this run knows no blocking check of it"):
        run([undecidable])
    assert stored.materializations(key_of(undecidable.key, None)) == []


def test_none_is_no_data_however_many_partitions_a_run_has(run: Run, stored: MetadataStore) -> None:
    @dg.asset
    def nothing() -> Any:
        return None

    result = run([nothing])
    assert result.get_asset_materialization_events() == []
    assert stored.materializations(key_of(nothing.key, None)) == []


def test_a_partition_without_a_name_is_refused(run: Run, stored: MetadataStore) -> None:
    together = {"backfill_policy": dg.BackfillPolicy.single_run()}
    unnamed = made("unnamed", partitions_def=dg.StaticPartitionsDefinition(["a", "", "b"]), **together)
    a_to_b = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
    with pytest.raises(Exception, match='a partition is called ""'):
        run([unnamed], tags=a_to_b)
    assert stored.materializations(key_of(unnamed.key, None)) == []
