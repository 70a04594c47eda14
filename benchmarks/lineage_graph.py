"""A graph of 100,000 assets and 275,700 open edges for benchmarks, each of which was closed once before.

It has families of 10, 1,000 and 20,000 assets. Asset n is made from three of those before it, so nothing is far away.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.control_plane import control_plane
from identity.ids import Entity, tenant_id
from identity.keys import CanonicalKey, dataset_key
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Direction
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

TENANT = tenant_id("default")
SIZES = {"small": (0, 10), "middle": (30_000, 1_000), "huge": (60_000, 20_000)}
ASSETS = 100_000

# Asset n is number k of its family; it is made from k/2, k/3 and one of those before it, so nothing is far away.
EDGES = """
INSERT INTO metadata.relationship (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by,
  valid_from, valid_to)
SELECT %(tenant)s, s.id, t.id, 'DEPENDS_ON', 'bench', 'bench', 'bench', v.since, v.until
FROM (
  SELECT DISTINCT f.n, f.n - f.k + o.p AS parent
  FROM (
    SELECT n, CASE WHEN n < 30000 THEN mod(n, 10) WHEN n < 60000 THEN mod(n - 30000, 1000)
        ELSE mod(n - 60000, 20000) END AS k
    FROM generate_series(0, 99999) n) f
  CROSS JOIN LATERAL (VALUES (f.k / 2), (f.k / 3), (mod(f.k::bigint * 2654435761 >> 8, greatest(f.k, 1)))) AS o (p)
  WHERE f.k > 0) e
JOIN named s ON s.n = e.n JOIN named t ON t.n = e.parent
CROSS JOIN (VALUES (timestamptz '2020-01-01', timestamptz '2021-01-01'), ('2022-01-01', NULL)) AS v (since, until)
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i
WHERE indrelid IN ('metadata.asset'::regclass, 'metadata.alias'::regclass, 'metadata.relationship'::regclass)
  AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
_BIND = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', %s, true)"
_BARE = """
WITH RECURSIVE reached (id) AS (
  SELECT %s::uuid
  UNION
  SELECT r.{there} FROM reached JOIN metadata.relationship r
    ON r.tenant_id = %s AND r.{here} = reached.id AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL)
SELECT id FROM reached
"""


# What whoever writes it by hand asks: what is found, and of each what it is made from among that, a row for each edge.
_BY_HAND = """
WITH RECURSIVE reached (id) AS (
  SELECT %(start)s::uuid
  UNION
  SELECT r.{there} FROM reached JOIN metadata.relationship r
    ON r.tenant_id = %(tenant)s AND r.{here} = reached.id AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL)
SELECT a.asset_id, a.qualified_name, a.type, e.source FROM reached
JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = reached.id
LEFT JOIN (
  SELECT DISTINCT r.source_asset_id AS made, r.target_asset_id AS source
  FROM reached m JOIN metadata.relationship r ON r.tenant_id = %(tenant)s AND r.source_asset_id = m.id
    AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL
  JOIN reached s ON s.id = r.target_asset_id) e ON e.made = a.asset_id
ORDER BY a.qualified_name COLLATE "C"
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A store, and a raw connection as the app has it."""

    store: MetadataStore
    graph: GraphStore
    raw: psycopg.Connection[Any]

    def walked(self, start: Entity, direction: Direction, at: datetime | None = None) -> Callable[[], object]:
        return partial(self.graph.lineage, start, direction, at=at)

    def bare(self, start: Entity, direction: Direction) -> Callable[[], object]:
        here, there = "source_asset_id", "target_asset_id"
        if direction == "down":
            here, there = there, here
        statement = _BARE.format(here=here, there=there)

        def ask() -> list[UUID]:
            with self.raw.transaction(), self.raw.cursor() as cursor:
                cursor.execute(_BIND, (str(TENANT), "bench"))
                return [row[0] for row in cursor.execute(statement.encode(), (start.id.value, TENANT.value)).fetchall()]

        return ask

    def by_hand(self, start: Entity, direction: Direction) -> Callable[[], list[tuple[Any, ...]]]:
        """The same part as `lineage`, as rows."""
        here, there = "source_asset_id", "target_asset_id"
        if direction == "down":
            here, there = there, here
        statement = _BY_HAND.format(here=here, there=there).encode()
        given = {"start": start.id.value, "tenant": TENANT.value}

        def ask() -> list[tuple[Any, ...]]:
            with self.raw.transaction(), self.raw.cursor() as cursor:
                cursor.execute(_BIND, (str(TENANT), "bench"))
                return cursor.execute(statement, given).fetchall()

        return ask


def key(number: int) -> CanonicalKey:
    return dataset_key("lake", schema="bench", table=f"t{number:05}")


@contextmanager
def filled() -> Iterator[Bench]:
    with control_plane() as (_server, url):
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        with psycopg.connect(url, autocommit=True) as owner:
            _fill(owner)
        with psycopg.connect(url, autocommit=True, options="-c role=metadata_app") as raw:
            raw.prepare_threshold = 2
            yield Bench(store, GraphStore(store.sessions), raw)
        engine.dispose()


def _fill(owner: psycopg.Connection[Any]) -> None:
    owner.execute("SET session_replication_role = replica")  # triggers and audit are not what is measured
    owner.execute("SET synchronous_commit = off")
    keys = [key(number) for number in range(ASSETS)]
    rows = [(number, str(Entity(TENANT, key).id), str(key), key.table) for number, key in enumerate(keys)]
    owner.execute("CREATE TEMP TABLE named (n int, id uuid, key text, name text)")
    with owner.cursor() as cursor, cursor.copy("COPY named FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    owner.execute("ANALYZE named")
    indexes = owner.execute(_INDEXES).fetchall()  # rows first, indexes afterwards
    for name, _definition in indexes:
        owner.execute(f"DROP INDEX {name}".encode())
    given = {"tenant": TENANT.value}
    owner.execute(
        """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
        SELECT %(tenant)s, id, 'DATASET', name, key, metadata.name_digest(key), 'bench' FROM named""",
        given,
    )
    owner.execute(
        """INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, birth_sha256)
        SELECT %(tenant)s, key, metadata.name_digest(key), id, 'primary', '2019-01-01', 'bench',
          metadata.name_digest(key) FROM named""",
        given,
    )
    owner.execute(EDGES, given)
    for _name, definition in indexes:
        owner.execute(definition.encode())
    owner.execute("VACUUM ANALYZE metadata.asset, metadata.alias, metadata.relationship")
    owner.execute("SET session_replication_role = origin")
