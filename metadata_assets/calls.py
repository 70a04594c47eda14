"""Calling the functions of a project: the inputs of a run, split by partition, under the names of their parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, assert_never

import dagster as dg

from identity.errors import MetadataError
from identity.keys import short_name
from metadata_assets._dagster import current_step, upstream_partitions
from metadata_assets.attempts import computing
from metadata_assets.signatures import Callee, Input, Parameter
from metadata_assets.spec import Dataset
from resources.files.formats import as_frame


class NotByPartition(MetadataError):
    """{function} takes `partitions`, so it returns a dict by partition; it returned {returned}"""

    function: str
    returned: str


class UnknownPartitions(MetadataError):
    """{function} returned partitions that the run did not ask for: {partitions}"""

    function: str
    partitions: str


@dataclass(frozen=True, slots=True)
class NoData:
    """Why there is nothing for a partition: it stays missing."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a dataset's step: its partitions ((None,) when it has none), and the inputs as they were loaded.

    `loaded` has a SourceTable, or the tables by partition (by None for an input without partitions).
    """

    dataset: Dataset
    partitions: tuple[str | None, ...]
    loaded: Mapping[str, Any]
    needed: Callable[[str | None, str], Sequence[str | None]]
    """The partitions of an input, by its name, that one partition needs."""


def run_of(
    context: dg.AssetExecutionContext, dataset: Dataset, inputs: Mapping[str, Input], loaded: Mapping[str, Any]
) -> Run:
    """What Dagster is asking for, and what it loaded."""
    partitions: tuple[str | None, ...] = tuple(context.partition_keys) if dataset.partitions else (None,)
    tables = {name: _by_partition(context, inputs[name], value) for name, value in loaded.items()}

    @cache
    def upstream_of(partition: str | None) -> Mapping[dg.AssetKey, Sequence[str]]:
        return upstream_partitions(current_step().asset_graph, context.asset_key, partition)

    def needed(partition: str | None, name: str) -> Sequence[str | None]:
        if len(partitions) == 1 or inputs[name].partitions is None:
            return list(tables[name])
        return upstream_of(partition).get(context.asset_key_for_input(name), ())

    return Run(dataset=dataset, partitions=partitions, loaded=tables, needed=needed)


def _by_partition(context: dg.AssetExecutionContext, given: Input, value: Any) -> Any:
    if given.is_source:
        return value
    keys = context.asset_partition_keys_for_input(given.dependency.name) if given.partitions else [None]
    if len(keys) == 1:
        return {} if value is None else {keys[0]: value}
    return value or {}


def computed(callee: Callee, run: Run, context: dg.AssetExecutionContext) -> dict[str | None, Any]:
    """What the function returns for each partition of the run: a value, or NoData."""
    if not callee.several:
        return {partition: _one(callee, run, partition, context) for partition in run.partitions}
    arguments = filled(callee.parameters, run, run.partitions, context=context)
    if isinstance(arguments, NoData):
        return dict.fromkeys(run.partitions, arguments)
    result = callee.function(**arguments)
    if not isinstance(result, Mapping | None):
        raise NotByPartition(function=str(run.dataset.python), returned=type(result).__name__)
    unknown = sorted(str(key) for key in set(result or ()) - set(run.partitions))
    if unknown:
        raise UnknownPartitions(function=str(run.dataset.python), partitions=", ".join(unknown[:5]))
    returned: dict[str | None, Any] = {key: value for key, value in (result or {}).items() if value is not None}
    return {**dict.fromkeys(run.partitions, NoData("")), **returned}


def _one(callee: Callee, run: Run, partition: str | None, context: dg.AssetExecutionContext) -> Any:
    arguments = filled(callee.parameters, run, (partition,), context=context)
    if isinstance(arguments, NoData):
        return arguments
    try:
        with computing(partition):
            value = callee.function(**arguments)
    except Exception as error:
        error.add_note(f"while computing {short_name(run.dataset.key)}, partition {partition}")
        raise
    return NoData("") if value is None else value


def filled(
    parameters: Sequence[Parameter],
    run: Run,
    partitions: Sequence[str | None],
    *,
    data: Any = None,
    context: dg.AssetExecutionContext | None = None,
) -> dict[str, Any] | NoData:
    """The arguments for these partitions; NoData when an input that must be there is not."""
    arguments: dict[str, Any] = {}
    for one in parameters:
        value = _argument(one, run, partitions, data, context)
        if isinstance(value, NoData):
            return value
        arguments[one.name] = value
    return arguments


def _argument(
    one: Parameter, run: Run, partitions: Sequence[str | None], data: Any, context: dg.AssetExecutionContext | None
) -> Any:
    match one.kind:
        case "context":
            return context
        case "partition":
            return partitions[0]
        case "partitions":
            return list(partitions)
        case "source":
            return run.loaded[one.name]
        case "data":
            return _framed(one, data)
        case "table" | "tables":
            tables = _tables(one, run, partitions)
            if one.kind == "tables":
                return tables
            return next(iter(tables.values()), None if one.optional else NoData(f"its input {one.name} has none"))
    assert_never(one.kind)


def _tables(one: Parameter, run: Run, partitions: Sequence[str | None]) -> dict[str | None, Any]:
    wanted = dict.fromkeys(key for partition in partitions for key in run.needed(partition, one.name))
    there = run.loaded[one.name]
    return {key: _framed(one, there[key]) for key in wanted if there.get(key) is not None}


def _framed(one: Parameter, table: Any) -> Any:
    return as_frame(table, one.frame) if one.frame else table
