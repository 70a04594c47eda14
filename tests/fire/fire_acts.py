"""What operators, readers and collectors do in a fire, and which refusals are right answers."""

import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg
from fire_plan import DATASETS, SOURCES, Journal, Plan
from sqlalchemy.exc import DBAPIError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from identity.errors import MetadataError
from identity.ids import Entity
from resources.collecting import Collector
from resources.files import staging
from resources.metadata.garbage import Garbage, Retention
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Committed, Current, Read, Staged
from resources.postgres.errors import AttemptEnded, LeaseLost, LeaseTakenOver
from resources.postgres.refusals import (
    NotAtVersion,
    PinRefused,
    PinTaken,
    ReleaseRefused,
    UnknownPin,
    UnknownVersion,
    UnusableMaterialization,
)
from resources.version_records import At, DatasetVersion

_Answer = TypeVar("_Answer")
PINNED_SECONDS = 4.0
OTHERS = 4  # partitions of each dataset for what is no item
TASKS_PER_SECOND = 10


@retry(
    retry=retry_if_exception_type((psycopg.OperationalError, DBAPIError)),
    wait=wait_random(0.01, 0.2),
    stop=stop_after_delay(60),
    reraise=True,
)
def insisting(call: Callable[[], _Answer]) -> _Answer:
    """What a call answers that begins with a look at names, which is not asked again below."""
    return call()


