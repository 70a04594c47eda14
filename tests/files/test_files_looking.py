"""Garbage is looked for without a lock, condemned under it, and each place is tried once in a collection."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from garbage_world import EAGER, Look, World
from upath import UPath

from resources.check_models import CheckResult
from resources.files import places
from resources.locations import EndpointAway
from resources.metadata.garbage import Garbage, Retention
from resources.metadata.health import Health
from resources.metadata_store import MetadataStore
from resources.postgres.refusals import UnusableMaterialization
from resources.runs import RunFact

A_DAY = Retention(versions=1, time=timedelta(days=1))


@pytest.fixture
def world(store: MetadataStore, tmp_path: Path, look: Look) -> World:
    return World.of(store, UPath(tmp_path / "lake"), look)


def pin(world: World) -> None:
    world.store.pin(f"kept-{world.dataset.id}", {world.dataset.key: 1})


def roll_back(world: World) -> None:
    world.store.rollback(world.dataset.key, to=1, expected=2, reason="test")


@pytest.mark.parametrize("act", [pin, roll_back])
def test_what_is_asked_for_between_the_look_and_the_lock_is_kept(world: World, act: Callable[[World], None]) -> None:
    first, _second = world.publish([1]), world.publish([2])
    seen = world.garbage()
    assert seen == [first.materialization_id]
    act(world)
    assert Garbage(world.store.sessions).condemn(world.dataset, EAGER, seen) == set()
    assert world.read(first) == [1]


def test_what_is_published_between_the_look_and_the_lock_is_kept(world: World) -> None:
    first, _second = world.commit([1]), world.commit([2])
    seen = world.garbage()
    assert seen == [first.materialization_id]
    world.store.publish([first.materialization_id])
    assert Garbage(world.store.sessions).condemn(world.dataset, EAGER, seen) == set()


def test_what_was_not_looked_for_is_not_condemned(world: World) -> None:
    first, second, _third = [world.publish([number]) for number in range(3)]
    garbage = Garbage(world.store.sessions)
    assert garbage.condemn(world.dataset, EAGER, [second.materialization_id]) == {second.materialization_id}
    other = World.of(world.store, world.root, world.look)
    assert garbage.condemn(other.dataset, EAGER, [first.materialization_id]) == set()


def test_a_look_waits_for_nobody(world: World, metadata_url: str) -> None:
    first, _second = world.publish([1]), world.publish([2])
    with ThreadPoolExecutor(1) as pool, psycopg.connect(metadata_url) as other:
        other.execute("SELECT 1 FROM metadata.dataset WHERE dataset_id = %s FOR UPDATE", (world.dataset.id.value,))
        assert pool.submit(world.garbage).result(timeout=10) == [first.materialization_id]
        nothing = pool.submit(world.collect, Retention())
        assert nothing.result(timeout=10).gone == [], "what finds nothing takes no lock"


def test_one_pass_looks_at_each_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.collecting.LOOK", 3)
    monkeypatch.setattr("resources.collecting.BATCH", 2)
    versions = [world.publish([number]) for number in range(8)]
    garbage, after, looks = Garbage(world.store.sessions), None, []
    while True:
        looked = garbage.look(world.dataset, EAGER, after=after, limit=3)
        looks.append([one.location for one in looked.garbage])
        if looked.last is None:
            break
        after = looked.last
    assert looks == [[v.location for v in sorted(versions[n : n + 3], key=lambda v: v.materialization_id)
        if v is not versions[-1]] for n in (0, 3, 6)] + [[]]  # fmt: skip
    assert world.collect().count("replaced") == 7
    assert world.folders() == {versions[-1].location}


def test_each_place_is_tried_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again with each batch that follows."""
    monkeypatch.setattr("resources.collecting.BATCH", 1)
    versions = [world.publish([number]) for number in range(5)]
    tried = Counter[str]()

    def refuse(path: Any) -> None:
        tried[Path(str(path)).parent.name] += 1
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(places, "_remove_file", refuse)
    done = world.collect()
    assert set(done.left) == {one.location for one in versions[:-1]}
    assert set(tried.values()) == {1}


def test_an_endpoint_that_is_away_is_asked_once_and_nothing_of_it_is_condemned(world: World) -> None:
    for number in range(3):
        world.publish([number])
    world.condemn()
    kept = world.states()
    world.publish([4])
    world.stage([5], by=world.attempt())
    world.expire()
    asked = []

    def away(endpoint: str) -> Any:
        asked.append(endpoint)
        raise EndpointAway(endpoint=endpoint)

    collector = world.collector()
    done = replace(collector, storage_of=away).collect([world.dataset], EAGER)
    assert (asked, list(done.away), done.left, done.condemned) == (["lake"], ["lake"], {}, 0)
    assert (world.states(), len(world.leases())) == (kept, 1)
    assert world.collect().count("replaced") == 3


