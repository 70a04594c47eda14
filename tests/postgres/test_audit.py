"""The audit trail: one row for each row that changed, with its true state before and after, and for ever."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from rls_lint import APPEND_ONLY
from two_tenants import DELAYS, FLIGHTS, acting, disconnect, fill, written_columns

from identity.ids import tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Row, Sessions

TENANT = tenant_id("default")
AUDITED = {
    "tenant": "tenant_id",
    "endpoint": "endpoint_id",
    "asset": "asset_id",
    "schema_field": "field_id",
    "relationship": "relationship_id",
    "dataset": "dataset_id",
    "pin": "pin_id",
    "alias": "alias_id",
    "identity_node": "identity_id",
    "reference_edge": "edge_id",
    "collection": "collection_id",
    "collection_item": "item_id",
    "active_dag": "active_dag_id",
    "job": "job_id",
    "task": "task_id",
    "task_attempt": "attempt_id",
    "condemned": "materialization_id",
    "facet": "facet_id",
    "refused_event": "refused_id",
    "column_edge": "column_edge_id",
    "column_word": "column_word_id",
}
CHANGED = {
    **dict.fromkeys(("relationship", "alias", "active_dag", "column_edge"), "valid_to"),
    "condemned": "condemned_at",
    "refused_event": "last_at",
}
UNTOLD = {"refused_event": "text", "facet": "document"}
"""What goes with time, while the audit stays: of a facet only where it is a run's."""
FORGOTTEN = {"profile": "at", "facet": "updated_at", "refused_event": "last_at"}
"""What goes with time is told as a count, with the moments that this column has."""


@pytest.fixture(scope="module")
def url(make_database: Callable[..., str]) -> Iterator[str]:
    made = make_database(migrated=True)
    engine = app_engine(made)
    fill(MetadataStore(Sessions(engine, TENANT, "test")))
    engine.dispose()
    yield made
    disconnect(made)


@pytest.fixture
def store(url: str) -> Iterator[MetadataStore]:
    engine = app_engine(url)
    yield MetadataStore(Sessions(engine, TENANT, "somebody"))
    engine.dispose()


def told(connection: psycopg.Connection[Row], after: int) -> list[Row]:
    """The audit rows since one of them, without their ids and times."""
    statement = """SELECT entity_type, entity_id, action, actor, db_user, before_state, after_state
      FROM metadata.audit WHERE audit_id > %s ORDER BY audit_id"""
    return connection.execute(statement, (after,)).fetchall()


def last(connection: psycopg.Connection[Row]) -> int:
    (row,) = connection.execute("SELECT coalesce(max(audit_id), 0) AS last FROM metadata.audit").fetchall()
    number: int = row["last"]
    return number


@pytest.mark.parametrize("table", AUDITED)
def test_an_update_is_told_with_its_state_before_and_after(url: str, table: str) -> None:
    column = AUDITED[table]
    change = f"{CHANGED.get(table, 'updated_at')} = clock_timestamp()"
    with acting(url, "metadata_owner", TENANT) as connection:
        since = last(connection)
        before = states(connection, table)
        connection.execute(f"UPDATE metadata.{table} SET {change}".encode())
        after = states(connection, table)
        rows = told(connection, since)
    assert {(row["entity_type"], row["action"], row["actor"]) for row in rows} == {(table.upper(), "UPDATE", "test")}
    assert by_id(rows, "before_state") == {row[column]: row for row in as_told(table, before)}
    assert by_id(rows, "after_state") == {row[column]: row for row in as_told(table, after)}
    assert len(rows) == len(before) > 0
    assert before != after


