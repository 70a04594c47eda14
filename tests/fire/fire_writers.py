"""Writers that are killed: several processes, several threads in each, all asking for the same few things at once.

    python fire_writers.py <plan as JSON>

Item n is one partition of one dataset, wanted because of one intent: whoever delivers it, it must exist once. Every
writer stages a batch with data of its own, waits for the moment at which the newest item of all batches may be
committed, commits together with the others, and publishes. What it was answered it writes to its journal first.
"""

import json
import logging
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from identity.errors import MetadataError
from identity.idempotency import Delivery, Intent
from identity.ids import Entity, sha256_of, tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Read, Staged
from resources.postgres.engine import app_engine
from resources.postgres.errors import IdempotencyConflict
from resources.postgres.session import Row, Sessions

TENANT = tenant_id("default")
DATASETS = tuple(Entity(TENANT, dataset_key("lake", schema="fire", table=f"t{number}")) for number in range(3))
SOURCES = tuple(Entity(TENANT, dataset_key("jfk", source="jfk", schema="public", table=name)) for name in "ab")
PROCESSES, THREADS = 4, 3
WINDOW = 6  # items that are asked for at the same time; never two of one partition
PARTITIONS = 2  # of each dataset
_NEVER = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`begin` and `end` are moments of the monotonic clock, which all processes share."""

    url: str
    journals: str
    begin: float
    end: float
    items_per_second: float
    seconds_between_kills: float
    fresh_keys: bool = False
    """A mutant: a retry counts as a new intent."""


def register(store: MetadataStore) -> None:
    """Everything that the writers write to and read from."""
    assets = [Asset(key=entity.key, type=AssetType.DATASET) for entity in DATASETS]
    store.register_datasets([(asset, "immediately") for asset in assets])
    store.register_assets(Asset(key=entity.key, type=AssetType.TABLE) for entity in SOURCES)


def target(item: int) -> tuple[Entity, str]:
    """The dataset and partition of an item; those of a window are all different."""
    return DATASETS[item % len(DATASETS)], f"p{item // len(DATASETS) % PARTITIONS}"


class Impatient(Sessions):
    """Asks once, and leaves the rest to whoever called."""

    def call(self, statement: str, parameters: Mapping[str, Any], *, deadline_seconds: float = 0.0) -> list[Row]:
        return super().call(statement, parameters, deadline_seconds=deadline_seconds * 0)


class Journal:
    """Lines that survive kill -9 of their writer, because each is one write to a file."""

    def __init__(self, folder: str) -> None:
        self.file = os.open(Path(folder) / f"{uuid.uuid4()}.jsonl", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(self, what: str, **facts: object) -> None:
        os.write(self.file, json.dumps({"what": what, **facts}, default=str).encode() + b"\n")


class Writer:
    def __init__(self, plan: Plan, store: MetadataStore, journal: Journal) -> None:
        self.plan, self.store, self.journal = plan, store, journal
        self.random = random.Random()

    def run(self) -> None:
        while time.monotonic() < self.plan.end:
            with self.noting_errors():
                self.turn()

    def opening(self) -> tuple[int, float]:
        """The next item to be asked for, and from when on."""
        elapsed = time.monotonic() - self.plan.begin
        item = int(elapsed * self.plan.items_per_second) + WINDOW
        return item, (item + 1 - WINDOW) / self.plan.items_per_second - elapsed

    def turn(self) -> None:
        """One attempt at some items, as the I/O manager makes it. The token is taken first, so it may be overtaken."""
        attempt = Attempt(
            id=uuid.uuid4(),
            run_id="fire",
            step_key="step",
            retry_number=0,
            fencing_token=self.store.next_fencing_token(),
        )
        newest, _ = self.opening()
        items = [newest, *self.random.sample(range(newest + 1 - WINDOW, newest), self.random.randint(0, 2))]
        self.random.shuffle(items)
        committed = self.deliver(attempt, items)
        self.publish(committed, key=None)
        if self.random.random() < 0.05:
            self.publish(committed[:1], key=f"by hand {items[0]}")
            self.claim_for_another_request(committed[0], key=f"by hand {items[0]}")

    def deliver(self, attempt: Attempt, items: Sequence[int], retry: str = "") -> list[uuid.UUID]:
        staged = [self.staged(attempt, item, f"{item}{retry}") for item in items]
        try:
            self.stage(attempt, items, staged)
            time.sleep(max(0.0, self.opening()[1]))
            answers = self.store.commit(attempt, staged, {target(item)[1]: self.reads(item) for item in items})
        except (psycopg.OperationalError, DBAPIError):
            if not self.plan.fresh_keys:
                raise
            return self.deliver(attempt, items, retry=f" again {uuid.uuid4()}")
        for item, one in zip(items, answers, strict=True):
            self.journal.note(
                "committed",
                item=item,
                id=one.materialization_id,
                attempt=one.attempt_id,
                location=one.location,
                data=one.data_version,
                replayed=one.replayed,
            )
        return [one.materialization_id for one in answers]

    def stage(self, attempt: Attempt, items: Sequence[int], staged: Sequence[Staged]) -> None:
        locations = {target(item): str(one.location) for item, one in zip(items, staged, strict=True)}
        self.store.open_staging(attempt, locations, ttl=timedelta(minutes=5))

    def reads(self, item: int) -> list[Read]:
        return [Read(asset=source, partition=target(item)[1]) for source in SOURCES]

    def staged(self, attempt: Attempt, item: int, intent: str) -> Staged:
        """Every attempt brings other bytes."""
        entity, partition = target(item)
        return Staged(
            delivery=Delivery(TENANT, entity.id, partition, Intent("key", intent), "result"),
            location=f"lake:{entity.id}/{partition}/{attempt.id}",
            manifest_sha256=sha256_of(attempt.id.bytes),
            row_count=item,
            byte_count=1,
            data_version=attempt.id.hex[:16],
            metadata={"item": item},
        )

    def publish(self, materializations: Sequence[uuid.UUID], *, key: str | None) -> None:
        for one in self.store.publish(materializations, key=key):
            self.journal.note(
                "published",
                request=[key, sorted(map(str, materializations))],
                dataset=one.dataset,
                version=one.version,
                published=one.published,
                fenced=one.fenced,
                replayed=one.replayed,
            )

    def claim_for_another_request(self, materialization: uuid.UUID, *, key: str) -> None:
        try:
            self.store.publish([materialization, uuid.uuid4()], key=key)
        except IdempotencyConflict:
            self.journal.note("refused", key=key)
        else:
            self.journal.note("wrong", problem=f"key {key} was taken for two requests")

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Nothing that a writer does may fail: what the fire breaks is asked again below."""
        try:
            yield
        except (MetadataError, psycopg.Error, DBAPIError, KeyError) as error:
            self.journal.note("wrong", problem=f"{type(error).__name__}: {error}"[:300])


