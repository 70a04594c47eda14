"""publish: numbers without gaps, all or nothing, nothing old over something new, one answer for ever."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
from store_inputs import Counts, Lake, Look, attempt

from resources.metadata.resolution import asked
from resources.metadata.versions import _CURRENT
from resources.metadata_store import MetadataStore
from resources.postgres.errors import AmbiguousPublish, IdempotencyConflict, UnknownMaterialization
from resources.postgres.refusals import NotAtVersion


def test_publishing_makes_the_next_version(lake: Lake) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", "p", intent=str(number)) for number in range(4)]
    answers = [lake.store.publish([one]) for one in ids]
    assert [one.version for (one,) in answers] == [1, 2, 3, 4]
    (last,) = answers[-1]
    assert (last.dataset, last.published, last.fenced, last.replayed) == (
        lake.entity("delays").id,
        (ids[3],),
        (),
        False,
    )
    assert [one.number for one in lake.store.versions(lake.key("delays"))] == [4, 3, 2, 1]
    (current,) = lake.store.current(lake.key("delays"))
    assert (current.partition, current.version, current.materialization_id) == ("p", 4, ids[3])


def test_what_was_compared_with_a_version_is_published_at_that_one(
    lake: Lake, open_store: Callable[..., MetadataStore]
) -> None:
    lake.datasets("delays")
    one, other = (lake.committed("delays", name, intent="first") for name in "ab")
    stores, start = [open_store() for _ in range(2)], threading.Barrier(2)

    def publish(number: int) -> bool:
        start.wait()
        try:
            return bool(stores[number].publish_at([(one, other)[number]], expected=0))
        except NotAtVersion:
            return False

    with ThreadPoolExecutor(2) as together:
        done = list(together.map(publish, range(2)))
    assert sorted(done) == [False, True], "one of two that saw nothing"
    first, second = (one, other) if done[0] else (other, one)
    with pytest.raises(NotAtVersion, match="is at version 1, not 0"):
        lake.store.publish_at([second], expected=0)
    (answer,) = lake.store.publish_at([second], expected=1)
    assert (answer.version, answer.published, answer.replayed) == (2, (second,), False)
    for expected in (0, 7):
        (again,) = lake.store.publish_at([first], expected=expected)
        assert (again.version, again.replayed) == (1, True), "asked again it is told what it was told"


def test_several_partitions_are_one_version(lake: Lake) -> None:
    lake.datasets("delays")
    first = [lake.committed("delays", name, intent="first") for name in "abc"]
    lake.store.publish(first)
    second = lake.committed("delays", "b", intent="second")
    lake.store.publish([second])

    assert [(one.partition, one.materialization_id) for one in lake.store.current(lake.key("delays"))] == [
        ("a", first[0]),
        ("b", second),
        ("c", first[2]),
    ]
    newest, oldest = lake.store.versions(lake.key("delays"))
    assert (newest.partitions_changed, newest.partitions, newest.row_count) == (1, 3, 3)
    assert (oldest.partitions_changed, oldest.partitions) == (3, 3)


def test_a_version_costs_a_row_for_each_partition_that_changes(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    lake.store.publish([lake.committed("delays", f"p{number}", intent="first") for number in range(100)])
    second = lake.committed("delays", "p7", intent="second")
    before = counts()
    lake.store.publish([second])
    after = counts()
    written = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    # One audit row, for the pointer of the dataset.
    assert written == {"idempotency": 1, "version": 1, "version_partition": 1, "outbox": 1, "audit": 1}


def test_publishing_the_same_again_writes_nothing(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", name, intent="first") for name in "ab"]
    (first,) = lake.store.publish(ids)
    before = counts()
    (second,) = lake.store.publish([*ids[::-1], ids[0]])
    assert second == replace(first, replayed=True)
    assert counts() == before


def test_a_key_used_for_another_set_is_a_conflict_and_nothing_is_published(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    one, other = (lake.committed("delays", name, intent="first") for name in "ab")
    key = f"release of {lake.endpoint}"
    lake.store.publish([one], key=key)
    before = counts()
    with pytest.raises(IdempotencyConflict) as refused:
        lake.store.publish([one, other], key=key)
    assert refused.value.key == key
    assert counts() == before


def test_an_earlier_attempt_never_replaces_a_later_one(lake: Lake) -> None:
    lake.datasets("delays")
    late = lake.committed("delays", "p", intent="started first", token=1)
    early = lake.committed("delays", "p", intent="started second", token=2)
    lake.store.publish([early])
    (answer,) = lake.store.publish([late])
    assert (answer.version, answer.published, answer.fenced) == (1, (), (late,))
    assert [one.materialization_id for one in lake.store.current(lake.key("delays"))] == [early]
    stored = lake.store.materialization(late)
    assert (stored.published_in, stored.current) == (None, False)


def test_the_fence_is_for_each_partition(lake: Lake) -> None:
    lake.datasets("delays")
    lake.store.publish([lake.committed("delays", "a", intent="later", token=9)])
    fenced = lake.committed("delays", "a", intent="earlier", token=5)
    fresh = lake.committed("delays", "b", intent="earlier", token=5)
    (answer,) = lake.store.publish([fenced, fresh])
    assert (answer.version, answer.published, answer.fenced) == (2, (fresh,), (fenced,))


def test_what_is_current_already_makes_no_version(lake: Lake) -> None:
    lake.datasets("delays")
    one = lake.committed("delays", "p", intent="first")
    lake.store.publish([one])
    (answer,) = lake.store.publish([one], key=f"again {lake.endpoint}")
    assert (answer.version, answer.published, answer.fenced, answer.replayed) == (1, (one,), (), False)
    assert len(lake.store.versions(lake.key("delays"))) == 1


def test_an_answer_stays_the_same_whatever_is_published_later(lake: Lake) -> None:
    """Its version, and whether a materialization was published or fenced, were decided when it was given."""
    lake.datasets("delays", "other")
    early = lake.committed("delays", "a", intent="early", token=1)
    current = lake.committed("delays", "a", intent="current", token=2)
    lake.store.publish([current])
    beside = lake.committed("delays", "b", intent="beside", token=2)
    other = lake.committed("other", "a", intent="other", token=2)
    lake.store.publish([other])
    requests = {
        "only fenced": [early],
        "only current": [current, other],
        "some of each": [early, beside, other],
    }
    keys = {name: f"{name} {lake.endpoint}" for name in requests}
    first = {name: lake.store.publish(ids, key=keys[name]) for name, ids in requests.items()}
    for number in range(3):
        for name in ("delays", "other"):
            lake.store.publish([lake.committed(name, "a", intent=f"later {number}", token=3 + number)])
    again = {name: lake.store.publish(ids, key=keys[name]) for name, ids in requests.items()}
    assert again == {name: [replace(one, replayed=True) for one in answer] for name, answer in first.items()}


def test_datasets_are_published_together(lake: Lake) -> None:
    lake.datasets("flights", "weather")
    lake.store.publish([lake.committed("flights", intent="before")])
    ids = {name: lake.committed(name, intent="first") for name in ("flights", "weather")}
    answers = {one.dataset: one for one in lake.store.publish(list(ids.values()))}
    assert {name: (answers[lake.entity(name).id].version, answers[lake.entity(name).id].published) for name in ids} == {
        "flights": (2, (ids["flights"],)),
        "weather": (1, (ids["weather"],)),
    }


def test_a_reader_sees_datasets_that_are_published_together_move_together(
    lake: Lake, stores_url: str, open_store: Callable[..., MetadataStore]
) -> None:
    names = ("flights", "weather", "delays")
    lake.datasets(*names)
    rounds = [[lake.committed(name, "p", intent=str(number)) for name in names] for number in range(30)]
    done, seen = threading.Event(), set()

    def read() -> None:
        statement = "SELECT array_agg(DISTINCT published_version) FROM metadata.dataset WHERE dataset_id = ANY (%s)"
        ids = [lake.entity(name).id.value for name in names]
        with psycopg.connect(stores_url, autocommit=True) as connection:
            while not done.is_set():
                (versions,) = connection.execute(statement, (ids,)).fetchone() or ([],)
                seen.add(tuple(versions))

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        try:
            for _answer in pool.map(open_store().publish, rounds):
                pass
        finally:
            done.set()
        reader.result(timeout=60)
    assert all(len(versions) == 1 for versions in seen)
    assert len(seen) > 2


def test_an_unknown_materialization_publishes_nothing(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    known = lake.committed("delays", intent="first")
    before = counts()
    with pytest.raises(UnknownMaterialization, match="1 of 2"):
        lake.store.publish([known, uuid.uuid4()])
    assert counts() == before


def test_two_materializations_of_one_partition_publish_nothing(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", "p", intent=intent) for intent in ("first", "second")]
    before = counts()
    with pytest.raises(AmbiguousPublish, match="two materializations of one partition"):
        lake.store.publish(ids)
    assert counts() == before


def test_nothing_to_publish_publishes_nothing(lake: Lake) -> None:
    assert lake.store.publish([]) == []


def test_publishers_that_meet_leave_no_gap(lake: Lake, open_store: Callable[..., MetadataStore]) -> None:
    lake.datasets("delays")
    work = [
        [lake.committed("delays", f"p{partition}", intent=f"{worker} {number}") for partition in range(worker % 3 + 1)]
        for worker in range(6)
        for number in range(8)
    ]
    store = open_store()
    with ThreadPoolExecutor(6) as pool:
        answers = [one for (one,) in pool.map(store.publish, work)]
    numbers = sorted(one.number for one in lake.store.versions(lake.key("delays"), limit=100))
    assert numbers == list(range(1, len(numbers) + 1))
    assert {one.version for one in answers if one.published} == set(numbers)


def test_what_is_published_is_found_by_an_index_whatever_else_is_published(lake: Lake) -> None:
    """Nothing of the other datasets is looked at, whatever the planner thinks of tables that are new."""
    names = [f"one of {number}" for number in range(3)]
    lake.datasets(*names)
    parameters = {"partitions": [""], **asked(lake.key(names[0]))}
    with lake.store.session() as session:
        session.rows("SET LOCAL enable_seqscan = off")
        plan = session.rows(f"EXPLAIN (COSTS OFF) {_CURRENT}", {"tenant": session.tenant_value, **parameters})
    lines = [row["QUERY PLAN"] for row in plan]
    (found,) = [after for line, after in pairwise(lines) if "on version_partition p" in line]
    assert "dataset_id =" in found
    assert "partition_key =" in found


def test_a_process_that_began_on_a_small_database_reads_no_table_whole(lake: Lake, look: Look) -> None:
    """Its statements are planned once, when an index is not worth it, and go on until somebody analyzes."""
    lake.datasets("delays")
    tables = ["dataset", "idempotency", "materialization", "materialization_input", "version", "version_partition"]

    def whole() -> int:
        look("SELECT pg_stat_force_next_flush()")
        with lake.store.session() as session:  # the one connection of the pool
            session.rows("SELECT pg_stat_force_next_flush()")
        of_these = "schemaname = 'metadata' AND relname = ANY (%s)"
        (row,) = look(f"SELECT sum(seq_scan) AS read FROM pg_stat_all_tables WHERE {of_these}", tables)
        return int(row["read"])

    def deliver(number: int) -> None:
        lake.store.commit_and_publish(attempt(), [lake.staged("delays", "a", intent=f"both {number}")], {})
        lake.store.publish([lake.committed("delays", "b", intent=str(number))])

    deliver(0)
    look("ANALYZE " + ", ".join(f"metadata.{one}" for one in tables))
    before = whole()
    for number in range(1, 8):
        deliver(number)
    assert whole() == before


def test_what_was_stored_last_follows_from_its_token(lake: Lake) -> None:
    """Not from when it was recorded: the event log may tell of older data later."""
    lake.datasets("delays")
    newer, _older = (lake.committed("delays", "p", intent=str(token), token=token) for token in (5, 3))
    by = attempt().run_id
    assert lake.store.stored_last({by}, [], lake.entity("delays"), ["p"]) == {"p": newer}


def test_of_what_has_one_token_the_later_record_was_stored_last(lake: Lake) -> None:
    """As the event log tells of a step that took none: with the token of what it replaced."""
    lake.datasets("delays")
    later = {}
    for partition in "abcdef":  # ids are in any order
        _earlier, later[partition] = (lake.committed("delays", partition, intent=one, token=5) for one in ("1", "2"))
    assert lake.store.stored_last({attempt().run_id}, [], lake.entity("delays"), list(later)) == later
