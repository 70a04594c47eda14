"""Several code locations in one graph: what each says is shown beside the others, and taken back by nobody else."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import psycopg
import pytest

from benchmarks.wire import traced
from identity.keys import dataset_key
from metadata_assets.datasets import KEY_METADATA, key_of
from metadata_assets.mirror.lineage import Mirrored, SharedDataset, jobs_in, mirror, snapshot
from metadata_assets.mirror.locations import ClosedLocation, close_location
from resources.configurable import MetadataResource
from resources.graph.edges import EdgeChanges
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge

Tell = Callable[..., Mirrored]
DAYS = dg.DailyPartitionsDefinition("2026-01-01")


@pytest.fixture
def tell(metadata: MetadataResource, stored: MetadataStore) -> Tell:
    """A function that mirrors what a code location defines."""

    def told(location: str, *assets: Any, **more: Any) -> Mirrored:
        repository = dg.Definitions(assets=assets, **more).get_repository_def()
        found = snapshot(repository.asset_graph, jobs_in(repository))
        return mirror(stored, metadata.graph(), found, code_location=location)

    return told


def made(name: str, **facts: Any) -> dg.AssetsDefinition:
    return dg.asset(name=name, **facts)(lambda: None)


def said(store: MetadataStore, name: str) -> dict[str, Any]:
    """What code locations say of an asset, by location."""
    known = store.asset(key_of(dg.AssetKey(name), None)).metadata
    return {word.removeprefix("dagster:"): fact for word, fact in known.items() if word.startswith("dagster:")}


def is_open(store: MetadataStore, name: str) -> bool:
    return store.asset(key_of(dg.AssetKey(name), None)).closed_at is None


def test_an_asset_of_two_locations_is_one_thing_of_which_both_are_shown(tell: Tell, stored: MetadataStore) -> None:
    tell("one", made("a", owners=["team:one"]), made("b", deps=["a"]))
    tell("two", dg.AssetSpec("a", owners=["team:two"]), made("c", deps=["a"]))
    assert {name: fact["owners"] for name, fact in said(stored, "a").items()} == {
        "one": ["team:one"],
        "two": ["team:two"],
    }
    assert tell("one", made("a", owners=["team:one"]), made("b", deps=["a"])) == Mirrored(0, EdgeChanges(0, 0))
    assert tell("one", made("b")).assets_closed == 0, "two speaks of a still"
    assert list(said(stored, "a")) == ["two"]
    assert is_open(stored, "a")
    assert tell("two", made("c")).assets_closed == 1, "now nobody does"
    assert not is_open(stored, "a")


def test_a_removed_asset_is_closed_with_its_history_and_opens_again(tell: Tell, stored: MetadataStore) -> None:
    first = tell("here", made("a"), made("b", deps=["a"]))
    assert first.edges == EdgeChanges(opened=1, closed=0)
    entity = stored.entity(key_of(dg.AssetKey("a"), None))
    removed = tell("here", made("b"))
    assert removed == Mirrored(0, EdgeChanges(opened=0, closed=1), assets_closed=1)
    assert tell("here", made("b")) == Mirrored(0, EdgeChanges(0, 0))
    assert [str(one.key) for one in stored.datasets()] == [str(key_of(dg.AssetKey("b"), None))]
    tell("here", made("a"), made("b", deps=["a"]))
    assert is_open(stored, "a")
    assert stored.entity(key_of(dg.AssetKey("a"), None)) == entity, "the same thing as before"


def test_what_others_speak_of_stays_open(tell: Tell, stored: MetadataStore) -> None:
    key = dataset_key("crm", source="crm", schema="public", table="orders")
    stored.register_assets([Asset(key=key, type=AssetType.TABLE, metadata={"dbt:shop": {}})])
    orders = dg.AssetSpec("orders", metadata={KEY_METADATA: str(key)})
    tell("here", orders, made("a"))
    assert tell("here", made("a")).assets_closed == 0
    assert stored.asset(key).closed_at is None
    assert set(stored.asset(key).metadata) == {"dbt:shop"}


def test_a_failed_load_closes_nothing(tell: Tell, stored: MetadataStore, metadata: MetadataResource) -> None:
    tell("here", made("a"), made("b", deps=["a"]))
    both = str(key_of(dg.AssetKey("a"), None))
    with pytest.raises(SharedDataset):
        tell("here", made("x", metadata={KEY_METADATA: both}), made("y", metadata={KEY_METADATA: both}))
    assert is_open(stored, "a")
    edges = metadata.graph().lineage(stored.entity(key_of(dg.AssetKey("b"), None)), "up").edges
    assert edges == (Edge(key_of(dg.AssetKey("b"), None), key_of(dg.AssetKey("a"), None)),)


def test_a_location_that_is_gone_is_closed_and_leaves_what_others_say(
    tell: Tell, stored: MetadataStore, metadata: MetadataResource
) -> None:
    columns = dg.TableColumnLineage({"x": [dg.TableColumnDep(dg.AssetKey("a"), "y")]})
    read = dg.AssetSpec("b", deps=["a"], metadata={"dagster/column_lineage": columns})
    for location in ("old", "new"):
        tell(location, dg.AssetSpec("a"), read, *([dg.AssetSpec("only_old", deps=["b"])] if location == "old" else []))
        stored.activate_dag(location, b"d" * 32, {})
    standing = {one.name: (one.assets, one.edges, one.column_edges) for one in stored.code_locations()}
    assert standing == {"old": (3, 2, 1), "new": (2, 1, 1)}

    closed = close_location(stored, metadata.graph(), "old")
    assert closed == ClosedLocation(
        assets=3, assets_closed=1, edges_closed=2, column_edges_closed=1, version_retired=True
    )
    assert [one.name for one in stored.code_locations()] == ["new"]
    assert (list(said(stored, "a")), is_open(stored, "a"), is_open(stored, "only_old")) == (["new"], True, False)
    b = stored.entity(key_of(dg.AssetKey("b"), None))
    assert len(metadata.graph().lineage(b, "up").edges) == 1, "new says so"
    assert len(metadata.graph().column_lineage(b, "up").edges) == 1
    assert [one.until is None for one in stored.dag_versions("old")] == [False]
    nothing = ClosedLocation(assets=0, assets_closed=0, edges_closed=0, column_edges_closed=0, version_retired=False)
    assert close_location(stored, metadata.graph(), "old") == nothing
    assert tell("old", dg.AssetSpec("only_old")).assets_written == 1, "it came back"
    assert is_open(stored, "only_old")


def test_a_mirror_is_as_many_statements_however_large_the_graph(stored: MetadataStore) -> None:
    graph = GraphStore(stored.sessions)
    counts: dict[int, list[int]] = {}
    for size in (10, 200):
        specs = [dg.AssetSpec(f"s{size}_{one}", deps=[f"s{size}_{one - 1}"] if one else []) for one in range(size)]
        found = snapshot(dg.Definitions(assets=specs).resolve_asset_graph())
        for _again in range(2):
            fairy = stored.sessions.engine.raw_connection()
            driver = fairy.driver_connection
            fairy.close()
            assert isinstance(driver, psycopg.Connection)
            with traced(driver) as wire:
                mirror(stored, graph, found, code_location=f"of {size}")
            counts.setdefault(size, []).append(wire.statements)
    assert counts[10] == counts[200]
    assert max(counts[10]) <= 45


def test_mappings_checks_and_jobs_are_kept(tell: Tell, stored: MetadataStore) -> None:
    @dg.asset_check(asset="b", blocking=True)
    def good() -> dg.AssetCheckResult:
        raise NotImplementedError

    last = dg.AssetDep("a", partition_mapping=dg.LastPartitionMapping())
    job = dg.define_asset_job("nightly", selection=["b"])
    tell("here", made("a", partitions_def=DAYS), made("b", deps=[last]), asset_checks=[good], jobs=[job])
    (fact,) = said(stored, "b").values()
    assert (fact["checks"], fact["jobs"]) == (["good"], ["nightly"])
    assert list(fact["partition_mappings"]) == ["a"]
    assert "LastPartitionMapping" in fact["partition_mappings"]["a"]
    (fact,) = said(stored, "a").values()
    assert (fact["checks"], fact["jobs"], fact["partition_mappings"]) == ([], [], {})
    assert "daily" in str(fact["partitions"]).lower()


def test_thousands_of_partitions_are_a_kind_and_a_number(tell: Tell, stored: MetadataStore) -> None:
    keys = [f"customer-{number}" for number in range(1_000)]
    pairs = dg.MultiPartitionsDefinition({"customer": dg.StaticPartitionsDefinition(keys), "day": DAYS})
    mapping = dg.StaticPartitionMapping({key: key for key in keys})
    one = dg.StaticPartitionsDefinition(keys)
    read = dg.AssetDep("a", partition_mapping=mapping)
    tell("here", made("a", partitions_def=one), made("b", deps=[read], partitions_def=one))
    (fact,) = said(stored, "a").values()
    assert fact["partitions"] == "static, 1,000 partitions"
    (fact,) = said(stored, "b").values()
    assert len(fact["partition_mappings"]["a"]) <= 200
    assert fact["partition_mappings"]["a"].startswith("StaticPartitionMapping")
    tell("here", made("c", partitions_def=pairs))
    (fact,) = said(stored, "c").values()
    assert fact["partitions"].startswith("customer: static, 1,000 partitions; day: Daily")