@pytest.mark.parametrize("table", AUDITED)
def test_what_is_deleted_and_created_is_told(url: str, table: str) -> None:
    """Rows that others refer to are deleted and put back without those looking."""
    column = AUDITED[table]
    with acting(url, "metadata_owner", TENANT) as connection:
        since, before = last(connection), states(connection, table)
        connection.execute("RESET ROLE")
        connection.execute(f"ALTER TABLE metadata.{table} DISABLE TRIGGER ALL".encode())
        for action in ("create",) if table in FORGOTTEN else ("create", "delete"):
            connection.execute(f"ALTER TABLE metadata.{table} ENABLE TRIGGER audit_{action}".encode())
        connection.execute("SET LOCAL ROLE metadata_owner")
        connection.execute(f"CREATE TEMPORARY TABLE kept AS SELECT * FROM metadata.{table}".encode())
        connection.execute(f"DELETE FROM metadata.{table}".encode())
        columns = written_columns(table)
        connection.execute(f"INSERT INTO metadata.{table} ({columns}) SELECT {columns} FROM kept".encode())
        rows = told(connection, since)
    deleted, created = ([row for row in rows if row["action"] == action] for action in ("DELETE", "CREATE"))
    expected = {row[column]: row for row in as_told(table, before)}
    assert by_id(created, "after_state") == expected
    assert {row["after_state"] for row in deleted} <= {None}
    assert {row["before_state"] for row in created} == {None}
    assert len(created) == len(expected)
    if table not in FORGOTTEN:
        assert by_id(deleted, "before_state") == expected
        assert len(deleted) == len(expected)


def states(connection: psycopg.Connection[Row], table: str) -> list[dict[str, Any]]:
    return [row["row"] for row in connection.execute(f"SELECT to_jsonb(t) AS row FROM metadata.{table} t".encode())]


