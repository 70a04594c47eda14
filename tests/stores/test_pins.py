"""pin, release and reads as of a version: what has a name never moves, what is released together is seen together."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from store_inputs import Counts, Lake, Look, database_time, waits

from identity.errors import MetadataError
from resources.metadata.pins import NothingToPin, PinName
from resources.metadata.releases import NothingToRelease
from resources.metadata.versions import MomentWithoutZone
from resources.metadata_store import MetadataStore
from resources.postgres.errors import AmbiguousPublish, IdempotencyConflict, UnknownMaterialization
from resources.postgres.refusals import NotAtVersion, PinRefused, PinTaken, ReleaseRefused, UnknownPin, UnknownVersion
from resources.version_records import At, PinRead


def publish(lake: Lake, name: str, partition: str | None = None, *, times: int = 1) -> list[uuid.UUID]:
    ids = [lake.committed(name, partition, intent=str(uuid.uuid4())) for _ in range(times)]
    for one in ids:
        lake.store.publish([one])
    return ids


def held(lake: Lake, name: str, at: At) -> list[uuid.UUID]:
    return [one.materialization_id for one in lake.store.current(lake.key(name), at=at)]


def test_a_dataset_is_read_at_a_number_a_pin_or_a_moment(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    before = database_time(look)
    ids, moments = [], []
    for _ in range(3):
        ids += publish(lake, "delays")
        moments.append(database_time(look))
    pin = f"{lake.endpoint}-board"
    lake.store.pin(pin, {lake.key("delays"): 2})
    for at, number in ((1, 1), (2, 2), (pin, 2), (moments[0], 1), (moments[2], 3), (None, 3)):
        (one,) = lake.store.current(lake.key("delays"), at=at)
        assert (one.materialization_id, one.version, one.dataset) == (ids[number - 1], number, lake.entity("delays"))
        assert lake.store.version_at(lake.key("delays"), at) == number
        assert lake.store.current(lake.key("delays"), ["never"], at=at) == []
    for at, told in (
        (4, "has no version 4, its versions are 1 to 3"),
        (0, "has no version 0"),
        (before, "no version at"),
    ):
        with pytest.raises(UnknownVersion, match=told) as refused:
            lake.store.current(lake.key("delays"), at=at)
        assert refused.value.exit_code == 3
    with pytest.raises(UnknownVersion, match=f"there is no dataset {lake.endpoint}/nyc/unknown"):
        lake.store.current(lake.key("unknown"), at=1)
    with pytest.raises(MomentWithoutZone):
        lake.store.current(lake.key("delays"), at=datetime(2026, 1, 1))  # noqa: DTZ001
    for nothing in (True, 1.0, uuid.uuid4()):
        with pytest.raises(TypeError):
            lake.store.current(lake.key("delays"), at=nothing)  # type: ignore[arg-type]


def test_a_dataset_without_a_version_has_none_to_read(lake: Lake) -> None:
    lake.datasets("delays")
    assert lake.store.version_at(lake.key("delays")) == 0
    for at in (1, datetime.now(UTC)):
        with pytest.raises(UnknownVersion):
            lake.store.current(lake.key("delays"), at=at)
    with pytest.raises(UnknownVersion, match="has no version yet"):
        lake.store.pin(f"{lake.endpoint}-empty", {lake.key("delays"): None})


def test_a_pin_stays_where_it_is_whatever_happens(lake: Lake) -> None:
    lake.datasets("delays", "flights")
    first = {name: publish(lake, name) for name in ("delays", "flights")}
    name = f"{lake.endpoint}-board"
    pin = lake.store.pin(name, {lake.key("delays"): None, lake.key("flights"): 1}, reason="the board meets")
    assert [(one.key, one.version) for one in pin.versions] == [(lake.key("delays"), 1), (lake.key("flights"), 1)]
    assert (pin.name, pin.state, pin.reason, pin.replayed) == (name, "open", "the board meets", False)
    publish(lake, "delays", times=2)
    lake.store.rollback(lake.key("delays"), to=2, expected=3)
    lake.store.retract(first["delays"][0], reason="bad")
    assert held(lake, "delays", name) == first["delays"]
    assert held(lake, "flights", name) == first["flights"]
    assert pin in lake.store.pins()


def test_the_same_pin_is_a_replay_and_another_one_of_its_name_a_conflict(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays", "flights")
    publish(lake, "delays", times=2)
    publish(lake, "flights")
    name, soon = f"{lake.endpoint}-board", datetime.now(UTC) + timedelta(hours=1)
    content = {lake.key("delays"): None}
    pin = lake.store.pin(name, content)
    publish(lake, "delays")
    before = counts()
    assert lake.store.pin(name, content) == replace(pin, replayed=True)
    others: list[dict[str, Any]] = [
        {"versions": {lake.key("delays"): 1}},
        {"versions": {**content, lake.key("flights"): 1}},
        {"versions": content, "expires_at": soon},
    ]
    for other in others:
        with pytest.raises(PinTaken, match=f"there is a pin {name} of something else"):
            lake.store.pin(name, **other)
    assert counts() == before
    assert lake.store.unpin(name)
    assert not lake.store.unpin(name)
    assert [one.version for one in lake.store.pin(name, content).versions] == [3]


def test_what_was_removed_or_expired_is_not_read(lake: Lake, look: Look) -> None:
    lake.datasets("delays", "flights")
    publish(lake, "delays")
    publish(lake, "flights")
    content = {lake.key("delays"): 1}
    gone, late = f"{lake.endpoint}-gone", f"{lake.endpoint}-late"
    lake.store.pin(gone, content)
    with pytest.raises(UnknownPin, match=f"pin {gone} has no version of {lake.endpoint}/nyc/flights"):
        lake.store.current(lake.key("flights"), at=gone)
    lake.store.unpin(gone)
    with pytest.raises(UnknownPin, match=f"pin {gone} was removed at"):
        lake.store.current(lake.key("delays"), at=gone)
    end = database_time(look) + timedelta(milliseconds=100)
    lake.store.pin(late, content, expires_at=end)
    look("SELECT pg_sleep(0.11)")
    with pytest.raises(UnknownPin, match=f"pin {late} expired at"):
        lake.store.current(lake.key("delays"), at=late)
    assert [one.state for one in lake.store.pins(removed=True) if one.name in {gone, late}] == ["removed", "expired"]
    with pytest.raises(PinRefused, match="would have expired already"):
        lake.store.pin(late, content, expires_at=end)
    assert lake.store.pin(late, content).state == "open", "an expired pin makes room"
    for doing in (lambda: lake.store.unpin("nobody"), lambda: lake.store.current(lake.key("delays"), at="nobody")):
        with pytest.raises(UnknownPin, match="there is no pin nobody"):
            doing()


def test_a_pin_needs_a_name_a_version_and_a_future(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    publish(lake, "delays")
    content = {lake.key("delays"): None}
    before = counts()
    for name in ("", "7", "2026-01-01", "a b", "ü", "a" * 101):
        with pytest.raises(PinName):
            lake.store.pin(name, content)
    with pytest.raises(NothingToPin):
        lake.store.pin("x", {})
    with pytest.raises(PinRefused):
        lake.store.pin("x", content, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(MomentWithoutZone):
        lake.store.pin("x", content, expires_at=datetime(2999, 1, 1))  # noqa: DTZ001
    for number in (0, 2):
        with pytest.raises(UnknownVersion, match=f"has no version {number}, its versions are 1 to 1"):
            lake.store.pin("x", {lake.key("delays"): number})
    with pytest.raises(UnknownVersion, match="there is no dataset"):
        lake.store.pin("x", {**content, lake.key("unknown"): 1})
    assert counts() == before


def test_a_pin_waits_for_whoever_moves_its_dataset(lake: Lake, look: Look, stores_url: str) -> None:
    """So that what is collected is looked at after it was condemned, and not meanwhile."""
    lake.datasets("delays")
    publish(lake, "delays")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(stores_url) as collector:
        lock = "SELECT 1 FROM metadata.dataset WHERE dataset_id = %s FOR NO KEY UPDATE"
        collector.execute(lock, (lake.entity("delays").id.value,))
        pinned = pool.submit(lake.store.pin, f"{lake.endpoint}-waits", {lake.key("delays"): None})
        assert waits(look, pinned)
        collector.rollback()
        assert pinned.result(timeout=20).versions[0].version == 1


def test_pins_that_meet_are_one(lake: Lake, open_store: Callable[..., MetadataStore]) -> None:
    lake.datasets("delays")
    publish(lake, "delays")
    store, name = open_store(), f"{lake.endpoint}-board"
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: store.pin(name, {lake.key("delays"): None}), range(8)))
    assert len({one.id for one in made}) == 1
    assert [one.replayed for one in made].count(False) == 1


def test_a_pinned_reader_sees_no_change_while_others_publish_and_go_back(
    lake: Lake, open_store: Callable[..., MetadataStore]
) -> None:
    lake.datasets("delays")
    for partition in "abc":
        publish(lake, "delays", partition)
    name, key, store = f"{lake.endpoint}-board", lake.key("delays"), open_store()
    lake.store.pin(name, {key: None})
    done, seen = threading.Event(), set()
    fresh = [lake.committed("delays", "abc"[number % 3], intent=f"w{number}") for number in range(20)]

    def read() -> None:
        while not done.is_set():
            seen.add(tuple(one.materialization_id for one in lake.store.current(key, at=name)))

    def work(number: int) -> None:
        store.publish([fresh[number]])
        present = store.version_at(key)
        with suppress(NotAtVersion):
            store.rollback(key, to=1 + number % (present - 1), expected=present)

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        try:
            list(pool.map(work, range(20)))
        finally:
            done.set()
        reader.result(timeout=60)
    assert seen == {tuple(held(lake, "delays", 3))}


def test_a_release_publishes_all_of_it(lake: Lake) -> None:
    lake.datasets("delays", "flights")
    publish(lake, "delays")
    ids = [lake.committed(name, "p", intent="release") for name in ("delays", "flights")]
    told = lake.store.release(f"{lake.endpoint} spring", ids, reason="the new rates")
    assert {one.dataset: (one.version, one.published, one.fenced) for one in told.datasets} == {
        lake.entity("delays").id: (2, (ids[0],), ()),
        lake.entity("flights").id: (1, (ids[1],), ()),
    }
    newest = lake.store.versions(lake.key("delays"))[0]
    assert (newest.kind, newest.release, newest.reason) == ("publish", told.name, "the new rates")
    (listed,) = [one for one in lake.store.releases() if one.name == told.name]
    assert listed.id == told.id
    assert [(one.key, one.version) for one in listed.versions] == [(lake.key("delays"), 2), (lake.key("flights"), 1)]


def test_a_release_is_seen_whole_as_of_any_moment(lake: Lake) -> None:
    names = ("delays", "flights", "taxis")
    lake.datasets(*names)
    for name in names:
        publish(lake, name)
    released = [lake.committed(name, intent="released") for name in names]
    lake.store.release(f"{lake.endpoint} spring", released)
    together = [lake.committed(name, intent="together") for name in names]
    lake.store.publish(together)
    for number in (2, 3):
        assert len({lake.store.versions(lake.key(name), limit=4 - number)[-1].published_at for name in names}) == 1


def test_a_release_asked_for_again_is_answered_the_same(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays", "flights")
    ids = [lake.committed(name, "p", intent="release") for name in ("delays", "flights")]
    name = f"{lake.endpoint} spring"
    told = lake.store.release(name, ids)
    publish(lake, "delays", "p")
    before = counts()
    again = lake.store.release(name, ids[::-1])
    assert again == replace(told, replayed=True, datasets=tuple(replace(one, replayed=True) for one in told.datasets))
    with pytest.raises(IdempotencyConflict):
        lake.store.release(name, ids[:1])
    assert counts() == before


def test_one_that_cannot_be_released_refuses_all(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays", "flights")
    fine = lake.committed("flights", "p", intent="fine")
    zombie = lake.committed("delays", "p", intent="zombie", token=1)
    publish(lake, "delays", "p")
    bad = lake.committed("delays", "q", intent="bad")
    lake.store.retract(bad, reason="bad")
    other = lake.committed("flights", "p", intent="other")
    refusals: list[tuple[list[uuid.UUID], type[MetadataError], str]] = [
        (
            [fine, zombie],
            ReleaseRefused,
            f"a later attempt than materialization {zombie} of {lake.endpoint}/nyc/delays",
        ),
        ([fine, bad], ReleaseRefused, f"materialization {bad} of .* partition q is retracted"),
        ([fine, uuid.uuid4()], UnknownMaterialization, "1 of 2"),
        ([fine, other], AmbiguousPublish, "two materializations of one partition"),
        ([], NothingToRelease, "at least one"),
    ]
    before = counts()
    for ids, error, told in refusals:
        with pytest.raises(error, match=told):
            lake.store.release(f"{lake.endpoint} spring", ids)
    with pytest.raises(NothingToRelease):
        lake.store.release("", [fine])
    assert counts() == before
    assert not lake.store.release(f"{lake.endpoint} spring", [fine]).replayed, "the name is still free"


def test_readers_see_all_of_a_release_or_nothing_of_it(
    lake: Lake, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    names = ("flights", "weather", "delays")
    lake.datasets(*names)
    rounds = [[lake.committed(name, "p", intent=str(number)) for name in names] for number in range(20)]
    done, seen, store = threading.Event(), set(), open_store()
    statement = """SELECT array_agg(DISTINCT (SELECT max(from_version) FROM metadata.version_partition c
        WHERE c.dataset_id = d.dataset_id AND c.to_version IS NULL)) AS versions
      FROM metadata.dataset d WHERE dataset_id = ANY (%s)"""
    ids = [lake.entity(name).id.value for name in names]

    def read() -> None:
        while not done.is_set():
            seen.add(tuple(look(statement, ids)[0]["versions"]))

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        try:
            for number, one in enumerate(rounds):
                store.release(f"{lake.endpoint} {number}", one)
        finally:
            done.set()
        reader.result(timeout=60)
    assert all(len(versions) == 1 for versions in seen)
    assert len(seen) > 2


def test_a_run_reads_the_pin_that_was_open_when_it_first_asked(lake: Lake, look: Look) -> None:
    lake.datasets("delays", "flights")
    publish(lake, "delays", times=2)
    publish(lake, "flights")
    delays, flights = lake.key("delays"), lake.key("flights")
    name, run, other = f"{lake.endpoint}-board", *(f"{lake.endpoint} run {number}" for number in (1, 2))
    with pytest.raises(UnknownPin, match=f"there is no pin {name}"):
        lake.store.read_at_pin(run, name, delays)
    lake.store.pin(name, {delays: 1})
    assert lake.store.read_at_pin(run, name, delays) == PinRead(state="open", version=1)
    assert lake.store.read_at_pin(run, name, flights) == PinRead(state="open", version=None)
    lake.store.unpin(name)
    assert lake.store.read_at_pin(other, name, delays).state == "removed"
    lake.store.pin(name, {delays: 2}, expires_at=(soon := database_time(look) + timedelta(milliseconds=500)))
    assert lake.store.read_at_pin(run, name, delays) == PinRead(state="removed", version=1)
    assert lake.store.read_at_pin(other, name, delays) == PinRead(state="open", version=2)
    while database_time(look) <= soon:
        time.sleep(0.05)
    lake.store.pin(name, {delays: 2})
    assert lake.store.read_at_pin(other, name, delays).state == "removed", "an expired pin made room for another one"


def test_steps_that_ask_at_once_read_one_pin(lake: Lake) -> None:
    lake.datasets("delays")
    publish(lake, "delays", times=2)
    delays, name = lake.key("delays"), f"{lake.endpoint}-board"
    lake.store.pin(name, {delays: 1})

    def step(run: str) -> set[int | None]:
        told = [lake.store.read_at_pin(run, name, delays) for _time in range(10)]
        return {one.version for one in told if one.state == "open"}

    with ThreadPoolExecutor(6) as pool:
        for number in range(10):
            steps = [pool.submit(step, f"{lake.endpoint} run {number}") for _step in range(6)]
            for moved in range(4):
                lake.store.unpin(name)
                lake.store.pin(name, {delays: moved % 2 + 1})
            assert len(set[int | None]().union(*(one.result() for one in steps))) <= 1
