"""What nobody can ask for is collected, on disks and in object stores; what somebody can ask for never is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from garbage_world import EAGER, ENDPOINT, Look, World
from psycopg.types.json import Jsonb
from upath import UPath

from identity.idempotency import Intent
from resources.check_models import CheckResult
from resources.files import places
from resources.files.marking import RootNotThere
from resources.metadata.garbage import Garbage, Retention
from resources.metadata.health import Health
from resources.metadata_store import MetadataStore
from resources.postgres.errors import DataCollected, LeaseLost
from resources.postgres.refusals import UnusableMaterialization
from resources.storage import NotRemoved


@pytest.fixture
def world(store: MetadataStore, place: UPath, look: Look) -> World:
    return World.of(store, place, look)


@pytest.fixture
def on_disk(store: MetadataStore, tmp_path: Path, look: Look) -> World:
    return World.of(store, UPath(tmp_path / "lake"), look)


def test_an_abandoned_attempt_is_collected_when_its_lease_is_over(world: World) -> None:
    kept = world.publish([1])
    left = world.stage([2], by=world.attempt())
    assert world.collect().gone == [], "it may still commit"
    world.expire()
    (gone,) = world.collect().gone
    assert (gone.kind, gone.location, gone.files, gone.byte_count > 0) == ("abandoned", left.location, 2, True)
    assert (world.folders(), world.leases()) == ({kept.location}, [])
    assert world.collect().gone == []


def test_who_comes_after_the_collection_cannot_commit(on_disk: World) -> None:
    by = on_disk.attempt()
    staged = on_disk.stage([1], by=by)
    on_disk.expire()
    assert Garbage(on_disk.store.sessions).reap()
    with pytest.raises(LeaseLost):
        on_disk.store.commit(by, [staged], {})


def test_who_commits_after_its_lease_is_over_and_before_a_collection_keeps_its_files(on_disk: World) -> None:
    """The row is what counts, not the age: collecting what is old would eat a write that is still on its way."""
    by = on_disk.attempt()
    staged = on_disk.stage([1], by=by)
    on_disk.expire()
    (one,) = on_disk.store.commit(by, [staged], {})
    assert on_disk.collect().gone == []
    assert on_disk.read(one) == [1]


def test_what_was_replaced_and_is_published_again_stays(on_disk: World) -> None:
    """Rolled back to: it was replaced in version 2, and is what readers have in version 3."""
    first, second = on_disk.publish([1]), on_disk.publish([2])
    on_disk.store.rollback(on_disk.dataset.key, to=1, expected=2, reason="the units were wrong")
    gone = on_disk.collect().gone
    assert [one.location for one in gone] == [second.location]
    assert on_disk.read(first) == [1]


@pytest.mark.parametrize("first", ["commit", "collection"])
def test_a_commit_and_a_collection_at_once_are_one_after_the_other(
    on_disk: World, metadata_url: str, first: str
) -> None:
    """Whoever holds the lease first wins, the other one finds it so."""
    by = on_disk.attempt()
    staged = on_disk.stage([1], by=by)
    on_disk.expire()
    tenant, garbage = str(on_disk.store.tenant), Garbage(on_disk.store.sessions)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(metadata_url) as other:
        other.execute("SELECT set_config('metadata.tenant', %s, true)", (tenant,))
        if first == "commit":
            other.execute("DELETE FROM metadata.staging_lease WHERE location = %s", (staged.location,))
            assert garbage.reap() == [], "what is locked is left alone"
            other.rollback()
            assert [one.location for one in garbage.reap()] == [staged.location]
        else:
            other.execute("SELECT * FROM metadata.reap_staging('', 10)")
            late = pool.submit(on_disk.store.commit, by, [staged], {})
            other.commit()
            with pytest.raises(LeaseLost):
                late.result()


def test_files_that_were_delivered_twice_are_collected_once(world: World) -> None:
    first = world.commit([1], intent="same")
    by = world.attempt()
    staged = world.stage([2], by=by, intent="same")
    (again,) = world.store.commit(by, [staged], {})
    assert (again.replayed, world.folders()) == (True, {first.location, staged.location})
    (gone,) = world.collect().gone
    assert (gone.kind, gone.location) == ("abandoned", staged.location)
    assert (world.folders(), world.leases()) == ({first.location}, [])
    assert world.collect().gone == []


def test_files_of_a_late_redelivery_are_collected_too(on_disk: World) -> None:
    """Its lease was reaped, then it wrote all the same, and its delivery had been committed by another one."""
    first = on_disk.commit([1], intent="late")
    by = on_disk.attempt()
    staged = on_disk.stage([2], by=by, intent="late")
    on_disk.look("DELETE FROM metadata.staging_lease WHERE location = %s", staged.location)
    on_disk.store.commit(by, [staged], {})
    assert [one.location for one in on_disk.collect().gone] == [staged.location]
    assert on_disk.collect().gone == []
    assert on_disk.folders() == {first.location}


def test_files_that_were_delivered_twice_and_then_committed_as_something_else_stay(on_disk: World) -> None:
    on_disk.commit(1, intent="first")
    by = on_disk.attempt()
    again = on_disk.stage(2, by=by, intent="first")
    assert on_disk.store.commit(by, [again], {})[0].replayed
    other = replace(again, delivery=replace(again.delivery, intent=Intent("key", "second")))
    (kept,) = on_disk.store.commit(by, [other], {})
    on_disk.store.publish([kept.materialization_id])
    assert kept.location not in [one.location for one in on_disk.collect().gone]
    assert on_disk.read(kept) == 2


def test_replaced_data_go_and_the_present_stays(world: World) -> None:
    versions = [world.publish([number]) for number in range(4)]
    (other,) = [world.publish(["other"], "p")]
    done = world.collect()
    assert (done.count("replaced"), done.condemned) == (3, 3)
    assert world.folders() == {versions[-1].location, other.location}
    assert world.read(versions[-1]) == [3]
    assert set(world.states().values()) == {"collected"}
    assert world.collect().gone == []


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(versions=1, time=timedelta(0)), [3]),
        (Retention(versions=2, time=timedelta(0)), [2, 3]),
        (Retention(versions=9, time=timedelta(0)), [0, 1, 2, 3]),
        (Retention(versions=1, time=timedelta(hours=1)), [0, 1, 2, 3]),
        (Retention(), [0, 1, 2, 3]),
    ],
)
def test_the_retention_is_kept(on_disk: World, retention: Retention, kept: list[int]) -> None:
    versions = [on_disk.publish([number]) for number in range(4)]
    on_disk.collect(retention)
    assert on_disk.folders() == {versions[number].location for number in kept}


def test_time_counts_from_when_data_were_replaced(on_disk: World) -> None:
    """However long ago they were committed: somebody may be reading them still."""
    hour = Retention(versions=1, time=timedelta(hours=1))
    first, second = on_disk.publish([1]), on_disk.publish([2])
    dataset = on_disk.dataset.id.value
    on_disk.look("SET session_replication_role = replica")
    earlier = "UPDATE metadata.{0} SET {1} = {1} - interval '2 hours' WHERE dataset_id = %s"
    on_disk.look(earlier.format("materialization", "committed_at"), dataset)
    assert on_disk.collect(hour).gone == []
    on_disk.look(earlier.format("version", "published_at"), dataset)
    on_disk.look("RESET session_replication_role")
    assert [one.location for one in on_disk.collect(hour).gone] == [first.location]
    assert on_disk.folders() == {second.location}


def test_at_least_the_present_version_is_kept(on_disk: World) -> None:
    with pytest.raises(DataCollected, match="at least the present version"):
        on_disk.collect(Retention(versions=0, time=timedelta(0)))


def test_what_waits_to_be_published_stays_and_what_was_overtaken_goes(on_disk: World) -> None:
    overtaken, newest = on_disk.commit([1]), on_disk.commit([2])
    elsewhere = on_disk.commit([3], "p")
    on_disk.collect()
    assert on_disk.folders() == {newest.location, elsewhere.location}
    assert list(on_disk.states()) == [overtaken.materialization_id]


def test_a_late_commit_of_an_earlier_attempt_overtakes_nothing(on_disk: World) -> None:
    zombie = on_disk.attempt()
    on_disk.publish(0)
    waiting = on_disk.commit(2)
    (late,) = on_disk.store.commit(zombie, [on_disk.stage(1, by=zombie)], {})
    bad = on_disk.commit(3)
    on_disk.store.retract(bad.materialization_id, reason="bad")
    told = [one for one in Health(on_disk.store.sessions).waiting(age=timedelta(0)) if one.key == on_disk.dataset.key]
    assert [one.partitions for one in told] == [1]
    assert [one.location for one in on_disk.collect().gone] == [late.location]
    on_disk.store.publish([waiting.materialization_id])
    assert on_disk.read(waiting) == 2
    assert all(one.key != on_disk.dataset.key for one in Health(on_disk.store.sessions).waiting(age=timedelta(0)))


def test_what_waits_for_a_check_stays_until_it_is_refused(on_disk: World) -> None:
    by = on_disk.attempt()
    (first,) = on_disk.store.commit(by, [on_disk.stage(1, by=by)], {})
    on_disk.store.await_checks(by.run_id, [first.materialization_id], ["rows"])
    on_disk.commit(2)
    assert on_disk.collect().gone == []
    result = CheckResult(name="rows", run_id=by.run_id, evaluation=1, passed=False, blocking=True)
    on_disk.store.record_checks([first.materialization_id], [result])
    assert [one.location for one in on_disk.collect().gone] == [first.location]


def test_what_is_condemned_is_never_published(on_disk: World) -> None:
    overtaken = on_disk.commit([1])
    on_disk.commit([2])
    assert on_disk.collector(rehearsed=True).collect([on_disk.dataset], EAGER).count("replaced") == 1
    assert on_disk.condemn() == 1
    with pytest.raises(UnusableMaterialization, match=f"{overtaken.materialization_id} .* is collected"):
        on_disk.store.publish([overtaken.materialization_id])
    assert on_disk.store.current(on_disk.dataset.key) == []


def test_a_rehearsal_says_what_would_go_and_changes_nothing(world: World) -> None:
    world.publish([1])
    world.publish([2])
    world.stage([3], by=world.attempt())
    world.expire()
    before = world.folders()
    told = world.collect(rehearsed=True)
    assert (world.folders(), world.states(), len(world.leases())) == (before, {}, 1)
    assert world.collect().gone == told.gone
    assert len(told.gone) == 2


def test_what_cannot_be_removed_is_told_and_tried_again(on_disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _second = on_disk.publish([1]), on_disk.publish([2])
    folder = Path(str(on_disk.folder_of(first.location)))
    real = places._remove_file

    def refuse(path: Any) -> None:
        if str(path).startswith(str(folder)):
            raise PermissionError(13, "Permission denied")
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(places, "_remove_file", refuse)
        done = on_disk.collect()
    assert done.gone == []
    assert isinstance(done.left[first.location], NotRemoved)
    assert set(on_disk.states().values()) == {"condemned"}
    assert [one.location for one in on_disk.collect().gone] == [first.location], "the next one finishes it"
    assert set(on_disk.states().values()) == {"collected"}


def test_a_disk_that_is_not_mounted_has_lost_nothing(on_disk: World) -> None:
    _first, second = on_disk.publish([1]), on_disk.publish([2])
    root = Path(str(on_disk.root))
    root.rename(root.with_name("unplugged"))
    done = on_disk.collect()
    assert (done.left, done.gone, on_disk.states()) == ({}, [], {})
    assert isinstance(done.away[ENDPOINT], RootNotThere)
    root.with_name("unplugged").rename(root)
    on_disk.collect()
    assert on_disk.folders() == {second.location}


def test_more_than_a_batch_is_collected(on_disk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.collecting.BATCH", 2)
    versions = [on_disk.publish([number]) for number in range(6)]
    for _number in range(5):
        on_disk.stage([1], by=on_disk.attempt())
    on_disk.expire()
    done = on_disk.collect()
    assert (done.count("replaced"), done.count("abandoned")) == (5, 5)
    assert on_disk.folders() == {versions[-1].location}


def test_what_is_pinned_stays_until_the_pin_is_over(on_disk: World) -> None:
    versions, store, key = [on_disk.publish([number]) for number in range(4)], on_disk.store, on_disk.dataset.key
    soon = datetime.now(UTC) + timedelta(minutes=5)
    store.pin("kept", {key: 2})
    store.pin("expired", {key: 1}, expires_at=soon)
    store.pin("removed", {key: 3})
    store.unpin("removed")
    on_disk.look("SELECT set_config('metadata.actor', 'time', false), set_config('metadata.tenant', %s, false)",
        str(store.tenant))  # fmt: skip
    on_disk.look("UPDATE metadata.pin SET expires_at = clock_timestamp() WHERE name = 'expired'")
    on_disk.collect()
    assert on_disk.folders() == {versions[1].location, versions[3].location}
    assert store.current(key, at="kept")[0].location == versions[1].location
    with pytest.raises(UnusableMaterialization, match="is collected"):
        store.pin("late", {key: 1})
    store.unpin("kept")
    on_disk.collect()
    assert on_disk.folders() == {versions[3].location}


def waits(look: Look) -> bool:
    found = look("SELECT 1 AS x FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    return bool(found)


def test_a_pin_that_a_collection_waited_for_is_seen(on_disk: World, metadata_url: str) -> None:
    """In one statement it would not be: the look would be older than the lock."""
    first, _second = on_disk.publish([1]), on_disk.publish([2])
    garbage, tenant = Garbage(on_disk.store.sessions), str(on_disk.store.tenant)
    seen = on_disk.garbage()
    assert seen == [first.materialization_id]
    item = {"dataset_id": str(on_disk.dataset.id), "name": "it", "version": 1}
    with ThreadPoolExecutor(1) as pool, psycopg.connect(metadata_url) as other:
        other.execute(
            "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', 'x', true)", (tenant,)
        )
        other.execute("SELECT metadata.pin_versions('a', sha256('a'), %s, NULL, NULL)", (Jsonb([item]),))
        late = pool.submit(garbage.condemn, on_disk.dataset, EAGER, seen)
        while not waits(on_disk.look):
            assert not late.done()
        other.commit()
        assert late.result() == set()
    on_disk.collect()
    assert on_disk.read(first) == [1]


def test_a_publish_that_a_collection_waited_for_is_seen(on_disk: World, metadata_url: str) -> None:
    first, second = on_disk.commit([1]), on_disk.commit([2])
    garbage, tenant = Garbage(on_disk.store.sessions), str(on_disk.store.tenant)
    seen = on_disk.garbage()
    assert seen == [first.materialization_id]
    with ThreadPoolExecutor(1) as pool, psycopg.connect(metadata_url) as other:
        other.execute(
            "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', 'x', true)", (tenant,)
        )
        other.execute("SELECT metadata.publish('k', sha256('k'), %s, %s)", (uuid4(), [first.materialization_id]))
        late = pool.submit(garbage.condemn, on_disk.dataset, EAGER, seen)
        while not waits(on_disk.look):
            assert not late.done()
        other.commit()
        assert late.result() == set()
    on_disk.collect()
    assert on_disk.folders() == {first.location, second.location}
