"""All that we use of Dagster below its public API, in one place: what an upgrade may break, breaks here.

Written for dagster 1.13; `tests/dagster/test_private_api.py` names what is gone after an upgrade.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.plan.compute_generator import validate_and_coerce_op_result_to_iterator
from dagster._core.execution.plan.outputs import StepOutputHandle
from dagster._core.storage.event_log import AssetKeyTable, SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.schema import AssetEventTagsTable
from dagster._core.storage.tags import (
    ASSET_RESUME_RETRY_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    PARENT_BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
)
from dagster._record import as_dict as as_dict
from dagster._record import is_record as is_record
from dagster._serdes import ConfigurableClassData
from dagster._utils.schedules import is_valid_cron_schedule

__all__ = [
    "ASSET_RESUME_RETRY_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "BACKFILL_ID_TAG",
    "NO_VALUE",
    "PARENT_BACKFILL_ID_TAG",
    "PARENT_RUN_ID_TAG",
    "RESUME_RETRY_TAG",
    "RETRY_NUMBER_TAG",
    "ConfigurableClassData",
    "DecoratedOpFunction",
    "Step",
    "current_step",
    "is_valid_cron_schedule",
    "last_observed",
    "location_of",
    "output_named",
    "parents_of",
    "report_only",
    "running_step",
    "upstream_partitions",
    "was_materialized_in",
]

_KEYS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Step:
    """The step that is executing in this thread. What is asked for again and again is found once."""

    context: dg.AssetExecutionContext | dg.OpExecutionContext

    @cached_property
    def run(self) -> dg.DagsterRun:
        return self.context.run

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        return self.context.instance

    @cached_property
    def key(self) -> str:
        return self._op.get_step_execution_context().step.key

    @property
    def retry_number(self) -> int:
        return self._op.retry_number

    @cached_property
    def identity(self) -> tuple[str, str, int]:
        """What tells this attempt from every other one: run, step, retry."""
        return self.run.run_id, self.key, self.retry_number

    @cached_property
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

    @property
    def is_alone(self) -> bool:
        """Whether this process executes no other step of the run: the next one may begin in another process."""
        return len(self._context.execution_plan.step_handles_to_execute) == 1

    @property
    def plan(self) -> tuple[Any, dg.JobDefinition]:
        """What this process executes of the run, and the job that this is of."""
        return self._context.execution_plan, self._op.job_def

    def checks(self, asset_key: dg.AssetKey) -> tuple[Sequence[dg.AssetCheckSpec], bool]:
        """The checks of an asset, and whether these are all: else only those that the run was asked for are known."""
        repository = self._op.get_step_execution_context()._execution_data.repository_def
        graphs = [self.asset_graph, *([repository.asset_graph] if repository else ())]
        found = {key: graph for graph in graphs if graph.has(asset_key) for key in graph.get(asset_key).check_keys}
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

    @cached_property
    def materializes(self) -> Mapping[str, dg.AssetKey]:
        """The outputs of this step that are assets which the run is to materialize."""
        outputs = self._context.step.step_outputs
        return {one.name: one.properties.asset_key for one in outputs if one.properties.asset_key is not None}

    def output_of(self, asset_key: dg.AssetKey | None) -> str:
        """The name of the output that a result about this asset is, or about the only one of the step."""
        assets = self._op.job_def.asset_layer.get_assets_def_for_node(self._context.node_handle)
        assert assets is not None, "Dagster has refused a result about an asset in a step that makes none"
        return assets.get_output_name_for_asset_key(asset_key or assets.key)

    def partitions_of(self, output: str) -> tuple[str | None, ...]:
        """The partitions of an output that the run is to materialize; (None,) where it has none."""
        asset_key = self.materializes.get(output)
        if asset_key is not None and self.asset_graph.get(asset_key).partitions_def is None:
            return (None,)
        context = self._context.get_output_context(self._handle(output, None))
        return tuple(context.asset_partition_keys) if context.has_asset_partitions else (None,)

    def is_stored(self, output: str, value: object) -> bool:
        """Whether Dagster gives a value to the I/O manager of its output. `value` as a MaterializeResult has it."""
        kind = self._context.op_def.output_def_named(output).dagster_type
        return not (kind.is_nothing or (kind.is_any and value is NO_VALUE))

    def io_manager_of(self, output: str, mapping_key: str | None) -> Any:
        """What stores an output."""
        return self._context.get_io_manager(self._handle(output, mapping_key))

    def add_asset_metadata(self, noted: Mapping[str, Any], asset_key: dg.AssetKey) -> None:
        """Show in the events of an asset what is noted here."""
        self._context.add_asset_metadata(noted, asset_key)

    def data_version_of(self, asset_key: dg.AssetKey) -> str | None:
        """The data version that an asset was reported with in this step, or is going to be."""
        known = self._context.has_data_version(asset_key)
        return self._context.get_data_version(asset_key).value if known else None

    def computes(self, function: Callable[..., Any]) -> bool:
        """Whether this function is what the step computes, and not one that it calls."""
        compute = self._context.op_def.compute_fn
        return getattr(compute, "decorated_fn", compute) is function

    def results_in(self, returned: object) -> Iterator[Any]:
        """What a function returned, as Dagster takes it: outputs and results one by one. Raises what Dagster does."""
        op_def = self._context.op_def
        return validate_and_coerce_op_result_to_iterator(returned, self.context, op_def.output_defs)

    def _handle(self, output: str, mapping_key: str | None) -> StepOutputHandle:
        return StepOutputHandle(self.key, output, mapping_key)

    @cached_property
    def _context(self) -> Any:
        return self._op.get_step_execution_context()

    @property
    def asset_context(self) -> dg.AssetExecutionContext:
        """The same step, where it is known to materialize assets."""
        assert isinstance(self.context, dg.AssetExecutionContext)
        return self.context

    @cached_property
    def _op(self) -> dg.OpExecutionContext:
        context = self.context
        return context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context


NO_VALUE: Final[object] = dg.MaterializeResult().value
"""What a MaterializeResult has whose data are stored already."""


def current_step() -> Step:
    """The step that is executing in this thread, an asset's or an op's."""
    try:
        return Step(dg.AssetExecutionContext.get())
    except dg.DagsterInvariantViolationError:
        return Step(dg.OpExecutionContext.get())


def running_step() -> Step | None:
    """The step that is executing in this thread; None outside of every step, as in a test that calls a function."""
    try:
        return current_step()
    except dg.DagsterInvariantViolationError:
        return None


def upstream_partitions(
    asset_graph: Any, asset_key: dg.AssetKey, partition: str | None
) -> Mapping[dg.AssetKey, Sequence[str]]:
    """The partitions of its parents that one partition of an asset is made from, by partition mapping."""
    parents = asset_graph.get_parents_partitions(asset_key, partition).parent_partitions
    found: dict[dg.AssetKey, list[str]] = {}
    for parent in sorted(parents):
        if parent.partition_key is not None:
            found.setdefault(parent.asset_key, []).append(parent.partition_key)
    return found


def output_named(asset_graph: Any, asset_key: dg.AssetKey) -> str | None:
    """The output of the op that yields an asset, by the name that its step has for it; None where no op here does."""
    if not asset_graph.get(asset_key).is_materializable:
        return None
    assets = asset_graph.get(asset_key).assets_def
    output, _origin = assets.node_def.resolve_output_to_origin(assets.get_output_name_for_asset_key(asset_key), None)
    name: str = output.name
    return name


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


def last_observed(instance: dg.DagsterInstance, keys: Collection[dg.AssetKey]) -> Mapping[dg.AssetKey, str | None]:
    """The data version of the last observation of each asset, wiped ones left out: one question for thousands."""
    storage: Any = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage), "as every one that Dagster comes with"
    events, tags, assets = SqlEventLogStorageTable.c, AssetEventTagsTable.c, AssetKeyTable.c
    texts = {key.to_string(): key for key in keys}
    versioned = sa.and_(tags.event_id == events.id, tags.key == DATA_VERSION_TAG)
    told = sa.select(events.asset_key, tags.value).outerjoin(AssetEventTagsTable, versioned)
    found: dict[dg.AssetKey, str | None] = {}
    with storage.index_connection() as connection:
        for start in range(0, len(texts), _KEYS_AT_ONCE):
            last = (
                sa.select(sa.func.max(events.id))
                .select_from(SqlEventLogStorageTable.outerjoin(AssetKeyTable, assets.asset_key == events.asset_key))
                .where(events.dagster_event_type == dg.DagsterEventType.ASSET_OBSERVATION.value)
                .where(events.asset_key.in_(sorted(texts)[start : start + _KEYS_AT_ONCE]))
                .where(sa.or_(assets.wipe_timestamp.is_(None), events.timestamp > assets.wipe_timestamp))
                .group_by(events.asset_key)
            )
            found |= {texts[text]: one for text, one in connection.execute(told.where(events.id.in_(last)))}
    return found


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that a run was launched from; None where it was executed without one."""
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin is not None else None