class Operator(ABC):
    def __init__(self, plan: Plan, store: MetadataStore, journal: Journal) -> None:
        self.plan, self.store, self.journal = plan, store, journal
        self.random = random.Random()
        self.datasets = DATASETS[: plan.datasets]

    @abstractmethod
    def attempt(self) -> Attempt: ...

    @abstractmethod
    def stage(
        self, attempt: Attempt, wanted: Sequence[tuple[Entity, str, str, str]], ttl: timedelta = ...
    ) -> list[Staged]: ...

    @abstractmethod
    def commit(self, attempt: Attempt, staged: Sequence[Staged]) -> list[Committed]: ...

    @abstractmethod
    def publish(self, materializations: Sequence[uuid.UUID], *, key: str | None) -> bool: ...

    def refused(self, act: str, error: MetadataError) -> None:
        self.journal.note("refused", act=act, error=type(error).__name__)

    def roll_back(self) -> None:
        """To one of the last versions, seen from the version that was looked at: others may be faster."""
        dataset = self.random.choice(self.datasets)
        present = self.store.version_at(dataset)
        if present < 2:
            return
        to = self.random.randint(max(1, present - 3), present - 1)
        try:
            done = insisting(lambda: self.store.rollback(dataset.key, to=to, expected=present, reason="fire"))
        except (NotAtVersion, UnusableMaterialization) as error:
            self.refused("roll_back", error)
            return
        self.journal.note(
            "rolled back", dataset=done.dataset, to=to, expected=present, version=done.version, replayed=done.replayed
        )

    def keep(self) -> None:
        """Pin present or earlier versions, read through the pin while others change everything, and let it go.

        Also the first version that is not kept: it may be collected in this moment, and is pinned or refused.
        """
        name, until = f"p{uuid.uuid4().hex}", datetime.now(UTC) + timedelta(seconds=PINNED_SECONDS)
        whole = len(self.datasets) > 1 and self.random.random() < 0.5
        some = self.datasets if whole else self.random.sample(self.datasets, 1)
        back = 0 if whole else self.random.randint(0, self.plan.keep_versions + 1)
        try:
            wanted = {one.key: self.store.version_at(one) - back if back else None for one in some}
            pin = insisting(lambda: self.store.pin(name, wanted, expires_at=until))
        except (UnknownVersion, UnusableMaterialization, PinRefused) as error:
            self.refused("keep", error)
            return
        numbers = [self.numbered(one) for one in pin.versions]
        self.journal.note("pinned", pin=name, present=whole, versions=dict(numbers), replayed=pin.replayed)
        for _time in range(self.random.randint(1, 3)):
            for one in some:
                self.read_pinned(one, name, dict(numbers)[str(one.id)], until)
            time.sleep(self.random.random() * 0.02)
        if self.random.random() < 0.9:
            self.store.unpin(name)
            self.journal.note("unpinned", pin=name)

    def numbered(self, one: DatasetVersion) -> tuple[str, int]:
        return next(str(entity.id) for entity in DATASETS if entity.key == one.key), one.version

    def read_pinned(self, dataset: Entity, name: str, version: int, until: datetime) -> None:
        try:
            found = self.read(dataset, name)
        except UnknownPin as error:
            if datetime.now(UTC) < until:
                raise
            self.refused("read", error)
            return
        if any(one.version != version for one in found):
            self.journal.note("wrong", problem=f"pin {name} moved from {version} to {found[0].version}")
        for one in self.random.sample(found, min(2, len(found))):
            try:
                staging.read(self.plan.folder_of(str(one.location)), one.manifest_sha256 or b"")
            except MetadataError as error:
                if datetime.now(UTC) < until:
                    self.journal.note("unreadable", pin=name, id=one.materialization_id, problem=str(error))

    def read(self, dataset: Entity, at: At) -> list[Current]:
        """What a version has. Readers of one version must all have got the same, however they named it."""
        found = self.store.current(dataset, at=at)
        if found:
            content = {one.partition or "": one.materialization_id for one in found}
            self.journal.note("read", dataset=dataset.id, version=found[0].version, at=str(at), content=content)
        return found

    def look_back(self) -> None:
        """The present, some version, some moment."""
        dataset = self.random.choice(self.datasets)
        present = self.store.version_at(dataset)
        moment = datetime.now(UTC) - timedelta(seconds=self.random.uniform(1.5, 10))
        at: At = self.random.choice([None, self.random.randint(1, max(1, present)), moment])
        try:
            self.read(dataset, at)
        except UnknownVersion as error:  # before the first
            if present and not isinstance(at, datetime):
                raise
            self.refused("look_back", error)

    def other(self) -> str:
        return f"o{self.random.randrange(OTHERS)}"

    def make(self, attempt: Attempt, datasets: Sequence[Entity], partition: str) -> list[uuid.UUID]:
        """Commit something that nobody else makes."""
        name = str(uuid.uuid4())
        staged = self.stage(attempt, [(one, partition, f"{name} {one.id}", f"{name} {one.id}") for one in datasets])
        return [one.materialization_id for one in self.commit(attempt, staged)]

    def release(self) -> None:
        """Two datasets at once; asked a second time, the same answer."""
        made = self.make(self.attempt(), self.random.sample(self.datasets, 2), "released")
        name = f"r{uuid.uuid4().hex}"
        parts = [[one] for one in made] if self.plan.mutant == "two releases" else [made]
        for _time in range(1 + (self.random.random() < 0.2)):
            try:
                done = [self.store.release(f"{name} {number}", part) for number, part in enumerate(parts)]
            except ReleaseRefused as error:
                self.refused("release", error)
                return
            answers = [one for release in done for one in release.datasets]
            self.journal.note(
                "released",
                name=name,
                versions={str(one.dataset): one.version for one in answers},
                published=sorted(str(id_) for one in answers for id_ in one.published),
                asked=sorted(map(str, made)),
                replayed=done[0].replayed,
            )

    def overtake(self) -> None:
        """Publish the older of two: until then the collection may have it, and whoever is first wins."""
        dataset, partition = self.random.choice(self.datasets), self.other()
        older, newer = self.attempt(), self.attempt()
        (first,) = self.make(older, [dataset], partition)
        self.make(newer, [dataset], partition)
        self.publish([first], key=f"older {first}")

    def give_way(self) -> None:
        """Publish the newer of two, and then the older: it is a fact, and replaces nothing."""
        dataset, partition = self.random.choice(self.datasets), self.other()
        older, newer = self.attempt(), self.attempt()
        made = [self.make(one, [dataset], partition)[0] for one in (older, newer)]
        for one in reversed(made):
            self.publish([one], key=f"in turn {one}")

    def hold(self) -> None:
        """Work at a task that others take away, being its owner's successors: done is what one of them did."""
        task, name, partition = int((time.monotonic() - self.plan.begin) * TASKS_PER_SECOND), uuid.uuid4(), self.other()
        reads = {partition: [Read(asset=source, partition=partition) for source in SOURCES]}
        made: list[uuid.UUID] = []
        try:
            lease = self.store.start_attempt(f"task {task}", "step", 0, "fire", timedelta(minutes=5))
            wanted = [(self.random.choice(self.datasets), partition, str(name), str(name))]
            staged = self.stage(lease.attempt, wanted)
            made = [one.delivery.materialization_id for one in staged]
            time.sleep(self.random.uniform(0, 0.05))
            self.store.complete(lease, staged, reads)
        except (LeaseTakenOver, AttemptEnded) as error:
            self.refused("hold", error)
        except UnusableMaterialization:
            self.journal.note("unusable", materializations=made)
        else:
            self.journal.note("completed", attempt=lease.attempt.id)

    def come_late(self) -> None:
        """Commit about when the lease is over: before the collection it counts, after it the files may be gone."""
        attempt, name = self.attempt(), str(uuid.uuid4())
        wanted = [(self.random.choice(self.datasets), self.other(), name, name)]
        try:
            staged = self.stage(attempt, wanted, ttl=timedelta(milliseconds=30))
            time.sleep(self.random.uniform(0, 0.06))
            (one,) = self.commit(attempt, staged)
        except (LeaseLost, staging.StagingFailed) as error:  # its folder may be collected while it is written
            self.refused("come_late", error)
            return
        self.publish([one.materialization_id], key=None)

    def collect(self) -> None:
        retention = Retention(versions=self.plan.keep_versions, time=timedelta(0))
        collector = Collector(Garbage(self.store.sessions), self.plan.storage_of)
        done = collector.collect([self.random.choice(self.datasets)], retention)
        self.journal.note(
            "collected", condemned=done.condemned, replaced=done.count("replaced"), abandoned=done.count("abandoned")
        )
        for place, error in {**done.away, **done.left}.items():
            self.journal.note("wrong", problem=f"{place} was not removed: {error}")

    def retract(self) -> None:
        found = self.store.current(self.random.choice(self.datasets))
        if found:
            one = self.random.choice(found)
            done = self.store.retract(one.materialization_id, reason="fire")
            self.journal.note("retracted", dataset=one.dataset.id, id=done.materialization_id, version=done.version)

    def take_a_name(self) -> None:
        """Pins that many want to have one name for."""
        name = f"shared-{self.random.randrange(3)}"
        try:
            insisting(lambda: self.store.pin(name, {self.random.choice(self.datasets).key: None}))
            self.store.unpin(name)
        except (PinTaken, UnknownVersion) as error:
            self.refused("take_a_name", error)
