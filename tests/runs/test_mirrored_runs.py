"""What Dagster runs is recorded as runs, steps and attempts, whatever stores their data, and however they end."""

import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from deployment import PROJECTS, Deployment, deployed
from run_processes import WORKERS
from store_inputs import Counts

from metadata_assets.mirror import runs as mirroring
from metadata_assets.mirror.run_events import attempt_facts, run_fact
from metadata_assets.mirror.runs import MirroredRuns, Position, content_of, mirror_runs
from resources.metadata_store import MetadataStore
from resources.runs import RunSummary, TaskAttempt

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own

FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
PROCESSES = ("run_processes", "ProcessRunLauncher")


@pytest.fixture
def deployment(environment: dict[str, str]) -> Iterator[Deployment]:
    with deployed(Path(environment["DAGSTER_HOME"]), "ran.py") as found:
        yield found


@pytest.fixture
def look_at_log(stored: MetadataStore) -> Callable[[Deployment], MirroredRuns]:
    """A function that mirrors what there is of this project."""
    return lambda deployment: mirror_runs(stored, deployment.instance, location="ran.py")


def attempts(store: MetadataStore, run: dg.DagsterRun) -> dict[str, list[TaskAttempt]]:
    return {task.step_key: list(task.attempts) for task in store.run(run.run_id).tasks}


def tick_again(deployment: Deployment) -> None:
    time.sleep(1)  # the daemon leaves a sensor alone until its interval is over
    deployment.tick_sensor("mirror_runs")


def summary(store: MetadataStore, run: dg.DagsterRun) -> RunSummary:
    return store.run(run.run_id).summary


def test_a_sensor_records_every_step_and_says_what_failed_and_why(
    deployment: Deployment, stored: MetadataStore, environment: dict[str, str], counts: Counts
) -> None:
    (Path(environment["METADATA_PROJECT"]) / "fail once").touch()
    run = deployment.launch("well", "broken", "after_it", "persistent")
    assert deployment.tick_sensor("mirror_runs") == []
    found = attempts(stored, run)
    assert {step: [one.status for one in tried] for step, tried in found.items()} == {
        "well": ["succeeded"],
        "broken": ["failed"],
        "persistent": ["failed", "succeeded"],
    }
    failed = found["broken"][0]
    assert failed.failure_class == "ValueError"
    assert failed.failure_reason == "no data from postgresql://***@db/x"
    assert (found["persistent"][0].failure_class, found["persistent"][0].failure_reason) == ("TimeoutError", "once")
    assert all(one.started_at and one.ended_at and one.started_at <= one.ended_at for one in found["persistent"])
    seen = summary(stored, run)
    assert (seen.status, seen.name, seen.code_location) == ("failed", "__ASSET_JOB", "ran.py")
    (version,) = stored.dag_versions("ran.py")
    assert seen.dag_version == version.id
    before = counts()
    tick_again(deployment)
    assert counts() == before, "a tick that finds nothing new writes nothing"


def test_the_version_of_a_location_is_what_it_defines(deployment: Deployment, stored: MetadataStore) -> None:
    def repository(*extra: Any, code: str | None = None) -> dg.RepositoryDefinition:
        @dg.asset(code_version=code)
        def one() -> None: ...

        return dg.Definitions(assets=[one], jobs=list(extra)).get_repository_def()

    @dg.op
    def step() -> None: ...

    @dg.job
    def job() -> None:
        step()

    assert content_of(repository()) == content_of(repository())
    assert len({content_of(one) for one in (repository(), repository(code="2"), repository(job))}) == 3
    deployment.tick_sensor("mirror_runs")
    (before,) = [one for one in stored.dag_versions("ran.py") if one.until is None]
    stored.activate_dag("ran.py", b"x" * 32, {})
    tick_again(deployment)
    assert stored.dag_versions("ran.py")[0].id == before.id


def test_ops_of_plain_jobs_are_recorded(
    deployment: Deployment, stored: MetadataStore, look_at_log: Callable[[Deployment], MirroredRuns]
) -> None:
    assert PROJECTS
    run = deployment.launch_job("plain_ops")
    look_at_log(deployment)
    assert look_at_log(deployment).runs == 0, "what was seen is not read again"
    found = attempts(stored, run)
    assert [one.status for one in found["counting"]] == ["succeeded"]
    assert (found["told"][0].failure_class, found["told"][0].failure_reason) == ("Failure", "told so 1")


