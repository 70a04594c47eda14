"""What Dagster is about to do in this process: steps of a run that it has begun and that have done no work yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import dagster as dg

from metadata_assets._dagster import Step

_BEGINNINGS: Final = frozenset({dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED})
_ENDS: Final = frozenset(
    {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
)


def before_others(step: Step, call: Callable[["Planned | None"], None], ended: Callable[[], object]) -> None:
    """Call this in this process whenever Dagster has begun a step of the same run, before any work of it.

    And with None at whatever is no step's: so before the run has ended. Then `ended` is called, and nothing any more.
    """
    run_id = step.run.run_id
    going_on = [(*step.plan, step.run, call, ended)]  # Dagster keeps who listens as long as the instance lives

    def heard(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or not going_on:
            return
        plan, job, run, call, ended = going_on[0]
        try:
            if event.step_key is None:
                call(None)
            elif event.event_type in _BEGINNINGS:
                call(Planned(plan, job, run, event.step_key))
        finally:
            if event.event_type in _ENDS:
                going_on.clear()
                ended()

    step.instance.add_event_listener(run_id, heard)


@dataclass(frozen=True)
class Planned:
    """A step that Dagster has begun, as the plan of this process has it."""

    _plan: Any
    _job: dg.JobDefinition
    _run: dg.DagsterRun
    key: str

    @property
    def asset_graph(self) -> Any:
        """As `Step.asset_graph`."""
        return self._job.asset_layer.asset_graph

    @property
    def function(self) -> object:
        """What the step computes; None where the plan has no such step, as with the steps of a dynamic graph."""
        step = self._plan.step_dict_by_key.get(self.key)
        if step is None:
            return None
        compute = getattr(self._job.get_node(step.node_handle).definition, "compute_fn", None)
        return getattr(compute, "decorated_fn", compute)

    @cached_property
    def partitions(self) -> Mapping[dg.AssetKey, tuple[str | None, ...]]:
        """The assets of the step that the run is to materialize, each with its partition where the run has just one.

        Empty where partitions would have to be mapped, which only the step itself can.
        """
        found: dict[dg.AssetKey, tuple[str | None, ...]] = {}
        of_run = self._run.tags.get("dagster/partition")
        for output in self._plan.step_dict_by_key[self.key].step_outputs:
            asset_key = output.properties.asset_key
            if asset_key is None:
                continue
            node = self.asset_graph.get(asset_key)
            if any(self.asset_graph.get(one).partitions_def is not None for one in node.parent_keys):
                return {}
            found[asset_key] = (None if node.partitions_def is None else of_run,)
        return found
