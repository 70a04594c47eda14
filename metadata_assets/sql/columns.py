"""The columns of a SELECT: what they are called, of which type, and from which columns of its inputs they come.

Names and lineage are read from the SQL by sqlglot, types are DuckDB's own answer over empty inputs. Nothing is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import sqlglot

from metadata_assets.spec import Query, Relation
from metadata_assets.spec.queries import quoted
from metadata_assets.sql.engine import Refused, alone, asked, called_once, told_apart
from metadata_assets.sql.origins import NOT_UNDERSTOOD, Qualified
from metadata_assets.sql.statements import DIALECT

Columns = Mapping[str, str | None]
"""DuckDB's types of columns by name, in order; None where a type is not known."""

Origin = tuple[Relation, str]
"""A column of an input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of a SELECT's columns.

    `columns` is None when it cannot be known without running it; `origins` has what each comes from, in order;
    `problem` is what DuckDB has against the SELECT, given these columns of its inputs.
    """

    columns: Columns | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    """Arrow's types, as they will be in the result."""
    origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    problem: Refused | None = None


def described(query: Query, inputs: Mapping[Relation, Columns]) -> Described:
    """What is known of the columns, given those of the inputs; an input that is not among them is not known."""
    for relation, columns in inputs.items():
        alike = told_apart(query, relation, list(columns))
        if alike:
            return Described(problem=alike)
    tree = _qualified(query, {one: list(columns) for one, columns in inputs.items()})
    if len(inputs) == len(query.relations) and all(kind for columns in inputs.values() for kind in columns.values()):
        match _bound(query, inputs):
            case Refused() as problem:
                return Described(problem=problem)
            case (columns, shown):
                return Described(columns=columns, shown=shown, origins=tree.origins(list(columns)) if tree else {})
    names = tree.names() if tree else None
    if names is None or tree is None:
        return Described()
    return Described(columns=dict.fromkeys(names), origins=tree.origins(names))


def origins_of(query: Query, inputs: Mapping[Relation, Sequence[str]], names: Sequence[str]) -> Mapping[str, Any]:
    """From which columns of its inputs each column of a result comes; empty where sqlglot does not understand it."""
    tree = _qualified(query, inputs)
    return tree.origins(names) if tree else {}


def _qualified(query: Query, inputs: Mapping[Relation, Sequence[str]]) -> Qualified[Relation] | None:
    try:
        parsed = sqlglot.parse_one(query.statement, dialect=DIALECT)
    except NOT_UNDERSTOOD:
        return None
    return Qualified.of(parsed, DIALECT, query.relations, inputs)


def _bound(query: Query, inputs: Mapping[Relation, Columns]) -> tuple[Columns, Mapping[str, str]] | Refused | None:
    """DuckDB's answer over empty inputs: its types, and Arrow's. None where it depends on values, or on odd types."""
    with alone() as connection:
        try:
            for relation, columns in inputs.items():
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(relation.schema)}")
                typed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
                connection.execute(f"CREATE TABLE {relation} ({typed})")
        except duckdb.Error:
            return None
        answer = asked(
            connection, query, "", lambda one: (one.columns, one.types, one.limit(0).to_arrow_table().schema)
        )
    if isinstance(answer, Refused):
        return answer if answer.kind in _OF_COLUMNS else None
    names, types, schema = answer  # the limit makes names of its own
    columns = {name: str(kind) for name, kind in zip(names, types, strict=True)}
    return called_once(query, names) or (columns, dict(zip(names, map(str, schema.types), strict=True)))


_OF_COLUMNS = frozenset(["Binder", "Catalog", "Parser", "Permission"])
"""What DuckDB calls errors that follow from the SELECT and the columns of its inputs, whatever the values are."""