def test_a_run_that_was_killed_ends_lost_when_dagster_gives_it_up(
    environment: dict[str, str], stored: MetadataStore, look_at_log: Callable[[Deployment], MirroredRuns]
) -> None:
    (Path(environment["METADATA_PROJECT"]) / "die").touch()
    with deployed(Path(environment["DAGSTER_HOME"]), "ran.py", launcher=PROCESSES) as deployment:
        try:
            run = deployment.launch("mortal")
            assert WORKERS.by_run[run.run_id].ended() == -signal.SIGKILL
            look_at_log(deployment)
            assert [one.status for one in attempts(stored, run)["dying"]] == ["running"]
            assert deployment.monitor(run).status is FAILURE
        finally:
            WORKERS.end()
        look_at_log(deployment)
        (attempt,) = attempts(stored, run)["dying"]
        assert (attempt.status, attempt.failure_class) == ("lost", "RunLost")
        seen = summary(stored, run)
        assert seen.status == "failed"
        assert seen.failure_reason
        assert run.run_id in [one.run_id for one in stored.attempts_lost(limit=1000)]


def test_a_run_that_is_deleted_is_lost(
    deployment: Deployment, stored: MetadataStore, look_at_log: Callable[[Deployment], MirroredRuns]
) -> None:
    run = deployment.queue("well")
    look_at_log(deployment)
    assert summary(stored, run).status == "queued"
    deployment.instance.delete_run(run.run_id)
    look_at_log(deployment)
    assert (summary(stored, run).status, summary(stored, run).failure_class) == ("lost", "RunGone")


def test_events_that_become_visible_late_or_not_at_all_are_found(
    deployment: Deployment,
    stored: MetadataStore,
    look_at_log: Callable[[Deployment], MirroredRuns],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ids are drawn before events are committed: a later one may be seen first."""
    real = mirroring.logged_after
    hidden: set[str] = set()

    def without(*args: Any, **options: Any) -> dict[int, str]:
        return {number: run for number, run in real(*args, **options).items() if run not in hidden}

    monkeypatch.setattr(mirroring, "logged_after", without)
    late = deployment.launch("well")
    hidden.add(late.run_id)
    deployment.launch("persistent")
    look_at_log(deployment)
    hidden.clear()
    look_at_log(deployment)
    assert summary(stored, late).status == "succeeded", "found in the overlap"

    run = deployment.queue("well")
    look_at_log(deployment)
    deployment.finish(run.run_id)
    hidden.add(run.run_id)
    look_at_log(deployment)
    assert [one.status for one in attempts(stored, run)["well"]] == ["succeeded"], "its run was asked after"


def test_facts_of_a_log_add_up_in_any_order(deployment: Deployment, stored: MetadataStore, counts: Counts) -> None:
    run = deployment.launch("well", "broken", "after_it", "persistent")
    (record,) = deployment.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    events = [one.event_log_entry for one in deployment.instance.get_records_for_run(run.run_id).records]
    facts = attempt_facts(run.run_id, events)
    stored.record_runs("here", [run_fact(record, None, events)], facts)
    first, before = stored.run(run.run_id), counts()
    again = facts * 2
    random.Random(1).shuffle(again)
    for one in again:
        stored.record_runs("here", [], [one])
    assert stored.run(run.run_id) == first
    assert counts() == before


def test_a_run_of_another_location_is_not_taken(deployment: Deployment, stored: MetadataStore) -> None:
    run = deployment.launch("well")
    mirror_runs(stored, deployment.instance, location="elsewhere")
    assert run.run_id not in [one.run_id for one in stored.runs(limit=1000)]


def test_a_long_log_is_read_in_several_looks(
    deployment: Deployment, stored: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mirror_runs(stored, deployment.instance).complete, "what other tests left in the log"
    monkeypatch.setattr(mirroring, "PAGE", 3)
    monkeypatch.setattr(mirroring, "OVERLAP", 2)
    run = deployment.launch("well")
    moments = itertools.count()
    looks = 1
    while not mirror_runs(stored, deployment.instance, seconds=2, clock=lambda: next(moments)).complete:
        looks += 1
    assert looks > 2
    assert summary(stored, run).status == "succeeded"


def test_a_position_remembers_what_is_just_behind_it() -> None:
    position = Position().advanced([5, 9])
    assert position == Position(9, frozenset({5, 9}))
    assert Position.parse(position.kept()) == position
    far = position.advanced([9 + mirroring.OVERLAP])
    assert far.seen == {9 + mirroring.OVERLAP}
    assert far.since == 9
    assert far.advanced([]) == far
