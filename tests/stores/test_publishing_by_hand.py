"""What a person publishes: whatever waits, and what a check refused only when it is said why; nothing of it halfway."""

import uuid

import pytest
from store_inputs import Counts, Lake

from resources.check_models import CheckResult
from resources.metadata.publishing import ReasonNeeded
from resources.postgres.refusals import ChecksRefuse, ReleaseRefused, UnusableMaterialization
from resources.version_records import Unpublished

FAILED = {"passed": False, "blocking": True}


def committed(lake: Lake, name: str, partition: str | None = None) -> uuid.UUID:
    return lake.committed(name, partition, intent=str(uuid.uuid4()))


def checked(lake: Lake, one: uuid.UUID, name: str = "rows", evaluation: int = 1, **facts: object) -> None:
    found = {"passed": True, "blocking": True, **facts}
    lake.store.record_checks([one], [CheckResult(name=name, run_id="r", evaluation=evaluation, **found)])  # type: ignore[arg-type]


def current(lake: Lake, name: str) -> list[uuid.UUID]:
    return [one.materialization_id for one in lake.store.current(lake.key(name))]


def test_a_failed_blocking_check_refuses_all_of_a_release(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays", "flights")
    fine, bad = committed(lake, "flights", "p"), committed(lake, "delays", "q")
    checked(lake, fine)
    checked(lake, bad, "on time", **FAILED)
    before = counts()
    told = f"blocking check on time refuses materialization {bad} of {lake.endpoint}/nyc/delays partition q"
    with pytest.raises(ReleaseRefused, match=told):
        lake.store.release(f"{lake.endpoint} spring", [fine, bad])
    assert counts() == before
    checked(lake, bad, "on time", evaluation=2)
    lake.store.release(f"{lake.endpoint} spring", [fine, bad])
    assert (current(lake, "flights"), current(lake, "delays")) == ([fine], [bad])


@pytest.mark.parametrize(
    "facts", [{"passed": True}, {"passed": False, "blocking": False}, {**FAILED, "severity": "WARN"}]
)
def test_what_does_not_refuse_is_published_and_released(lake: Lake, facts: dict[str, object]) -> None:
    lake.datasets("delays")
    checked(lake, one := committed(lake, "delays", "p"), evaluation=1, **FAILED)
    checked(lake, one, evaluation=2, **facts)
    lake.store.publish_by_hand([one])
    checked(lake, two := committed(lake, "delays", "p"), **facts)
    lake.store.release(f"{lake.endpoint} spring", [two])
    assert current(lake, "delays") == [two]


def test_despite_checks_needs_a_reason_and_keeps_it(lake: Lake, counts: Counts) -> None:
    lake.datasets("delays")
    bad = [committed(lake, "delays", str(day)) for day in range(7)]
    for one in bad:
        checked(lake, one, **FAILED)
    before = counts()
    with pytest.raises(ChecksRefuse, match=r"check rows refuses .* partition 0, .* partition 4 and 2 more"):
        lake.store.publish_by_hand(bad)
    for reason in (None, " "):
        with pytest.raises(ReasonNeeded):
            lake.store.publish_by_hand(bad, despite_checks=True, reason=reason)
    assert counts() == before
    (published,) = lake.store.publish_by_hand(bad, despite_checks=True, reason="the check is wrong")
    assert published.published == tuple(sorted(bad))
    assert lake.store.versions(lake.key("delays"))[0].reason == "the check is wrong"


def test_each_time_it_is_a_request_of_its_own(lake: Lake) -> None:
    lake.datasets("delays")
    old, new = committed(lake, "delays"), committed(lake, "delays")
    for one in (old, new):
        lake.store.publish_by_hand([one])
    lake.store.rollback(lake.key("delays"), to=1, expected=2)
    (back,) = lake.store.publish_by_hand([new])
    assert (back.version, back.published, current(lake, "delays")) == (4, (new,), [new])
    (again,) = lake.store.publish_by_hand([new])
    assert (again.published, lake.store.version_at(lake.key("delays"))) == ((new,), 4)
    (fenced,) = lake.store.publish_by_hand([old])
    assert (fenced.published, fenced.fenced, fenced.version) == ((), (old,), 4), "though it was current once"
    assert current(lake, "delays") == [new]


def test_what_waits_is_the_newest_that_nothing_has_overtaken(lake: Lake) -> None:
    lake.datasets("delays")
    committed(lake, "delays", "a")
    newest, overtaken = committed(lake, "delays", "a"), committed(lake, "delays", "b")
    lake.store.publish([committed(lake, "delays", "b"), committed(lake, "delays", "c")])
    retracted = committed(lake, "delays", "c")
    lake.store.retract(retracted, reason="bad")
    for name in ("rows", "columns"):
        checked(lake, newest, name, **FAILED)
    checked(lake, newest, "soft", passed=False, blocking=False)
    assert overtaken
    waits = [Unpublished(materialization_id=newest, partition="a", failed=("columns", "rows"))]
    assert lake.store.unpublished(lake.key("delays")) == waits
    assert lake.store.unpublished(lake.key("delays"), ["b", "c"]) == []
    assert lake.store.unpublished(lake.key("delays"), ["a", "b"]) == waits
    with pytest.raises(UnusableMaterialization, match="retracted"):
        lake.store.publish_by_hand([retracted], despite_checks=True, reason="all the same")
