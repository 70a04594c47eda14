"""From a project to Dagster's definitions: the same project gives the same definitions. No connection is opened."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
from upath import UPath

from identity.ids import sha256_of
from identity.keys import CanonicalKey
from metadata_assets.calls import NoData, computed, run_of
from metadata_assets.checks import Audit, DeclaredCheck, missing_results, missing_words
from metadata_assets.datasets import KEY_METADATA, PUBLISH_METADATA
from metadata_assets.io_manager import FRAME_METADATA, MISSING_METADATA, Audited
from metadata_assets.location_names import ALONE, LocationNames
from metadata_assets.partitioning import partition_mapping, partitions_definition
from metadata_assets.project_code import load_function
from metadata_assets.scheduling import automation_condition, freshness_policy
from metadata_assets.settling import IN_STEP_METADATA
from metadata_assets.signatures import Callee, Input, check_callee, dataset_callee, inputs_of
from metadata_assets.spec import Column, Dataset, MultiPartitions, Problem, Project, ProjectInvalid, asset_key
from resources.files import intermediate
from resources.locations import System
from resources.settings import Settings

Definition = dg.AssetsDefinition | dg.AssetSpec


def definitions_for(project: Project, names: LocationNames = ALONE) -> list[Definition]:
    """Every dataset of the project as an asset, and the tables that they depend on as external assets.

    They want a MetadataResource and a MetadataIOManager, under their `names`. Imports the project's functions. Raises
    ProjectInvalid with everything that does not fit: a module or function that is not there, parameters that are not
    the inputs.
    """
    found = implemented(project, project.datasets)
    columns = _derived_columns(project)
    systems = {slug: endpoint.location.system for slug, endpoint in project.endpoints.items()}
    sources = (source_spec(key, systems[key.endpoint]).with_io_manager_key(names.io_manager) for key in project.sources)
    return [*sources, *(_asset(project, one, columns, names) for one in found)]


def implemented(project: Project, datasets: Iterable[Dataset]) -> "list[Implemented]":
    """These datasets with their functions, which are imported. Raises ProjectInvalid with all that does not fit."""
    found = [_implemented(project, dataset) for dataset in datasets]
    problems = sorted(problem for one in found if isinstance(one, list) for problem in one)
    if problems:
        first = {problem.reason: problem for problem in reversed(problems)}  # a broken module is told once
        raise ProjectInvalid(project=str(project.folder), problems=list(first.values()))
    return [one for one in found if isinstance(one, Implemented)]


def source_spec(key: CanonicalKey, system: System) -> dg.AssetSpec:
    """A table of a source database as an external asset."""
    name = ".".join(part for part in (key.source, key.schema, key.table) if part is not None)
    return dg.AssetSpec(
        key=asset_key(key),
        kinds={system, "table"},
        group_name=re.sub(r"[^A-Za-z0-9_]", "_", key.endpoint),
        metadata={KEY_METADATA: str(key), "dagster/table_name": name},
    )


@dataclass(frozen=True, slots=True)
class Implemented:
    """A dataset with its inputs and the functions that compute and check it."""

    dataset: Dataset
    inputs: Mapping[str, Input]
    callee: Callee
    checks: tuple[DeclaredCheck, ...]

    @contextmanager
    def of_run(
        self, context: dg.AssetExecutionContext, metadata: str
    ) -> Iterator[tuple[Callee, Mapping[str | None, Mapping[str, Any]]]]:
        """What computes one run, and where it tells what to show of each partition; `metadata` is a resource."""
        if self.dataset.sql is None:
            yield self.callee, {}
            return
        from metadata_assets.sql.computing import SqlFunction
        from metadata_assets.sql.engine import Room

        settings: Settings = getattr(context.resources, metadata).settings()
        with intermediate.passing_folder(UPath(settings.intermediate), context.run.run_id) as folder:
            named = context.assets_def.keys_by_input_name  # as a translator calls them
            shown_as = {given.dependency.key: named[name] for name, given in self.inputs.items()}
            function = SqlFunction(self.dataset.sql, Room(settings.sql_memory, folder), shown_as)
            yield replace(self.callee, function=function), function.answered


def _implemented(project: Project, dataset: Dataset) -> Implemented | list[Problem]:
    inputs = inputs_of(project, dataset)
    problems: list[Problem] = []

    def callee_of(declared: Any, made: Callable[..., Callee | list[Problem]]) -> Callee | None:
        function = load_function(project.folder, declared)
        callee = [function] if isinstance(function, Problem) else made(function, declared, dataset, inputs)
        if isinstance(callee, Callee):
            return callee
        problems.extend(callee)
        return None

    callee = callee_of(dataset.python, dataset_callee) if dataset.python else _select(dataset, inputs)
    checks = [
        (check, callee_of(check.python, check_callee) if check.python is not None else None) for check in dataset.checks
    ]
    if callee is None or problems:
        return problems
    declared = tuple(DeclaredCheck(check, function) for check, function in checks)
    return Implemented(dataset, inputs, callee, declared)


def _select(dataset: Dataset, inputs: Mapping[str, Input]) -> Callee | None:
    if dataset.sql is None:
        return None
    from metadata_assets.sql.computing import sql_callee  # whoever has no SQL need not wait for DuckDB

    return sql_callee(dataset.sql, dataset, inputs)


_Derived = Mapping[CanonicalKey, tuple[Sequence[Column], Mapping[str, Any]]]


def _derived_columns(project: Project) -> _Derived:
    """Of datasets that are a SELECT, their columns and where these come from, as far as it is known before it runs."""
    if not any(dataset.sql for dataset in project.datasets):
        return {}
    from metadata_assets.sql.computing import column_lineage
    from metadata_assets.sql.derived import promised, select_columns

    found = select_columns(project)
    return {
        key: (promised(project.datasets_by_key[key], one), column_lineage(one.origins)) for key, one in found.items()
    }


def _asset(project: Project, one: Implemented, derived: _Derived, names: LocationNames) -> dg.AssetsDefinition:
    columns, origins = derived.get(one.dataset.key, (one.dataset.columns, {}))
    dataset = replace(one.dataset, columns=tuple(columns))
    name = step_name(dataset.key)
    spec = asset_spec(dataset).merge_attributes(metadata=origins)
    out = dg.AssetOut.from_spec(spec, io_manager_key=names.io_manager, backfill_policy=_backfill_policy(dataset))

    @dg.multi_asset(
        name=name,
        outs={name: out},
        ins={name: _asset_in(dataset, given, names) for name, given in one.inputs.items()},
        check_specs=[_check_spec(dataset, declared) for declared in one.checks],
        required_resource_keys={names.metadata} if dataset.sql else set(),
        partitions_def=partitions_definition(dataset.partitions),
    )
    def compute(context: dg.AssetExecutionContext, **loaded: Any) -> Iterator[Any]:
        yield from _compute(project, one, context, loaded, names)

    return compute


def _compute(
    project: Project,
    one: Implemented,
    context: dg.AssetExecutionContext,
    loaded: Mapping[str, Any],
    names: LocationNames,
) -> Iterator[dg.Output[Audited] | dg.AssetCheckResult]:
    """Compute, let the I/O manager commit, check and publish, then tell what the checks found."""
    run = run_of(context, one.dataset, one.inputs, loaded)
    with one.of_run(context, names.metadata) as (callee, told):
        results = computed(callee, run, context)
    values = {partition: value for partition, value in results.items() if not isinstance(value, NoData)}
    missing = {partition: value for partition, value in results.items() if isinstance(value, NoData)}
    audit = Audit(one.checks, run, project.folder)
    blocking = frozenset(declared.check.name for declared in one.checks if declared.check.blocking)
    # Also where nothing has data: without an output Dagster skips every step downstream, with or without need of it.
    audited = Audited(values, audit if one.checks else None, blocking, told)
    yield dg.Output(audited, output_name=step_name(one.dataset.key))
    if not missing:
        yield from audit.results
        return
    context.log.warning(missing_words(missing))
    yield from missing_results(one.checks, missing, audit.results)


def asset_spec(dataset: Dataset) -> dg.AssetSpec:
    """What Dagster shows of a dataset."""
    metadata: dict[str, Any] = {KEY_METADATA: str(dataset.key), PUBLISH_METADATA: dataset.publish}
    if dataset.columns:
        columns = [dg.TableColumn(one.name, one.type or "", description=one.description) for one in dataset.columns]
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    return dg.AssetSpec(
        key=dataset.asset_key,
        description=dataset.description,
        group_name=dataset.group,
        owners=dataset.owners,
        tags=dict.fromkeys(dataset.tags, ""),
        kinds={"sql" if dataset.sql else "python"} | ({"parquet"} if dataset.key.source is None else _IN_A_DATABASE),
        code_version=dataset.code_version,
        partitions_def=partitions_definition(dataset.partitions),
        automation_condition=automation_condition(dataset.automation),
        freshness_policy=freshness_policy(dataset),
        metadata=metadata,
    )


_IN_A_DATABASE = frozenset(["postgres", "table"])


def _asset_in(dataset: Dataset, given: Input, names: LocationNames) -> dg.AssetIn:
    dependency = given.dependency
    mapping = partition_mapping(
        dependency.mapping, dataset.partitions, given.partitions, may_miss=dependency.missing == "skip"
    )
    metadata = {FRAME_METADATA: "arrow", MISSING_METADATA: dependency.missing}
    key, manager = asset_key(dependency.key), names.io_manager
    return dg.AssetIn(key=key, input_manager_key=manager, partition_mapping=mapping, metadata=metadata)


def _check_spec(dataset: Dataset, declared: DeclaredCheck) -> dg.AssetCheckSpec:
    check = declared.check
    return dg.AssetCheckSpec(
        check.name,
        asset=dataset.asset_key,
        description=check.description,
        blocking=check.blocking,
        metadata={IN_STEP_METADATA: True},
    )


def _backfill_policy(dataset: Dataset) -> dg.BackfillPolicy | None:
    """All partitions that are asked for in one run, which becomes one version; pairs of dimensions are no range."""
    in_one_run = dataset.partitions is not None and not isinstance(dataset.partitions, MultiPartitions)
    return dg.BackfillPolicy.single_run() if in_one_run else None


_PLAIN = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")


def step_name(key: CanonicalKey) -> str:
    """The name of the step and of its output: `lake__nyc__flights`, with a digest where that could be another's."""
    path: Sequence[str] = asset_key(key).path
    name = re.sub(r"[^A-Za-z0-9_]", "_", "__".join(path))
    return name if all(map(_PLAIN.fullmatch, path)) else f"{name}__{sha256_of(str(key)).hex()[:8]}"
