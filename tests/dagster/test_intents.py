"""Which runs deliver the same thing again: asked for the way people and the daemon ask, judged by what the store holds.

Each table cell of the intents is one case here: how many materializations and versions there are afterwards, and what
Dagster's own events say about each delivery.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import dagster as dg
import pytest
from deployment import Deployment, Strategy, deployed

from metadata_assets.datasets import key_of
from metadata_assets.event_log import has_refused
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG, EndlessReexecution, first_delivery, repeats
from resources.metadata_store import MetadataStore
from resources.models import Materialization

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own

FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]


class Recorded(NamedTuple):
    """What the store holds of a dataset, or of one of its partitions."""

    materializations: int
    versions: int
    redeliveries: int


@dataclass(frozen=True)
class Bench:
    """A deployment, the store it writes to, and the folder where a test leaves notes for its assets."""

    deployment: Deployment
    store: MetadataStore
    notes: Path

    def fail(self, moment: str) -> None:
        """Have an asset fail once at this moment."""
        (self.notes / f"fail {moment}").touch()

    def records(self, asset: str, partition: str | None = None) -> list[Materialization]:
        return self.store.materializations(key_of(dg.AssetKey(asset), None), partition=partition)

    def recorded(self, asset: str, partition: str | None = None) -> Recorded:
        records = self.records(asset, partition)
        versions = self.store.versions(key_of(dg.AssetKey(asset), None))
        return Recorded(len(records), len(versions), sum(record.redeliveries for record in records))

    def intents(self, asset: str, partition: str | None = None) -> list[str]:
        """The intents that were recorded, the oldest first."""
        return [record.intent for record in reversed(self.records(asset, partition))]

    def replays(self, run: dg.DagsterRun, asset: str) -> list[bool]:
        """What the asset's materialization events of a run say about having been delivered before."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        events = [
            record.event_log_entry.asset_materialization
            for record in self.deployment.instance.get_records_for_run(run.run_id, of_type=kind).records
        ]
        found = [event for event in events if event is not None and event.asset_key == dg.AssetKey(asset)]
        return [bool(event.metadata["metadata_assets/replayed"].value) for event in found]


