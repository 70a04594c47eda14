"""A backfill whose runs are executed by workers that get killed, until Dagster has what it asked for."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.execution.stats import StepEventStatus
from deployment import Deployment
from year_pool import Pool

from identity.keys import CanonicalKey, short_name

SUCCESS, QUEUED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.QUEUED
_RANGE = "dagster/asset_partition_range_"


@dataclass
class Backfilled:
    """What it took."""

    runs: int = 0
    kills: int = 0
    given_up: int = 0
    """Runs that had begun and whose worker was gone."""
    only_the_end_missing: int = 0
    """Of these, runs whose steps had all succeeded: there is nothing to do again."""
    retried: int = 0
    reexecuted: int = 0
    failed_by_themselves: int = 0
    status: str = ""
    seconds: float = 0.0


def backfill(deployment: Deployment, dataset: CanonicalKey, days: Sequence[str], pool: Pool) -> Backfilled:
    """Ask Dagster for a backfill, and execute what it queues until every day is there."""
    found, begun = Backfilled(), time.monotonic()
    backfill_id = deployment.backfill(short_name(dataset), partitions=days)
    for _round in range(10):
        deployment.plan_backfills()
        tags = dg.RunsFilter(tags={"dagster/backfill": backfill_id}, statuses=[QUEUED])
        _execute(deployment, [run.run_id for run in deployment.instance.get_runs(tags, ascending=True)], pool, found)
        asked = deployment.instance.get_backfill(backfill_id)
        assert asked is not None
        if asked.status is not BulkActionStatus.REQUESTED:
            break
    found.status, found.kills, found.seconds = asked.status.value, pool.kills, round(time.monotonic() - begun, 1)
    return found


def rematerialize(deployment: Deployment, dataset: CanonicalKey, days: Sequence[str], pool: Pool) -> Backfilled:
    """Ask for a range of days in one run, and execute it until it is there: one version."""
    found, begun = Backfilled(), time.monotonic()
    tags = {f"{_RANGE}start": days[0], f"{_RANGE}end": days[-1]}
    _execute(deployment, [deployment.queue(short_name(dataset), tags=tags).run_id], pool, found)
    found.kills, found.seconds = pool.kills, round(time.monotonic() - begun, 1)
    return found


def _execute(deployment: Deployment, queued: Sequence[str], pool: Pool, found: Backfilled) -> None:
    """Execute runs, and again what failed, until all have succeeded."""
    todo = deque(queued)
    while todo or pool.busy:
        while todo and pool.has_room():
            deployment.finish(todo.popleft())
            found.runs += 1
        for run_id in pool.ended():
            run = deployment.run(run_id)
            if not run.is_finished:
                found.given_up += 1
                run = _given_up(deployment, run)
            elif run.status is not SUCCESS:
                found.failed_by_themselves += 1
            if run.status is not SUCCESS and _is_left(deployment, run):
                todo.append(_again(deployment, run, found))
            elif run.status is not SUCCESS:
                found.only_the_end_missing += 1


def _is_left(deployment: Deployment, run: dg.DagsterRun) -> bool:
    """Whether a failed run has a step that did not succeed: Dagster refuses to re-execute one that has none."""
    steps = deployment.instance.get_run_step_stats(run.run_id)
    return not steps or any(one.status is not StepEventStatus.SUCCESS for one in steps)


def _given_up(deployment: Deployment, run: dg.DagsterRun) -> dg.DagsterRun:
    """What run monitoring makes of a run whose worker is dead; one that had not begun is waited for, for a second."""
    until = time.monotonic() + 60
    while not (run := deployment.monitor(run)).is_finished:
        assert time.monotonic() < until, f"run {run.run_id} is not given up"
        time.sleep(0.05)
    return run


def _again(deployment: Deployment, run: dg.DagsterRun, found: Backfilled) -> str:
    """The daemon retries what failed once; a person re-executes what failed again."""
    retry = deployment.queue_retry(run)
    if retry is not None:
        found.retried += 1
        return retry
    found.reexecuted += 1
    return deployment.queue_again(run, "FROM_FAILURE")
