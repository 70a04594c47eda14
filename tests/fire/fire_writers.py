"""Clients that are killed: several processes, several threads in each, all asking for the same few things at once.

    python fire_writers.py < plan.json

Item n is one partition of one dataset, wanted because of one intent: whoever delivers it, it must exist once. Every
writer stages a batch with data of its own, waits for the moment at which the newest item of all batches may be
committed, commits together with the others, and publishes. What it was answered it writes to its journal first.
In between it does what operators do: see `fire_acts`.
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
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from fire_acts import Operator
from fire_plan import SOURCES, TENANT, WINDOW, Journal, Plan, target
from sqlalchemy.exc import DBAPIError

from identity.errors import MetadataError
from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from resources.files import staging
from resources.locations import location
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Committed, Read, Staged
from resources.postgres.engine import app_engine
from resources.postgres.errors import IdempotencyConflict
from resources.postgres.refusals import UnusableMaterialization
from resources.postgres.session import Row, Sessions

_NEVER = 1e9


class Impatient(Sessions):
    """Asks once, and leaves the rest to whoever called."""

    def call(self, statement: str, parameters: Mapping[str, Any], *, deadline_seconds: float = 0.0) -> list[Row]:
        return super().call(statement, parameters, deadline_seconds=deadline_seconds * 0)


class Writer(Operator):
    def run(self) -> None:
        names, weights = list(self.plan.acts), list(self.plan.acts.values())
        while time.monotonic() < self.plan.end:
            (name,) = self.random.choices(names, weights)
            try:
                getattr(self, name)()
            except (MetadataError, psycopg.Error, DBAPIError, KeyError) as error:
                # Nothing that a client does may fail: what the fire breaks is asked again below.
                self.journal.note("wrong", problem=f"{name}: {type(error).__name__}: {error}"[:400])

    def opening(self) -> tuple[int, float]:
        """The next item to be asked for, and from when on."""
        elapsed = time.monotonic() - self.plan.begin
        item = int(elapsed * self.plan.items_per_second) + WINDOW
        return item, (item + 1 - WINDOW) / self.plan.items_per_second - elapsed

    def deliver(self) -> None:
        """One attempt at some items, as the I/O manager makes it. The token is taken first, so it may be overtaken."""
        attempt = self.attempt()
        newest, _ = self.opening()
        items = [newest, *self.random.sample(range(newest + 1 - WINDOW, newest), self.random.randint(0, 2))]
        self.random.shuffle(items)
        committed = self.commit_items(attempt, items)
        self.publish(committed, key=None)
        by_hand = f"by hand {items[0]}"
        if self.random.random() < 0.05 and self.publish(committed[:1], key=by_hand):
            self.claim_for_another_request(committed[0], key=by_hand)

    def commit_items(self, attempt: Attempt, items: Sequence[int], retry: str = "") -> list[uuid.UUID]:
        wanted = [(*target(item), f"{item}{retry}", str(item)) for item in items]
        try:
            staged = self.stage(attempt, wanted)
            time.sleep(max(0.0, self.opening()[1]))
            answers = self.commit(attempt, staged)
        except (psycopg.OperationalError, DBAPIError):
            if self.plan.mutant != "fresh keys":
                raise
            return self.commit_items(attempt, items, retry=f" again {uuid.uuid4()}")
        return [one.materialization_id for one in answers]

    def attempt(self) -> Attempt:
        token = self.store.next_fencing_token()
        return Attempt(id=uuid.uuid4(), run_id="fire", step_key="step", retry_number=0, fencing_token=token)

    def stage(
        self, attempt: Attempt, wanted: Sequence[tuple[Entity, str, str, str]], ttl: timedelta = timedelta(minutes=5)
    ) -> list[Staged]:
        """Lease, then write small files: (dataset, partition, intent, item). Every attempt brings other bytes."""
        paths = [staging.path_of(entity.id, partition, attempt) for entity, partition, _intent, _item in wanted]
        leases = {one[:2]: location("lake", path) for one, path in zip(wanted, paths, strict=True)}
        self.store.open_staging(attempt, leases, ttl=ttl)
        return [
            self.written(attempt, entity, partition, Intent("key", intent), item, leases[entity, partition])
            for entity, partition, intent, item in wanted
        ]

    def written(self, attempt: Attempt, entity: Entity, partition: str, intent: Intent, item: str, at: str) -> Staged:
        made = staging.write(self.plan.folder_of(at), [item, str(attempt.id)])
        return Staged(
            delivery=Delivery(TENANT, entity.id, partition, intent, "result"),
            location=at,
            manifest_sha256=made.manifest_sha256,
            row_count=made.row_count,
            byte_count=made.byte_count,
            data_version=made.data_version,
            metadata={"item": item},
        )

    def commit(self, attempt: Attempt, staged: Sequence[Staged]) -> list[Committed]:
        partitions = [one.delivery.partition for one in staged]
        reads = {part: [Read(asset=source, partition=part) for source in SOURCES] for part in partitions}
        answers = self.store.commit(attempt, staged, reads)
        for one, answer in zip(staged, answers, strict=True):
            self.journal.note(
                "committed",
                item=one.metadata["item"],
                id=answer.materialization_id,
                attempt=answer.attempt_id,
                location=answer.location,
                data=answer.data_version,
                replayed=answer.replayed,
            )
        return answers

    def publish(self, materializations: Sequence[uuid.UUID], *, key: str | None) -> bool:
        """Whether it was published, or fenced; else something of it had been retracted or collected."""
        try:
            answers = self.store.publish(materializations, key=key)
        except UnusableMaterialization:
            self.journal.note("unusable", materializations=materializations)
            return False
        for one in answers:
            self.journal.note(
                "published",
                request=[key, sorted(map(str, materializations))],
                dataset=one.dataset,
                version=one.version,
                published=one.published,
                fenced=one.fenced,
                replayed=one.replayed,
            )
        return True

    def claim_for_another_request(self, materialization: uuid.UUID, *, key: str) -> None:
        try:
            self.store.publish([materialization, uuid.uuid4()], key=key)
        except IdempotencyConflict:
            self.refused("claim_for_another_request", IdempotencyConflict(key=key))
        else:
            self.journal.note("wrong", problem=f"key {key} was taken for two requests")


def write(plan: Plan) -> None:
    """One process: its threads share one pool of connections."""
    sessions = (Impatient if plan.mutant == "fresh keys" else Sessions)(app_engine(plan.url), TENANT, "fire")
    journal = Journal(plan.journals)
    writers = [Writer(plan, MetadataStore(sessions), journal) for _ in range(plan.threads)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def keep_writing(plan: Plan) -> int:
    """Keep the processes running, killing one of them now and then; how many were killed."""
    running = {fork(plan) for _ in range(plan.processes)}
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
    print("ready", flush=True)
    print(keep_writing(Plan(**json.loads(sys.stdin.read()))), flush=True)
