"""All that we use of Dagster below its public API, in one place: what an upgrade may break, breaks here.

Written for dagster 1.13; `tests/dagster/test_private_api.py` names what is gone after an upgrade.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.storage.tags import (
    ASSET_RESUME_RETRY_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    PARENT_BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils.schedules import is_valid_cron_schedule

__all__ = [
    "ASSET_RESUME_RETRY_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "BACKFILL_ID_TAG",
    "PARENT_BACKFILL_ID_TAG",
    "PARENT_RUN_ID_TAG",
    "RESUME_RETRY_TAG",
    "RETRY_NUMBER_TAG",
    "ConfigurableClassData",
    "Evaluation",
    "Step",
    "current_step",
    "evaluations_after",
    "evaluations_in",
    "has_materialized",
    "has_refused",
    "is_valid_cron_schedule",
    "location_of",
    "log_of_run",
    "logged_after",
    "materialized_in",
    "parents_of",
    "planned_in",
    "report_only",
    "storage_of",
    "upstream_partitions",
    "was_materialized_in",
]

_PAGE = 5_000
"""How many events of a run are read at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """The step that is executing in this thread."""

    context: dg.AssetExecutionContext | dg.OpExecutionContext

    @property
    def run(self) -> dg.DagsterRun:
        return self.context.run

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.context.instance

    @property
    def key(self) -> str:
        return self._op.get_step_execution_context().step.key

    @property
    def retry_number(self) -> int:
        return self._op.retry_number

    @property
    def identity(self) -> tuple[str, str, int]:
        """What tells this attempt from every other one: run, step, retry."""
        return self.run.run_id, self.key, self.retry_number

    @property
    def asset_graph(self) -> Any:
        """The graph of the job's assets, those that it does not execute included."""
        return self._op.job_def.asset_layer.asset_graph

    @property
    def checked(self) -> frozenset[dg.AssetKey]:
        """The assets whose checks this step evaluates, and which another step materializes."""
        layer = self._op.job_def.asset_layer
        assets = layer.get_assets_def_for_node(self._op.get_step_execution_context().node_handle)
        return frozenset(one.asset_key for one in assets.check_keys) - assets.keys if assets else frozenset()

    @property
    def produced(self) -> Mapping[dg.AssetKey, Mapping[str, Any]]:
        """The assets that this step makes, with what their definitions say about them."""
        layer = self._op.job_def.asset_layer
        assets = layer.get_assets_def_for_node(self._op.get_step_execution_context().node_handle)
        return {key: self.asset_graph.get(key).metadata for key in assets.keys} if assets else {}

    def checks(self, asset_key: dg.AssetKey) -> tuple[Sequence[dg.AssetCheckSpec], bool]:
        """The checks of an asset, and whether these are all: else only those that the run was asked for are known."""
        repository = self._op.get_step_execution_context()._execution_data.repository_def
        graphs = [self.asset_graph, *([repository.asset_graph] if repository else ())]
        found = {key: graph for graph in graphs for key in graph.asset_check_keys if key.asset_key == asset_key}
        return [graph.get_check_spec(key) for key, graph in sorted(found.items(), key=str)], repository is not None

    def partitions_asked_for(self, context: dg.InputContext) -> Sequence[str] | None:
        """The partitions of a checked asset that the run names; None for all, and where it has no partitions.

        Dagster gives a check that is not partitioned every partition of its asset, whatever the run is about.
        """
        if context.has_asset_partitions and self._op.has_partition_key:
            return [self._op.partition_key]
        if context.has_asset_partitions and self._op.has_partition_key_range:
            return context.asset_partitions_def.get_partition_keys_in_range(self._op.partition_key_range)
        return None

    def noted(self, asset_key: dg.AssetKey, partition: str | None) -> Mapping[str, Any]:
        """What the step added to an asset's metadata so far, or to that of one partition."""
        return self._op.get_step_execution_context().get_asset_metadata(asset_key, partition) or {}

    @property
    def asset_context(self) -> dg.AssetExecutionContext:
        """The same step, where it is known to materialize assets."""
        assert isinstance(self.context, dg.AssetExecutionContext)
        return self.context

    @property
    def _op(self) -> dg.OpExecutionContext:
        context = self.context
        return context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context


def current_step() -> Step:
    """The step that is executing in this thread, an asset's or an op's."""
    try:
        return Step(dg.AssetExecutionContext.get())
    except dg.DagsterInvariantViolationError:
        return Step(dg.OpExecutionContext.get())


def upstream_partitions(
    step: Step, asset_key: dg.AssetKey, partition: str | None
) -> Mapping[dg.AssetKey, Sequence[str]]:
    """The partitions of its parents that one partition of an asset is made from, by partition mapping."""
    parents = step.asset_graph.get_parents_partitions(asset_key, partition).parent_partitions
    found: dict[dg.AssetKey, list[str]] = {}
    for parent in sorted(parents):
        if parent.partition_key is not None:
            found.setdefault(parent.asset_key, []).append(parent.partition_key)
    return found


