"""A dataset's SELECT, computed by DuckDB over the inputs of a run: an Arrow table, and what is known of its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import dagster as dg
import duckdb
import pyarrow as pa

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from metadata_assets.signatures import Callee, Input, Parameter
from metadata_assets.source_table import SourceTable
from metadata_assets.spec import Dataset, Query, Relation, asset_key
from metadata_assets.spec.queries import quoted
from metadata_assets.sql.columns import Origin, origins_of
from metadata_assets.sql.engine import LITTLE, Refused, Room, alone, asked, called_once, provided, told_apart
from metadata_assets.sql.reading import columns_read
from metadata_assets.sql.statements import PARTITION


class SqlFailed(MetadataError):
    """{at}: {reason}; {fix}"""

    at: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 1


class NotATable(MetadataError):
    """{dataset} is no table ({kind}), so SQL cannot read it; return a table from it, or read it through Python"""

    dataset: str
    kind: str


class PartitionsDisagree(MetadataError):
    """the partitions of {dataset} do not fit into one table ({reason}); make its column one type in all of them"""

    dataset: str
    reason: str


@dataclass(frozen=True, slots=True)
class SqlFunction:
    """Computes one partition at a time. `answered` gets what is to be shown of each: columns and their lineage.

    `shown_as` is under which key Dagster shows an input, where that is another one than by its name.
    """

    query: Query
    room: Room = LITTLE
    shown_as: Mapping[CanonicalKey, dg.AssetKey] = field(default_factory=dict)
    answered: dict[str | None, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, **arguments: Any) -> pa.Table | None:
        """The answer; None where an input that may be missing has nothing for this partition."""
        partition = arguments.pop(PARTITION, None)
        if any(value == {} for value in arguments.values() if isinstance(value, dict)):
            return None
        inputs, schemas = self._inputs(arguments, partition)
        table = computed_table(self.query, inputs, partition, schemas, self.room)
        self.answered[partition] = _shown(self.query, schemas, table, self.shown_as)
        return table

    def _inputs(
        self, arguments: Mapping[str, Any], partition: str | None
    ) -> tuple[Mapping[Relation, pa.Table], Mapping[Relation, pa.Schema]]:
        """Every input as a table, of a table of a source only the columns that are read; and all columns of each."""
        given = {one: arguments[one.name] for one in self.query.relations}
        sources = {one: value for one, value in given.items() if isinstance(value, SourceTable)}
        found = {one: _table(one, value) for one, value in given.items() if one not in sources}
        schemas = {one: _without_rows(value) for one, value in sources.items()}
        schemas |= {one: table.schema for one, table in found.items()}
        for relation, schema in schemas.items():
            _check(told_apart(self.query, relation, schema.names))
        read = columns_read(self.query, schemas, partition) if sources else {}
        return found | {one: _read(value, read[one]) for one, value in sources.items()}, schemas


def _without_rows(source: SourceTable) -> pa.Schema:
    return source.arrow("SELECT * FROM {table} LIMIT 0").schema


def _read(source: SourceTable, columns: Sequence[str]) -> pa.Table:
    wanted = "*" if any("{table}" in name for name in columns) else ", ".join(source.quoted(name) for name in columns)
    return source.arrow(f"SELECT {wanted or '*'} FROM {{table}}")


def sql_callee(query: Query, dataset: Dataset, inputs: Mapping[str, Input]) -> Callee:
    """The SELECT of a dataset, called as a function of the project is; a new one for each run."""
    parameters = [_parameter(one, inputs[one.name]) for one in query.relations]
    if dataset.partitions:
        parameters.append(Parameter(name=PARTITION, kind="partition"))
    return Callee(function=SqlFunction(query), parameters=tuple(parameters))


def _parameter(relation: Relation, wanted: Input) -> Parameter:
    if wanted.is_source:
        return Parameter(name=relation.name, kind="source")
    return Parameter(name=relation.name, kind="tables" if wanted.several else "table", frame="arrow")


def _table(relation: Relation, given: Any) -> pa.Table:
    """What one partition gets of an input, as one table: the rows of several partitions together."""
    tables = list(given.values()) if isinstance(given, dict) else [given]
    for one in tables:
        if not isinstance(one, pa.Table):
            raise NotATable(dataset=short_name(relation.key), kind=type(one).__name__)
    try:
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise PartitionsDisagree(dataset=short_name(relation.key), reason=str(error)) from None


def computed_table(
    query: Query,
    inputs: Mapping[Relation, pa.Table],
    partition: str | None,
    schemas: Mapping[Relation, pa.Schema],
    room: Room = LITTLE,
) -> pa.Table:
    """What the SELECT answers over these inputs. Raises SqlFailed at its line and column.

    A column that only the schema of an input has is null there: the SELECT means what it means over all of them.
    """
    with alone(room) as connection:
        for number, (relation, table) in enumerate(inputs.items()):
            connection.register(f"input_{number}", table)
            empty = connection.from_arrow(schemas[relation].empty_table())
            columns = [
                quoted(name) if name in table.column_names else f"NULL::{kind} AS {quoted(name)}"
                for name, kind in zip(empty.columns, empty.types, strict=True)
            ]
            provided(connection, relation, f"SELECT {', '.join(columns)} FROM temp.main.input_{number}")
        answer = asked(connection, query, partition, duckdb.DuckDBPyRelation.to_arrow_table)
    if isinstance(answer, Refused):
        raise _failed(answer)
    _check(called_once(query, answer.column_names))
    return answer


def _failed(refused: Refused) -> SqlFailed:
    return SqlFailed(at=str(refused.at), reason=refused.reason, fix=refused.fix)


def _check(refused: Refused | None) -> None:
    if refused is not None:
        raise _failed(refused)


def _shown(
    query: Query,
    inputs: Mapping[Relation, pa.Schema],
    table: pa.Table,
    shown_as: Mapping[CanonicalKey, dg.AssetKey],
) -> Mapping[str, Any]:
    """For Dagster: the columns as they are, and which columns of the inputs each comes from."""
    columns = [dg.TableColumn(one.name, str(one.type)) for one in table.schema]
    names = {relation: schema.names for relation, schema in inputs.items()}
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        **column_lineage(origins_of(query, names, table.column_names), shown_as),
    }


def column_lineage(
    origins: Mapping[str, Sequence[Origin]], shown_as: Mapping[CanonicalKey, dg.AssetKey] = MappingProxyType({})
) -> Mapping[str, dg.TableColumnLineage]:
    """The metadata that Dagster draws column lineage from; nothing where none is known."""
    deps = {
        name: [
            dg.TableColumnDep(shown_as.get(relation.key) or asset_key(relation.key), column)
            for relation, column in found
        ]
        for name, found in origins.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}
