"""Versions: publishing one, and reading a large dataset as it was at any of a thousand of them.

Limits, in the same run: for a commit and its publish, the same rows by plain statements in one raw psycopg transaction;
for a read as of a version, a bare SELECT of as many rows by an index, on a connection that is bound to its tenant; and
the first, the middle and the last version against each other, because age must not cost anything.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.record import INPUTS, OUTPUT, STATEMENTS, TENANT, attempt, raw_connection, row_parameters, staged
from benchmarks.report import Result, measured
from identity.ids import Entity
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Read
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions

PARTITIONS, VERSIONS, CHANGED = 100_000, 1_000, 100
LARGE = Entity(TENANT, dataset_key("lake", schema="bench", table="large"))

# What a publish writes, and how it takes its turn, as somebody would write it by hand.
_PUBLISH_STATEMENTS = (
    """INSERT INTO metadata.idempotency (tenant_id, op, key, fingerprint, result_id)
    VALUES (%(tenant)s, 'publish', %(key)s, %(fingerprint)s, %(id)s)""",
    """UPDATE metadata.dataset SET published_version = published_version + 1, updated_at = clock_timestamp()
    WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s RETURNING published_version""",
    """INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor, partitions,
      partitions_changed, row_count, partitions_counted)
    SELECT %(tenant)s, %(dataset)s, published_version, %(key)s, 'bench', 1, 1, 1, 1 FROM metadata.dataset
    WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s""",
    """UPDATE metadata.version_partition c SET to_version = d.published_version FROM metadata.dataset d
    WHERE d.tenant_id = %(tenant)s AND d.dataset_id = %(dataset)s AND c.tenant_id = %(tenant)s
      AND c.dataset_id = %(dataset)s AND c.partition_key = 'p' AND c.to_version IS NULL""",
    """INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, materialization_id)
    SELECT %(tenant)s, %(dataset)s, 'p', published_version, %(id)s FROM metadata.dataset
    WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s""",
    """INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    VALUES (%(tenant)s, gen_random_uuid(), 'version.published', %(payload)s)""",
)

# Version 1 has each partition, and each later one changes the next hundred of them: materialization n is of partition
# n % PARTITIONS, and what changes it again is materialization n + PARTITIONS.
_COUNT = "%(partitions)s + (%(versions)s - 1) * %(changed)s"
_PARTITION = "'p' || lpad((n %% %(partitions)s)::text, 6, '0')"
_VERSION = "CASE WHEN {0} < %(partitions)s THEN 1 ELSE 2 + ({0} - %(partitions)s) / %(changed)s END"
_FILL = (
    """INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor, partitions,
      partitions_changed, row_count, partitions_counted)
    SELECT %(tenant)s, %(dataset)s, n, 'bench' || n, 'bench', %(partitions)s, %(changed)s, %(partitions)s,
      %(partitions)s FROM generate_series(1, %(versions)s) n""",
    f"""INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key,
      idempotency_key, intent, attempt_id, run_id, step_key, retry_number, fencing_token, manifest_sha256, row_count,
      byte_count, data_version, metadata, actor)
    SELECT %(tenant)s, md5('bench' || n)::uuid, %(dataset)s, {_PARTITION}, 'bench' || n, 'bench',
      md5('attempt' || n)::uuid, 'run' || {_VERSION.format("n")}, 'step', 0, n + 1, sha256(n::text::bytea), 1, 1, 'v',
      '{{}}', 'bench' FROM generate_series(0, {_COUNT} - 1) n""",
    f"""INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, to_version,
      materialization_id)
    SELECT %(tenant)s, %(dataset)s, {_PARTITION}, {_VERSION.format("n")},
      CASE WHEN n + %(partitions)s < {_COUNT} THEN {_VERSION.format("(n + %(partitions)s)")} END,
      md5('bench' || n)::uuid FROM generate_series(0, {_COUNT} - 1) n""",
    "UPDATE metadata.dataset SET published_version = %(versions)s WHERE dataset_id = %(dataset)s",
)

# As many rows with as many columns, found by the index of the present ones.
_BARE = """
SELECT p.partition_key, m.materialization_id, m.location, m.manifest_sha256, m.row_count, m.data_version
FROM metadata.version_partition p
JOIN metadata.materialization m ON m.tenant_id = p.tenant_id AND m.materialization_id = p.materialization_id
WHERE p.tenant_id = %(tenant)s AND p.dataset_id = %(dataset)s AND p.to_version IS NULL ORDER BY p.partition_key
"""
_ONE_TABLE = """
SELECT partition_key, materialization_id, from_version, to_version FROM metadata.version_partition
WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s AND to_version IS NULL ORDER BY partition_key
"""


@dataclass(frozen=True, slots=True)
class RawWriter:
    """The rows of a commit and a publish by hand, in one transaction."""

    connection: psycopg.Connection[dict[str, Any]]

    def write(self, dataset: Entity) -> None:
        parameters = row_parameters(staged(dataset))
        with self.connection.transaction():
            for statement in (*STATEMENTS, *_PUBLISH_STATEMENTS):
                self.connection.execute(statement.encode(), parameters)


@dataclass(frozen=True, slots=True)
class Bench:
    url: str
    store: MetadataStore
    app: psycopg.Connection[dict[str, Any]]
    writer: RawWriter

    def published(self) -> Callable[[], object]:
        by, one = attempt(), staged()

        def write() -> None:
            (committed,) = self.store.commit(by, [one], {"p": [Read(asset=entity, partition="p") for entity in INPUTS]})
            self.store.publish([committed.materialization_id])

        return write

    def replayed(self) -> Callable[[], object]:
        write = self.published()
        write()
        return write

    def by_hand(self) -> Callable[[], object]:
        return partial(self.writer.write, OUTPUT)

    def as_of(self, version: int) -> Callable[[], object]:
        return partial(self._read, version)

    def _read(self, version: int) -> None:
        assert len(self.store.current(LARGE, at=version)) == PARTITIONS

    def bare(self, statement: str) -> Callable[[], object]:
        parameters = {"tenant": TENANT.value, "dataset": LARGE.id.value}

        def read() -> None:
            assert len(self.app.execute(statement.encode(), parameters).fetchall()) == PARTITIONS

        return read


def run() -> list[Result]:
    """Publishing, publishing again, and reading what was."""
    with _bench() as bench:
        cases: dict[str, Callable[[], Callable[[], object]]] = {
            "commit and publish": bench.published,
            "a replay of both": bench.replayed,
            "the same rows in one raw transaction": bench.by_hand,
        }
        writes = measured(cases)
        _fill(bench.url)
        first, middle, last = (f"{PARTITIONS:,} partitions as of version {n:,}" for n in (1, VERSIONS // 2, VERSIONS))
        select, narrow = "a bare indexed SELECT of the same rows", "a bare indexed SELECT of one table"
        reads = measured(
            {
                first: lambda: bench.as_of(1),
                middle: lambda: bench.as_of(VERSIONS // 2),
                last: lambda: bench.as_of(VERSIONS),
                select: lambda: bench.bare(_BARE),
                narrow: lambda: bench.bare(_ONE_TABLE),
            },
            rounds=3,
            calls=1,
        )
    raw = "the same rows in one raw transaction"
    return [
        writes.result("versions", "commit and publish", raw),
        writes.result("versions", "a replay of both", raw),
        reads.result("versions", first, last),
        reads.result("versions", middle, last),
        *(reads.result("versions", one, select) for one in (first, middle, last)),
        reads.result("versions", last, narrow),
    ]


def _fill(url: str) -> None:
    """A thousand versions, each with a hundred partitions changed: what as many publishes would leave."""
    parameters = {
        "tenant": TENANT.value,
        "dataset": LARGE.id.value,
        "partitions": PARTITIONS,
        "versions": VERSIONS,
        "changed": CHANGED,
    }
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")  # triggers, and a look at each foreign key
        owner.execute("SET synchronous_commit = off")
        for statement in _FILL:
            owner.execute(statement.encode(), parameters)
        owner.execute("VACUUM ANALYZE metadata.version_partition, metadata.materialization, metadata.version")


@contextmanager
def _bench() -> Iterator[Bench]:
    with control_plane() as (_server, url):
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        datasets = [Asset(key=entity.key, type=AssetType.DATASET) for entity in (OUTPUT, LARGE)]
        store.register_datasets([(asset, "manually") for asset in datasets])
        store.register_assets(Asset(key=entity.key, type=AssetType.DATASET) for entity in INPUTS)
        with raw_connection(url, "metadata_app") as app, raw_connection(url, "metadata_owner") as owner:
            yield Bench(url, store, app, RawWriter(owner))
        engine.dispose()
