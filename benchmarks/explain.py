"""Explaining one of a million materializations: the oldest, one in the middle, the newest.

Limits, in the same run: the same in a store of a thousand, which is what growth is judged by; and, told for comparison,
a bare SELECT of the materialization's own row, prepared, in a transaction that is bound to its tenant.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.report import Exact, Result, measured
from benchmarks.wire import traced
from identity.ids import tenant_id
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import ensure_databases
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

MANY = 1_000_000
FEW = 1_000
DATASETS = 100
TENANT = tenant_id("default")

# Rows first, indexes afterwards: five million rows take a minute or two.
_TABLES = (
    *("asset", "dataset", "materialization", "materialization_input", "version", "version_partition"),
    *("job", "task", "task_attempt", "check_result"),
)
_OURS = ", ".join(f"'metadata.{name}'::regclass" for name in _TABLES)
_INDEXES = f"""
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i
WHERE indrelid IN ({_OURS}) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""

# Materialization n is partition n / DATASETS of dataset n % DATASETS, made from that partition of the dataset before,
# by run n / DATASETS; each dataset has a version of each run, each materialization a check. Each step has one attempt
# that delivered, and in one run of a hundred one before it that failed.
_ID = "md5({} || ' ' || {})::uuid"
_DATASET = _ID.format("'dataset'", "n % %(datasets)s")
_BEFORE = _ID.format("'dataset'", "n % %(datasets)s - 1")
_RUN = "n / %(datasets)s"
_AT = "timestamptz '2020-01-01' + n * interval '1 second'"
_FILL = tuple(
    re.sub(r" % (?=%\(|\d)", " %% ", statement)
    for statement in (
        f"""INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
        SELECT %(tenant)s, {_ID.format("'dataset'", "n")}, 'DATASET', 't' || n, 'mid1:dataset:lake:~/bench/t' || n,
          sha256(('t' || n)::bytea), 'bench' FROM generate_series(0, %(datasets)s - 1) n""",
        f"""INSERT INTO metadata.dataset (tenant_id, dataset_id, publish_policy, published_version)
        SELECT %(tenant)s, {_ID.format("'dataset'", "n")}, 'immediately', %(many)s / %(datasets)s
        FROM generate_series(0, %(datasets)s - 1) n""",
        f"""INSERT INTO metadata.job (tenant_id, job_id, run_id, source, name, status, started_at, ended_at, tags)
        SELECT %(tenant)s, {_ID.format("'job'", "r")}, 'run ' || r, 'bench', 'nightly', 'succeeded',
          timestamptz '2020-01-01' + r * interval '100 s', timestamptz '2020-01-01' + r * interval '100 s',
          jsonb_build_object('dagster/partition', 'p' || r)
        FROM generate_series(0, %(many)s / %(datasets)s - 1) r""",
        f"""INSERT INTO metadata.task (tenant_id, task_id, job_id, step_key, created_at)
        SELECT %(tenant)s, {_ID.format("'task'", "n")}, {_ID.format("'job'", _RUN)}, 't' || n % %(datasets)s, {_AT}
        FROM generate_series(0, %(many)s - 1) n""",
        f"""INSERT INTO metadata.task_attempt (tenant_id, attempt_id, task_id, step_key, number, status, started_at,
          ended_at, created_at)
        SELECT %(tenant)s, {_ID.format("'attempt'", "n")}, {_ID.format("'task'", "n")}, 't' || n % %(datasets)s, 1,
          'succeeded', {_AT}, {_AT}, {_AT}
        FROM generate_series(0, %(many)s - 1) n""",
        f"""INSERT INTO metadata.task_attempt (tenant_id, task_id, step_key, number, status, started_at, ended_at,
          created_at)
        SELECT %(tenant)s, {_ID.format("'task'", "n")}, 't' || n % %(datasets)s, 0, 'failed', {_AT}, {_AT}, {_AT}
        FROM generate_series(0, %(many)s - 1) n WHERE {_RUN} % 100 = 7""",
        f"""INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key,
          idempotency_key, intent, attempt_id, run_id, step_key, retry_number, fencing_token, row_count, actor,
          committed_at)
        SELECT %(tenant)s, {_ID.format("'m'", "n")}, {_DATASET}, 'p' || {_RUN}, 'key ' || n, 'run',
          {_ID.format("'attempt'", "n")}, 'run ' || {_RUN}, 't' || n % %(datasets)s, 0, n, 7, 'bench', {_AT}
        FROM generate_series(0, %(many)s - 1) n""",
        f"""INSERT INTO metadata.materialization_input (tenant_id, materialization_id, input_asset_id,
          input_partition_key, input_materialization_id, input_version)
        SELECT %(tenant)s, {_ID.format("'m'", "n")}, {_BEFORE}, 'p' || {_RUN}, {_ID.format("'m'", "n - 1")},
          {_RUN} + 1
        FROM generate_series(0, %(many)s - 1) n WHERE n % %(datasets)s > 0""",
        f"""INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor, published_at,
          partitions, partitions_changed, row_count, partitions_counted)
        SELECT %(tenant)s, {_DATASET}, {_RUN} + 1, 'v' || n, 'bench', {_AT}, {_RUN} + 1, 1, 7 * ({_RUN} + 1), {_RUN} + 1
        FROM generate_series(0, %(many)s - 1) n""",
        f"""INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version,
          materialization_id)
        SELECT %(tenant)s, {_DATASET}, 'p' || {_RUN}, {_RUN} + 1, {_ID.format("'m'", "n")}
        FROM generate_series(0, %(many)s - 1) n""",
        f"""INSERT INTO metadata.check_result (tenant_id, materialization_id, name, run_id, evaluation, passed,
          blocking, severity, actor)
        SELECT %(tenant)s, {_ID.format("'m'", "n")}, 'not_empty', 'run ' || {_RUN}, 1, true, true, 'ERROR', 'bench'
        FROM generate_series(0, %(many)s - 1) n""",
    )
)

