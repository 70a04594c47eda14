"""What a file of SQL may hold: one SELECT that reads inputs and nothing else."""

from collections.abc import Iterator
from dataclasses import replace

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from identity.errors import shown
from metadata_assets.spec.problems import At, Problem, nearest
from metadata_assets.spec.queries import Query, ascii_lower
from metadata_assets.sql.engine import alone, refused, two_columns

DIALECT = "duckdb"
PARTITION = "partition"


def statement_problems(query: Query, *, is_divided: bool) -> tuple[Query | None, list[Problem]]:
    """The query with what DuckDB says about it, or why it is none. Nothing is executed."""
    try:
        with alone() as connection:
            found = connection.extract_statements(query.statement)
    except duckdb.Error as error:
        told = refused(error, query)
        return None, [Problem(told.at, "", f"not valid SQL: {told.reason}", told.fix)]
    problem = _not_one_select(query, found)
    if problem is not None:
        return None, [problem]
    (statement,) = found
    tree = tree_of(query)
    parameters = _parameters(query, statement.named_parameters, is_divided=is_divided)
    problems = [*parameters, *(_not_inputs(query, tree) if tree else ()), *(_alike(query, tree) if tree else ())]
    return replace(query, takes_partition=PARTITION in statement.named_parameters), problems


def _not_one_select(query: Query, found: list[duckdb.Statement]) -> Problem | None:
    if not found:
        return Problem(At(query.file), "", "there is no SQL in it", "write a SELECT")
    if len(found) > 1:
        start = query.statement.index(found[1].query, len(found[0].query))
        at = query.at(start + len(found[1].query) - len(found[1].query.lstrip(" \t\r\n;")))
        return Problem(at, "", f"{len(found)} statements are in it", "keep one SELECT, and use WITH for its steps")
    if found[0].type is duckdb.StatementType.MULTI:
        return Problem(
            At(query.file), "", "its columns depend on the data", "write PIVOT … ON … IN (…) with its values"
        )
    if found[0].type is not duckdb.StatementType.SELECT:
        return Problem(At(query.file), "", f"a SELECT belongs here, not {found[0].type.name}", "write a SELECT")
    if isinstance(tree_of(query), exp.Describe | exp.Summarize | exp.Show):
        return Problem(At(query.file), "", "it describes a table and has no rows of it", "write a SELECT")
    return None


def _parameters(query: Query, names: set[str], *, is_divided: bool) -> Iterator[Problem]:
    for name in sorted(names):
        if name == PARTITION and is_divided:
            continue
        written = f"${name}"
        at = query.at(max(0, query.statement.find(written)))
        if name == PARTITION:
            yield Problem(at, "", "the dataset is not divided, so it has no $partition", "give it `partitions: …`")
        else:
            fix = "write $partition, the key of the partition as a text, or the value itself"
            yield Problem(at, "", f"nothing provides the parameter {written}", fix)


def tree_of(query: Query) -> exp.Expr | None:
    """The statement as sqlglot understands it; None where only DuckDB does."""
    try:
        return sqlglot.parse_one(query.statement, dialect=DIALECT)
    except (SqlglotError, RecursionError):
        return None


def _alike(query: Query, tree: exp.Expr) -> Iterator[Problem]:
    """Columns of the answer that are called alike, by what is written: `late, Late` is one column of an input twice."""
    selects = tree.selects if isinstance(tree, exp.Query) else []
    seen: set[str] = set()
    for one in selects:
        name = ascii_lower(one.name) if isinstance(one, exp.Column) else one.alias
        if name and not one.is_star and name in seen:
            identifier = one.this if isinstance(one, exp.Column) else one.args["alias"]
            yield Problem(query.at(identifier.meta.get("start", 0)), "", *two_columns(one.alias_or_name))
        seen.add(name)


def _not_inputs(query: Query, tree: exp.Expr) -> Iterator[Problem]:
    """Tables that are read by their plain names."""
    inputs = {(one.schema.lower(), one.table.lower()) for one in query.relations}
    own = {one.alias_or_name.lower() for one in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or (table.db.lower(), table.name.lower()) in inputs:
            continue
        if table.db or table.name.lower() not in own:
            yield _not_an_input(query, table, sorted(own))


def _not_an_input(query: Query, table: exp.Table, own: list[str]) -> Problem:
    name = ".".join(part.name for part in table.parts)
    first = table.parts[0].meta.get("start")
    near = nearest(name, own)
    meant = f"did you mean {near[0]}? For" if near else "for"
    ref, source = f"{{{{ ref('{shown(table.name)}') }}}}", "{{ source('…', '…', '…') }}"
    fix = f"{meant} a dataset write {ref}, for a table of a source {source}"
    return Problem(query.at(first or 0), "", f"{shown(name)} is not an input", fix)
