"""What a source says about runs adds up to the same rows, in whatever order, number and batches it is said."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from store_inputs import Counts, Look, waits

from resources.metadata.runs import AmbiguousRun, NoSuchRun
from resources.metadata_store import MetadataStore
from resources.runs import LONGEST_REASON, AttemptFact, AttemptStatus, Recorded, RunFact, RunStatus

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def told(run: str, status: RunStatus, minute: int, **facts: Any) -> RunFact:
    return RunFact(run_id=run, status=status, as_of=at(minute), **facts)


def tried(run: str, step: str, number: int, status: AttemptStatus, minute: int, **facts: Any) -> AttemptFact:
    moment = {"started_at": at(minute)} if status == "running" else {"ended_at": at(minute)}
    return AttemptFact(run_id=run, step_key=step, number=number, status=status, **moment, **facts)


def history(run: str) -> tuple[list[RunFact], list[AttemptFact]]:
    """Three steps: one fails and is tried again, one succeeds, one is never heard of again."""
    return [
        told(run, "queued", 0, name="at first", code_location="elsewhere"),
        told(run, "running", 1, name="nightly", started_at=at(1), tags={"a": "b"}),
        told(run, "running", 2, code_location="code"),
        told(run, "running", 3, name="nightly", tags={"a": "c"}),
        told(run, "failed", 9, started_at=at(1), ended_at=at(9), failure_class="Gone"),
    ], [
        tried(run, "a", 0, "running", 1),
        tried(run, "a", 0, "failed", 2, failure_class="ValueError", failure_reason="no"),
        tried(run, "a", 1, "running", 3),
        tried(run, "a", 1, "succeeded", 4),
        tried(run, "b", 0, "running", 2),
        tried(run, "b", 0, "succeeded", 5),
        tried(run, "c", 0, "running", 6),
    ]


def seen(store: MetadataStore, run: str) -> object:
    """Everything that is recorded of a run, without ids."""
    found = store.run(run)
    attempts = [
        (one.step_key, one.number, one.status, one.started_at, one.ended_at, one.failure_class, one.failure_reason)
        for task in found.tasks
        for one in task.attempts
    ]
    summary = found.summary
    words = (summary.name, summary.code_location, dict(summary.tags))
    return (*words, summary.status, summary.started_at, summary.ended_at, attempts)


def test_a_run_is_recorded_with_its_steps_and_attempts(store: MetadataStore, run_id: str) -> None:
    runs, attempts = history(run_id)
    store.record_runs("log", runs, attempts)
    assert seen(store, run_id) == (
        "nightly", "code", {"a": "c"}, "failed", at(1), at(9),
        [
            ("a", 0, "failed", at(1), at(2), "ValueError", "no"),
            ("a", 1, "succeeded", at(3), at(4), None, None),
            ("b", 0, "succeeded", at(2), at(5), None, None),
            ("c", 0, "lost", at(6), at(9), "RunLost", "the run ended without a word of this step"),
        ],
    )  # fmt: skip
    summary = store.run(run_id).summary
    assert (summary.steps, summary.attempts, summary.failures, summary.lost) == (3, 4, 1, 1)


@pytest.mark.parametrize("seed", range(12))
def test_in_whatever_order_and_batches_facts_come_the_rows_are_the_same(
    store: MetadataStore, run_id: str, counts: Counts, seed: int
) -> None:
    runs, attempts = history(f"{run_id}-in-order")
    store.record_runs("log", runs, attempts)
    chance = random.Random(seed)
    runs, attempts = history(run_id)
    facts: list[RunFact | AttemptFact] = [*runs, *attempts] * 2
    chance.shuffle(facts)
    while facts:
        batch = [facts.pop() for _fact in range(min(len(facts), chance.randint(1, 5)))]
        store.record_runs(
            "log",
            [one for one in batch if isinstance(one, RunFact)],
            [one for one in batch if isinstance(one, AttemptFact)],
        )
    assert seen(store, run_id) == seen(store, f"{run_id}-in-order")
    before = counts()
    assert store.record_runs("log", runs, attempts) == Recorded(jobs=0, attempts=0)
    assert counts() == before, "what says nothing new writes nothing, not even into the audit"


@pytest.mark.parametrize("order", ["in order", "reversed", "at once", "reversed at once"])
def test_what_one_fact_tells_another_does_not_take_away(store: MetadataStore, run_id: str, order: str) -> None:
    words: dict[str, Any] = {"name": "nightly", "code_location": "code", "tags": {"a": "b"}}
    facts = [told(run_id, "running", 1, started_at=at(1), **words), told(run_id, "succeeded", 5, ended_at=at(5))]
    if order.startswith("reversed"):
        facts.reverse()
    for batch in [facts] if order.endswith("once") else [[one] for one in facts]:
        store.record_runs("log", batch)
    summary = store.run(run_id).summary
    assert {name: getattr(summary, name) for name in words} == words
    assert (summary.status, summary.started_at, summary.ended_at) == ("succeeded", at(1), at(5))
    assert store.record_runs("log", facts) == Recorded(jobs=0, attempts=0)


def test_an_end_may_come_before_its_start_and_a_late_success_counts(store: MetadataStore, run_id: str) -> None:
    store.record_runs("log", [], [tried(run_id, "a", 0, "succeeded", 5)])
    store.record_runs("log", [], [tried(run_id, "a", 0, "running", 1)])
    (attempt,) = store.run(run_id).tasks[0].attempts
    assert (attempt.status, attempt.started_at, attempt.ended_at) == ("succeeded", at(1), at(5))
    store.record_runs("log", [told(run_id, "failed", 7)], [tried(run_id, "b", 0, "running", 6)])
    assert store.run(run_id).tasks[1].attempts[0].status == "lost"
    store.record_runs("log", [], [tried(run_id, "b", 0, "succeeded", 9)])
    assert store.run(run_id).tasks[1].attempts[0].status == "succeeded", "given up, and it went on"


def test_nothing_runs_again_after_its_end(store: MetadataStore, run_id: str) -> None:
    store.record_runs("log", [told(run_id, "succeeded", 5, ended_at=at(5))], [tried(run_id, "a", 0, "succeeded", 4)])
    store.record_runs("log", [told(run_id, "running", 9, started_at=at(1))], [tried(run_id, "a", 0, "running", 3)])
    summary = store.run(run_id).summary
    assert (summary.status, summary.started_at, summary.ended_at) == ("succeeded", at(1), at(5))
    assert store.run(run_id).tasks[0].attempts[0].status == "succeeded"


def test_what_is_cancelled_says_so(store: MetadataStore, run_id: str) -> None:
    store.record_runs("log", [told(run_id, "cancelled", 5)], [tried(run_id, "a", 0, "running", 4)])
    (attempt,) = store.run(run_id).tasks[0].attempts
    assert (attempt.status, attempt.failure_class) == ("cancelled", "RunCancelled")


def test_a_lease_outlives_the_word_that_its_run_ended(store: MetadataStore, run_id: str) -> None:
    lease = store.start_attempt(run_id, "a", 0, "worker", timedelta(hours=1))
    store.record_runs("log", [told(run_id, "failed", 5)])
    assert store.run(run_id).tasks[0].attempts[0].status == "running"
    store.complete(lease, [], {})
    assert store.run(run_id).tasks[0].attempts[0].status == "succeeded"


def test_the_position_is_kept_with_what_was_recorded(store: MetadataStore, run_id: str) -> None:
    source = f"log of {run_id}"
    assert store.mirror_position(source) == {}
    store.record_runs(source, [told(run_id, "running", 1)], position={"after": 7})
    assert store.mirror_position(source) == {"after": 7}
    assert store.unfinished_runs(source) == [run_id]
    with pytest.raises(ValueError, match="has an end exactly when"):
        AttemptFact(run_id=run_id, step_key="a", number=0, status="failed")
    store.record_runs(source, [told(run_id, "succeeded", 2)])
    assert store.unfinished_runs(source) == []


def test_a_run_has_the_version_of_the_code_that_it_started_with(store: MetadataStore, run_id: str, look: Look) -> None:
    where = f"location of {run_id}"
    assert store.activate_dag(where, b"1" * 32, {"assets": 1})
    assert not store.activate_dag(where, b"1" * 32, {"assets": 1})
    assert store.activate_dag(where, b"2" * 32, {"assets": 2})
    assert store.activate_dag(where, b"1" * 32, {"assets": 1}), "back to what it was"
    first, second, third = reversed(store.dag_versions(where))
    assert (first.id, first.until, second.until, third.until) == (third.id, second.since, third.since, None)
    for name, moment, version in (
        ("before", first.since - timedelta(days=1), first),
        ("between", second.since, second),
        ("now", third.since + timedelta(days=1), third),
    ):
        store.record_runs(
            "log",
            [told(f"{run_id}-{name}", "running", 1, code_location=where, started_at=moment)],
        )
        assert store.run(f"{run_id}-{name}").summary.dag_version == version.id
    (open_ones,) = look(
        "SELECT count(*) AS n FROM metadata.active_dag WHERE code_location = %s AND valid_to IS NULL", where
    )
    assert open_ones["n"] == 1


def test_runs_are_found_by_what_went_wrong_and_by_the_beginning_of_their_id(store: MetadataStore, run_id: str) -> None:
    runs, attempts = history(run_id)
    store.record_runs("log", runs, attempts)
    store.record_runs("log", [told(f"{run_id}-well", "succeeded", 3, started_at=at(2))])
    for options in ({"failed": True}, {"lost": True}):
        ids = [one.run_id for one in store.runs(**options, limit=1000)]
        assert run_id in ids
        assert f"{run_id}-well" not in ids
    lost = [one for one in store.attempts_lost(limit=1000) if one.run_id == run_id]
    assert [one.step_key for one in lost] == ["c"]
    for beginning in ("abcdef00", "abcdef01"):
        store.record_runs("log", [told(f"{beginning}-1111", "running", 1)])
    assert store.run("abcdef00").summary.run_id == "abcdef00-1111"
    with pytest.raises(AmbiguousRun):
        store.run("abcdef")
    with pytest.raises(NoSuchRun, match="metadata-assets runs"):
        store.run("abcdee")


def test_a_reason_may_be_anything(store: MetadataStore, run_id: str) -> None:
    store.record_runs("log", [told(run_id, "failed", 1, failure_reason="in \x00 a \udc80 file\n")])
    assert store.run(run_id).summary.failure_reason == "in � a ? file"


def test_reasons_hold_no_credential_and_are_short() -> None:
    fact = told("r", "failed", 1, failure_reason="at postgresql://me:secret@db/x " + "x " * 5_000)
    assert fact.failure_reason is not None
    assert fact.failure_reason.startswith("at postgresql://***@db/x x")
    assert len(fact.failure_reason) == LONGEST_REASON


def test_the_end_of_a_run_and_the_start_of_a_step_cannot_miss_each_other(
    store: MetadataStore, run_id: str, look: Look
) -> None:
    """Each in a transaction that does not see the other one's rows."""
    store.record_runs("log", [told(run_id, "running", 1)])
    with ThreadPoolExecutor(1) as thread, store.session() as session:
        ended = {"run_id": run_id, "status": "failed", "as_of": at(5).isoformat()}
        session.rows("SELECT metadata.record_runs('log', %s, '[]', NULL)", [Jsonb([ended])])
        other = thread.submit(store.record_runs, "log", [], [tried(run_id, "a", 0, "running", 4)])
        assert waits(look, other), "for the run"
        session.connection.commit()
        other.result(60)
    assert store.run(run_id).tasks[0].attempts[0].status == "lost"
