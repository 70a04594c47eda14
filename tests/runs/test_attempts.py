"""Attempts of executors that are not Dagster: one holder at a time, told apart by epochs, completed exactly once."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from store_inputs import Counts, Lake, Look
from upath import UPath

from resources.locations import location
from resources.metadata.attempts import LeaseTooShort
from resources.metadata_store import MetadataStore
from resources.models import Staged
from resources.postgres.errors import AttemptEnded, AttemptHeld, LeaseTakenOver, UnknownAttempt
from resources.postgres.session import Row, Sessions
from resources.runs import Lease
from resources.storage import FileStorage, Writing

HOUR = timedelta(hours=1)


@pytest.fixture
def expire(look: Look) -> Callable[[Lease], None]:
    """A function that lets the time of a lease be over."""

    def over(lease: Lease) -> None:
        moved = "UPDATE metadata.attempt_lease SET expires_at = clock_timestamp() - interval '1s' WHERE attempt_id = %s"
        look(moved, lease.attempt.id)

    return over


def test_an_attempt_is_started_kept_alive_and_completed(store: MetadataStore, lake: Lake, run_id: str) -> None:
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR, job="nightly")
    assert (lease.epoch, lease.attempt.run_id) == (1, run_id)
    assert store.heartbeat(lease, 2 * HOUR) > lease.expires_at
    done = store.complete(lease, [lake.staged("table")], {}, publish="immediately")
    (committed,), (published,) = done.committed, done.published
    assert published.published == (committed.materialization_id,)
    assert store.materialization(committed.materialization_id).run_id == run_id
    (task,) = store.run(run_id).tasks
    (attempt,) = task.attempts
    assert (attempt.status, attempt.owner, attempt.expires_at) == ("succeeded", "worker", None)
    assert store.run(run_id).summary.name == "nightly"


class Deaf(Sessions):
    """Hears no first answer of a call."""

    def call(self, statement: str, parameters: Mapping[str, Any], **given: Any) -> list[Row]:
        super().call(statement, parameters, **given)
        return super().call(statement, parameters, **given)


def deaf(store: MetadataStore) -> MetadataStore:
    sessions = store.sessions
    return MetadataStore(Deaf(sessions.engine, sessions.tenant, sessions.actor))


def test_a_start_whose_answer_was_lost_is_the_same_lease(store: MetadataStore, run_id: str) -> None:
    lease = deaf(store).start_attempt(run_id, "step", 0, "worker", HOUR)
    store.heartbeat(lease, HOUR)
    assert [one.id for one in store.run(run_id).tasks[0].attempts] == [lease.attempt.id]


def test_a_start_whose_answer_was_lost_and_that_was_overtaken_says_so(store: MetadataStore, run_id: str) -> None:
    class Slow(Deaf):
        def call(self, statement: str, parameters: Mapping[str, Any], **given: Any) -> list[Row]:
            Sessions.call(self, statement, parameters, **given)
            taken.append(store.start_attempt(run_id, "step", 0, "worker", HOUR))
            return Sessions.call(self, statement, parameters, **given)

    taken: list[Lease] = []
    slow = MetadataStore(Slow(store.sessions.engine, store.sessions.tenant, "slow"))
    with pytest.raises(LeaseTakenOver, match="taken over by worker"):
        slow.start_attempt(run_id, "step", 0, "worker", HOUR)
    store.heartbeat(taken[0], HOUR)


def test_one_owner_at_many_places_is_one_holder_at_a_time(store: MetadataStore, run_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _n: store.start_attempt(run_id, "step", 0, "worker", HOUR), range(16)))
    assert sorted(lease.epoch for lease in leases) == list(range(1, 17))
    *overtaken, last = sorted(leases, key=lambda lease: lease.epoch)
    assert last.fencing_token == max(lease.fencing_token for lease in leases)
    assert len({lease.attempt.id for lease in leases}) == 16, "each has its own files"
    for lease in overtaken:
        with pytest.raises(LeaseTakenOver):
            store.heartbeat(lease, HOUR)
    store.heartbeat(last, HOUR)


@pytest.mark.parametrize("late", [False, True])
def test_an_owner_that_was_killed_while_it_wrote_writes_again(
    store: MetadataStore,
    lake: Lake,
    run_id: str,
    tmp_path: Path,
    expire: Callable[[Lease], None],
    late: bool,
) -> None:
    files = FileStorage(lake.endpoint, UPath(tmp_path))
    entity = lake.entity("table")

    def write() -> tuple[Lease, Staged]:
        lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
        path = files.path_of(entity, None, lease.attempt)
        at = location(lake.endpoint, path)
        store.open_staging(lease.attempt, {(entity, None): at}, ttl=HOUR)
        staged = lake.staged("table", location=at)
        id_ = staged.delivery.materialization_id
        files.write(path, [1], Writing(entity=entity, partition=None, attempt=lease.attempt, materialization_id=id_))
        return lease, staged

    killed, stale = write()
    if late:
        expire(killed)
    lease, staged = write()
    assert lease.fencing_token > killed.fencing_token
    done = store.complete(lease, [staged], {}, publish="immediately")
    assert [one.published for one in done.published] == [(staged.delivery.materialization_id,)]
    with pytest.raises(LeaseTakenOver):
        store.complete(killed, [stale], {}, publish="immediately")
    assert [one.status for one in store.run(run_id).tasks[0].attempts] == ["lost", "succeeded"]


def test_many_owners_at_once_are_one_holder(store: MetadataStore, run_id: str) -> None:
    def start(number: int) -> Lease | None:
        try:
            return store.start_attempt(run_id, "step", 0, f"worker {number}", HOUR)
        except AttemptHeld:
            return None

    with ThreadPoolExecutor(8) as threads:
        held = [lease for lease in threads.map(start, range(16)) if lease is not None]
    assert [lease.epoch for lease in held] == [1]


def test_two_who_ask_in_the_same_moment_are_one_holder(
    store: MetadataStore, run_id: str, runs_url: str, look: Look
) -> None:
    store.fail(store.start_attempt(run_id, "step", 0, "one", HOUR), "ValueError", "no")
    task = "SELECT 1 FROM metadata.task JOIN metadata.job USING (tenant_id, job_id) WHERE run_id = %s FOR NO KEY UPDATE"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(2) as threads:
        with psycopg.connect(runs_url) as holding:
            holding.execute(task, [run_id])
            asking = [threads.submit(store.start_attempt, run_id, "step", 1, owner, HOUR) for owner in ("two", "three")]
            give_up = time.monotonic() + 60
            while len(look(waiting)) < 2 and time.monotonic() < give_up:
                time.sleep(0.01)
        refused = [type(one.exception(60)) for one in asking]
    assert set(refused) == {AttemptHeld, type(None)}


@pytest.mark.parametrize("crash", ["before the commit", "after the commit", "after publishing", "after the end"])
def test_completing_goes_on_after_a_crash(
    store: MetadataStore, lake: Lake, run_id: str, counts: Counts, crash: str
) -> None:
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    staged = [lake.staged("table")]
    if crash != "before the commit":
        (one,) = store.commit(lease.attempt, staged, {})
        if crash != "after the commit":
            store.publish([one.materialization_id])
    if crash == "after the end":
        store.complete(lease, staged, {}, publish="immediately")
    again = lease
    if crash != "after the end":
        again = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    else:
        with pytest.raises(AttemptEnded, match="succeeded already"):
            store.start_attempt(run_id, "step", 0, "worker", HOUR)
    first = store.complete(again, staged, {}, publish="immediately")
    before = counts()
    second = store.complete(again, staged, {}, publish="immediately")
    assert counts() == before, "the third time writes nothing"
    assert [one.materialization_id for one in first.committed] == [one.materialization_id for one in second.committed]
    assert [one.version for one in first.published] == [one.version for one in second.published] == [1]
    assert first.ended_at == second.ended_at
    assert len(store.materializations(lake.key("table"))) == 1


def test_a_dataset_says_whether_it_is_published(store: MetadataStore, lake: Lake, run_id: str) -> None:
    store.register_datasets([(lake.asset("at_once"), "immediately")])
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    done = store.complete(lease, [lake.staged("at_once"), lake.staged("table")], {})
    assert [one.dataset for one in done.published] == [lake.entity("at_once").id]


def test_who_was_overtaken_is_refused_and_its_data_replace_nothing(
    store: MetadataStore, lake: Lake, run_id: str, expire: Callable[[Lease], None]
) -> None:
    zombie = store.start_attempt(run_id, "step", 0, "one", HOUR)
    with pytest.raises(AttemptHeld, match="held by one until"):
        store.start_attempt(run_id, "step", 0, "two", HOUR)
    expire(zombie)
    taken = store.start_attempt(run_id, "step", 0, "two", HOUR)
    assert taken.epoch == zombie.epoch + 1
    assert taken.attempt.id != zombie.attempt.id, "each has its own files"
    assert taken.fencing_token > zombie.fencing_token
    with pytest.raises(LeaseTakenOver):
        store.heartbeat(zombie, HOUR)
    done = store.complete(taken, [lake.staged("table", intent="new")], {}, publish="immediately")
    with pytest.raises(LeaseTakenOver, match="stop working"):
        store.complete(zombie, [lake.staged("table", intent="old")], {}, publish="immediately")
    with pytest.raises(LeaseTakenOver):
        store.fail(zombie, "ValueError", "late")
    new, old = done.committed[0].materialization_id, store.materializations(lake.key("table"))[0]
    assert (old.intent, old.published_in) == ("key:old", None), "it stays a fact"
    (fenced,) = store.publish([old.id])
    assert fenced.fenced == (old.id,), "whoever publishes it"
    (current,) = store.current(lake.key("table"))
    assert (current.materialization_id, current.version) == (new, 1)
    statuses = [(one.owner, one.status) for one in store.run(run_id).tasks[0].attempts]
    assert statuses == [("one", "lost"), ("two", "succeeded")]


def test_an_epoch_alone_is_no_lease(store: MetadataStore, run_id: str) -> None:
    zombie = store.start_attempt(run_id, "step", 0, "one", HOUR)
    taken = store.start_attempt(run_id, "step", 1, "one", HOUR)
    for forged in (replace(zombie, epoch=taken.epoch), replace(taken, epoch=zombie.epoch)):
        with pytest.raises(LeaseTakenOver):
            store.heartbeat(forged, HOUR)
    with pytest.raises(UnknownAttempt):
        store.heartbeat(replace(taken, attempt=replace(taken.attempt, id=uuid4())), HOUR)


def test_a_later_try_takes_over_at_once_and_an_earlier_one_never(store: MetadataStore, run_id: str) -> None:
    first = store.start_attempt(run_id, "step", 0, "one", HOUR)
    store.start_attempt(run_id, "step", 1, "two", HOUR)
    with pytest.raises(LeaseTakenOver):
        store.heartbeat(first, HOUR)
    with pytest.raises(LeaseTakenOver, match="overtaken by attempt 1"):
        store.start_attempt(run_id, "step", 0, "one", HOUR)


def test_what_ended_stays_as_it_ended(store: MetadataStore, lake: Lake, run_id: str) -> None:
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    ended = store.fail(lease, "ValueError", "no such table at postgresql://me:secret@db/x")
    assert store.fail(lease, "KeyError", "another") == ended
    with pytest.raises(AttemptEnded, match="failed already"):
        store.complete(lease, [lake.staged("table")], {})
    with pytest.raises(AttemptEnded):
        store.heartbeat(lease, HOUR)
    with pytest.raises(AttemptEnded):
        store.start_attempt(run_id, "step", 0, "other", HOUR)
    (attempt,) = store.run(run_id).tasks[0].attempts
    assert (attempt.failure_class, attempt.failure_reason) == ("ValueError", "no such table at postgresql://***@db/x")
    done = store.start_attempt(run_id, "step", 1, "other", HOUR)
    store.complete(done, [], {})
    with pytest.raises(AttemptEnded, match="succeeded already"):
        store.fail(done, "ValueError", "late")


def test_an_expired_lease_is_visible_as_lost_and_can_be_kept_while_nobody_took_it(
    store: MetadataStore, run_id: str, expire: Callable[[Lease], None]
) -> None:
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    lost = lambda: [one.id for one in store.attempts_lost(limit=1000) if one.run_id == run_id]  # noqa: E731
    assert lost() == []
    expire(lease)
    assert lost() == [lease.attempt.id]
    assert store.run(run_id).tasks[0].attempts[0].status == "lost"
    assert run_id in [one.run_id for one in store.runs(lost=True, limit=1000)]
    store.heartbeat(lease, HOUR)
    assert lost() == []
    assert store.run(run_id).summary.lost == 0


def test_another_tenant_neither_sees_nor_holds_it(
    store: MetadataStore, open_store: Callable[..., MetadataStore], run_id: str
) -> None:
    other = open_store("other")
    lease = store.start_attempt(run_id, "step", 0, "worker", HOUR)
    assert other.start_attempt(run_id, "step", 0, "worker", HOUR).attempt.id != lease.attempt.id
    with pytest.raises(UnknownAttempt):
        other.heartbeat(lease, HOUR)


def test_a_lease_has_a_length(store: MetadataStore, run_id: str) -> None:
    assert isinstance(store.sessions, Sessions)
    with pytest.raises(LeaseTooShort):
        store.start_attempt(run_id, "step", 0, "worker", timedelta(0))
