"""The asset graph of a code location is mirrored as it is, once for each change, into the one graph of everything."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from lineage_daemon import NOTHING, Daemon
from projects.mirrored import definitions
from sqlalchemy.engine import make_url

from identity.keys import dataset_key
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.datasets import DAGSTER_ENDPOINT, KEY_METADATA, key_of
from metadata_assets.mirror.lineage import AssetGraphSnapshot, Mirrored, SharedDataset, mirror, snapshot
from resources.configurable import MetadataResource, close_all
from resources.graph.edges import EdgeChanges
from resources.graph_store import GraphStore
from resources.locations import EndpointLocation
from resources.metadata_store import MetadataStore
from resources.models import AssetType, Edge
from resources.postgres.databases import Databases
from resources.postgres.engine import plain_engine
from resources.postgres.migrate import migrate
from resources.settings import Settings

Mirror = Callable[..., Mirrored]
ORDERS = dataset_key("shop", source="shop", schema="public", table="orders")
CLEAN, DAILY, TOTAL, LEFT, RIGHT = (
    dataset_key(DAGSTER_ENDPOINT, table=name) for name in ("clean", "daily", "total", "left", "right")
)
ODD = dataset_key(DAGSTER_ENDPOINT, table='["of", "parts"]')
EDGES = {
    Edge(CLEAN, ORDERS),
    Edge(DAILY, CLEAN),
    Edge(TOTAL, CLEAN),
    Edge(TOTAL, DAILY),
    *(Edge(side, parent) for side in (LEFT, RIGHT) for parent in (ODD, TOTAL)),
}


def snapshot_of(defs: dg.Definitions) -> AssetGraphSnapshot:
    return snapshot(defs.resolve_asset_graph())


@pytest.fixture
def graph(metadata: MetadataResource) -> GraphStore:
    """The graph store that the resource writes to."""
    return metadata.graph()


@pytest.fixture
def mirrored(stored: MetadataStore, graph: GraphStore) -> Mirror:
    """A function that mirrors definitions."""

    def mirror_these(defs: dg.Definitions, *, code_location: str = "here") -> Mirrored:
        return mirror(stored, graph, snapshot_of(defs), code_location=code_location)

    return mirror_these


def test_a_graph_is_read_as_it_is() -> None:
    found = snapshot_of(definitions())
    assert found.edges == EDGES
    assert {asset.key: policy for asset, policy in found.datasets} == {
        **dict.fromkeys((CLEAN, DAILY, LEFT, RIGHT), "immediately"),
        TOTAL: "manually",
    }
    assert {asset.key for asset in found.external} == {ORDERS, ODD}


def test_the_digest_is_the_same_in_every_order_and_process() -> None:
    here = snapshot_of(definitions()).digest
    assert snapshot_of(definitions(reverse=True)).digest == here
    program = Path(__file__).parent / "projects" / "mirrored.py"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


@pytest.mark.parametrize(
    "change",
    [
        {"description": "other"},
        {"owners": ["c@example.com"]},
        {"tags": {"x": "2"}},
        {"kinds": {"duckdb"}},
        {"code_version": "2"},
        {"group_name": "other"},
        {"metadata": {"metadata_assets/publish": "manually"}},
        {"metadata": {KEY_METADATA: str(ORDERS)}},
        {"partitions_def": dg.StaticPartitionsDefinition(["a"])},
        {"deps": ["another"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_mirrored_changes_the_digest(change: dict[str, Any]) -> None:
    before = snapshot_of(dg.Definitions(assets=[dg.AssetSpec("a")]))
    after = snapshot_of(dg.Definitions(assets=[dg.AssetSpec("a", **change)]))
    if "publish" in str(change):  # a policy is that of an asset that can be materialized
        before, after = (
            snapshot_of(dg.Definitions(assets=[dg.asset(name="a", **more)(lambda: None)])) for more in ({}, change)
        )
    assert after.digest != before.digest


def test_a_second_mirror_writes_nothing(mirrored: Mirror, stored: MetadataStore, graph: GraphStore) -> None:
    first = mirrored(definitions())
    assert first.edges == EdgeChanges(opened=len(EDGES), closed=0)
    assert first.assets_written > 0
    assert mirrored(definitions(reverse=True)) == Mirrored(0, EdgeChanges(0, 0))
    lineage = graph.lineage(stored.entity(RIGHT), "up")
    assert set(lineage.nodes) == {ORDERS, CLEAN, DAILY, TOTAL, ODD, RIGHT}
    assert set(lineage.edges) == {edge for edge in EDGES if edge.source != LEFT}
    facts = stored.asset(CLEAN).metadata["dagster:here"]
    assert facts["asset_key"] == ["clean"]
    assert facts["owners"] == ["a@example.com", "team:b"]
    assert facts["kinds"] == ["polars", "s3"]
    assert {one.key: one.publish_policy for one in stored.datasets()}[TOTAL] == "manually"


def test_an_edge_that_is_gone_is_closed_and_its_assets_stay(
    mirrored: Mirror, stored: MetadataStore, graph: GraphStore
) -> None:
    mirrored(definitions())
    changed = mirrored(definitions(without="sides"))
    assert changed == Mirrored(0, EdgeChanges(opened=0, closed=4), assets_closed=2)
    assert set(graph.lineage(stored.entity(TOTAL), "down").nodes) == {TOTAL}
    assert stored.asset(LEFT).key == LEFT
    assert mirrored(definitions()).edges == EdgeChanges(opened=4, closed=0)


def test_a_code_location_closes_only_what_it_said_itself(
    mirrored: Mirror, stored: MetadataStore, graph: GraphStore
) -> None:
    mirrored(definitions(), code_location="here")
    mirrored(definitions(), code_location="there")
    assert mirrored(dg.Definitions(), code_location="there").edges == EdgeChanges(opened=0, closed=len(EDGES))
    assert set(graph.lineage(stored.entity(ORDERS), "down").edges) == {edge for edge in EDGES if edge.target != ODD}


@pytest.mark.parametrize(
    ("fact", "before", "after"),
    [
        ("owners", ["a@example.com"], []),
        ("tags", {"x": "1"}, {}),
        ("kinds", ["polars"], []),
        ("code_version", "1", None),
    ],
)
def test_what_an_asset_no_longer_says_is_forgotten(
    mirrored: Mirror, stored: MetadataStore, fact: str, before: Any, after: Any
) -> None:
    def told(**facts: Any) -> Any:
        mirrored(dg.Definitions(assets=[dg.AssetSpec("a", **facts)]))
        return stored.asset(key_of(dg.AssetKey("a"), None)).metadata["dagster:here"][fact]

    assert told(**{fact: set(before) if fact == "kinds" else before}) == before
    assert told() == after


def test_an_asset_made_from_its_own_past_is_mirrored(
    mirrored: Mirror, stored: MetadataStore, graph: GraphStore
) -> None:
    past = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
    days = dg.DailyPartitionsDefinition("2026-01-01")

    @dg.asset(partitions_def=days, deps=[dg.AssetDep("running", partition_mapping=past)])
    def running() -> None: ...

    mirrored(dg.Definitions(assets=[running]))
    key = key_of(running.key, None)
    assert set(graph.lineage(stored.entity(key), "up").nodes) == {key}


def test_an_asset_without_a_declared_dataset_is_named_by_its_path() -> None:
    paths = [["a"], ["a", "b"], ["a/b"], ['a"b'], ['["a", "b"]'], ["a", "b", "c"], ["a", "b/c"], ["[a]"], ["é"], ["."]]
    keys = [key_of(dg.AssetKey(path), None) for path in paths]
    assert len(set(keys)) == len(paths)
    assert keys[0] == dataset_key(DAGSTER_ENDPOINT, table="a")
    assert keys[1] == dataset_key(DAGSTER_ENDPOINT, table='["a", "b"]')
    assert all(key == type(key).parse(str(key)) for key in keys)


def test_two_assets_of_one_dataset_are_refused(mirrored: Mirror) -> None:
    twins = [dg.AssetSpec(name, metadata={KEY_METADATA: str(ORDERS)}) for name in ("one", "two")]
    with pytest.raises(SharedDataset, match=r"one, two are one dataset, mid1:dataset:shop:shop/public/orders"):
        mirrored(dg.Definitions(assets=twins))


def test_collected_tables_and_assets_meet_in_one_graph(
    environment: dict[str, str],
    make_database: Callable[..., str],
    mirrored: Mirror,
    stored: MetadataStore,
    graph: GraphStore,
) -> None:
    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, price numeric)")
        connection.execute("COMMENT ON TABLE orders IS 'What was sold.'")
        connection.execute("CREATE VIEW recent AS SELECT * FROM orders")
    database = str(make_url(url).database)
    shop = EndpointLocation(slug="shop", system="postgres", database=database)

    def collect() -> int:
        settings = Settings.from_env(environment, cwd=Path.cwd())
        return collect_endpoint(stored, shop, Databases(settings)).rows_written

    assert collect() > 0
    mirrored(definitions(database))
    assert collect() == 0, "the mirror takes nothing away from a collection"
    assert mirrored(definitions(database)) == Mirrored(0, EdgeChanges(0, 0)), "nor the other way round"
    orders, recent = (
        dataset_key("shop", source=database, schema="public", table=name) for name in ("orders", "recent")
    )
    table = stored.asset(orders)
    assert (table.type, table.description) == (AssetType.TABLE, "What was sold.")
    assert [field.name for field in table.fields or ()] == ["id", "price"]
    assert table.metadata["dagster:here"]["asset_key"] == ["shop", "public", "orders"]
    down = graph.lineage(stored.entity(orders), "down")
    assert set(down.nodes) == {orders, recent, CLEAN, DAILY, TOTAL, LEFT, RIGHT}


def test_what_was_really_read_is_in_the_same_graph(
    instance: dg.DagsterInstance,
    resources: dict[str, Any],
    mirrored: Mirror,
    stored: MetadataStore,
    graph: GraphStore,
) -> None:
    @dg.asset
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"a": [1]})

    @dg.asset
    def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
        return numbers * 2

    assert dg.materialize([numbers, doubled], instance=instance, resources=resources).success
    edge = Edge(key_of(doubled.key, None), key_of(numbers.key, None))
    assert graph.lineage(stored.entity(edge.source), "up").edges == (edge,)
    assert mirrored(dg.Definitions(assets=[numbers, doubled])).edges == EdgeChanges(opened=1, closed=0)
    assert graph.lineage(stored.entity(edge.source), "up").edges == (edge,), "said twice, one edge"
    mirrored(dg.Definitions(assets=[numbers]))
    assert graph.lineage(stored.entity(edge.source), "up").edges == (edge,), "it was read, whatever is declared now"


ALL_OF_IT = f"{len(EDGES)} edges opened, 0 closed"


def test_the_sensor_acts_once_for_each_change(
    instance: dg.DagsterInstance, metadata: MetadataResource, stored: MetadataStore
) -> None:
    daemon = Daemon(instance)

    def tick(defs: dg.Definitions) -> str:
        return daemon.tick(defs, metadata)

    assert tick(definitions()).endswith(ALL_OF_IT)
    assert [tick(definitions()), tick(definitions(reverse=True))] == [NOTHING, NOTHING]
    assert tick(definitions(without="sides")).endswith("0 edges opened, 4 closed")
    assert tick(definitions(without="sides")) == NOTHING
    daemon.cursor = None  # a daemon that lost its cursor
    assert tick(definitions(without="sides")) == "mirrored: 0 assets written, 0 edges opened, 0 closed"
    assert stored.asset(TOTAL).key == TOTAL


def test_another_tenant_or_store_is_written_to_although_the_graph_is_the_same(
    instance: dg.DagsterInstance,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    make_database: Callable[..., str],
) -> None:
    daemon = Daemon(instance)
    first = environment["METADATA_DATABASE_URL"]
    for tenant, url in (("default", first), ("other", first), ("other", make_database(migrated=True))):
        monkeypatch.setenv("METADATA_TENANT", tenant)
        monkeypatch.setenv("METADATA_DATABASE_URL", url)
        metadata = MetadataResource()
        assert daemon.tick(definitions(), metadata).endswith(ALL_OF_IT)
        assert daemon.tick(definitions(), metadata) == NOTHING
        assert metadata.store().asset(TOTAL).key == TOTAL


def test_a_store_that_was_made_anew_is_written_to(
    instance: dg.DagsterInstance, environment: dict[str, str], metadata: MetadataResource
) -> None:
    daemon = Daemon(instance)
    assert daemon.tick(definitions(), metadata).endswith(ALL_OF_IT)
    close_all()
    with psycopg.connect(environment["METADATA_DATABASE_URL"]) as connection:
        connection.execute("DROP SCHEMA metadata CASCADE")
    migrate(plain_engine(environment["METADATA_DATABASE_URL"]))
    assert daemon.tick(definitions(), metadata).endswith(ALL_OF_IT)
