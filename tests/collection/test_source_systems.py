"""Runs read tables of every system that is collected: from Python and from SQL, unchanged, and recorded as inputs."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest

from identity.errors import MetadataError
from identity.keys import dataset_key
from metadata_assets import code_location, load_project, source_systems
from metadata_assets.collection.errors import EndpointBusy, EndpointUnreachable
from metadata_assets.source_systems import StatementRefused, table_at
from metadata_assets.source_table import SourceTable, TableMissing, UnusableAnswer
from resources.configurable import close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from tests.collection.places import SLUG, Place

PROJECT = """
name: reading
endpoints:
  shop: {{system: {system}, {where}}}
  lake: {{system: files}}
"""
DATASETS = """
datasets:
  - {name: counted, endpoint: lake, sql: counted.sql}
  - {name: large, endpoint: lake, python: "code:large", depends_on: [{dataset: shop/SCHEMA/Orders, as: orders}]}
"""
CODE = """
def large(orders):
    return orders.query("SELECT id, amount FROM {table} WHERE amount > 10 ORDER BY id")
"""
Table = Callable[..., SourceTable]


@pytest.fixture
def orders(place: Place) -> Place:
    """A place with a table of three rows, a column in double quotes and one of dates."""
    table, name = place.quoted("Orders"), place.quoted("the name")
    place.run(
        f"CREATE TABLE {table} (id int, amount double precision, {name} varchar(20), placed date)",
        f"INSERT INTO {table} VALUES (1, 5.5, 'Ann', '2026-01-05'), (2, 20.25, NULL, NULL), (3, 11, 'Bo', NULL)",
    )
    return place


@pytest.fixture
def table() -> Table:
    """A function from a place to a table of it; it notes how many rows were read."""

    def of(place: Place, name: str = "Orders", notes: list[int] | None = None, **more: Any) -> SourceTable:
        read: list[int] = [] if notes is None else notes
        found = table_at(place.location, lambda: place.databases, key=place.key(name), note=read.append)
        return replace(found, **more)

    return of


@pytest.fixture
def deployment(
    orders: Place, metadata_url: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project on disk that reads this place."""
    location = orders.location
    where = f"url: {location.url}" if location.url else f"file: {location.file}"
    where += f", database: {location.database}" if location.database else ""
    folder = tmp_path / "reading"
    (folder / "datasets").mkdir(parents=True)
    (folder / "metadata.yml").write_text(PROJECT.format(system=location.system, where=where))
    (folder / "datasets" / "all.yml").write_text(DATASETS.replace("SCHEMA", orders.schema))
    (folder / "datasets" / "counted.sql").write_text(
        'SELECT "the name" AS name, sum(amount)::DOUBLE AS amount, count(*) AS orders\n'
        f"FROM {{{{ source('shop', '{orders.schema}', 'Orders') }}}} GROUP BY ALL ORDER BY ALL"
    )
    (folder / "code.py").write_text(CODE)
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("DATA_DATABASE_URL", server.url("postgres"))
    monkeypatch.setenv("METADATA_HOME", str(tmp_path / "home"))
    for name, value in orders.variables.items():
        monkeypatch.setenv(name, value)
    yield folder
    close_all()


def test_datasets_are_made_from_a_table_and_it_is_recorded_as_their_input(
    deployment: Path, orders: Place, store: MetadataStore
) -> None:
    defs = code_location(load_project(deployment))
    source = dg.AssetKey([SLUG, orders.schema, "Orders"])
    assert orders.location.system in defs.resolve_asset_graph().get(source).kinds
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process().success
    found = {}
    for name in ("counted", "large"):
        key = dataset_key("lake", table=name)
        (record,) = store.materializations(key)
        (read,) = store.inputs(record.id)
        assert read.key == orders.key("Orders")
        found[name] = record.row_count
    assert found == {"counted": 3, "large": 2}