def write(plan: Plan) -> None:
    """One process: its threads share one pool of connections."""
    sessions = (Impatient if plan.fresh_keys else Sessions)(app_engine(plan.url), TENANT, "fire")
    journal = Journal(plan.journals)
    writers = [Writer(plan, MetadataStore(sessions), journal) for _ in range(THREADS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def keep_writing(plan: Plan) -> int:
    """Keep the processes running, killing one of them now and then; how many were killed."""
    running = {fork(plan) for _ in range(PROCESSES)}
    killed = 0
    pause = plan.seconds_between_kills or _NEVER
    while (left := plan.end - time.monotonic()) > 0:
        time.sleep(min(left, random.uniform(0.5, 1.5) * pause))
        if time.monotonic() < plan.end:
            victim = random.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            running = running - {victim} | {fork(plan)}
            killed += 1
    for process in running:
        os.waitpid(process, 0)
    return killed


def fork(plan: Plan) -> int:
    """A writer process. Forked, because starting Python anew for each would leave no time for the fire."""
    process = os.fork()
    if process == 0:
        write(plan)
        os._exit(0)
    return process


if __name__ == "__main__":
    logging.getLogger("psycopg").disabled = True  # it tells of each connection that is cut
    print(keep_writing(Plan(**json.loads(sys.argv[1]))), flush=True)
