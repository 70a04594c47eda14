"""Recording one materialization with two inputs, durably: what the store adds to what PostgreSQL must do anyway.

Limits, in the same run: one bare call of the SQL function, with its parameters at hand, on a connection that is bound
to its tenant already; the same rows by plain statements in one raw psycopg transaction, one after the other and
pipelined. They make no promise but the transaction.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from benchmarks.control_plane import control_plane
from benchmarks.report import CALLS, ROUNDS, Exact, Result, measured
from benchmarks.wire import traced
from identity.idempotency import Delivery, Intent
from identity.ids import Entity, tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Read, Staged
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.postgres.tables import METADATA

TENANT = tenant_id("default")
OUTPUT, *INPUTS = (Entity(TENANT, dataset_key("lake", schema="bench", table=name)) for name in ("out", "a", "b"))

_CALL = """
SELECT * FROM metadata.commit_materializations(%(attempt)s, 'run', 'step', 0, 1, %(items)s, %(inputs)s)
"""

# The rows that a commit writes, and the answer that it reads, as somebody would write it by hand.
STATEMENTS = (
    """INSERT INTO metadata.idempotency (tenant_id, op, key, fingerprint, result_id)
    VALUES (%(tenant)s, 'commit', %(key)s, %(fingerprint)s, %(id)s) ON CONFLICT DO NOTHING""",
    """INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key,
      intent, attempt_id, run_id, step_key, retry_number, fencing_token, manifest_sha256, row_count, byte_count,
      data_version, metadata, actor)
    VALUES (%(tenant)s, %(id)s, %(dataset)s, 'p', %(key)s, %(intent)s, %(attempt)s, 'run', 'step', 0, 1, %(sha)s, 1, 1,
      'v', '{}', 'bench')""",
    """INSERT INTO metadata.materialization_input (tenant_id, materialization_id, input_asset_id, input_partition_key)
    VALUES (%(tenant)s, %(id)s, %(a)s, 'p'), (%(tenant)s, %(id)s, %(b)s, 'p')""",
    """INSERT INTO metadata.relationship
      (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
    VALUES (%(tenant)s, %(dataset)s, %(a)s, 'DEPENDS_ON', 'materialization', 'bench', 'bench'),
      (%(tenant)s, %(dataset)s, %(b)s, 'DEPENDS_ON', 'materialization', 'bench', 'bench') ON CONFLICT DO NOTHING""",
    """INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    VALUES (%(tenant)s, %(id)s, 'materialization.committed', %(payload)s)""",
)


@dataclass(frozen=True, slots=True)
class Bench:
    """The store, and two raw connections: as the app for the function, as the owner for the tables."""

    store: MetadataStore
    app: psycopg.Connection[dict[str, Any]]
    owner: psycopg.Connection[dict[str, Any]]

    def commit(self) -> Callable[[], object]:
        return partial(self.store.commit, attempt(), [staged()], _READS)

    def replay(self) -> Callable[[], object]:
        return partial(self.store.commit, _ATTEMPT, [_REPLAYED], _READS)

    def call(self) -> Callable[[], object]:
        parameters = _function_parameters(staged())
        return lambda: self.app.execute(_CALL, parameters).fetchall()

    def transaction(self) -> Callable[[], None]:
        return partial(self._by_hand, row_parameters(staged()))

    def pipelined(self) -> Callable[[], None]:
        def by_hand(parameters: dict[str, Any]) -> None:
            with self.owner.pipeline():
                self._by_hand(parameters)

        return partial(by_hand, row_parameters(staged()))

    def _by_hand(self, parameters: dict[str, Any]) -> None:
        with self.owner.transaction():
            for statement in STATEMENTS:
                self.owner.execute(statement, parameters)

    def rows(self) -> dict[str, int]:
        """How many rows every table has."""
        counts = ", ".join(f"(SELECT count(*) FROM metadata.{t.name}) AS {t.name}" for t in METADATA.sorted_tables)
        (row,) = self.owner.execute(f"SELECT {counts}".encode()).fetchall()
        return row


def run() -> list[Result]:
    """Two gates: the store against the function, and a replay; two lines to compare with."""
    with _bench() as bench:
        exact = _counts(bench)
        before = bench.rows()["materialization"]
        cases = {
            "MetadataStore.commit": bench.commit,
            "a replay of it": bench.replay,
            "one call of the function": bench.call,
            "the same rows, raw psycopg": bench.transaction,
            "the same rows, raw psycopg, pipelined": bench.pipelined,
        }
        rounds = measured(cases)
        written = bench.rows()["materialization"] - before
        assert written == (ROUNDS + 1) * CALLS * (len(cases) - 1), "each call but a replay writes one"
    result = partial(rounds.result, "record")
    return [
        result("MetadataStore.commit", "one call of the function", at_most=2.0, exact=exact),
        result("a replay of it", "one call of the function", at_most=2.0),
        result("MetadataStore.commit", "the same rows, raw psycopg"),
        result("MetadataStore.commit", "the same rows, raw psycopg, pipelined"),
    ]


def _counts(bench: Bench) -> tuple[Exact, ...]:
    """What one commit and one replay of it cost, counted."""
    connects: list[object] = []
    for _warm in range(5):
        bench.commit()()
        bench.replay()()
    sa.event.listen(bench.store.sessions.engine, "connect", lambda *arguments: connects.append(arguments))
    fairy = bench.store.sessions.engine.raw_connection()
    driver = fairy.driver_connection
    fairy.close()
    assert isinstance(driver, psycopg.Connection)
    with traced(driver) as wire:
        bench.commit()()
    before = bench.rows()
    bench.replay()()
    added = sum(bench.rows().values()) - sum(before.values())
    return (
        Exact(what="transactions", found=wire.transactions, at_most=1),
        Exact(what="round trips", found=wire.round_trips, at_most=2),
        Exact(what="connects", found=len(connects), at_most=0),
        Exact(what="rows that a replay adds", found=added, at_most=0),
    )


@contextmanager
def _bench() -> Iterator[Bench]:
    with control_plane() as (_server, url):
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, TENANT, "bench"))
        store.register_datasets([(Asset(key=OUTPUT.key, type=AssetType.DATASET), "manually")])
        store.register_assets(Asset(key=entity.key, type=AssetType.DATASET) for entity in INPUTS)
        with raw_connection(url, "metadata_app") as app, raw_connection(url, "metadata_owner") as owner:
            yield Bench(store, app, owner)
        engine.dispose()


@contextmanager
def raw_connection(url: str, role: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(url, row_factory=dict_row, autocommit=True, options=f"-c role={role}") as connection:
        connection.prepare_threshold = 2
        bind = "SELECT set_config('metadata.tenant', %s, false), set_config('metadata.actor', 'bench', false)"
        connection.execute(bind, (str(TENANT),))
        yield connection


def attempt() -> Attempt:
    return Attempt(id=uuid.uuid4(), run_id="run", step_key="step", retry_number=0, fencing_token=1)


def staged(dataset: Entity = OUTPUT) -> Staged:
    """A delivery that was never made before."""
    return Staged(
        delivery=Delivery(TENANT, dataset.id, "p", Intent("run", str(uuid.uuid4())), "result"),
        location=None,
        manifest_sha256=bytes(32),
        row_count=1,
        byte_count=1,
        data_version="v",
    )


_READS: dict[str | None, list[Read]] = {"p": [Read(asset=entity, partition="p") for entity in INPUTS]}
_ATTEMPT, _REPLAYED = attempt(), staged()


def _function_parameters(one: Staged) -> dict[str, Any]:
    delivery = one.delivery
    item = {
        "idempotency_key": delivery.key,
        "fingerprint": delivery.fingerprint.hex(),
        "materialization_id": str(delivery.materialization_id),
        "dataset_id": str(delivery.dataset),
        "partition_key": "p",
        "intent": str(delivery.intent),
        "manifest_sha256": bytes(32).hex(),
        "row_count": 1,
        "byte_count": 1,
        "data_version": "v",
    }
    inputs = [
        {"materialization_id": item["materialization_id"], "asset_id": str(entity.id), "partition_key": "p"}
        for entity in INPUTS
    ]
    return {"attempt": uuid.uuid4(), "items": Jsonb([item]), "inputs": Jsonb(inputs)}


def row_parameters(one: Staged) -> dict[str, Any]:
    delivery = one.delivery
    payload = {"dataset_id": str(delivery.dataset), "partition_key": "p", "id": str(delivery.materialization_id)}
    return {
        "tenant": TENANT.value,
        "key": delivery.key,
        "fingerprint": delivery.fingerprint,
        "id": delivery.materialization_id,
        "dataset": delivery.dataset.value,
        "intent": str(delivery.intent),
        "attempt": uuid.uuid4(),
        "sha": bytes(32),
        "a": INPUTS[0].id.value,
        "b": INPUTS[1].id.value,
        "payload": Jsonb(payload),
    }
