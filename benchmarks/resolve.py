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
from uuid import uuid4

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.report import Exact, Result, measured, p99
from identity.ids import key_digest, tenant_id
from identity.keys import CanonicalKey, dataset_key
from resources.metadata.assets import UnknownKey
from resources.metadata.legacy_names import LegacyRow
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

_CONSTRAINTS = """
SELECT c.conrelid::regclass::text AS relation, c.conname AS name, pg_get_constraintdef(c.oid) AS definition
FROM pg_constraint c
WHERE c.conrelid IN ('metadata.asset'::regclass, 'metadata.alias'::regclass) AND c.contype IN ('p', 'u')
  AND NOT EXISTS (SELECT 1 FROM pg_constraint f WHERE f.conindid = c.conindid AND f.contype = 'f')
"""

_FILL = """
WITH named AS MATERIALIZED (
  SELECT gen_random_uuid() AS id, n, 'mid1:dataset:lake:~/bench/t' || n AS key,
    'mid1:dataset:lake:~/bench/old' || n AS old
  FROM generate_series(1, %(names)s) n ORDER BY id),
assets AS (
  INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
  SELECT %(tenant)s, id, 'DATASET', 't' || n, key, sha256(key::bytea), 'bench' FROM named)
INSERT INTO metadata.alias (tenant_id, key, key_sha256, birth_sha256, entity_id, kind, actor)
SELECT %(tenant)s, a.key, sha256(a.key::bytea), sha256(named.key::bytea), id, a.kind, 'bench'
FROM named, LATERAL (VALUES (key, 'primary'), (CASE WHEN n %% 5 = 0 THEN old END, 'rename')) a (key, kind)
WHERE a.key IS NOT NULL
"""

# By the transaction that told of the newest rename; its audit and the outbox itself are left out.
_WRITTEN = """
WITH told AS (SELECT xid::xid AS xid FROM metadata.outbox WHERE topic = 'entity.renamed' ORDER BY seq DESC LIMIT 1)
SELECT (SELECT count(*) FROM metadata.asset, told WHERE asset.xmin = told.xid)
  + (SELECT count(*) FROM metadata.alias, told WHERE alias.xmin = told.xid)
  + (SELECT count(*) FROM metadata.dataset, told WHERE dataset.xmin = told.xid)
  + (SELECT count(*) FROM metadata.schema_field, told WHERE schema_field.xmin = told.xid)
  + (SELECT count(*) FROM metadata.relationship, told WHERE relationship.xmin = told.xid)
"""

_BIND = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', %s, true)"

_BARE = """
SELECT entity_id FROM metadata.alias WHERE tenant_id = %s AND key_sha256 = %s AND valid_to IS NULL
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """The store, a raw connection as the app has it, and one that sees all."""

    store: MetadataStore
    raw: psycopg.Connection[Any]
    owner: psycopg.Connection[Any]

    def resolve(self) -> Callable[[], object]:
        return partial(self.store.entity, _some_key())

    def by_short_name(self) -> Callable[[], object]:
        return partial(self.store.resolve, f"lake/bench/t{random.randint(1, NAMES)}")

    def by_old_short_name(self) -> Callable[[], object]:
        return partial(self.store.resolve, f"lake/bench/old{5 * random.randint(1, NAMES // 5)}")

    def unknown(self) -> Callable[[], object]:
        name = f"lake/bench/nothing{random.randint(1, NAMES)}"

        def ask() -> None:
            try:
                self.store.resolve(name)
            except UnknownKey:
                return
            raise AssertionError(name)

        return ask

    def an_old_id(self) -> Callable[[], object]:
        row = LegacyRow(1, str(uuid4()), f"bench.t{random.randint(1, NAMES)}")
        return partial(self.store.import_legacy, [row])

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
    """One look-up against a bare one, the slowest of a hundred; a long history against none."""
    with _bench() as bench:
        oldest, newest = _renamed_often(bench.store)
        fixed: dict[str, Callable[[], Callable[[], object]]] = {
            f"the first of {HOPS:,} names": lambda: partial(bench.store.entity, oldest),
            "a name that never changed": lambda: partial(bench.store.entity, _key(1)),
        }
        assert bench.store.entity(oldest).id == bench.store.entity(newest).id
        ours, bare, unbound = f"MetadataStore.entity, 1 of {NAMES:,}, p99", "a bare indexed SELECT", "the same, unbound"
        among = {ours: bench.resolve, bare: bench.bare, unbound: bench.unbound}
        slowest, histories = measured(among, calls=2_000, of=p99), measured(fixed, calls=200)
        typed: dict[str, tuple[Callable[[], Callable[[], object]], float]] = {
            "a short name": (bench.by_short_name, 10.0),
            "an old short name": (bench.by_old_short_name, 10.0),
            "a name that nothing has, and the nearest": (bench.unknown, 100.0),
            "an import of one old id": (bench.an_old_id, 60.0),
        }
        by_people = measured({bare: bench.bare, **{name: case for name, (case, _most) in typed.items()}}, calls=50)
        renamed = _renamed_one(bench)
    return [
        slowest.result("resolve", ours, bare, at_most=2.0),
        slowest.result("resolve", ours, unbound),
        histories.result("resolve", *fixed, at_most=1.25, exact=renamed),
        *(by_people.result("resolve", name, bare, at_most=most) for name, (_case, most) in typed.items()),
    ]


def _renamed_one(bench: Bench) -> tuple[Exact, ...]:
    """What renaming one of all writes: its own row, the end of its name, its new name and its old one."""
    bench.store.rename({_key(7): dataset_key("lake", schema="bench", table="seven")})
    written = bench.owner.execute(_WRITTEN).fetchone()
    return (Exact(what=f"rows written by renaming 1 of {NAMES:,}", found=written[0] if written else -1, at_most=4),)


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
    with control_plane() as (server, url), psycopg.connect(server.url("metadata"), autocommit=True) as owner:
        _fill(owner)
        engine = app_engine(url)
        with psycopg.connect(url, autocommit=True, options="-c role=metadata_app") as raw:
            raw.prepare_threshold = 2
            raw.execute("SELECT set_config('metadata.tenant', %s, false)", (str(TENANT),))
            yield Bench(MetadataStore(Sessions(engine, TENANT, "bench")), raw, owner)
        engine.dispose()


def _fill(owner: psycopg.Connection[Any]) -> None:
    owner.execute("SET session_replication_role = replica")  # triggers and audit are not what is measured
    owner.execute("SET maintenance_work_mem = '512MB'")
    owner.execute("SET synchronous_commit = off")
    indexes, constraints = owner.execute(_INDEXES).fetchall(), owner.execute(_CONSTRAINTS).fetchall()
    for name, _definition in indexes:
        owner.execute(f"DROP INDEX {name}".encode())
    for relation, name, _definition in constraints:
        owner.execute(f"ALTER TABLE {relation} DROP CONSTRAINT {name}".encode())
    owner.execute(_FILL, {"names": NAMES, "tenant": TENANT.value})
    for _name, definition in indexes:
        owner.execute(definition.encode())
    for relation, name, definition in constraints:
        owner.execute(f"ALTER TABLE {relation} ADD CONSTRAINT {name} {definition}".encode())
    owner.execute("VACUUM ANALYZE metadata.asset, metadata.alias")
    owner.execute("SET session_replication_role = origin")
