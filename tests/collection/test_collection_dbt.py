"""A dbt project and a collection of the database that it was compiled for: each table is one thing, in either order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from identity.keys import dataset_key
from metadata_assets.importers.dbt_relations import Target
from resources.metadata_store import MetadataStore
from tests.collection.conftest import Source, contents
from tests.importers.dbt_projects import catalog, imported, manifest, node, source, written

TABLES = (
    'CREATE SCHEMA "Raw Data"',
    'CREATE TABLE "Raw Data"."Orders" (id int NOT NULL, "Amount" numeric(10, 2))',
    "CREATE TABLE countries (code text)",
    'CREATE VIEW stg_orders AS SELECT id, "Amount" AS amount FROM "Raw Data"."Orders"',
    "CREATE TABLE orders AS SELECT * FROM stg_orders, countries",
    "CREATE MATERIALIZED VIEW daily AS SELECT count(*) AS n FROM orders",
)


NOWHERE = {"nowhere": {"name": "nowhere", "description": "written down, and not in the table"}}


def project(database: str, folder: Path) -> tuple[Path, Path]:
    """What dbt says about TABLES: quoted and not, compiled and not, through an ephemeral model."""
    document = manifest(
        source("Orders", database=database, schema="Raw Data", relation_name=f'"{database}"."Raw Data"."Orders"'),
        node("seed", "countries", database=database, relation_name=None),
        node(
            "model",
            "stg_orders",
            "source.shop.Orders",
            database=database,
            relation_name=f"{database}.PUBLIC.Stg_Orders",
            config={"materialized": "view", "quoting": {"database": False, "schema": False, "identifier": False}},
            columns={"ID": {"name": "ID", "description": "Number of the order"}},
        ),
        node(
            "model",
            "priced",
            "model.shop.stg_orders",
            "seed.shop.countries",
            database=database,
            relation_name=None,
            config={"materialized": "ephemeral"},
        ),
        node(
            "model",
            "orders_v2",
            "model.shop.priced",
            database=database,
            alias="orders",
            relation_name=None,
            columns=NOWHERE,
        ),
        node(
            "model",
            "Daily",
            "model.shop.orders_v2",
            database=database,
            relation_name=None,
            config={"materialized": "materialized_view", "quoting": {"identifier": False}},
            description="Orders by day",
        )
        | {"alias": "DAILY"},
    )
    seen = catalog({"model.shop.stg_orders": {"id": "int", "amount": "decimal"}})
    return written(folder, document), written(folder, seen, "catalog.json")


def graph(url: str, producer: str) -> set[tuple[str, str]]:
    """The open edges of a producer, by names of tables."""
    query = """
    SELECT s.name, t.name FROM metadata.relationship r
    JOIN metadata.asset s ON s.asset_id = r.source_asset_id JOIN metadata.asset t ON t.asset_id = r.target_asset_id
    WHERE r.producer = %s AND r.valid_to IS NULL
    """
    with psycopg.connect(url) as connection:
        return set(connection.execute(query, (producer,)).fetchall())


def things(url: str) -> dict[str, Any]:
    """The ids of all assets by their names; a second one of a name would be another entry."""
    return {f"{row['qualified_name']}": row["asset_id"] for _xmin, _xmax, row in contents(url)["asset"]}


EDGES = {
    ("stg_orders", "Orders"),
    ("orders", "stg_orders"),
    ("orders", "countries"),
    ("daily", "orders"),
}


def test_an_import_brings_nothing_back_that_a_collection_found_gone(
    make_source: Callable[..., Source], store: MetadataStore, metadata_url: str, tmp_path: Path
) -> None:
    database = make_source("CREATE TABLE raw (id int)", "CREATE TABLE orders (id int)")
    said = node("model", "orders", "source.shop.raw", database=database.database, columns=NOWHERE)
    file = written(tmp_path, manifest(source("raw", database=database.database), said))
    target = Target("shop", "postgres", database.database)
    orders = dataset_key("shop", source=database.database, schema="public", table="orders")
    database.collect_into(store)
    imported(store, file, target)
    database.run("DROP TABLE orders")
    database.collect_into(store)
    closed = store.asset(orders).closed_at
    assert closed is not None
    stored = contents(metadata_url)
    _look, done = imported(store, file, target)
    assert (done.rows_written, store.asset(orders).closed_at, contents(metadata_url)) == (0, closed, stored)
    said["description"] = "still in the project"
    imported(store, written(tmp_path, manifest(source("raw", database=database.database), said)), target)
    assert (store.asset(orders).closed_at, store.asset(orders).description) == (closed, "still in the project")
    database.run("CREATE TABLE orders (id int)")
    database.collect_into(store)
    assert store.asset(orders).closed_at is None


@pytest.mark.parametrize("first", ["collection", "dbt"])
def test_a_table_is_one_thing_whichever_comes_first(
    make_source: Callable[..., Source], store: MetadataStore, metadata_url: str, tmp_path: Path, first: str
) -> None:
    database = make_source(*TABLES)
    file, seen = project(database.database, tmp_path)
    target = Target("shop", "postgres", database.database)

    def from_dbt() -> None:
        imported(store, file, target, seen=seen)

    both = [lambda: database.collect_into(store), from_dbt]
    one, other = both if first == "collection" else reversed(both)
    one()
    before = things(metadata_url)
    other()
    assert things(metadata_url) == before, "the second one found what the first one made, all of it"
    assert len(before) == 5
    assert graph(metadata_url, "dbt") == EDGES
    collected = {("stg_orders", "Orders"), ("daily", "orders")}
    assert graph(metadata_url, "collection") == collected < EDGES

    asset = store.asset(dataset_key("shop", source=database.database, schema="public", table="stg_orders"))
    assert {one.name: one.type for one in asset.fields or ()} == {"id": "integer", "amount": "numeric(10,2)"}
    assert asset.metadata["dbt:shop"]["columns"]["id"]["description"] == "Number of the order"

    made = store.asset(dataset_key("shop", source=database.database, schema="public", table="orders"))
    assert [one.name for one in made.fields or ()] == ["id", "amount", "code"]

    stored = contents(metadata_url)
    database.collect_into(store)
    from_dbt()
    assert contents(metadata_url) == stored, "both again write nothing"