_BIND = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', %s, true)"
_BARE = "SELECT * FROM metadata.materialization WHERE tenant_id = %s AND materialization_id = %s"
_NUMBERED = "SELECT md5('m ' || %s)::uuid"


@dataclass(frozen=True, slots=True)
class Bench:
    """A store with materializations 0 to `count`, and a raw connection as the app has it."""

    store: MetadataStore
    raw: psycopg.Connection[Any]
    count: int

    def id(self, number: int) -> UUID:
        """The id of a materialization: the larger the number, the newer."""
        row = self.raw.execute(_NUMBERED, (str(number),)).fetchone()
        assert row is not None
        found: UUID = row[0]
        return found

    def explained(self, number: int) -> Callable[[], Callable[[], object]]:
        identifier = self.id(number)
        return lambda: partial(self.store.explain, identifier)

    def bare(self) -> Callable[[], object]:
        parameters = (TENANT.value, self.id(self.count // 2))

        def ask() -> object:
            with self.raw.transaction(), self.raw.cursor() as cursor:
                cursor.execute(_BIND, (str(TENANT), "bench"))
                return cursor.execute(_BARE, parameters).fetchall()

        return ask


def run() -> list[Result]:
    """One of a million against one of a thousand, and against its bare row."""
    with _bench() as (large, small):
        middle = MANY // 2 + 7
        found = large.store.explain(large.id(middle))
        assert found.made is not None
        assert (found.made.inputs.count, found.made.readers.count, len(found.made.attempts)) == (1, 1, 1)
        among = {
            f"explain the oldest of {MANY:,}": large.explained(1),
            "one in the middle": large.explained(middle),
            "the newest": large.explained(MANY - 2),
        }
        few, bare = f"explain one of {FEW:,}", "a bare SELECT of its row"
        times = measured({**among, few: small.explained(FEW // 2 + 7), bare: large.bare}, calls=50)
        asked = Exact(what="round trips of an explanation", found=_statements(large, middle), at_most=20)
    return [
        *(times.result("explain", name, few, at_most=1.5, exact=(asked,)) for name in among),
        times.result("explain", "one in the middle", bare),
    ]


def _statements(bench: Bench, number: int) -> int:
    """How many round trips one explanation is, with the beginning and the end of its transaction."""
    identifier = bench.id(number)
    fairy = bench.store.sessions.engine.raw_connection()
    driver: Any = fairy.driver_connection
    fairy.close()  # the only connection of the pool: the next call has it
    with traced(driver) as wire:
        bench.store.explain(identifier)
    return wire.round_trips


@contextmanager
def _bench() -> Iterator[tuple[Bench, Bench]]:
    with control_plane() as (server, url):
        ensure_databases(server, ["few"])
        migrate(plain_engine(server.url("few")))
        with _filled(url, MANY) as large, _filled(server.url("few"), FEW) as small:
            yield large, small


@contextmanager
def _filled(url: str, count: int) -> Iterator[Bench]:
    with psycopg.connect(url, autocommit=True) as owner:
        _fill(owner, count)
    engine = app_engine(url)
    with psycopg.connect(url, autocommit=True, options="-c role=metadata_app") as raw:
        raw.prepare_threshold = 2
        yield Bench(MetadataStore(Sessions(engine, TENANT, "bench")), raw, count)
    engine.dispose()


def _fill(owner: psycopg.Connection[Any], count: int) -> None:
    owner.execute("SET session_replication_role = replica")  # triggers and audit are not what is measured
    owner.execute("SET maintenance_work_mem = '512MB'")
    owner.execute("SET synchronous_commit = off")
    indexes = owner.execute(_INDEXES.encode()).fetchall()
    for name, _definition in indexes:
        owner.execute(f"DROP INDEX {name}".encode())
    for statement in _FILL:
        owner.execute(statement.encode(), {"tenant": TENANT.value, "many": count, "datasets": DATASETS})
    for _name, definition in indexes:
        owner.execute(definition.encode())
    owner.execute(f"VACUUM ANALYZE {', '.join(f'metadata.{name}' for name in _TABLES)}".encode())
    owner.execute("SET session_replication_role = origin")
