"""What the views of a database read, from their SQL."""

from collections.abc import Collection, Iterable, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from metadata_assets.collection.rows import Name, Row

_NOT_UNDERSTOOD = (SqlglotError, ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)
"""What sqlglot raises for SQL that it does not understand. That such a view works is the database's word."""


def reads(
    relations: Iterable[Row], dialect: str, databases: Collection[str] = ()
) -> Iterator[tuple[str, str, str, str]]:
    """Which view reads which relation, both by schema and name as the catalog spells them.

    A name without a schema is in the view's own one; one with a database that is none of `databases`, which the views'
    own one is called by, is elsewhere. These engines compare names without the case of letters. A view
    that is not understood reads nothing that we know.
    """
    given = [(schema, name, definition) for schema, name, _kind, _comment, definition, *_ in relations]
    spelled = {_plain((schema, name)): (schema, name) for schema, name, _definition in given}
    exact = {(schema, name) for schema, name, _definition in given}
    own = {"", *map(str.lower, databases)}
    for schema, view, definition in given:
        for said in sorted(_tables(definition, schema, dialect, own) if definition else ()):
            found = said if said in exact else spelled.get(_plain(said))
            if found is not None and found != (schema, view):
                yield schema, view, *found


def _tables(definition: str, schema: str, dialect: str, databases: set[str]) -> set[Name]:
    try:
        tree = sqlglot.parse_one(definition, dialect=dialect)
        query = tree.expression if isinstance(tree, exp.Create) else tree
        if not isinstance(query, exp.Query):
            return set()
        sources = (one for scope in traverse_scope(query) for one in scope.sources.values())
        tables = [one for one in sources if isinstance(one, exp.Table)]
    except _NOT_UNDERSTOOD:
        return set()
    here = (one for one in tables if isinstance(one.this, exp.Identifier) and one.catalog.lower() in databases)
    return {(one.db or schema, one.name) for one in here}


def _plain(name: Name) -> Name:
    schema, table = name
    return schema.lower(), table.lower()
