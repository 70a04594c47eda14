"""The columns of a SELECT: what they are called, of which type, and from which columns of its inputs they come.

Names and lineage are read from the SQL by sqlglot, types are DuckDB's own answer over empty inputs. Nothing is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

from metadata_assets.spec import Query, Relation
from metadata_assets.spec.queries import quoted
from metadata_assets.sql.engine import Refused, alone, asked, called_once, told_apart
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
    tree = _Qualified.of(query, inputs)
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
    tree = _Qualified.of(query, {relation: dict.fromkeys(columns) for relation, columns in inputs.items()})
    return tree.origins(names) if tree else {}


_NOT_UNDERSTOOD = (SqlglotError, ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)
"""What sqlglot raises for SQL that it does not understand. DuckDB decides whether that is valid."""


@dataclass(frozen=True)
class _Qualified:
    """A SELECT in which each column says of which table it is, without stars. Names are in lower case here."""

    tree: exp.Expr
    schema: Any
    relations: Mapping[tuple[str, str], Relation]
    columns: Mapping[Relation, Sequence[str]]
    spelled: Mapping[tuple[Relation, str], str]
    written: Mapping[str, str]
    """The names of its columns as they are written, by them in lower case."""

    @classmethod
    def of(cls, query: Query, inputs: Mapping[Relation, Columns]) -> "_Qualified | None":
        schema: dict[str, Any] = {}
        for relation, columns in inputs.items():
            tables = schema.setdefault(quoted(relation.schema.lower()), {})
            tables[quoted(relation.table.lower())] = {quoted(name.lower()): "TEXT" for name in columns}
        try:
            parsed = sqlglot.parse_one(query.statement, dialect=DIALECT)
            selects = parsed.selects if isinstance(parsed, exp.Query) else []
            written = {one.alias_or_name.lower(): one.alias_or_name for one in selects}
            tree = qualify(
                parsed,
                dialect=DIALECT,
                schema=schema,
                validate_qualify_columns=False,
            )
            _by_position(tree)
        except _NOT_UNDERSTOOD:
            return None
        relations = {(one.schema.lower(), one.table.lower()): one for one in query.relations}
        spelled = {(one, name.lower()): name for one, columns in inputs.items() for name in columns}
        return cls(tree, schema, relations, {one: list(columns) for one, columns in inputs.items()}, spelled, written)

    def names(self) -> list[str] | None:
        """What the columns are called; None while a star is left, because not all inputs are known."""
        selects = self._selects()
        if not selects or any(one.is_star for one in selects):
            return None
        return [self._spelled(one) for one in selects]

    def _selects(self) -> list[exp.Expr]:
        return list(self.tree.selects) if isinstance(self.tree, exp.Query) else []

    def _spelled(self, select: exp.Expr) -> str:
        """As DuckDB spells it: as the first of the inputs that are known does, else as it is written."""
        name = select.alias_or_name
        among = {relation for relation, _column in self._origins.get(name, ())}
        known = (self.spelled.get((one, name)) for one in self.relations.values() if one in among)
        return next((one for one in known if one is not None), self.written.get(name, name))

    def origins(self, names: Sequence[str]) -> dict[str, tuple[Origin, ...]]:
        """By the names that DuckDB has for the columns: they are ours in the same order."""
        selects = [one.alias_or_name for one in self._selects()]
        if len(selects) != len(names):
            return {}
        found = {name: self._origins.get(select, ()) for name, select in zip(names, selects, strict=True)}
        return {name: origins for name, origins in found.items() if origins}

    @cached_property
    def _origins(self) -> Mapping[str, tuple[Origin, ...]]:
        """By our names. All at once: what many columns come through is walked once."""
        try:
            scope = build_scope(self.tree)
            nodes = lineage(None, self.tree, self.schema, dialect=DIALECT, scope=scope, trim_selects=False, copy=False)
            return {name: self._leaves(node) for name, node in nodes.items()}
        except _NOT_UNDERSTOOD:
            return {}

    def _leaves(self, node: Node) -> tuple[Origin, ...]:
        found: set[Origin] = set()
        for leaf in node.walk():
            relation = self._relation(leaf.expression)
            if relation is not None and leaf.name != "*":
                column = self._column(relation, leaf.expression, sqlglot.parse_one(leaf.name).name)
                found |= {(relation, column)} if column else set()
        return tuple(sorted(found, key=lambda one: (one[0].key, one[1])))

    def _column(self, relation: Relation, table: exp.Expr, name: str) -> str | None:
        """A column of an input, as the input calls it: `AS t(a, b)` has names for the first of them."""
        others, own = table.alias_column_names, self.columns.get(relation, ())
        if name in others:
            return own[others.index(name)] if len(own) >= len(others) else None
        return self.spelled.get((relation, name.lower()), name)

    def _relation(self, table: object) -> Relation | None:
        return self.relations.get((table.db.lower(), table.name.lower())) if isinstance(table, exp.Table) else None


def _by_position(tree: exp.Expr) -> None:
    """Write each UNION BY NAME as one by position: so sqlglot traces all of them. Raises ValueError where it cannot."""
    for union in reversed(list(tree.find_all(exp.SetOperation))):  # those inside of others first
        if union.args.get("by_name"):
            sides = [one.alias_or_name for side in (union.left, union.right) for one in side.selects]
            names = list(dict.fromkeys(sides))
            for side in (union.left, union.right):
                _arrange(side, names, [one.alias_or_name for one in side.selects])
            union.set("by_name", False)


def _arrange(query: exp.Expr, names: Sequence[str], own: Sequence[str]) -> None:
    query = query.unnest()
    if isinstance(query, exp.SetOperation):
        _arrange(query.left, names, own)
        _arrange(query.right, names, own)
        return
    if not isinstance(query, exp.Select) or len(query.selects) != len(own) or "*" in own:
        raise ValueError("its columns are not known by name")
    found = dict(zip(own, query.selects, strict=True))
    query.set("expressions", [found.get(name) or exp.alias_(exp.null(), name, quoted=True) for name in names])


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
    names, types, schema = answer
    columns = {name: str(kind) for name, kind in zip(names, types, strict=True)}
    return called_once(query, names) or (columns, dict(zip(names, map(str, schema.types), strict=True)))


def _types(answer: duckdb.DuckDBPyRelation) -> tuple[Sequence[str], Sequence[object], pa.Schema]:
    return answer.columns, answer.types, answer.limit(0).to_arrow_table().schema  # limit() makes names of its own


_OF_COLUMNS = frozenset(["Binder", "Catalog", "Parser", "Permission"])
"""What DuckDB calls errors that follow from the SELECT and the columns of its inputs, whatever the values are."""
