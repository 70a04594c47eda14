"""What checks found is kept with what they examined, and publishes it once, all of it or nothing."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from store_inputs import Counts, Lake

from resources.check_models import CheckEvaluation, CheckResult, Settled
from resources.metadata_store import MetadataStore
from resources.models import Attempt
from resources.postgres.errors import UnknownChecked

_PASSED = CheckResult(name="rows", run_id="a", evaluation=1, passed=True, blocking=True)
_FAILED = replace(_PASSED, passed=False, description="no rows")


def run_of(lake: Lake, number: str) -> str:
    """A run that no other test has."""
    return f"{lake.endpoint} run {number}"


def told(lake: Lake, result: CheckResult, **facts: str) -> CheckEvaluation:
    return CheckEvaluation(dataset=lake.entity("days").id, result=result, **facts)


@pytest.fixture
def days(lake: Lake) -> list[uuid.UUID]:
    """Three days, committed by run a and waiting for its check."""
    lake.datasets("days")
    by = Attempt(id=uuid.uuid4(), run_id=run_of(lake, "a"), step_key="days", retry_number=0, fencing_token=10)
    ids = [one.materialization_id for one in lake.commit(*(lake.staged("days", day) for day in "123"), by=by)]
    lake.store.await_checks(by.run_id, ids, ["rows"])
    return ids


def outcome(settled: list[Settled]) -> list[tuple[bool, int | None, tuple[str, ...], tuple[str, ...]]]:
    return [(one.settled, one.version, one.failed, one.waiting) for one in settled]


def passed(lake: Lake, run: str = "a", evaluation: int = 1, *, name: str = "rows") -> CheckResult:
    return replace(_PASSED, run_id=run_of(lake, run), evaluation=evaluation, name=name)


def failed(lake: Lake, run: str = "a", evaluation: int = 1) -> CheckResult:
    return replace(_FAILED, run_id=run_of(lake, run), evaluation=evaluation)


def test_results_are_recorded_once(lake: Lake, days: list[uuid.UUID], counts: Counts) -> None:
    results = [failed(lake), passed(lake, name="soft")]
    assert lake.store.record_checks(days, results) == 6
    before = counts()
    assert lake.store.record_checks(days, results) == 0
    assert lake.store.record_checks(days, [replace(results[0], passed=True)]) == 0, "the first one stands"
    assert counts() == before
    found = lake.store.checks_of(days[0])
    assert [one.result for one in found.results] == results
    assert (found.awaited, found.failed, found.waiting) == (("rows",), ("rows",), ())


def test_nothing_is_recorded_about_what_nobody_committed(lake: Lake, days: list[uuid.UUID], counts: Counts) -> None:
    before = counts()
    with pytest.raises(UnknownChecked):
        lake.store.record_checks([*days, uuid.uuid4()], [passed(lake)])
    assert counts() == before
    assert lake.store.checks_of(uuid.uuid4()).results == ()


def test_what_passed_is_published_together_and_once(lake: Lake, days: list[uuid.UUID], counts: Counts) -> None:
    store, run = lake.store, run_of(lake, "a")
    assert outcome(store.settle_checks(runs=[run])) == [(False, None, (), ("rows",))]
    assert store.current(lake.key("days")) == []
    (settled,) = store.settle_checks([told(lake, passed(lake))])
    assert (settled.settled, settled.version, set(settled.published)) == (True, 1, set(days))
    before = counts()
    assert outcome(store.settle_checks([told(lake, passed(lake))], runs=[run])) == [(False, None, (), ())]
    assert counts() == before
    assert [one.partition for one in store.current(lake.key("days"))] == ["1", "2", "3"]


def test_one_refused_day_keeps_all_days(lake: Lake, days: list[uuid.UUID]) -> None:
    found = [told(lake, replace(passed(lake), evaluation=1)), told(lake, failed(lake, evaluation=2), partition="2")]
    assert outcome(lake.store.settle_checks(found)) == [(False, None, ("rows",), ())]
    assert lake.store.versions(lake.key("days")) == []
    assert [lake.store.checks_of(one).failed for one in days] == [(), ("rows",), ()]
    fixed = told(lake, passed(lake, evaluation=3), partition="2")
    assert outcome(lake.store.settle_checks([fixed])) == [(True, 1, (), ())]


def test_the_latest_evaluation_counts_in_whatever_order_it_is_told(lake: Lake, days: list[uuid.UUID]) -> None:
    assert days
    assert outcome(lake.store.settle_checks([told(lake, failed(lake, evaluation=2))])) == [(False, None, ("rows",), ())]
    assert outcome(lake.store.settle_checks([told(lake, passed(lake, evaluation=1))])) == [(False, None, ("rows",), ())]


def test_a_warning_lets_pass(lake: Lake, days: list[uuid.UUID]) -> None:
    warned = replace(failed(lake), severity="WARN")
    assert outcome(lake.store.settle_checks([told(lake, warned)])) == [(True, 1, (), ())]
    assert lake.store.checks_of(days[0]).failed == ()


def test_what_a_person_publishes_is_only_recorded(lake: Lake) -> None:
    lake.datasets("days")
    one = lake.committed("days", intent="by hand")
    lake.store.await_checks(run_of(lake, "m"), [one], None)
    assert lake.store.settle_checks([told(lake, passed(lake, "m"))]) == []
    assert lake.store.checks_of(one).latest == {"rows": passed(lake, "m")}
    assert lake.store.versions(lake.key("days")) == []


def test_a_run_of_checks_examines_the_newest_that_waits(lake: Lake, days: list[uuid.UUID]) -> None:
    store, entity = lake.store, lake.entity("days")
    lake.store.settle_checks([told(lake, failed(lake))])
    newer = lake.committed("days", "2", intent="again", token=11)
    older = lake.committed("days", "3", intent="late", token=9)

    def look(partitions: list[str | None] | None) -> list[uuid.UUID]:
        found = store.examined(run_of(lake, "b"), entity, partitions, ["rows"])
        return [one.materialization_id for one in found]

    assert look(None) == [days[0], newer, days[2]]
    lake.committed("days", "1", intent="meanwhile", token=12)
    assert look(None) == [days[0], newer, days[2]], "all checks of a run examine the same"
    assert look(["2"]) == [newer]
    (settled,) = store.settle_checks([told(lake, passed(lake, "b", 2))])
    assert (settled.settled, set(settled.published)) == (True, {days[0], newer, days[2]})
    (late,) = store.examined(run_of(lake, "c"), entity, None, ["rows"])
    assert late.partition == "1", "what is published, and what is older than that, is not examined"
    assert older not in {late.materialization_id}


def test_an_evaluation_is_about_what_its_target_delivered_where_its_run_has_nothing(
    lake: Lake, days: list[uuid.UUID]
) -> None:
    blind = told(lake, passed(lake, "b"), target_run_id=run_of(lake, "a"))
    (settled,) = lake.store.settle_checks([blind])
    assert set(settled.published) == set(days)
    assert lake.store.settle_checks([told(lake, passed(lake, "unheard of"))]) == []


def test_a_part_of_the_checks_does_not_do(lake: Lake, days: list[uuid.UUID]) -> None:
    store, run = lake.store, run_of(lake, "b")
    store.examined(run, lake.entity("days"), ["1"], ["shape"], complete=False)
    assert outcome(store.settle_checks([told(lake, passed(lake, "b", name="shape"))])) == [
        (False, None, (), ("rows",))
    ], "what an earlier run knew of is awaited, too"
    store.examined(run_of(lake, "c"), lake.entity("days"), ["1"], ["shape"], complete=True)
    assert outcome(store.settle_checks([told(lake, passed(lake, "c", 2, name="shape"))])) == [(True, 1, (), ())]
    assert days[0] in {one.materialization_id for one in store.current(lake.key("days"))}


def test_what_was_rolled_away_does_not_come_back(lake: Lake, days: list[uuid.UUID]) -> None:
    """Whoever asks again about what was published long ago changes nothing."""
    lake.store.settle_checks([told(lake, passed(lake))])
    newer = lake.committed("days", "1", intent="newer", token=20)
    lake.store.publish([newer])
    lake.store.settle_checks([told(lake, passed(lake, evaluation=9))], runs=[run_of(lake, "a")])
    assert {one.materialization_id for one in lake.store.current(lake.key("days"))} == {newer, *days[1:]}


def test_many_notice_at_once_and_it_is_published_once(lake: Lake, days: list[uuid.UUID]) -> None:
    def notice(number: int) -> bool:
        store = MetadataStore(lake.store.sessions)
        return any(one.settled for one in store.settle_checks([told(lake, passed(lake, evaluation=number % 3))]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(notice, range(24))) == 1
    (version,) = lake.store.versions(lake.key("days"))
    assert (version.number, version.partitions) == (1, len(days))


def test_what_was_retracted_is_neither_examined_nor_published(lake: Lake, days: list[uuid.UUID]) -> None:
    lake.store.retract(days[1], reason="wrong units")
    found = lake.store.examined(run_of(lake, "b"), lake.entity("days"), None, ["rows"])
    assert [one.partition for one in found] == ["1", "3"]
    (settled,) = lake.store.settle_checks([told(lake, passed(lake))])
    assert (settled.settled, settled.refused) == (True, None)
    assert [one.materialization_id for one in lake.store.current(lake.key("days"))] == [days[0], days[2]]
    assert lake.store.checks_of(days[1]).latest == {"rows": passed(lake)}, "what was found is recorded all the same"
    (again,) = lake.store.settle_checks([], runs=[run_of(lake, "a")])
    assert (again.settled, set(again.published), again.refused) == (False, {days[0], days[2]}, None)


def test_nothing_but_what_was_retracted_is_told(lake: Lake, days: list[uuid.UUID]) -> None:
    for one in days:
        lake.store.retract(one, reason="wrong units")
    (settled,) = lake.store.settle_checks([told(lake, passed(lake))])
    assert (settled.settled, "retracted" in str(settled.refused)) == (False, True)


def test_what_a_run_delivers_later_is_published_too(lake: Lake, days: list[uuid.UUID]) -> None:
    store = lake.store
    assert outcome(store.settle_checks([told(lake, passed(lake))])) == [(True, 1, (), ())]
    by = Attempt(id=uuid.uuid4(), run_id=run_of(lake, "a"), step_key="days", retry_number=1, fencing_token=11)
    (late,) = lake.commit(lake.staged("days", "4"), by=by)
    store.await_checks(by.run_id, [late.materialization_id], ["rows"])
    assert outcome(store.settle_checks([told(lake, passed(lake, evaluation=2))])) == [(True, 2, (), ())]
    assert len(store.current(lake.key("days"))) == len(days) + 1


def test_nothing_overtaken_comes_back_by_itself_after_a_retraction(lake: Lake, days: list[uuid.UUID]) -> None:
    store = lake.store
    zombie, left = (lake.committed("days", day, intent="late", token=5) for day in "23")
    bad = [lake.committed("days", day, intent="bad", token=20) for day in "123"]
    store.publish(bad)
    for one in bad:
        store.retract(one, reason="bad")
    (settled,) = store.settle_checks([told(lake, passed(lake))])
    assert (settled.settled, settled.published, settled.refused, set(settled.fenced)) == (False, (), None, set(days))
    store.publish([zombie])
    assert store.examined(run_of(lake, "z"), lake.entity("days"), None, ["rows"]) == []
    assert store.current(lake.key("days")) == []
    store.publish_by_hand([left])
    assert [one.materialization_id for one in store.current(lake.key("days"))] == [left]
    store.publish([later := lake.committed("days", "1", intent="repaired", token=21)])
    assert later in {one.materialization_id for one in store.current(lake.key("days"))}
