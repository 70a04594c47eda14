"""The columns of all datasets of a project that are a SELECT, one after the other: the inputs of each come first."""

import re
from collections.abc import Mapping
from functools import cache
from graphlib import TopologicalSorter

import duckdb

from identity.keys import CanonicalKey
from metadata_assets.spec import Column, Dataset, Problem, Project
from metadata_assets.sql.columns import Columns, Described, described
from metadata_assets.sql.types import duckdb_type

_POSTGRES = re.compile(
    r"(?:(boolean|smallint|integer|bigint|real|double precision|date|bytea|interval)|(oid)"
    r"|(time|timestamp)(?:\(\d\))?(?: without time zone)?|(timestamp)(?:\(\d\))? with time zone"
    r"|numeric\((\d+),(-?\d+)\)|(numeric))(\[\])?"
)


@cache
def source_type(collected: str | None) -> str | None:
    """As what a column of a PostgreSQL table arrives, by its type there: what has no type here is text."""
    found = _POSTGRES.fullmatch(collected or "")
    if found is None:
        return "VARCHAR" if collected and not collected.endswith("[]") else "VARCHAR[]" if collected else None
    plain, oid, time, aware, precision, scale, inexact, array = found.groups()
    if array and (precision or inexact):
        return "VARCHAR"
    exact = f"DECIMAL({precision},{scale})" if precision and 0 <= int(scale) <= int(precision) <= 38 else None
    kind = plain or time or exact or (oid and "UINTEGER") or (aware and "TIMESTAMP WITH TIME ZONE") or "DOUBLE"
    return f"{duckdb.sqltype(kind)}{array or ''}"


NOTHING_COLLECTED: Mapping[CanonicalKey, Columns] = {}


def select_columns(
    project: Project, collected: Mapping[CanonicalKey, Columns] = NOTHING_COLLECTED
) -> Mapping[CanonicalKey, Described]:
    """What is known of the columns of each SELECT, from what is declared and what was collected of sources."""
    selects = {dataset.key: dataset.sql for dataset in project.datasets if dataset.sql is not None}
    known = dict(collected)
    known |= {one.key: _declared(one) for one in project.datasets if one.columns and one.sql is None}
    needed = {key: [one.key for one in query.relations if one.key in selects] for key, query in selects.items()}
    found: dict[CanonicalKey, Described] = {}
    for key in TopologicalSorter(needed).static_order():
        query = selects[key]
        found[key] = described(query, {one: known[one.key] for one in query.relations if one.key in known})
        columns = found[key].columns or _declared(project.datasets_by_key[key])
        if columns:
            known[key] = columns
    return found


def select_problems(found: Mapping[CanonicalKey, Described]) -> list[Problem]:
    """What DuckDB has against SELECTs of which all columns of the inputs are known."""
    told = (one.problem for one in found.values())
    return [Problem(one.at, "", one.reason, one.fix) for one in told if one is not None]


def _declared(dataset: Dataset) -> Columns:
    return {one.name: duckdb_type(one.type) if one.type else None for one in dataset.columns}


def promised(dataset: Dataset, found: Described) -> tuple[Column, ...]:
    """The columns of a SELECT for people: as declared, with the types that are known; else all that are known."""
    if dataset.columns:
        return tuple(
            Column(name=one.name, type=one.type or found.shown.get(one.name), description=one.description)
            for one in dataset.columns
        )
    return tuple(Column(name=name, type=found.shown.get(name), description=None) for name in found.columns or ())
