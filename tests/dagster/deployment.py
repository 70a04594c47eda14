"""A deployment as people and Dagster's daemon use it: runs are asked for through GraphQL and executed in this process.

What is taken from Dagster below its public API is what the webserver and the daemon themselves call, so that every tag
of a run is the one that Dagster sets.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.monitoring.run_monitoring import monitor_started_run, monitor_starting_run
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

PROJECTS = Path(__file__).parent / "projects"
IN_THIS_PROCESS = ("dagster._core.launcher.sync_in_memory_run_launcher", "SyncInMemoryRunLauncher")
SETTINGS = """
run_launcher:
  module: {module}
  class: {name}
run_retries:
  enabled: true
  max_retries: {retries}
run_monitoring:
  start_timeout_seconds: 1
"""
Strategy = Literal["FROM_FAILURE", "FROM_ASSET_FAILURE", "ALL_STEPS"]
LOG = logging.getLogger("deployment")

_LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_REEXECUTE = """
mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_BACKFILL_AGAIN = """
mutation($params: ReexecutionParams!) { reexecutePartitionBackfill(reexecutionParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


@dataclass(frozen=True)
class Deployment:
    """One code location and whoever asks it for runs. What is asked for is queued, and executed before the answer."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def launch(
        self, *assets: str, tags: Mapping[str, str] = MappingProxyType({}), checks: Sequence[str] | None = None
    ) -> dg.DagsterRun:
        """What "Materialize" does: with the checks of the assets, or with those of the asset "data" that are named."""
        named = [{"assetKey": {"path": ["data"]}, "name": name} for name in checks or ()]
        selected = {"assetSelection": _keys(assets), **({} if checks is None else {"assetCheckSelection": named})}
        params = {
            "selector": {**self._repository, "pipelineName": "__ASSET_JOB", **selected},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        return self.finish(self._ask("launchRun", _LAUNCH, params)["run"]["runId"])

    def launch_job(self, name: str) -> dg.DagsterRun:
        """What "Launch run" of a job does."""
        params = {"selector": {**self._repository, "pipelineName": name}}
        return self.finish(self._ask("launchRun", _LAUNCH, params)["run"]["runId"])

    def queue(self, *assets: str, tags: Mapping[str, str] = MappingProxyType({})) -> dg.DagsterRun:
        """What "Materialize" does, without waiting for its turn."""
        params = {
            "selector": {**self._repository, "pipelineName": "__ASSET_JOB", "assetSelection": _keys(assets)},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        return self.run(self._ask("launchRun", _LAUNCH, params)["run"]["runId"])

    def reexecute(self, run: dg.DagsterRun, strategy: Strategy) -> dg.DagsterRun:
        """What the menu "Re-execute" does."""
        return self.finish(self.queue_again(run, strategy))

    def queue_again(self, run: dg.DagsterRun, strategy: Strategy) -> str:
        """The same, without waiting for its turn; the id of the queued run."""
        params = {"parentRunId": run.run_id, "strategy": strategy, "useParentRunTags": True}
        found: str = self._ask("launchRunReexecution", _REEXECUTE, params)["run"]["runId"]
        return found

    def retry(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """What the daemon does about a failed run."""
        return self.finish(self.queue_retry(run) or "")

    def queue_retry(self, run: dg.DagsterRun) -> str | None:
        """The same, without waiting for its turn; the id of the queued run, None when there were enough retries."""
        records = self.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        _exhaust(consume_new_runs_for_automatic_reexecution(self.workspace, records, LOG))
        return self.run(run.run_id).tags.get("dagster/auto_retry_run_id")

    def monitor(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """What the daemon does about a run whose worker may be lost."""
        (record,) = self.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        if record.dagster_run.status is dg.DagsterRunStatus.STARTING:
            monitor_starting_run(self.instance, record, LOG)
            return self.run(run.run_id)
        monitor_started_run(self.instance, self.workspace.create_request_context(), record, LOG)
        return self.run(run.run_id)

    def backfill(self, *assets: str, partitions: Sequence[str]) -> str:
        """Ask for a backfill; its id."""
        params = {"assetSelection": _keys(assets), "partitionNames": list(partitions)}
        found: str = self._ask("launchPartitionBackfill", _BACKFILL, params)["backfillId"]
        return found

    def backfill_again(self, backfill_id: str, strategy: Strategy) -> str:
        """What the menu "Re-execute" of a finished backfill does; the id of the new one."""
        params = {"parentRunId": backfill_id, "strategy": strategy}
        found: str = self._ask("reexecutePartitionBackfill", _BACKFILL_AGAIN, params)["backfillId"]
        return found

    def work_at(self, backfill_id: str) -> list[dg.DagsterRun]:
        """One round of the daemon's work at a backfill; all its runs so far, the oldest first."""
        self.plan_backfills()
        return self._work_off({"dagster/backfill": backfill_id})

    def plan_backfills(self) -> None:
        """One round of the daemon's work at backfills: what they ask for next is queued."""
        _exhaust(execute_backfill_iteration(self.workspace, LOG))

    def tick_schedule(self, name: str, *, minutes: int) -> list[dg.DagsterRun]:
        """Start a schedule and let the next minutes pass; what it asked for, the oldest first."""
        (schedule,) = [one for one in self._definitions.get_schedules() if one.name == name]
        begun = datetime.now(UTC).replace(second=30, microsecond=0)  # far from where one minute becomes the next
        with freeze_time(begun):
            self.instance.start_schedule(schedule)
        for minute in range(1, minutes + 1):
            _exhaust(launch_scheduled_runs(self.workspace, LOG, begun + timedelta(minutes=minute), {}))
        self.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
        return self._work_off({"dagster/schedule_name": name})

    def look_at_conditions(self, *, minute: int) -> list[dg.DagsterRun]:
        """Let the daemon ask the automation conditions once, so many minutes from now; all that they asked for ever."""
        daemon = AssetDaemon(settings={}, pre_sensor_interval_seconds=30)
        with freeze_time(datetime.now(UTC) + timedelta(minutes=minute)):
            daemon._run_iteration_impl(self.workspace, None, {}, {})
        return self._work_off({"dagster/from_automation_condition": "true"})

    def tick_sensor(self, name: str) -> list[dg.DagsterRun]:
        """Start a sensor and let the daemon look at it once; what it asked for, the oldest first."""
        (sensor,) = [one for one in self._definitions.get_sensors() if one.name == name]
        self.instance.start_sensor(sensor)
        _exhaust(execute_sensor_iteration(self.workspace, LOG, None, None))
        self.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
        return self._work_off({"dagster/sensor_name": name})

    def finish(self, run_id: str) -> dg.DagsterRun:
        """Launch a queued run, as the daemon that empties the queue does; the run as it is after that."""
        self.instance.launch_run(run_id, self.workspace.create_request_context())
        return self.run(run_id)

    def run(self, run_id: str) -> dg.DagsterRun:
        """A run as it is now."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    @property
    def name(self) -> str:
        """What the code location is called."""
        (location,) = self.workspace.create_request_context().code_locations
        return location.name

    @property
    def _definitions(self) -> RemoteRepository:
        (location,) = self.workspace.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        return repository

    @property
    def _repository(self) -> dict[str, str]:
        handle = self._definitions.handle
        return {"repositoryLocationName": handle.location_name, "repositoryName": handle.repository_name}

    def _ask(self, name: str, query: str, params: dict[str, Any]) -> Any:
        from dagster_graphql.test.utils import execute_dagster_graphql  # most tests ask nothing

        context = self.workspace.create_request_context()
        answer = execute_dagster_graphql(context, query, {"params": params}).data[name]
        assert "Success" in answer["__typename"], answer
        return answer

    def _work_off(self, tags: dict[str, str]) -> list[dg.DagsterRun]:
        for run in self.instance.get_runs(
            dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.QUEUED]), ascending=True
        ):
            self.finish(run.run_id)
        return list(self.instance.get_runs(dg.RunsFilter(tags=tags), ascending=True))


def _exhaust(work: Iterable[Any]) -> None:
    """Let a generator of the daemon run to its end; what it yields are heartbeats and errors."""
    for error in work:
        assert error is None, error


def _keys(assets: Sequence[str]) -> list[dict[str, list[str]]]:
    """Names as people write them: lake/nyc/flights."""
    return [{"path": asset.split("/")} for asset in assets]


@contextmanager
def deployed(
    home: Path, project: str, *, launcher: tuple[str, str] = IN_THIS_PROCESS, retries: int = 0
) -> Iterator[Deployment]:
    """The code location of a file in `projects`, or of the file at a path, on the instance of DAGSTER_HOME.

    `launcher` is the module and the class that executes runs, `retries` how often the daemon retries a failed one.
    """
    module, name = launcher
    with (home / "dagster.yaml").open("a") as file:
        file.write(SETTINGS.format(module=module, name=name, retries=retries))
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, python_file=str(PROJECTS / project)),
        location_name=Path(project).name,
    )
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
    ):
        yield Deployment(instance, workspace)
