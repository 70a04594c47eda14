"""Two tenants with the same names in every table, and statements as one role bound to one of them."""

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from identity.idempotency import Delivery, Intent
from identity.ids import TenantId, child_id
from identity.keys import dataset_key
from resources.check_models import CheckResult
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata.garbage import Garbage, Retention
from resources.metadata.profiles import ColumnProfile, Profile
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Endpoint, Read, Staged
from resources.postgres.tables import METADATA
from tests.importers import lineage_events as lineage_event

TABLES = [table.name for table in METADATA.sorted_tables]
DELAYS = dataset_key("lake", schema="nyc", table="delays")
FLIGHTS = dataset_key("jfk", source="jfk", schema="public", table="flights")

_FIELD = """
INSERT INTO metadata.schema_field (tenant_id, field_id, asset_id, name, type, nullable, position)
VALUES (%s, %s, %s, 'carrier', 'text', false, 1)
"""

_tokens = itertools.count(1)
_kept: dict[str, list[psycopg.Connection[dict[str, Any]]]] = {}  # hundreds of tests make one statement each


def fill(store: MetadataStore) -> None:
    """At least one row in every table, with names that every tenant has."""
    store.register_endpoints(Endpoint(slug=slug, system="postgres") for slug in ("jfk", "lake"))
    store.register_assets([Asset(key=FLIGHTS, type=AssetType.TABLE)])
    store.register_datasets([(Asset(key=DELAYS, type=AssetType.DATASET), "immediately")])
    with store.session() as session:
        flights = store.entity(FLIGHTS).id
        session.count(_FIELD, (session.tenant_value, child_id(flights, "column", "carrier"), flights.value))
    staged = delivery(store, "first")
    reads = {"p": [Read(asset=store.entity(FLIGHTS), partition="p")]}
    (one,) = store.commit(attempt(), [staged], reads)
    store.commit(attempt(), [staged], reads)  # a redelivery
    store.publish([one.materialization_id])
    store.await_checks("run", [one.materialization_id], ["rows"])
    result = CheckResult(name="rows", run_id="run", evaluation=1, passed=True, blocking=True)
    store.record_checks([one.materialization_id], [result])
    store.pin("board", {DELAYS: 1})
    store.read_at_pin("run", "board", DELAYS)
    store.invalidate(DELAYS, reason="late flights")
    (bad,) = store.commit(attempt(), [delivery(store, "bad")], {})
    store.retract(bad.materialization_id, reason="wrong units")
    (released,) = store.commit(attempt(), [delivery(store, "released")], {})
    store.release("spring", [released.materialization_id])
    here = {(store.entity(DELAYS), "p"): f"lake:somewhere/{store.tenant}"}
    store.open_staging(attempt(), here, ttl=timedelta(hours=1))
    leave_garbage(store)
    store.register_endpoint_as("postgresql_db", "jfk")
    store.activate_dag("here", b"d" * 32, {})
    store.start_attempt("run", "step", 0, "worker", timedelta(hours=1))
    store.record_runs("log", position={"after": 1})
    told = [lineage_event.dataset("in", "a"), lineage_event.dataset("out", "b", origins={"b": [("in", "a")]})]
    imported = lineage_event.imported(store, [lineage_event.event(inputs=told[:1], outputs=told[1:]), "no event"])
    assert imported[0].aside == 1
    columns = (ColumnProfile(name="carrier", nulls=0.0, distinct=1),)
    assert store.record_profiles([Profile(key=FLIGHTS, rows=1, sampled=1, columns=columns)]) == 1
    graph = GraphStore(store.sessions)
    graph.create_collection("board", name="For the board", kind="report")
    graph.add_items("board", [DELAYS])
    graph.add_reference_edges([ReferenceEdge(graph.ensure_identity_key(DELAYS), FLIGHTS)])


def leave_garbage(store: MetadataStore) -> None:
    """A materialization that was overtaken and never published, and files that were delivered twice and are gone."""
    for intent in ("second", "third"):
        by, staged = attempt(), replace(delivery(store, intent), location=f"lake:{intent}/{store.tenant}")
        store.open_staging(by, {(store.entity(DELAYS), "p"): str(staged.location)}, ttl=timedelta(hours=1))
        store.commit(by, [staged], {})
    again = f"lake:again/{store.tenant}"
    store.commit(attempt(), [replace(delivery(store, "third"), location=again)], {})
    garbage = Garbage(store.sessions)
    assert garbage.forget([again]) == 1
    keep_none = Retention(versions=1, time=timedelta(0))
    (one,) = garbage.look(store.entity(DELAYS), keep_none).garbage
    assert garbage.condemn(store.entity(DELAYS), keep_none, [one.materialization_id])


def written_columns(table: str) -> str:
    """The columns of a table that a row is written with: without those that the database computes."""
    return ", ".join(one.name for one in METADATA.tables[f"{METADATA.schema}.{table}"].columns if one.computed is None)


def attempt() -> Attempt:
    return Attempt(id=uuid.uuid4(), run_id="run", step_key="step", retry_number=0, fencing_token=next(_tokens))


def delivery(store: MetadataStore, intent: str) -> Staged:
    entity = store.entity(DELAYS)
    return Staged(
        delivery=Delivery(entity.tenant, entity.id, "p", Intent("key", intent), "result"),
        location=None,
        manifest_sha256=None,
        row_count=1,
        byte_count=1,
        data_version="v",
        metadata={"note": intent},
    )


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection in a transaction that is taken back at the end."""
    kept = _kept.setdefault(url, [])
    connection = kept.pop() if kept else psycopg.connect(url, row_factory=dict_row)
    try:
        yield connection
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    kept.append(connection)


def disconnect(url: str) -> None:
    """Nobody looks at this database any more."""
    for connection in _kept.pop(url, []):
        connection.close()


@contextmanager
def acting(url: str, role: str, tenant: TenantId | None) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A transaction of a role, bound to a tenant or to none; taken back at the end."""
    # One that was bound before knows the setting, without a value: who is bound to none gets one that never was.
    with psycopg.connect(url, row_factory=dict_row) if tenant is None else _connected(url) as connection:
        connection.execute(f"SET LOCAL ROLE {role}".encode())
        if tenant is not None:
            connection.execute("SELECT set_config('metadata.tenant', %s, true)", (str(tenant),))
            connection.execute("SELECT set_config('metadata.actor', 'test', true)")
        yield connection
        connection.rollback()


def rows_of(url: str, table: str, tenant: TenantId) -> list[dict[str, Any]]:
    """The rows of a tenant as a superuser sees them, each as one JSON document."""
    statement = f"SELECT to_jsonb(t) AS row FROM metadata.{table} t WHERE tenant_id = %s ORDER BY 1"
    with _connected(url) as connection:
        return [found["row"] for found in connection.execute(statement.encode(), (tenant.value,))]