def test_an_answer_has_the_same_types_with_rows_and_without(orders: Place, table: Table) -> None:
    notes: list[int] = []
    full = table(orders, notes=notes).query("SELECT * FROM {table} ORDER BY id")
    assert full["id"].to_list() == [1, 2, 3]
    assert full["amount"].to_list() == [5.5, 20.25, 11.0]
    assert full["the name"].to_list() == ["Ann", None, "Bo"]
    day = "2026-01-05" if orders.location.system == "sqlite" else dt.date(2026, 1, 5)
    assert full["placed"].to_list()[0] == day
    empty = table(orders).query("SELECT * FROM {table} WHERE id > 9")
    assert (empty.schema, empty.height, notes) == (full.schema, 0, [3])
    exact = "SELECT CAST(1.10 AS decimal(4, 2)) AS it FROM {table} WHERE id = 1"
    expected = 1.1 if orders.location.system == "sqlite" else Decimal("1.10")
    assert table(orders).query(exact)["it"].to_list() == [expected]


def test_many_rows_come_in_parts(orders: Place, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_systems, "BATCH", 2)
    found = table(orders).query("SELECT id, amount FROM {table} ORDER BY id")
    assert found.rows() == [(1, 5.5), (2, 20.25), (3, 11.0)]


def test_parameters_are_those_of_the_system(orders: Place, table: Table) -> None:
    named = {"duckdb": "$least", "sqlite": ":least"}.get(orders.location.system, "%(least)s")
    listed = "?" if orders.location.system in ("duckdb", "sqlite") else "%s"
    statement = "SELECT id FROM {table} WHERE amount > "
    assert table(orders).query(statement + named, {"least": 10}).height == 2
    assert table(orders).query(statement + listed, [6]).height == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {table}",
        "UPDATE {table} SET amount = 0",
        "INSERT INTO {table} (id) VALUES (4)",
        "DROP TABLE {table}",
        "SELECT 1 AS n; DROP TABLE {table}",
        "COMMIT; DETACH warehouse; ATTACH '{file}' AS warehouse; DELETE FROM {table}; SELECT 1 AS n",
        "ATTACH DATABASE '{file}-new' AS other",
        "SET STATEMENT tx_read_only = 0 FOR DELETE FROM {table}",
    ],
)
def test_nothing_can_be_changed(orders: Place, table: Table, statement: str) -> None:
    file = Path(orders.variables["SOURCE"])
    with suppress(MetadataError, psycopg.Error):  # or it answers, and has changed nothing
        table(orders).query(statement.replace("{file}", str(file)))
    assert not file.with_name(f"{file.name}-new").exists()
    assert table(orders).query("SELECT sum(amount) AS n FROM {table}")["n"].to_list() == [36.75]


def test_what_cannot_be_read_is_said(orders: Place, table: Table) -> None:
    if orders.location.system == "postgres":
        pytest.skip("its errors are psycopg's: see tests/test_source_table.py")
    with pytest.raises(StatementRefused, match=re.compile("amuont", re.IGNORECASE)):
        table(orders).query("SELECT amuont FROM {table}")
    with pytest.raises(StatementRefused):
        table(orders).query("DELETE FROM {table}")
    with pytest.raises(TableMissing, match="has no table"):
        table(orders, "nowhere").query("SELECT 1 AS n FROM {table}")
    with pytest.raises(UnusableAnswer, match="two columns are called id"):
        table(orders).query("SELECT id, amount AS id FROM {table}")
    gone = orders.elsewhere(SOURCE="/nonexistent/file")
    if orders.location.file:
        with pytest.raises(EndpointUnreachable, match="there is no such file"):
            table(gone).query("SELECT 1 AS n FROM {table}")


def test_what_lasts_too_long_is_broken_off(orders: Place, table: Table) -> None:
    if orders.location.system == "postgres":
        pytest.skip("its statements have the limits of its login")
    endless = {
        "duckdb": "SELECT sum(a.range % 7 + b.range) AS n FROM range(1000000) a, range(1000000) b, {table} c",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) AS n FROM n, {table}",
        "mariadb": "SELECT sleep(20) AS n FROM {table}",
    }[orders.location.system]
    with pytest.raises(EndpointBusy, match="time limit"):
        table(orders, seconds=0.3).query(endless)


