"""commit: each delivery is recorded once, whatever is delivered again, with what, and by whom."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from store_inputs import Counts, Lake, Look, attempt

from identity.idempotency import Delivery
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata_store import MetadataStore
from resources.models import Input, Read
from resources.postgres.errors import IdempotencyConflict, LeaseLost, NotRegistered


class OtherRequest(Delivery):
    """A delivery under a key that was meant for something else."""

    @property
    def fingerprint(self) -> bytes:
        return bytes(32)


def test_a_commit_is_answered_with_what_it_recorded(lake: Lake) -> None:
    lake.datasets("delays")
    by = attempt()
    staged = lake.staged("delays", "2013-01-15", location=f"{lake.endpoint}:1", rows=42)
    lake.lease(by, [("delays", staged)])
    (one,) = lake.commit(staged, by=by)

    assert (one.replayed, one.attempt_id, one.partition) == (False, by.id, "2013-01-15")
    assert (one.location, one.manifest_sha256) == (staged.location, staged.manifest_sha256)
    assert (one.row_count, one.byte_count, one.data_version) == (42, 84, "data")
    stored = lake.store.materialization(one.materialization_id)
    assert lake.store.materializations(lake.key("delays")) == [stored]
    assert (stored.key, stored.partition, stored.intent) == (lake.key("delays"), "2013-01-15", "key:first")
    assert (stored.run_id, stored.step_key, stored.actor) == ("run", "step", "test")
    assert (stored.published_in, stored.current, stored.redeliveries) == (None, False, 0)
    assert stored.metadata == {"note": "first"}


def test_a_commit_is_not_visible_to_readers(lake: Lake) -> None:
    lake.datasets("delays")
    lake.committed("delays", intent="first")
    assert lake.store.current(lake.key("delays")) == []
    assert lake.store.versions(lake.key("delays")) == []


def test_the_same_attempt_asking_again_writes_nothing(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    lake.assets("flights")
    by = attempt()
    staged = lake.staged("delays", "p", location=f"{lake.endpoint}:1")
    lake.lease(by, [("delays", staged)])
    reads = {"p": [Read(asset=lake.entity("flights"), partition="p")]}
    (first,) = lake.commit(staged, by=by, reads=reads)
    before = counts()
    (second,) = lake.commit(staged, by=by, reads=reads)
    assert second == replace(first, replayed=True)
    assert counts() == before


@pytest.mark.parametrize(("bytes_of_retry", "same"), [("data", True), ("other data", False)])
def test_another_attempt_at_the_same_intent_is_a_redelivery(
    lake: Lake, look: Look, bytes_of_retry: str, same: bool
) -> None:
    """The first commit stands; what the second one brought is kept beside it, with its own digest."""
    lake.datasets("delays")
    (first,) = lake.commit(lake.staged("delays", "p", data="data"))
    retry, again = attempt(), lake.staged("delays", "p", data=bytes_of_retry)
    for _asked in range(2):
        (second,) = lake.commit(again, by=retry)
        assert second == replace(first, replayed=True)

    (noted,) = look("SELECT * FROM metadata.redelivery WHERE materialization_id = %s", first.materialization_id)
    assert (noted["attempt_id"], noted["same_data"], noted["actor"]) == (retry.id, same, "test")
    assert noted["manifest_sha256"] == again.manifest_sha256
    stored = lake.store.materialization(first.materialization_id)
    assert (stored.redeliveries, stored.manifest_sha256) == (1, first.manifest_sha256)


def test_another_intent_is_another_materialization(lake: Lake) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", "p", intent=intent) for intent in ("first", "second")]
    assert len(set(ids)) == 2
    newest_first = [one.id for one in lake.store.materializations(lake.key("delays"), partition="p")]
    assert newest_first == ids[::-1]


def test_a_batch_may_bring_some_again_and_some_for_the_first_time(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    lake.assets("flights")
    (old,) = lake.commit(lake.staged("delays", "b"))
    by = attempt()
    batch = [lake.staged("delays", name, location=f"{lake.endpoint}:{name}") for name in "cba"]
    lake.lease(by, [("delays", one) for one in batch])
    answers = lake.commit(*batch, by=by, reads={name: [Read(asset=lake.entity("flights"))] for name in "abc"})

    assert [(one.partition, one.replayed) for one in answers] == [("c", False), ("b", True), ("a", False)]
    assert answers[1] == replace(old, replayed=True)
    assert len(lake.store.materializations(lake.key("delays"))) == 3
    assert [len(lake.store.inputs(one.materialization_id)) for one in answers] == [1, 0, 1]
    ids = [one.materialization_id for one in answers]
    assert len(look("SELECT 1 FROM metadata.outbox WHERE event_id = ANY (%s)", ids)) == 3
    # The files of the redelivery are garbage, so its lease stays until it is collected.
    leases = look("SELECT partition_key FROM metadata.staging_lease WHERE attempt_id = %s", by.id)
    assert [lease["partition_key"] for lease in leases] == ["b"]


def test_a_batch_writes_one_event_for_each_materialization(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    answers = lake.commit(*(lake.staged("delays", name) for name in "ab"))
    ids = [one.materialization_id for one in answers]
    events = look("SELECT topic, payload FROM metadata.outbox WHERE event_id = ANY (%s) ORDER BY seq", ids)
    assert {event["topic"] for event in events} == {"materialization.committed"}
    assert sorted(event["payload"]["partition_key"] for event in events) == ["a", "b"]


def test_a_key_used_for_another_request_is_a_conflict_and_nothing_is_written(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    lake.commit(lake.staged("delays", "a"))
    before = counts()
    theirs = lake.staged("delays", "a").delivery
    facts = (theirs.tenant, theirs.dataset, theirs.partition, theirs.intent, theirs.output)
    conflicting = replace(lake.staged("delays", "a"), delivery=OtherRequest(*facts))
    with pytest.raises(IdempotencyConflict) as refused:
        lake.commit(lake.staged("delays", "b"), conflicting)
    assert refused.value.key == theirs.key
    assert counts() == before


@pytest.mark.parametrize("broken", ["no lease", "taken by the collector", "elsewhere", "of another attempt"])
def test_files_without_their_lease_are_not_committed(lake: Lake, look: Look, counts: Counts, broken: str) -> None:
    lake.datasets("delays")
    by = attempt()
    good, bad = (lake.staged("delays", name, location=f"{lake.endpoint}:{name}") for name in "ab")
    lake.lease(by, [("delays", good)])
    match broken:
        case "taken by the collector":
            lake.lease(by, [("delays", bad)])
            look("UPDATE metadata.staging_lease SET state = 'reaping' WHERE location = %s RETURNING 1", bad.location)
        case "elsewhere":
            lake.lease(by, [("delays", replace(bad, location=f"{lake.endpoint}:c"))])
        case "of another attempt":
            lake.lease(attempt(), [("delays", bad)])
    before = counts()
    with pytest.raises(LeaseLost, match=str(by.id)):
        lake.commit(good, bad, by=by)
    assert counts() == before


def test_a_lease_that_expired_holds_until_the_collector_takes_it(lake: Lake) -> None:
    lake.datasets("delays")
    by = attempt()
    staged = lake.staged("delays", location=f"{lake.endpoint}:1")
    lake.store.open_staging(by, {(lake.entity("delays"), None): str(staged.location)}, ttl=timedelta(hours=-1))
    (one,) = lake.commit(staged, by=by)
    assert not one.replayed


def test_opening_staging_again_changes_nothing(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    by, staged = attempt(), lake.staged("delays", location=f"{lake.endpoint}:1")
    lake.lease(by, [("delays", staged)])
    statement = "SELECT * FROM metadata.staging_lease WHERE attempt_id = %s"
    before = look(statement, by.id)
    lake.lease(by, [("delays", staged)])
    assert look(statement, by.id) == before


def test_what_has_no_files_needs_no_lease_even_beside_what_has(lake: Lake) -> None:
    lake.datasets("delays")
    by, with_files = attempt(), lake.staged("delays", "a", location=f"{lake.endpoint}:1")
    lake.lease(by, [("delays", with_files)])
    answers = lake.commit(with_files, lake.staged("delays", "b"), by=by)
    assert [one.location for one in answers] == [with_files.location, None]


def test_a_dataset_or_input_that_nobody_registered_is_refused_and_nothing_is_written(
    lake: Lake, counts: Counts
) -> None:
    lake.datasets("delays")
    before = counts()
    with pytest.raises(NotRegistered):
        lake.commit(lake.staged("delays"), lake.staged("unknown"))
    with pytest.raises(NotRegistered):
        lake.commit(lake.staged("delays"), reads={None: [Read(asset=lake.entity("unknown"))]})
    with pytest.raises(NotRegistered):
        lake.lease(attempt(), [("unknown", lake.staged("unknown", location=f"{lake.endpoint}:1"))])
    assert counts() == before


def test_inputs_are_recorded_as_they_were_read(lake: Lake) -> None:
    lake.datasets("delays", "flights")
    lake.assets("weather")
    upstream = lake.committed("flights", "d1", intent="first")
    reads = {
        "d1": [
            Read(asset=lake.entity("weather"), metadata={"rows": 24}),
            Read(asset=lake.entity("flights"), partition="d1", materialization_id=upstream, version=3),
        ],
        "d2": [Read(asset=lake.entity("weather"))],
    }
    one, two = lake.commit(lake.staged("delays", "d1"), lake.staged("delays", "d2"), reads=reads)
    assert lake.store.inputs(one.materialization_id) == [
        Input(key=lake.key("flights"), partition="d1", materialization_id=upstream, version=3, metadata={}),
        Input(key=lake.key("weather"), partition=None, materialization_id=None, version=None, metadata={"rows": 24}),
    ]
    assert [found.key for found in lake.store.inputs(two.materialization_id)] == [lake.key("weather")]


def test_a_redelivery_adds_no_inputs(lake: Lake) -> None:
    lake.datasets("delays")
    lake.assets("flights", "weather")
    (one,) = lake.commit(lake.staged("delays"), reads={None: [Read(asset=lake.entity("flights"))]})
    lake.commit(lake.staged("delays"), reads={None: [Read(asset=lake.entity("weather"))]})
    assert [found.key for found in lake.store.inputs(one.materialization_id)] == [lake.key("flights")]


def test_what_was_read_becomes_one_edge_however_often(lake: Lake, look: Look) -> None:
    lake.datasets("delays")
    lake.assets("flights", "weather")
    for day, name in enumerate(["flights", "flights", "weather"]):
        reads = {f"d{day}": [Read(asset=lake.entity(name), partition=f"d{day}")]}
        lake.commit(lake.staged("delays", f"d{day}"), reads=reads)
    edges = look(
        "SELECT target_asset_id, producer, scope FROM metadata.relationship WHERE source_asset_id = %s",
        lake.entity("delays").id.value,
    )
    assert {edge["target_asset_id"] for edge in edges} == {
        lake.entity(name).id.value for name in ("flights", "weather")
    }
    assert {(edge["producer"], edge["scope"]) for edge in edges} == {("materialization", str(lake.entity("delays").id))}
    assert len(edges) == 2


def test_nothing_to_commit_is_nothing_written(lake: Lake, counts: Counts) -> None:
    before = counts()
    assert lake.commit() == []
    assert counts() == before


def test_an_unknown_materialization_is_named(store: MetadataStore) -> None:
    unknown = uuid.uuid4()
    with pytest.raises(NoSuchMaterialization, match=str(unknown)):
        store.materialization(unknown)


def test_the_later_an_attempt_starts_the_larger_its_token(
    store: MetadataStore, open_store: Callable[..., MetadataStore]
) -> None:
    tokens = [one.next_fencing_token() for one in (store, open_store("other"), store)]
    assert tokens == sorted(set(tokens))


def test_callers_that_meet_are_all_told_of_one_materialization(
    lake: Lake, open_store: Callable[..., MetadataStore]
) -> None:
    lake.datasets("delays")
    together = threading.Barrier(8)

    def deliver(store: MetadataStore) -> list[tuple[uuid.UUID, uuid.UUID, bool]]:
        answers = []
        for number in range(15):
            together.wait()
            (one,) = store.commit(attempt(), [lake.staged("delays", f"p{number}")], {})
            answers.append((one.materialization_id, one.attempt_id, one.replayed))
        return answers

    stores = [open_store() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        told = list(zip(*pool.map(deliver, stores), strict=True))
    assert [len({(one, by) for one, by, _replayed in answers}) for answers in told] == [1] * 15
    assert [sum(not replayed for *_facts, replayed in answers) for answers in told] == [1] * 15


def test_overlapping_batches_never_deadlock(lake: Lake, open_store: Callable[..., MetadataStore], look: Look) -> None:
    lake.datasets("delays")
    together = threading.Barrier(4)

    def deliver(store: MetadataStore, *, backwards: bool) -> None:
        for number in range(8):
            batch = [lake.staged("delays", f"p{partition}", intent=str(number)) for partition in range(60)]
            together.wait()
            store.commit(attempt(), batch[::-1] if backwards else batch, {})

    stores = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(deliver, store, backwards=number % 2 == 0) for number, store in enumerate(stores)]
        for one in done:
            one.result(timeout=120)
    assert look("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [{"deadlocks": 0}]
