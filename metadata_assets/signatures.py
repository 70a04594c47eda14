"""What a function of the project wants for each of its parameters, decided once, when definitions are built."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import polars as pl

from identity.keys import short_name
from metadata_assets.source_table import SourceTable
from metadata_assets.spec import Dataset, Dependency, Function, Partitions, Problem, Project, feeds_several
from metadata_assets.spec.problems import did_you_mean
from resources.files.formats import frame_of
from resources.version_records import Frame

ParameterKind = Literal["source", "table", "tables", "data", "partition", "partitions", "context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    source: a SourceTable. table: the table of one partition; tables: a dict of them, by partition. data: the committed
    table that a check is about. `frame` is the kind of table, `optional` whether None may stand for "there is none".
    """

    name: str
    kind: ParameterKind
    frame: Frame | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input of a dataset. `partitions` are the input's own; `several`: one partition can need more than one."""

    dependency: Dependency
    is_source: bool
    partitions: Partitions | None
    several: bool


def inputs_of(project: Project, dataset: Dataset) -> dict[str, Input]:
    """The inputs of a dataset by the name of their parameter."""
    inputs = {}
    for dependency in dataset.depends_on:
        upstream = project.dataset(dependency.key)
        partitions = upstream.partitions if upstream else None
        several = feeds_several(dependency.mapping, dataset.partitions, partitions)
        inputs[dependency.name] = Input(
            dependency=dependency, is_source=upstream is None, partitions=partitions, several=several
        )
    return inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A function of the project with what it wants. `several`: it computes all partitions of a run in one call."""

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]

    @property
    def several(self) -> bool:
        return any(parameter.kind == "partitions" for parameter in self.parameters)


def dataset_callee(
    function: Callable[..., Any], declared: Function, dataset: Dataset, inputs: Mapping[str, Input]
) -> Callee | list[Problem]:
    """The function that computes a dataset: it takes every input, and nothing that nobody provides."""
    return _callee(function, declared, _Wants(dataset, inputs, is_check=False))


def check_callee(
    function: Callable[..., Any], declared: Function, dataset: Dataset, inputs: Mapping[str, Input]
) -> Callee | list[Problem]:
    """The function of a check: it takes what was committed as `data`, and the inputs that it names."""
    return _callee(function, declared, _Wants(dataset, inputs, is_check=True))


@dataclass(frozen=True, slots=True)
class _Wants:
    dataset: Dataset
    inputs: Mapping[str, Input]
    is_check: bool

    @property
    def provided(self) -> list[str]:
        partition = ["partition"] if self.dataset.partitions else []
        if self.is_check:
            return [*self.inputs, "data", *partition]
        return [*self.inputs, "context", *partition, *(["partitions"] if partition else [])]


Refusal = tuple[str, str]
"""A reason and its fix."""


def _callee(function: Callable[..., Any], declared: Function, wants: _Wants) -> Callee | list[Problem]:
    try:
        signature, hints = inspect.signature(function), typing.get_type_hints(function)
    except (TypeError, ValueError, NameError, AttributeError, SyntaxError) as error:
        reason = f"the annotations of {declared} cannot be read ({type(error).__name__})"
        return [Problem(declared.at, "python", reason, "import what they name, outside of `if TYPE_CHECKING`")]
    several = "partitions" in signature.parameters
    found = [_parameter(one, hints.get(one.name), wants, several) for one in signature.parameters.values()]
    refused = [one for one in found if isinstance(one, tuple)] + _left_out(signature, wants)
    if refused:
        return [Problem(declared.at, "python", f"{declared}: {reason}", fix) for reason, fix in refused]
    return Callee(function=function, parameters=tuple(one for one in found if isinstance(one, Parameter)))


def _left_out(signature: inspect.Signature, wants: _Wants) -> list[Refusal]:
    if wants.is_check:
        return []
    absent = [name for name in wants.inputs if name not in signature.parameters]
    refused = [
        (f"it does not take its input {name}", f"add the parameter {name}, or take it out of depends_on")
        for name in absent
    ]
    if {"partition", "partitions"} <= set(signature.parameters):
        refused.append(("it takes both partition and partitions", "keep `partition`, to be called once for each"))
    return refused


def _parameter(one: inspect.Parameter, hint: Any, wants: _Wants, several: bool) -> Parameter | Refusal | None:
    if one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL, one.VAR_KEYWORD):
        return f"its parameter {one} cannot be filled by name", "give it one plain parameter for each input"
    if one.name not in wants.provided:
        if one.default is not one.empty:
            return None
        return f"nothing provides its parameter {one.name}", did_you_mean(one.name, wants.provided)
    match one.name:
        case "partition":
            return Parameter(name=one.name, kind="partition")
        case "partitions":
            return Parameter(name=one.name, kind="partitions")
        case "context":
            return Parameter(name=one.name, kind="context")
        case "data":
            return _data(one.name, hint)
        case name:
            return _input(name, hint, wants.inputs[name], several and not wants.is_check)


def _data(name: str, hint: Any) -> Parameter | Refusal:
    frame = _frame(hint)
    return (
        Parameter(name=name, kind="data", frame=frame) if frame else (f"its parameter {name} {_NOT_A_TABLE}", _FRAMES)
    )


def _frame(hint: Any) -> Frame | None:
    return None if hint is pl.LazyFrame else frame_of(hint)


_FRAMES = "annotate it with pl.DataFrame, pd.DataFrame or pa.Table"
_NOT_A_TABLE = "does not say which kind of table it wants"


def _input(name: str, hint: Any, wanted: Input, whole_run: bool) -> Parameter | Refusal:
    key = short_name(wanted.dependency.key)
    inner, optional = _without_none(hint)
    if wanted.is_source:
        if hint in (None, Any, SourceTable):
            return Parameter(name=name, kind="source")
        return f"its parameter {name} is the table {key} of a source", "annotate it with SourceTable and query it"
    by_partition = _value_of_dict(inner)
    frame = _frame(by_partition if by_partition is not None else inner)
    if frame is None:
        return f"its parameter {name} {_NOT_A_TABLE}", _FRAMES
    several = wanted.several or (whole_run and wanted.partitions is not None)
    if several and by_partition is None:
        return f"its parameter {name} gets several partitions of {key}", "annotate it with dict[str, …], by partition"
    if by_partition is not None and wanted.partitions is None:
        return f"its parameter {name} wants partitions, and {key} has none", "annotate it with the table alone"
    return Parameter(name=name, kind="tables" if by_partition is not None else "table", frame=frame, optional=optional)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """`X | None` is X, and optional."""
    if get_origin(hint) in (Union, types.UnionType) and len(get_args(hint)) == 2 and type(None) in get_args(hint):
        return next(part for part in get_args(hint) if part is not type(None)), True
    return hint, False


def _value_of_dict(hint: Any) -> Any | None:
    """What the dict holds by partition; None when it is no dict."""
    if get_origin(hint) in (dict, Mapping) and get_args(hint)[:1] == (str,):
        return get_args(hint)[1]
    return None
