"""Which columns of its inputs a SELECT needs: DuckDB's own plan over inputs without rows says so."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from metadata_assets.spec import Query, Relation
from metadata_assets.sql.engine import alone, provided

_Plan = Mapping[str, Any]


def columns_read(
    query: Query, inputs: Mapping[Relation, pa.Schema], partition: str | None
) -> Mapping[Relation, Sequence[str]]:
    """The columns of each input without which the answer could be another one; never none.

    All of them where the plan does not tell, or DuckDB refuses the SELECT: it does so again where it is computed.
    """
    with alone() as connection:
        for number, (relation, schema) in enumerate(inputs.items()):
            connection.register("given", schema.empty_table())
            connection.execute(f"CREATE TABLE {_table(number)} AS FROM given")
            provided(connection, relation, f"FROM {_table(number)}")
        plans = _planned(connection, query, partition)
    return {
        relation: _columns(_table(number), plans, schema.names)
        for number, (relation, schema) in enumerate(inputs.items())
    }


def _table(number: int) -> str:
    """As plans name it, too."""
    return f"memory.main.input_{number}"


def _leave_out_only_what_is_unused(connection: duckdb.DuckDBPyConnection) -> None:
    """Any other optimization could follow from there being no rows, and hold for no other data."""
    names = [name for (name,) in connection.execute("FROM duckdb_optimizers()").fetchall()]
    connection.execute(f"SET disabled_optimizers = '{','.join(name for name in names if name != 'unused_columns')}'")
    connection.execute("SET explain_output = 'all'")


def _planned(
    connection: duckdb.DuckDBPyConnection, query: Query, partition: str | None
) -> Mapping[str, Sequence[_Plan]]:
    """The scans of each plan that DuckDB makes of the SELECT; nothing where it makes none."""
    _leave_out_only_what_is_unused(connection)
    parameters = {"partition": partition} if query.takes_partition else None
    try:
        rows = connection.execute(f"EXPLAIN (FORMAT json) {query.statement}", parameters).fetchall()
    except duckdb.Error:
        return {}
    return {kind: list(_scans(json.loads(text))) for kind, text in rows}


def _scans(nodes: Sequence[_Plan]) -> Iterator[_Plan]:
    for node in nodes:
        found = node.get("extra_info", {})
        if "Table" in found:
            yield found
        yield from _scans(node.get("children", ()))


def _columns(table: str, plans: Mapping[str, Sequence[_Plan]], names: Sequence[str]) -> Sequence[str]:
    """By the scans of a table. All where the physical plan lacks one of the logical one, or is not understood."""
    scans = [one.get("Projections") for one in plans.get("physical_plan", ()) if one["Table"] == table]
    wanted = sum(1 for one in plans.get("logical_plan", ()) if one["Table"] == table)
    read: set[str] = set()
    for scan in scans:
        if not isinstance(scan, str | list):
            return names
        read |= {scan} - {""} if isinstance(scan, str) else set(scan)
    if not scans or len(scans) != wanted or read - set(names) or any("\n" in name for name in names):
        return names  # the plan breaks names at their lines
    return [name for name in names if name in read] or names[:1]