def as_told(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """States as the audit has them."""
    left_out = [{} if table == "facet" and row["run_id"] is None else {UNTOLD.get(table)} for row in rows]
    return [
        {name: value for name, value in row.items() if name not in out} for row, out in zip(rows, left_out, strict=True)
    ]


@pytest.mark.parametrize("table", FORGOTTEN)
def test_what_is_forgotten_is_told_as_a_count(url: str, table: str) -> None:
    with acting(url, "metadata_owner", TENANT) as connection:
        since, before = last(connection), states(connection, table)
        connection.execute(f"DELETE FROM metadata.{table}".encode())
        (row,) = told(connection, since)
    moments = sorted(one[FORGOTTEN[table]] for one in before)
    assert (row["entity_type"], row["action"], row["entity_id"]) == (table.upper(), "DELETE", TENANT.value)
    assert row["before_state"] == {"count": len(before), "from": moments[0], "to": moments[-1]}


def test_profiles_are_not_changed_and_taken_away_only_by_the_function(url: str) -> None:
    for role, change, state in (
        ("metadata_owner", "UPDATE metadata.profile SET sampled = 0", "MA423"),
        ("metadata_owner", "TRUNCATE metadata.profile", "MA423"),
        ("metadata_app", "DELETE FROM metadata.profile", "42501"),
    ):
        with acting(url, role, TENANT) as connection, pytest.raises(psycopg.DatabaseError) as refused:
            connection.execute(change.encode())
        assert refused.value.sqlstate == state


def by_id(rows: list[Row], state: str) -> dict[str, Any]:
    return {str(row["entity_id"]): row[state] for row in rows}


def test_it_is_told_who_did_it(store: MetadataStore, url: str) -> None:
    store.register_assets([Asset(key=dataset_key("lake", schema="nyc", table="told"), type=AssetType.DATASET)])
    with acting(url, "metadata_app", TENANT) as connection:
        (row,) = told(connection, last(connection) - 1)
    assert (row["action"], row["actor"], row["db_user"]) == ("CREATE", "somebody", "postgres")


def test_a_statement_over_many_rows_is_told_row_by_row_and_one_over_none_not_at_all(
    store: MetadataStore, url: str
) -> None:
    many = [Asset(key=dataset_key("bulk", table=f"t{number}"), type=AssetType.TABLE) for number in range(500)]
    for expected in (500, 0):
        with acting(url, "metadata_app", TENANT) as connection:
            since = last(connection)
        store.register_assets(many)
        with acting(url, "metadata_app", TENANT) as connection:
            types = sorted(row["entity_type"] for row in told(connection, since))
            assert types == ["ALIAS"] * expected + ["ASSET"] * expected, "each with its name"


def test_what_is_taken_back_is_not_told(store: MetadataStore, url: str) -> None:
    with acting(url, "metadata_app", TENANT) as connection:
        since = last(connection)

    def take_back() -> None:
        with store.session() as session:
            assert session.count("UPDATE metadata.asset SET description = 'never'") > 0
            raise KeyError

    with pytest.raises(KeyError):
        take_back()
    with acting(url, "metadata_app", TENANT) as connection:
        assert told(connection, since) == []


def test_each_state_before_is_the_state_after_the_change_before(store: MetadataStore, url: str) -> None:
    """Read at the change, not earlier: with many writers at once whatever was read earlier is wrong."""
    key = dataset_key("lake", schema="nyc", table="contended")
    store.register_assets([Asset(key=key, type=AssetType.DATASET)])
    together = threading.Barrier(8)

    def write(name: str) -> None:
        engine = app_engine(url)
        mine = MetadataStore(Sessions(engine, TENANT, name))
        together.wait()
        for number in range(20):
            with mine.session() as session:
                statement = "UPDATE metadata.asset SET description = %s, version = version + 1 WHERE asset_id = %s"
                session.count(statement, (f"{name} {number}", mine.entity(key).id.value))
        engine.dispose()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefgh"))
    with acting(url, "metadata_app", TENANT) as connection:
        statement = """SELECT before_state, after_state, actor FROM metadata.audit
          WHERE entity_id = %s ORDER BY (after_state ->> 'version')::int"""
        rows = connection.execute(statement, (store.entity(key).id.value,)).fetchall()
    assert len(rows) == 161
    assert all(other["before_state"] == one["after_state"] for one, other in pairwise(rows))
    assert all(row["after_state"]["description"].startswith(row["actor"]) for row in rows[1:])


@pytest.mark.parametrize("role", ["postgres", "metadata_owner", "metadata_app", "metadata_readonly"])
@pytest.mark.parametrize("change", ["UPDATE metadata.{} SET tenant_id = tenant_id", "DELETE FROM metadata.{}"])
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nobody_changes_what_is_append_only(url: str, table: str, change: str, role: str) -> None:
    with acting(url, role, TENANT) as connection, pytest.raises(psycopg.DatabaseError) as refused:
        connection.execute(change.format(table).encode())
    assert refused.value.sqlstate == ("MA423" if role in {"postgres", "metadata_owner"} else "42501")


@pytest.mark.parametrize("role", ["postgres", "metadata_owner"])
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nobody_truncates_what_is_append_only(url: str, table: str, role: str) -> None:
    with acting(url, role, TENANT) as connection, pytest.raises(psycopg.DatabaseError) as refused:
        connection.execute(f"TRUNCATE metadata.{table} CASCADE".encode())
    assert refused.value.sqlstate == "MA423"


def test_an_id_never_changes_its_key(url: str) -> None:
    """Two keys with one id would be one asset: the second is refused."""
    statement = "UPDATE metadata.asset SET key_sha256 = sha256('another') WHERE qualified_name = %s"
    with acting(url, "metadata_owner", TENANT) as connection, pytest.raises(psycopg.DatabaseError) as refused:
        connection.execute(statement, (str(DELAYS),))
    assert refused.value.sqlstate == "MA409"
    assert str(FLIGHTS) not in str(refused.value)


def test_a_swap_is_told_once_for_each_with_states_that_were(store: MetadataStore, url: str) -> None:
    """A unique index makes the two lay their names down first: a state that nobody ever saw."""
    one, other, third = (dataset_key("lake", schema="nyc", table=f"swapped{number}") for number in range(3))
    store.register_assets([Asset(key=key, type=AssetType.DATASET) for key in (one, other)])
    ids = {str(store.entity(key).id): key for key in (one, other)}
    for batch in ({one: other, other: one}, {other: third, one: other}):
        with acting(url, "metadata_app", TENANT) as connection:
            since, before = last(connection), {row["asset_id"]: row for row in states(connection, "asset")}
        store.rename(batch)
        with acting(url, "metadata_app", TENANT) as connection:
            rows = [row for row in told(connection, since) if row["entity_type"] == "ASSET"]
            after = {row["asset_id"]: row for row in states(connection, "asset")}
        assert sorted(str(row["entity_id"]) for row in rows) == sorted(ids)
        for row in rows:
            assert row["before_state"] == before[str(row["entity_id"])]
            assert row["after_state"] == after[str(row["entity_id"])]
