"""From which columns those of the views of a database come, from their SQL: the same reading as that of datasets."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from identity.keys import CanonicalKey
from metadata_assets.collection.rows import Name
from metadata_assets.sql.origins import NOT_UNDERSTOOD, Qualified
from resources.models import Asset, Edge, Origins

LONGEST: Final = 50_000
"""The characters of a view's SQL; of a longer one nobody reads where its columns come from."""
MOST_COLUMNS: Final = 1_000
"""The columns of a view, and of all that it reads."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A relation that a view reads, as SQL calls it."""

    schema: str
    table: str
    key: CanonicalKey


def view_origins(
    names: Mapping[Name, CanonicalKey],
    assets: Iterable[Asset],
    edges: Collection[Edge],
    dialect: str,
    databases: Collection[str] = (),
) -> Mapping[CanonicalKey, Origins]:
    """From which columns each column of each view comes, of views that are understood and no larger than the bounds.

    `names` are the relations of the database; `databases` what its own SQL may call it by. The edges say which of them
    each view reads. Names of columns mean the same in upper and lower case here, so of a relation with two that differ
    in that alone nothing is told.
    """
    seen = {asset.key: asset for asset in assets}
    called = {key: name for name, key in names.items()}
    read: dict[CanonicalKey, list[_Read]] = {}
    for edge in edges:
        if edge.source in seen and edge.target in called:
            read.setdefault(edge.source, []).append(_Read(*called[edge.target], edge.target))
    own = {"", *map(str.lower, databases)}
    found = {}
    for view, relations in read.items():
        inputs = {one: [each.name for each in seen[one.key].fields or ()] for one in relations if one.key in seen}
        columns = [one.name for one in seen[view].fields or ()]
        definition = seen[view].metadata.get("definition")
        if not isinstance(definition, str) or not columns or not _is_small(definition, columns, inputs.values()):
            continue
        tree = _tree(definition, called[view][0], relations, dialect, own)
        query = tree and Qualified.of(tree, dialect, relations, inputs)
        if query:
            origins = query.origins(columns)
            found[view] = {name: frozenset((one.key, column) for one, column in some) for name, some in origins.items()}
    return found


def _is_small(definition: str, columns: Collection[str], inputs: Iterable[Collection[str]]) -> bool:
    every = [columns, *inputs]
    alike = any(len({name.lower() for name in some}) < len(some) for some in every)
    return not alike and len(definition) <= LONGEST and sum(map(len, every)) <= MOST_COLUMNS


def _tree(
    definition: str, schema: str, relations: Collection[_Read], dialect: str, databases: set[str]
) -> exp.Expr | None:
    """The query of a view in which each table says of which schema it is, all in lower case; None where it is odd."""
    try:
        parsed = sqlglot.parse_one(definition, dialect=dialect)
        query = parsed.expression if isinstance(parsed, exp.Create) else parsed
        if not isinstance(query, exp.Query):
            return None
        for one in query.find_all(exp.Identifier):
            one.set("this", one.name.lower())
            one.set("quoted", True)
        for column in query.find_all(exp.Column):
            if column.catalog.lower() in databases:
                column.set("catalog", None)
        for scope in traverse_scope(query):
            for table in scope.sources.values():
                if isinstance(table, exp.Table) and not _placed(table, schema, relations, databases):
                    return None
    except NOT_UNDERSTOOD:
        return None
    return query


def _placed(table: exp.Table, schema: str, relations: Collection[_Read], databases: set[str]) -> bool:
    """Let a table say its schema: as it is written, else the view's own one, else the only one that it can be."""
    if table.catalog.lower() not in databases:
        return True  # it is elsewhere
    table.set("catalog", None)
    if not table.db:
        named = [one.schema.lower() for one in relations if one.table.lower() == table.name]
        found = schema.lower() if schema.lower() in named or not named else named[0]
        if len(set(named)) > 1:
            return False
        table.set("db", exp.to_identifier(found, quoted=True))
    return True
