"""Committing and publishing as one step, and leasing for what was looked up before."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from store_inputs import Lake, attempt
from test_session import driver_of

from benchmarks.wire import traced
from identity.ids import Entity
from resources.metadata.materializations import NoSuchMaterialization
from resources.postgres.errors import LeaseLost, NotRegistered

HOUR = timedelta(hours=1)
Look = Callable[..., list[dict[str, object]]]


def test_both_happen_in_one_transaction(lake: Lake) -> None:
    lake.datasets("delays")
    lake.committed("delays", "warm", intent="warm")
    staged = [lake.staged("delays", one) for one in ("a", "b")]
    with traced(driver_of(lake.store.sessions)) as wire:
        committed, published = lake.store.commit_and_publish(attempt(), staged, {})
    assert (wire.round_trips, wire.transactions) == (1, 1)
    ids = tuple(sorted(one.materialization_id for one in committed))
    assert published is not None
    assert (published.version, published.published, published.fenced) == (1, ids, ())
    assert [one.partition for one in lake.store.current(lake.key("delays"))] == ["a", "b"]
    assert lake.store.publish(ids)[0].replayed, "the same request as a publish of its own"


def test_what_was_committed_before_is_not_published_by_it(lake: Lake) -> None:
    lake.datasets("delays")
    lake.committed("delays", "a", intent="first")
    staged = [lake.staged("delays", one) for one in ("a", "b")]
    for _again in range(2):
        committed, published = lake.store.commit_and_publish(attempt(), staged, {})
        assert published is None
    assert [one.replayed for one in committed] == [True, True]
    assert lake.store.current(lake.key("delays")) == []


def test_an_answer_that_was_lost_is_found_again(lake: Lake) -> None:
    lake.datasets("delays")
    by, staged = attempt(), [lake.staged("delays")]
    (one,), published = lake.store.commit_and_publish(by, staged, {})
    (again,), nothing = lake.store.commit_and_publish(by, staged, {})
    (told,) = lake.store.publish([again.materialization_id])
    assert published is not None
    assert (again.materialization_id, nothing) == (one.materialization_id, None)
    assert (told.version, told.published, told.replayed) == (published.version, published.published, True)


def test_a_later_attempt_fences_it(lake: Lake) -> None:
    lake.datasets("delays")
    early, late = attempt(token=1), attempt(token=2)
    lake.store.commit_and_publish(late, [lake.staged("delays", intent="late")], {})
    (one,), published = lake.store.commit_and_publish(early, [lake.staged("delays", intent="early")], {})
    assert published is not None
    assert (published.version, published.published, published.fenced) == (1, (), (one.materialization_id,))


def test_neither_happens_without_the_lease(lake: Lake) -> None:
    lake.datasets("delays")
    staged = lake.staged("delays", location=f"{lake.endpoint}:x")
    with pytest.raises(LeaseLost):
        lake.store.commit_and_publish(attempt(), [staged], {})
    with pytest.raises(NoSuchMaterialization):
        lake.store.materialization(staged.delivery.materialization_id)


def test_a_lease_is_for_whom_the_key_names_now(lake: Lake, look: Look) -> None:
    lake.datasets("delays", "other")
    known, by = lake.entity("delays"), attempt()
    assert lake.store.lease(by, known, {None: f"{lake.endpoint}:a"}, ttl=HOUR) == known
    lake.rename(delays="late", other="delays")
    late = attempt()
    found = lake.store.lease(late, known, {None: f"{lake.endpoint}:b"}, ttl=HOUR)
    assert found == lake.entity("delays") != known
    leased = look("SELECT attempt_id FROM metadata.staging_lease WHERE attempt_id = ANY (%s)", [by.id, late.id])
    assert [row["attempt_id"] for row in leased] == [by.id]


def test_a_lease_for_what_nobody_registered_is_refused(lake: Lake) -> None:
    lake.assets("seen")
    unknown = Entity(lake.store.tenant, lake.key("unknown"))
    assert lake.store.lease(attempt(), unknown, {None: f"{lake.endpoint}:a"}, ttl=HOUR) is None
    with pytest.raises(NotRegistered):
        lake.store.lease(attempt(), lake.entity("seen"), {None: f"{lake.endpoint}:a"}, ttl=HOUR)


def test_a_step_begins_with_one_question(lake: Lake) -> None:
    lake.datasets("delays", "out")
    one = lake.committed("delays", "a", intent="first")
    lake.store.publish([one])
    before = lake.store.next_fencing_token()
    begun = lake.store.begin_step([lake.key("out"), lake.key("new")], lake.key("delays"), ["a", "b"])
    assert begun.fencing_token > before
    assert [(found.partition, found.materialization_id) for found in begun.found] == [("a", one)]
    assert begun.outputs == {lake.key("out"): lake.entity("out")}