def parents_of(step: Step, asset_key: dg.AssetKey) -> Collection[dg.AssetKey]:
    """The assets that one asset of the step is declared to be made from, its own other partitions included."""
    return {asset_key, *step.asset_graph.get(asset_key).parent_keys}


def report_only(output: dg.OutputContext, partitions: Collection[str | None]) -> None:
    """Let Dagster report a materialization of these partitions only; of nothing when there are none.

    Dagster reports every partition of the run as soon as the output was handled, and it skips the steps downstream of
    an output that was not yielded, also those that can do without it. So the output is yielded and its report cut.
    """
    if not partitions:
        output._asset_key = None
    elif output.has_asset_partitions:
        present = [partition for partition in partitions if partition is not None]
        output._asset_partitions_subset = output.asset_partitions_def.subset_with_partition_keys(present)


def was_materialized_in(backfill: Any, asset_graph: Any, asset_key: dg.AssetKey, partition: str | None) -> bool:
    """Whether an asset backfill has materialized this partition."""
    done = backfill.get_asset_backfill_data(asset_graph).materialized_subset
    return AssetKeyPartitionKey(asset_key, partition) in done


def has_materialized(instance: dg.DagsterInstance, run_id: str, asset_key: dg.AssetKey, partition: str | None) -> bool:
    """Whether a run's event log has a materialization of this partition."""
    return any(
        event.asset_key == asset_key and event.partition == partition
        for event in _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    )


def has_refused(instance: dg.DagsterInstance, run_id: str, asset_key: dg.AssetKey) -> bool:
    """Whether a blocking check of the asset keeps it from being published by what it found last in a run.

    It failed, and not only with severity WARN.
    """
    found = [one.found for one in evaluations_in(instance, run_id) if one.found.asset_key == asset_key]
    latest = {(one.check_name, one.partition): one for one in found}
    return any(
        one.blocking and not one.passed and one.severity is dg.AssetCheckSeverity.ERROR for one in latest.values()
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a check as the event log has it: its number there, its run, and when the worker wrote it."""

    number: int
    run_id: str
    at: float
    found: dg.AssetCheckEvaluation


def evaluations_in(instance: dg.DagsterInstance, run_id: str) -> list[Evaluation]:
    """The evaluations of a run so far."""
    return [
        Evaluation(number, run_id, at, event.asset_check_evaluation_data)
        for number, at, event in _entries(instance, run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]


def evaluations_after(instance: dg.DagsterInstance, number: int, *, limit: int) -> list[Evaluation]:
    """The evaluations of all runs with numbers larger than one, in their order; at most so many.

    A number is drawn before its event is there, so a smaller one may still come after a larger one.
    """
    found = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=number, dagster_event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, limit=limit
    )
    return [
        Evaluation(at, entry.run_id, entry.timestamp, entry.dagster_event.asset_check_evaluation_data)
        for at, entry in sorted(found.items())
        if entry.dagster_event is not None
    ]


def planned_in(instance: dg.DagsterInstance, run_id: str) -> frozenset[dg.AssetKey]:
    """The assets that a run was asked to materialize, whatever came of it."""
    planned = _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return frozenset(event.asset_key for event in planned if event.asset_key is not None)


def materialized_in(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[dg.AssetKey, Mapping[str, Any]]]:
    """What a run materialized so far: each asset with the metadata of its event."""
    for event in _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = event.step_materialization_data.materialization
        yield made.asset_key, made.metadata


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
    return (event for _number, _at, event in _entries(instance, run_id, kind))


def _entries(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> Iterator[tuple[int, float, dg.DagsterEvent]]:
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=kind)
        for record in page.records:
            if record.event_log_entry.dagster_event is not None:
                yield record.storage_id, record.timestamp, record.event_log_entry.dagster_event
        if not page.has_more:
            return
        cursor = page.cursor


def storage_of(instance: dg.DagsterInstance) -> str:
    """What tells the storage of runs from every other one, for as long as it exists."""
    storage: Any = instance.run_storage  # each that keeps runs in SQL has an id
    identifier: str = storage.get_run_storage_id()
    return identifier


def logged_after(instance: dg.DagsterInstance, after: int, *, limit: int) -> Mapping[int, str]:
    """The ids of the next events of all runs that are visible now, in their order, each with its run.

    An id is drawn before its event is committed: one that is visible later may be smaller than one that is now.
    """
    entries = instance.event_log_storage.get_logs_for_all_runs_by_log_id(after_cursor=after, limit=limit)
    return {number: entry.run_id for number, entry in sorted(entries.items())}


def log_of_run(
    instance: dg.DagsterInstance, run_id: str, kinds: Collection[dg.DagsterEventType]
) -> Iterator[dg.EventLogEntry]:
    """The events of one run of some kinds, in the order of their ids."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=set(kinds), limit=_PAGE)
        yield from (record.event_log_entry for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that a run was launched from; None where it was executed without one."""
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin is not None else None