def test_a_delivery_repeated_after_its_data_were_collected_is_the_first_record(world: World) -> None:
    first = world.commit([1], intent="again")
    world.store.publish([first.materialization_id])
    second = world.publish([2])
    assert world.collect().count("replaced") == 1
    by = world.attempt()
    staged = world.stage([1], by=by, intent="again")
    (again,) = world.store.commit(by, [staged], {})
    assert (again.replayed, again.materialization_id, again.location) == (
        True, first.materialization_id, first.location)  # fmt: skip
    (published,) = world.store.publish([again.materialization_id])
    assert (published.version, world.store.version_at(world.dataset.key)) == (1, 2), "it was the first version"
    assert [one.location for one in world.collect().gone] == [staged.location]
    assert world.folders() == {second.location}
    assert world.collect().gone == []


def test_a_delivery_repeated_after_it_was_collected_unpublished_is_never_published(world: World) -> None:
    first, second = world.commit([1], intent="again"), world.commit([2])
    assert world.collect().count("replaced") == 1
    by = world.attempt()
    staged = world.stage([1], by=by, intent="again")
    (again,) = world.store.commit(by, [staged], {})
    assert (again.replayed, again.location) == (True, first.location)
    with pytest.raises(UnusableMaterialization, match="is collected"):
        world.store.publish([again.materialization_id])
    world.collect()
    assert (world.folders(), world.store.current(world.dataset.key)) == ({second.location}, [])


def waiting(world: World, run_id: str) -> Any:
    """Data that wait for a check of a run, and newer ones of their partition."""
    one = world.commit(1)
    world.store.await_checks(run_id, [one.materialization_id], ["rows"])
    world.commit(2)
    return one


def stranded(world: World, age: timedelta = timedelta(0)) -> int:
    found = Health(world.store.sessions).stranded(age=age)
    return sum(one.partitions for one in found if one.key == world.dataset.key)


@pytest.mark.parametrize("status", ["failed", "lost", "cancelled", "succeeded"])
def test_what_waits_for_checks_of_a_run_that_is_over_goes_after_the_retention(world: World, status: Any) -> None:
    run = f"run {world.dataset.id}"
    world.store.record_runs("test", [RunFact(run_id=run, status="running")])
    one = waiting(world, run)
    assert (world.collect().gone, stranded(world)) == ([], 0), "its run may still check it"
    world.store.record_runs("test", [RunFact(run_id=run, status=status)])
    assert (world.collect(A_DAY).gone, stranded(world, A_DAY.time)) == ([], 0), "a late word of it may still come"
    assert stranded(world) == 1
    assert [gone.location for gone in world.collect().gone] == [one.location]
    assert stranded(world) == 0
    result = CheckResult(name="rows", run_id=run, evaluation=1, passed=True, blocking=True)
    world.store.record_checks([one.materialization_id], [result])
    assert world.store.current(world.dataset.key) == []


def test_what_waits_for_checks_of_a_run_that_nobody_told_of_stays(world: World) -> None:
    waiting(world, f"run {world.dataset.id}")
    assert (world.collect().gone, stranded(world)) == ([], 0)


def test_what_waits_for_checks_of_a_lost_executor_goes_and_of_a_living_one_stays(world: World) -> None:
    run = f"run {world.dataset.id}"
    lease = world.store.start_attempt(run, "step", 0, "worker", timedelta(hours=1))
    one = waiting(world, run)
    assert world.collect().gone == [], "it holds its lease"
    world.look(
        "UPDATE metadata.attempt_lease SET expires_at = clock_timestamp() - interval '1s' WHERE attempt_id = %s",
        lease.attempt.id,
    )
    world.store.start_attempt(run, "other step", 0, "worker", timedelta(hours=1))
    assert world.collect().gone == [], "another step of it lives"
    world.look("UPDATE metadata.attempt_lease SET expires_at = clock_timestamp() - interval '1s'")
    assert (world.collect(A_DAY).gone, stranded(world)) == ([], 1)
    assert [gone.location for gone in world.collect().gone] == [one.location]


def test_what_another_run_checks_stays(world: World) -> None:
    ended, living = f"run {world.dataset.id}", f"checks {world.dataset.id}"
    one = waiting(world, ended)
    world.store.record_runs("test", [RunFact(run_id=ended, status="failed"), RunFact(run_id=living, status="running")])
    world.store.await_checks(living, [one.materialization_id], ["rows"])
    assert (world.collect().gone, stranded(world)) == ([], 0)


def test_the_newest_of_its_partition_stays_whatever_its_run_came_to(world: World) -> None:
    run = f"run {world.dataset.id}"
    one = world.commit(1)
    world.store.await_checks(run, [one.materialization_id], ["rows"])
    world.store.record_runs("test", [RunFact(run_id=run, status="failed")])
    assert (world.collect().gone, stranded(world)) == ([], 1)
    assert world.read(one) == 1
