"""An import of a dbt project is one transaction of as many questions however large it is, alone and beside others."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from benchmarks.wire import traced
from metadata_assets.importers.dbt import import_project, read_project
from metadata_assets.importers.dbt_relations import Target, Targets
from metadata_assets.importers.errors import InvalidNode
from resources.metadata.assets import OneThingTwice, UnknownKey
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from tests.collection.conftest import contents
from tests.importers.conftest import Edges
from tests.importers.dbt_projects import catalog, columns, imported, manifest, node, rows, source, table, written

FIRST, AGAIN = 19, 11
"""How many statements an import is, the first time and when nothing changed."""
STATISTICS = 2
"""Of things and of edges, for the first import that writes many of them."""


def driver_of(store: MetadataStore) -> psycopg.Connection:
    """The connection that the pool keeps."""
    fairy = store.sessions.engine.raw_connection()
    driver = fairy.driver_connection
    fairy.close()
    assert isinstance(driver, psycopg.Connection)
    return driver


def test_a_thousand_models_take_as_many_questions_as_ten(store: MetadataStore, tmp_path: Path) -> None:
    store.register_endpoints([Endpoint(slug="wh", system="postgres")])
    targets = Targets([Target("wh", "postgres")])
    counted = []
    for number in (10, 1000):
        nodes = [
            node("model", f"m{number}_{n}", f"model.shop.m{number}_{max(n - 1, 0)}", columns=columns("id", "n"))
            for n in range(number)
        ]
        file = written(tmp_path, manifest(*nodes, project=f"p{number}"), f"{number}.json")
        project = read_project(file)
        for _again in range(2):
            with traced(driver_of(store)) as wire:
                import_project(store, project, targets)
            counted.append((wire.statements, wire.transactions))
    assert counted == [(FIRST, 1), (AGAIN, 1), (FIRST + STATISTICS, 1), (AGAIN, 1)]


def test_what_cannot_be_written_leaves_nothing_behind(store: MetadataStore, metadata_url: str, tmp_path: Path) -> None:
    store.register_endpoints([Endpoint(slug="wh", system="postgres")])
    stored = contents(metadata_url)
    bad = manifest(node("model", "fine"), node("model", "bad", description="a\0b"))
    with pytest.raises(InvalidNode, match=r"model\.shop\.bad: a text: it contains the NUL"):
        imported(store, written(tmp_path, bad))
    assert contents(metadata_url) == stored
    with pytest.raises(UnknownKey):
        store.asset(table("fine"))


def test_everything_of_one_import_is_one_transaction(store: MetadataStore, metadata_url: str, tmp_path: Path) -> None:
    """Its last statement fails: the database of this tenant takes no edges now."""
    file = written(tmp_path, manifest(source("raw"), node("model", "orders", "source.shop.raw")))
    imported(store, written(tmp_path, manifest(source("first")), "first.json"))
    with psycopg.connect(metadata_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE metadata.relationship ADD CONSTRAINT closed CHECK (scope <> 'shop@wh')")
    stored = rows(metadata_url)
    with pytest.raises(psycopg.Error):
        imported(store, file)
    assert rows(metadata_url) == stored


def test_columns_that_somebody_else_described_stand(store: MetadataStore, tmp_path: Path) -> None:
    store.register_assets([Asset(key=table("orders"), type=AssetType.DATASET, metadata={"steward": "jo"})])
    imported(store, written(tmp_path, manifest(node("model", "orders", columns=columns("id")))))
    assert store.asset(table("orders")).metadata["steward"] == "jo"


def test_what_is_collected_in_this_moment_keeps_the_columns_of_the_collection(
    store: MetadataStore, metadata_url: str, tmp_path: Path
) -> None:
    """The import has looked already, and waits for the collection that describes the table."""
    file = written(tmp_path, manifest(node("model", "orders")))
    imported(store, file)
    seen = written(tmp_path, catalog({"model.shop.orders": {"id": "int"}}), "catalog.json")
    marks = """UPDATE metadata.asset SET metadata = metadata || '{"relation": "table"}'"""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with store.session() as collection, psycopg.connect(metadata_url, autocommit=True) as looking:
            collection.rows(marks)
            later = pool.submit(imported, store, file, seen=seen)
            deadline = time.monotonic() + 20
            while looking.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline and not later.done():
                time.sleep(0.01)
            assert not later.done(), "it waits"
        _look, done = later.result(timeout=20)
    assert (done.columns_written, store.asset(table("orders")).fields) == (0, ())


def test_the_same_project_at_once_is_one_import(
    store: MetadataStore, metadata_url: str, edges: Edges, tmp_path: Path
) -> None:
    store.register_endpoints([Endpoint(slug="wh", system="postgres")])
    nodes = [node("model", f"m{n}", f"model.shop.m{max(n - 1, 0)}", columns=columns("id", "n")) for n in range(30)]
    file = written(tmp_path, manifest(*nodes))
    with ThreadPoolExecutor(4) as pool:
        done = [one.result(timeout=60)[1] for one in [pool.submit(imported, store, file) for _ in range(4)]]
    assert sum(one.edges.opened for one in done) == len(edges()["shop@wh"]) == 29
    found = contents(metadata_url)
    assert (len(found["asset"]), len(found["schema_field"])) == (30, 60)


def test_a_name_that_became_another_one_leads_to_the_same_table(
    store: MetadataStore, edges: Edges, tmp_path: Path
) -> None:
    """The source renamed its table, and dbt still says the old name."""
    file = written(tmp_path, manifest(source("raw"), node("model", "orders", "source.shop.raw")))
    imported(store, file)
    store.rename({table("raw"): table("raw_v2")}, reason="renamed there")
    _look, done = imported(store, file)
    assert (done.rows_written, edges()) == (0, {"shop@wh": {("orders", "raw_v2")}})
    both = written(tmp_path, manifest(source("raw"), source("raw_v2")), "both.json")
    with pytest.raises(OneThingTwice, match="names of one thing"):
        imported(store, both)
    assert edges() == {"shop@wh": {("orders", "raw_v2")}}
