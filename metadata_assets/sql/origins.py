"""From which columns of its inputs each column of a SELECT comes, read from the SQL by sqlglot. Nothing is run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, Protocol, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

from identity.keys import CanonicalKey

NOT_UNDERSTOOD: Final = (SqlglotError, ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)
"""What sqlglot raises for SQL that it does not understand. The database decides whether that is valid."""


class Readable(Protocol):
    """What a SELECT reads: a table by the names that SQL has for it, and its key."""

    @property
    def schema(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def key(self) -> CanonicalKey: ...


_R = TypeVar("_R", bound=Readable)
_Origins = tuple[tuple[_R, str], ...]
"""Columns of inputs."""


@dataclass(frozen=True)
class Qualified(Generic[_R]):
    """A SELECT in which each column says of which table it is, without stars. Names are in lower case here."""

    tree: exp.Expr
    dialect: str
    schema: MappingSchema
    relations: Mapping[tuple[str, str], _R]
    columns: Mapping[_R, Sequence[str]]
    spelled: Mapping[tuple[_R, str], str]
    written: Mapping[str, str]
    """The names of its columns as they are written, by them in lower case."""

    @classmethod
    def of(
        cls, parsed: exp.Expr, dialect: str, relations: Collection[_R], inputs: Mapping[_R, Sequence[str]]
    ) -> "Qualified[_R] | None":
        """The SELECT over these relations; `inputs` are those of which the columns are known. None where it is odd."""
        tables: dict[str, Any] = {}
        for relation, columns in inputs.items():
            of_schema = tables.setdefault(relation.schema.lower(), {})
            of_schema[relation.table.lower()] = {name.lower(): "TEXT" for name in columns}
        try:
            schema = MappingSchema(tables, dialect=dialect, normalize=False)
            selects = parsed.selects if isinstance(parsed, exp.Query) else []
            written = {one.alias_or_name.lower(): one.alias_or_name for one in selects}
            tree = qualify(parsed, dialect=dialect, schema=schema, validate_qualify_columns=False)
            _by_position(tree)
        except NOT_UNDERSTOOD:
            return None
        named = {(one.schema.lower(), one.table.lower()): one for one in relations}
        spelled = {(one, name.lower()): name for one, columns in inputs.items() for name in columns}
        return cls(
            tree, dialect, schema, named, {one: list(columns) for one, columns in inputs.items()}, spelled, written
        )

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

    def origins(self, names: Sequence[str]) -> dict[str, _Origins[_R]]:
        """By the names that DuckDB has for the columns: they are ours in the same order."""
        selects = [one.alias_or_name for one in self._selects()]
        if len(selects) != len(names):
            return {}
        found = {name: self._origins.get(select, ()) for name, select in zip(names, selects, strict=True)}
        return {name: origins for name, origins in found.items() if origins}

    @cached_property
    def _origins(self) -> Mapping[str, _Origins[_R]]:
        """By our names. All at once: what many columns come through is walked once."""
        try:
            scope = build_scope(self.tree)
            nodes = lineage(
                None, self.tree, self.schema, dialect=self.dialect, scope=scope, trim_selects=False, copy=False
            )
            return {name: self._leaves(node) for name, node in nodes.items()}
        except NOT_UNDERSTOOD:
            return {}

    def _leaves(self, node: Node) -> _Origins[_R]:
        found: set[tuple[_R, str]] = set()
        for leaf in node.walk():
            relation = self._relation(leaf.expression)
            if relation is not None and leaf.name != "*":
                column = self._column(relation, leaf.expression, sqlglot.parse_one(leaf.name).name)
                found |= {(relation, column)} if column else set()
        return tuple(sorted(found, key=lambda one: (one[0].key, one[1])))

    def _column(self, relation: _R, table: exp.Expr, name: str) -> str | None:
        """A column of an input, as the input calls it: `AS t(a, b)` has names for the first of them."""
        others, own = table.alias_column_names, self.columns.get(relation, ())
        if name in others:
            return own[others.index(name)] if len(own) >= len(others) else None
        return self.spelled.get((relation, name.lower()), name)

    def _relation(self, table: object) -> _R | None:
        if not isinstance(table, exp.Table) or table.catalog:  # in another database
            return None
        return self.relations.get((table.db.lower(), table.name.lower()))


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