def test_values_of_several_types_are_refused(place: Place, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    if place.location.system != "sqlite":
        pytest.skip("only SQLite has them in one column")
    place.run("CREATE TABLE mixed (n, b blob, r real)", "INSERT INTO mixed VALUES (1, x'00', 1), (2.5, NULL, 2)")
    found = table(place, "mixed").query("SELECT * FROM {table}")
    assert found.schema == {"n": pl.Float64, "b": pl.Binary, "r": pl.Float64}
    place.run("INSERT INTO mixed VALUES ('x', NULL, NULL)")
    with pytest.raises(UnusableAnswer, match="column n holds values of several types"):
        table(place, "mixed").query("SELECT * FROM {table}")
    monkeypatch.setattr(source_systems, "BATCH", 1)  # also where each part has one type
    with pytest.raises(UnusableAnswer, match="column n holds values of several types"):
        table(place, "mixed").query("SELECT * FROM {table}")
    found = table(place, "mixed").query("SELECT n FROM {table} WHERE typeof(n) <> 'text'")
    assert found["n"].to_list() == [1.0, 2.5]


def test_a_type_that_polars_has_not_is_told(place: Place, table: Table) -> None:
    if place.location.system != "duckdb":
        pytest.skip("only DuckDB has such types")
    place.run("CREATE TABLE spans AS SELECT INTERVAL 1 MONTH AS span")
    with pytest.raises(UnusableAnswer, match="cast it to text"):
        table(place, "spans").query("SELECT * FROM {table}")
    assert table(place, "spans").query("SELECT span::VARCHAR AS s FROM {table}")["s"].to_list() == ["1 month"]
    place.run("CREATE TABLE lists AS SELECT [INTERVAL 1 MONTH] AS spans")
    with pytest.raises(UnusableAnswer, match="cast it to text"):
        table(place, "lists").query("SELECT * FROM {table}")


def test_sql_reads_tables_with_types_that_polars_has_not(deployment: Path, orders: Place) -> None:
    """Whether it uses these columns or not: an interval is one, a union is text."""
    if orders.location.system != "duckdb":
        pytest.skip("only DuckDB has such types")
    orders.run(
        f"ALTER TABLE {orders.quoted('Orders')} ADD COLUMN span INTERVAL DEFAULT INTERVAL 1 MONTH",
        f"ALTER TABLE {orders.quoted('Orders')} ADD COLUMN either UNION(n int, t varchar)",
        f"ALTER TABLE {orders.quoted('Orders')} ADD COLUMN spans INTERVAL[]",
        f"ALTER TABLE {orders.quoted('Orders')} ADD COLUMN eithers STRUCT(of UNION(n int, t varchar)[])",
        f"UPDATE {orders.quoted('Orders')} SET either = 7, spans = [INTERVAL 1 DAY], eithers = {{'of': [7]}}",
    )
    selects = {
        "counted": "sum(amount) AS amount",
        "used": "max(DATE '2026-01-01' + span)::DATE AS later, max(either) AS either, max(len(spans)) AS n",
    }
    (deployment / "datasets" / "all.yml").write_text(
        "datasets:\n" + "".join(f"  - {{name: {one}, endpoint: lake, sql: {one}.sql}}\n" for one in selects)
    )
    for name, select in selects.items():
        text = f"SELECT {select} FROM {{{{ source('shop', '{orders.schema}', 'Orders') }}}}"
        (deployment / "datasets" / f"{name}.sql").write_text(text)
    defs = code_location(load_project(deployment))
    assert defs.resolve_implicit_global_asset_job_def().execute_in_process().success
    assert defs.resources
    metadata = defs.resources["metadata"]
    found = {one: metadata.read(dataset_key("lake", table=one)).to_dicts() for one in selects}
    assert found == {
        "counted": [{"amount": 36.75}],
        "used": [{"later": dt.date(2026, 2, 1), "either": "7", "n": 1}],
    }
