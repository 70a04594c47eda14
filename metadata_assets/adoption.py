"""An existing project in one line: its assets are recorded and mirrored, and nothing else about it changes."""

import copy
import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

import dagster as dg

from metadata_assets._dagster import DecoratedOpFunction
from metadata_assets.recording import Recorder, recorder_of
from metadata_assets.sensors import checks_sensor, is_ours, lineage_sensor, materializations_sensor, runs_sensor
from resources.configurable import MetadataResource

Through = Callable[[Callable[..., Any]], Callable[..., Any]]
"""From the function of an op to the one that is called in its place."""


def with_metadata(
    defs: dg.Definitions,
    *,
    metadata: MetadataResource | None = None,
    code_location: str | None = None,
    required: bool = False,
) -> dg.Definitions:
    """The same definitions, recorded: `defs = with_metadata(defs)`.

    What their assets materialize is recorded exactly once for each intent, whatever stores it, with the inputs that
    Dagster knows of. Sensors mirror the asset graph, runs and checks, and record from the event log whatever no process
    could: external assets, observations, what was materialized before, what died between. Keys, partitions, checks,
    jobs and I/O managers stay as they are. When the store cannot be reached a run says so and goes on, or fails with
    `required`. Applied twice it is the same as once.

    `code_location` is the name under which the asset graph and its versions are mirrored; by default what Dagster
    calls it.
    """
    resource = metadata or MetadataResource()
    recomputing = Recomputing.of(defs, recorder_of(Recorder(resource, required)))
    sensors = [
        lineage_sensor(code_location=code_location, metadata=resource),
        runs_sensor(code_location=code_location, metadata=resource),
        checks_sensor(metadata=resource),
        materializations_sensor(metadata=resource),
    ]
    present = {one.name for one in defs.sensors or () if is_ours(one)}
    return dg.Definitions(
        assets=[recomputing.recomputed(one) for one in defs.assets or ()],
        asset_checks=defs.asset_checks,
        schedules=defs.schedules,
        sensors=[*(defs.sensors or ()), *(one for one in sensors if one.name not in present)],
        jobs=defs.jobs,
        resources=defs.resources,
        executor=defs.executor,
        loggers=defs.loggers,
        metadata=defs.metadata,
        component_tree=defs.component_tree,
    )


@dataclass(frozen=True, slots=True)
class Recomputing:
    """The assets of a project, computed through another function; of graphs, those of their ops that yield assets.

    Dagster knows ops and graphs by their names: one that is used in several places is replaced by the same one in each.
    What jobs use beside assets stays what it is in both, and is recorded from the event log.
    """

    through: Through
    origins: Collection[int]
    kept: Collection[int]
    made: dict[int, Any]

    @classmethod
    def of(cls, defs: dg.Definitions, through: Through) -> "Recomputing":
        """For all that these definitions hold."""
        origins = {id(op) for one in defs.assets or () if _is_computed(one) for op in _origins(one)}
        jobs = [one for one in defs.jobs or () if isinstance(one, dg.JobDefinition)]
        return cls(through, origins, {id(node) for job in jobs for node in job.graph.iterate_node_defs()}, {})

    def recomputed(self, assets: Any) -> Any:
        """The same assets, or whatever else there is among assets."""
        if not _is_computed(assets):
            return assets
        node = self._node(assets.node_def)
        if node is assets.node_def:
            return assets
        return type(assets).dagster_internal_init(**{**assets.get_attributes_dict(), "node_def": node})

    def _node(self, node: Any) -> Any:
        if id(node) in self.kept:
            return node
        if id(node) not in self.made:
            self.made[id(node)] = self._made(node)
        return self.made[id(node)]

    def _made(self, node: Any) -> Any:
        if isinstance(node, dg.OpDefinition):
            return _op_through(node, self.through) if id(node) in self.origins else node
        inner = [self._node(one) for one in node.node_defs]
        if all(new is old for new, old in zip(inner, node.node_defs, strict=True)):
            return node
        return dg.GraphDefinition(
            name=node.name,
            description=node.description,
            node_defs=inner,
            dependencies=node.dependencies,
            input_mappings=node.input_mappings,
            output_mappings=node.output_mappings,
            config=node.config_mapping,
            tags=node.tags,
            input_assets=node.input_assets,
            composition_fn=node.composition_fn,
        )


def _is_computed(one: object) -> TypeGuard[dg.AssetsDefinition]:
    return (
        isinstance(one, dg.AssetsDefinition)
        and not isinstance(one, dg.AssetChecksDefinition)
        and one.is_executable
        and one.is_materializable
    )


def _origins(assets: dg.AssetsDefinition) -> Iterator[dg.OpDefinition]:
    """The ops that yield the assets."""
    for name in assets.get_attributes_dict()["keys_by_output_name"]:
        yield assets.node_def.resolve_output_to_origin_op_def(name)


def _op_through(op: dg.OpDefinition, through: Through) -> dg.OpDefinition:
    compute = op.compute_fn
    function = compute.decorated_fn if isinstance(compute, DecoratedOpFunction) else compute
    if function is compute and not inspect.isgeneratorfunction(function):
        return op  # made by hand from what may return anything: recorded from the event log
    wrapped = through(function)
    if wrapped is function:
        return op
    made = copy.copy(op)
    made._compute_fn = compute._replace(decorated_fn=wrapped) if isinstance(compute, DecoratedOpFunction) else wrapped
    return made