@pytest.fixture
def make_bench(environment: dict[str, str], stored: MetadataStore, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """A function that deploys the project, whose failed runs the daemon retries so often."""
    with ExitStack() as stack:

        def make(*, retries: int = 0) -> Bench:
            home = Path(environment["DAGSTER_HOME"])
            return Bench(stack.enter_context(deployed(home, "failing.py", retries=retries)), stored, tmp_path)

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """The project, where nobody retries a run but a person."""
    return make_bench()


def test_a_step_that_retries_delivers_again(bench: Bench) -> None:
    bench.fail("persistent after commit")
    run = bench.deployment.launch("persistent")
    assert run.status is SUCCESS
    assert bench.recorded("persistent") == Recorded(1, 1, redeliveries=1)
    assert bench.replays(run, "persistent") == [True], "the attempt that failed before its event had committed"
    assert bench.intents("persistent") == [f"run:{run.run_id}"]


def test_what_a_step_delivered_before_it_failed_is_not_delivered_twice(bench: Bench) -> None:
    bench.fail("halves after the first")
    run = bench.deployment.launch("first", "second")
    assert run.status is SUCCESS
    assert bench.recorded("first") == Recorded(1, 1, redeliveries=1)
    assert bench.replays(run, "first") == [False, True], "Dagster has two events, the store one record"
    assert bench.recorded("second") == Recorded(1, 1, redeliveries=0)
    assert bench.replays(run, "second") == [False]


@pytest.mark.parametrize("strategy", ["FROM_FAILURE", "FROM_ASSET_FAILURE"])
def test_resuming_a_failed_run_delivers_again(bench: Bench, strategy: Strategy) -> None:
    bench.fail("numbers after commit")
    failed = bench.deployment.launch("numbers", "doubled")
    assert failed.status is FAILURE
    assert bench.recorded("numbers") == Recorded(1, 0, redeliveries=0)
    resumed = bench.deployment.reexecute(failed, strategy)
    assert resumed.status is SUCCESS
    assert bench.recorded("numbers") == Recorded(1, 1, redeliveries=1)
    assert bench.replays(resumed, "numbers") == [True]
    assert bench.recorded("doubled") == Recorded(1, 1, redeliveries=0)
    assert bench.intents("doubled") == [f"run:{failed.run_id}"], "asked for by the run that failed"


def test_resuming_twice_still_delivers_the_first_request(bench: Bench) -> None:
    bench.fail("numbers after commit")
    first = bench.deployment.launch("numbers")
    bench.fail("numbers after commit")
    second = bench.deployment.reexecute(first, "FROM_FAILURE")
    third = bench.deployment.reexecute(second, "FROM_FAILURE")
    assert (first.status, second.status, third.status) == (FAILURE, FAILURE, SUCCESS)
    assert bench.recorded("numbers") == Recorded(1, 1, redeliveries=2)


def test_a_person_who_executes_all_again_asks_for_something_new(bench: Bench) -> None:
    bench.fail("numbers after commit")
    failed = bench.deployment.launch("numbers")
    again = bench.deployment.reexecute(failed, "ALL_STEPS")
    assert bench.recorded("numbers") == Recorded(2, 1, redeliveries=0)
    once_more = bench.deployment.reexecute(again, "ALL_STEPS")
    assert bench.recorded("numbers") == Recorded(3, 2, redeliveries=0)
    assert bench.replays(again, "numbers") == bench.replays(once_more, "numbers") == [False]


@pytest.mark.parametrize("downstream", ["succeeds", "fails"])
def test_the_tag_of_an_asset_resume_leaks_and_means_nothing_there(
    bench: Bench, downstream: Literal["succeeds", "fails"]
) -> None:
    bench.fail("numbers after commit")
    failed = bench.deployment.launch("numbers", "doubled")
    if downstream == "fails":
        bench.fail("doubled before commit")
    resumed = bench.deployment.reexecute(failed, "FROM_ASSET_FAILURE")
    assert resumed.status is (SUCCESS if downstream == "succeeds" else FAILURE)
    everything = bench.deployment.reexecute(resumed, "ALL_STEPS")
    assert everything.tags["dagster/is_asset_resume_retry"] == "true", "it leaks, else this test shows nothing"
    assert bench.recorded("numbers") == Recorded(2, 2, redeliveries=1)
    assert bench.replays(everything, "numbers") == [False]


@pytest.mark.parametrize("strategy", ["FROM_FAILURE", "FROM_ASSET_FAILURE", "ALL_STEPS"])
def test_a_run_that_the_daemon_retries_delivers_again(make_bench: Callable[..., Bench], strategy: Strategy) -> None:
    bench = make_bench(retries=2)
    bench.fail("numbers after commit")
    failed = bench.deployment.launch("numbers", tags={"dagster/retry_strategy": strategy})
    bench.fail("numbers after commit")
    retried = bench.deployment.retry(failed)
    retried_again = bench.deployment.retry(retried)
    assert (failed.status, retried.status, retried_again.status) == (FAILURE, FAILURE, SUCCESS)
    assert bench.recorded("numbers") == Recorded(1, 1, redeliveries=2)
    assert bench.replays(retried_again, "numbers") == [True]
    by_hand = bench.deployment.reexecute(retried_again, "ALL_STEPS")
    assert bench.recorded("numbers") == Recorded(2, 2, redeliveries=2)
    assert bench.replays(by_hand, "numbers") == [False]


def test_a_backfill_asks_for_each_partition_once_however_many_runs_it_takes(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(retries=1)
    bench.fail("2026-01-02 after commit")
    backfill = bench.deployment.backfill("days", partitions=DAYS)
    runs = bench.deployment.work_at(backfill)
    assert [run.status for run in runs] == [SUCCESS, FAILURE, SUCCESS]
    retried = bench.deployment.retry(runs[1])
    assert bench.replays(retried, "days") == [True]
    assert bench.recorded("days") == Recorded(3, 3, redeliveries=1)
    assert set(bench.intents("days")) == {f"backfill:{backfill}"}
    by_hand = bench.deployment.reexecute(runs[0], "ALL_STEPS")
    assert by_hand.tags["dagster/backfill"] == backfill, "the tag leaks, else this shows nothing"
    assert bench.intents("days", DAYS[0]) == [f"backfill:{backfill}", f"run:{by_hand.run_id}"]
    another = bench.deployment.backfill("days", partitions=DAYS[:1])
    bench.deployment.work_at(another)
    assert bench.intents("days", DAYS[0])[2:] == [f"backfill:{another}"]


@pytest.mark.parametrize("how", ["by a person", "by the daemon"])
def test_a_backfill_in_one_run_is_one_version_also_when_delivered_again(
    make_bench: Callable[..., Bench], how: Literal["by a person", "by the daemon"]
) -> None:
    bench = make_bench(retries=1)
    bench.fail("together after commit")
    backfill = bench.deployment.backfill("together", partitions=DAYS)
    (failed,) = bench.deployment.work_at(backfill)
    assert failed.status is FAILURE
    if how == "by the daemon":
        again = bench.deployment.retry(failed)
    else:
        again = bench.deployment.reexecute(failed, "FROM_FAILURE")
    assert again.status is SUCCESS
    assert bench.recorded("together") == Recorded(3, 1, redeliveries=3)
    assert bench.replays(again, "together") == [True, True, True]
    assert set(bench.intents("together")) == {f"backfill:{backfill}"}


def test_a_backfill_that_continues_another_delivers_what_that_one_did_not(bench: Bench) -> None:
    bench.fail(f"{DAYS[1]} after commit")
    bench.fail(f"{DAYS[2]} before commit")
    first = bench.deployment.backfill("days", partitions=DAYS)
    bench.deployment.work_at(first)
    bench.deployment.work_at(first)
    assert bench.recorded("days") == Recorded(2, 1, redeliveries=0)
    second = bench.deployment.backfill_again(first, "FROM_FAILURE")
    runs = bench.deployment.work_at(second)
    bench.deployment.work_at(second)
    assert {run.tags["dagster/partition"]: bench.replays(run, "days") for run in runs} == {
        DAYS[1]: [True],
        DAYS[2]: [False],
    }
    assert bench.recorded("days") == Recorded(3, 3, redeliveries=1)
    assert set(bench.intents("days")) == {f"backfill:{first}"}
    third = bench.deployment.backfill_again(second, "ALL_STEPS")
    bench.deployment.work_at(third)
    assert bench.intents("days", DAYS[1]) == [f"backfill:{first}", f"backfill:{third}"]
    assert bench.intents("days", DAYS[2]) == [f"backfill:{first}", f"backfill:{third}"]


def test_a_backfill_done_all_over_asks_again_for_what_was_materialized_only(bench: Bench) -> None:
    bench.fail(f"{DAYS[1]} after commit")
    first = bench.deployment.backfill("days", partitions=DAYS[:2])
    bench.deployment.work_at(first)
    bench.deployment.work_at(first)
    second = bench.deployment.backfill_again(first, "ALL_STEPS")
    bench.deployment.work_at(second)
    assert bench.intents("days", DAYS[0]) == [f"backfill:{first}", f"backfill:{second}"]
    assert bench.intents("days", DAYS[1]) == [f"backfill:{first}"]
    assert bench.recorded("days") == Recorded(3, 3, redeliveries=1)


def test_each_tick_asks_for_something_new(bench: Bench) -> None:
    ticks = [*bench.deployment.tick_schedule("each_minute", minutes=2), *bench.deployment.tick_sensor("asking")]
    assert len(ticks) == 4
    assert bench.intents("numbers") == [f"run:{run.run_id}" for run in ticks]
    assert bench.recorded("numbers") == Recorded(4, 4, redeliveries=0)


def test_a_key_that_the_caller_chose_is_the_intent(bench: Bench) -> None:
    tags = {IDEMPOTENCY_KEY_TAG: "the numbers of January"}
    runs = [bench.deployment.launch("numbers", tags=tags) for _twice in range(2)]
    assert [bench.replays(run, "numbers") for run in runs] == [[False], [True]]
    assert bench.recorded("numbers") == Recorded(1, 1, redeliveries=1)
    assert bench.intents("numbers") == ["key:the numbers of January"]
    bench.deployment.launch("numbers", tags={IDEMPOTENCY_KEY_TAG: "the numbers of February"})
    assert bench.recorded("numbers") == Recorded(2, 2, redeliveries=1)


@pytest.mark.parametrize("how", ["by a person", "by the daemon"])
def test_what_a_blocking_check_refused_is_replaced_by_the_next_try(
    make_bench: Callable[..., Bench], how: Literal["by a person", "by the daemon"]
) -> None:
    bench = make_bench(retries=1)
    refused = bench.deployment.launch("judged")
    assert refused.status is FAILURE
    assert bench.recorded("judged") == Recorded(1, 0, redeliveries=0)
    if how == "by the daemon":
        again = bench.deployment.retry(refused)
    else:
        again = bench.deployment.reexecute(refused, "FROM_FAILURE")
    assert again.status is SUCCESS
    assert bench.recorded("judged") == Recorded(2, 1, redeliveries=0)
    assert bench.replays(again, "judged") == [False]


@pytest.mark.parametrize("strategy", ["FROM_FAILURE", "ALL_STEPS"])
def test_what_a_check_only_warns_of_is_delivered_again(make_bench: Callable[..., Bench], strategy: Strategy) -> None:
    bench = make_bench(retries=1)
    bench.fail("after before commit")
    failed = bench.deployment.launch("warned", "after", tags={"dagster/retry_strategy": strategy})
    assert failed.status is FAILURE
    assert bench.recorded("warned") == Recorded(1, 1, redeliveries=0), "a warning does not keep it from being published"
    again = bench.deployment.retry(failed)
    assert again.status is SUCCESS
    assert bench.recorded("warned") == Recorded(1, 1, redeliveries=1)
    assert bench.replays(again, "warned") == [True]


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        ([dg.AssetCheckResult(passed=True)], False),
        ([dg.AssetCheckResult(passed=False)], True),
        ([dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)], False),
        ([dg.AssetCheckResult(passed=False), dg.AssetCheckResult(passed=True)], False),
        ([dg.AssetCheckResult(passed=True), dg.AssetCheckResult(passed=False)], True),
    ],
    ids=["passed", "failed", "warned", "passed after a retry", "failed after a retry"],
)
def test_the_latest_error_of_a_blocking_check_refuses(found: list[dg.AssetCheckResult], refused: bool) -> None:
    left = list(found)

    @dg.asset(
        check_specs=[dg.AssetCheckSpec("own", asset="data", blocking=True)],
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def data() -> Iterator[Any]:
        yield dg.Output(1)
        yield left.pop(0)
        if left:
            raise ConnectionError

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([data], instance=instance, raise_on_error=False)
        assert not left
        assert has_refused(instance, run.run_id, dg.AssetKey("data")) is refused


def test_a_run_whose_parent_was_deleted_is_judged_by_its_own_tags(bench: Bench) -> None:
    bench.fail("numbers after commit")
    failed = bench.deployment.launch("numbers")
    again = bench.deployment.queue_again(failed, "FROM_FAILURE")
    bench.deployment.instance.delete_run(failed.run_id)
    assert bench.deployment.finish(again).status is SUCCESS
    assert bench.recorded("numbers") == Recorded(1, 1, redeliveries=1)


class Case(NamedTuple):
    """A run and its parent, and whether the run delivers the parent's request again."""

    why: str
    again: bool
    tags: dict[str, str] = {}
    parent_tags: dict[str, str] = {}
    parent_status: dg.DagsterRunStatus | None = FAILURE
    materialized: bool = False
    refused: bool = False


RESUMED = {"dagster/is_resume_retry": "true"}
ASSET_RESUMED = {"dagster/is_asset_resume_retry": "true"}
RETRIED = {"dagster/auto_retry_run_id": "the run"}
LOST = None
CASES = [
    Case("executed again by a person", again=False),
    Case("executed again by a person after a success", again=False, parent_status=SUCCESS),
    Case("resumed", again=True, tags=RESUMED),
    Case("resumed after what it delivered", again=True, tags=RESUMED, materialized=True),
    Case("resumed after a refusal", again=False, tags=RESUMED, refused=True),
    Case("a cancelled run resumed", again=True, tags=RESUMED, parent_status=dg.DagsterRunStatus.CANCELED),
    Case("a resume that is none", again=False, tags={"dagster/is_resume_retry": "false"}),
    Case("retried by the daemon", again=True, parent_tags=RETRIED),
    Case("retried by the daemon after a refusal", again=False, parent_tags=RETRIED, refused=True),
    Case("the daemon retried another", again=False, parent_tags={"dagster/auto_retry_run_id": "another"}),
    Case("a leaked number of retries", again=False, tags={"dagster/retry_number": "1"}),
    Case("assets resumed", again=True, tags=ASSET_RESUMED),
    Case("assets resumed after this one", again=False, tags=ASSET_RESUMED, materialized=True),
    Case("a leaked asset resume", again=False, tags=ASSET_RESUMED, parent_status=SUCCESS),
    Case("a lost parent", again=False, parent_status=LOST),
    Case("resumed, a lost parent", again=True, tags=RESUMED, parent_status=LOST),
    Case("assets resumed, a lost parent", again=True, tags=ASSET_RESUMED, parent_status=LOST),
    Case("retried by the daemon, a lost parent", again=True, tags={"dagster/retry_number": "1"}, parent_status=LOST),
]


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_what_repeats_its_parent(case: Case) -> None:
    run = dg.DagsterRun(job_name="job", run_id="the run", tags=case.tags)
    parent = None
    if case.parent_status is not LOST:
        parent = dg.DagsterRun(job_name="job", run_id="parent", tags=case.parent_tags, status=case.parent_status)
    found = repeats(run, parent, materialized=lambda: case.materialized, refused=lambda: case.refused)
    assert found is case.again


def test_a_chain_of_resumed_runs_leads_to_the_one_that_was_asked() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [instance.add_run(_resumed(f"run {number}", f"run {number - 1}")) for number in range(1, 4)]
        asked = instance.add_run(dg.DagsterRun(job_name="job", run_id="run 0", status=FAILURE))
        assert first_delivery(instance, runs[-1], dg.AssetKey("a"), None) == ("run 0", asked)


def test_a_chain_without_an_end_is_refused() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run, _other = [instance.add_run(_resumed(*ids)) for ids in (("a", "b"), ("b", "a"))]
        with pytest.raises(EndlessReexecution):
            first_delivery(instance, run, dg.AssetKey("a"), None)


def _resumed(run_id: str, parent_id: str) -> dg.DagsterRun:
    links = {"parent_run_id": parent_id, "root_run_id": "run 0"}
    return dg.DagsterRun(job_name="job", run_id=run_id, tags=RESUMED, status=FAILURE, **links)
