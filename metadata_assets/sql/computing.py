"""A dataset's SELECT, computed by DuckDB over the inputs of a run: an Arrow table, and what is known of its columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import dagster as dg
import duckdb
import pyarrow as pa

from identity.errors import MetadataError
from identity.keys import short_name
from metadata_assets.signatures import Callee, Input, Parameter
from metadata_assets.source_table import SourceTable
from metadata_assets.spec import Dataset, Query, Relation
from metadata_assets.spec.queries import quoted
from metadata_assets.sql.engine import alone, refused
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
    """Computes one partition at a time. `answered` gets what is to be shown of each: columns and their lineage."""

    query: Query
    answered: dict[str | None, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, **arguments: Any) -> pa.Table | None:
        """The answer; None where an input that may be missing has nothing for this partition."""
        partition = arguments.pop(PARTITION, None)
        if any(value == {} for value in arguments.values() if isinstance(value, dict)):
            return None
        inputs = {one: _table(one, arguments[one.name]) for one in self.query.relations}
        table = computed_table(self.query, inputs, partition)
        self.answered[partition] = _shown(table)
        return table


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
    if isinstance(given, SourceTable):
        return given.query("SELECT * FROM {table}").to_arrow()
    tables = list(given.values()) if isinstance(given, dict) else [given]
    for one in tables:
        if not isinstance(one, pa.Table):
            raise NotATable(dataset=short_name(relation.key), kind=type(one).__name__)
    try:
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise PartitionsDisagree(dataset=short_name(relation.key), reason=str(error)) from None


def computed_table(query: Query, inputs: Mapping[Relation, pa.Table], partition: str | None) -> pa.Table:
    """What the SELECT answers over these inputs. Raises SqlFailed at its line and column."""
    parameters = {PARTITION: partition} if query.takes_partition else None
    try:
        with alone() as connection:
            for number, (relation, table) in enumerate(inputs.items()):
                connection.register(f"input_{number}", table)
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(relation.schema)}")
                connection.execute(f"CREATE VIEW {relation} AS SELECT * FROM input_{number}")
            answer = connection.sql(query.statement, params=parameters)
            return answer.to_arrow_table()
    except duckdb.Error as error:
        told = refused(error, query)
    raise SqlFailed(at=str(told.at), reason=told.reason, fix=told.fix)


def _shown(table: pa.Table) -> Mapping[str, Any]:
    columns = [dg.TableColumn(one.name, str(one.type)) for one in table.schema]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}
