"""Finding the thing behind a name among a million names, and behind a name that was changed a thousand times.

Limit, in the same run: a bare SELECT on the same index, prepared, on a raw connection, in a transaction that is bound
to its tenant, as row-level security asks of everybody. Told for comparison: the same without a transaction, on a
connection that belongs to one tenant for good, as no pooled connection does.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.report import Result, measured, p99
from identity.ids import key_digest, tenant_id
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

NAMES = 1_000_000
HOPS = 1_000
TENANT = tenant_id("default")

# Rows first, indexes afterwards: a million rows take a minute, not five.
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index i
WHERE indrelid IN ('metadata.asset'::regclass, 'metadata.alias'::regclass)
  AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""

_FILL = """
WITH named AS MATERIALIZED (
  SELECT gen_random_uuid() AS id, 't' || n AS name, 'mid1:dataset:lake:~/bench/t' || n AS key
  FROM generate_series(1, %(names)s) n ORDER BY id),
assets AS (
  INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
  SELECT %(tenant)s, id, 'DATASET', 'bench/' || name, key, sha256(key::bytea), 'bench' FROM named)
INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, actor)
SELECT %(tenant)s, key, sha256(key::bytea), id, 'primary', 'bench' FROM named
"""

_BIND = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', %s, true)"

_BARE = """
SELECT entity_id FROM metadata.alias WHERE tenant_id = %s AND key_sha256 = %s AND valid_to IS NULL
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """The store, and a raw connection as the owner of the tables."""

    store: MetadataStore
    raw: psycopg.Connection[Any]

    def resolve(self) -> Callable[[], object]:
        return partial(self.store.entity, _some_key())

    def bare(self) -> Callable[[], object]:
        parameters = (TENANT.value, key_digest(_some_key()))

        def ask() -> object:
            with self.raw.transaction(), self.raw.cursor() as cursor:
                cursor.execute(_BIND, (str(TENANT), "bench"))
                return cursor.execute(_BARE, parameters).fetchall()

        return ask

    def unbound(self) -> Callable[[], object]:
        parameters = (TENANT.value, key_digest(_some_key()))
        return lambda: self.raw.execute(_BARE, parameters).fetchall()


def run() -> list[Result]:
    """The slowest of a hundred look-ups against a bare one, and a long history against none."""
    with _bench() as bench:
        oldest, newest = _renamed_often(bench.store)
        fixed: dict[str, Callable[[], Callable[[], object]]] = {
            f"the first of {HOPS:,} names": lambda: partial(bench.store.entity, oldest),
            "a name that never changed": lambda: partial(bench.store.entity, _key(1)),
        }
        assert bench.store.entity(oldest).id == bench.store.entity(newest).id
        ours, bare, unbound = f"MetadataStore.entity, 1 of {NAMES:,}, p99", "a bare indexed SELECT", "the same, unbound"
        among = {ours: bench.resolve, bare: bench.bare, unbound: bench.unbound}
        slowest, histories = measured(among, calls=500, of=p99), measured(fixed, calls=200)
    return [
        slowest.result("resolve", ours, bare, at_most=2.0),
        slowest.result("resolve", ours, unbound),
        histories.result("resolve", *fixed, at_most=1.25),
    ]


def _renamed_often(store: MetadataStore) -> tuple[CanonicalKey, CanonicalKey]:
    names = [dataset_key("lake", schema="bench", table=f"name {hop}") for hop in range(HOPS)]
    store.register_assets([Asset(key=names[0], type=AssetType.DATASET)])
    for was, now in pairwise(names):
        store.rename({was: now})
    return names[0], names[-1]


def _some_key() -> CanonicalKey:
    return _key(random.randint(1, NAMES))


def _key(number: int) -> CanonicalKey:
    return dataset_key("lake", schema="bench", table=f"t{number}")


@contextmanager
def _bench() -> Iterator[Bench]:
    with control_plane() as (server, url):
        with psycopg.connect(server.url("metadata"), autocommit=True) as filling:
            filling.execute("SET session_replication_role = replica")  # triggers and audit are not what is measured
            filling.execute("SET maintenance_work_mem = '512MB'")
            indexes = filling.execute(_INDEXES).fetchall()
            for name, _definition in indexes:
                filling.execute(f"DROP INDEX {name}".encode())
            filling.execute(_FILL, {"names": NAMES, "tenant": TENANT.value})
            for _name, definition in indexes:
                filling.execute(definition.encode())
            filling.execute("VACUUM ANALYZE metadata.asset, metadata.alias")
        engine = app_engine(url)
        with psycopg.connect(url, autocommit=True, options="-c role=metadata_app") as raw:
            raw.prepare_threshold = 2
            raw.execute("SELECT set_config('metadata.tenant', %s, false)", (str(TENANT),))
            yield Bench(MetadataStore(Sessions(engine, TENANT, "bench")), raw)
        engine.dispose()
