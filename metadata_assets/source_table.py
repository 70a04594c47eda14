"""A table of a source database, as a dataset's function gets it: to be queried, not loaded whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import psycopg
from psycopg import sql

from identity.errors import MetadataError
from identity.keys import CanonicalKey


class SourceUnreachable(MetadataError):
    """cannot read {table}: the endpoint {endpoint} does not answer ({reason}); nothing was written"""

    table: str
    endpoint: str
    reason: str
    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table of a Postgres endpoint. What is read through it is recorded as an input of the materialization."""

    key: CanonicalKey
    url: Callable[[], str]
    """Gives the connection URL; a function, so that no copy of this value carries a password."""
    note: Callable[[int], None]
    """Told how many rows each query read."""

    def query(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> pl.DataFrame:
        """The rows of a SELECT in which `{table}` stands for this table's quoted name, in a read-only transaction.

            jfk.query("SELECT * FROM {table} WHERE month = %(month)s", {"month": 1})

        Column types come from PostgreSQL's answer, so an empty answer has its columns too.
        """
        name = sql.Identifier(*(part for part in (self.key.schema, self.key.table) if part is not None))
        composed = sql.SQL(statement).format(table=name)
        try:
            with psycopg.connect(self.url(), autocommit=False) as connection:
                connection.read_only = True
                rows, schema = _fetch(connection, composed, parameters)
        except psycopg.OperationalError as error:
            reason = type(error).__name__
            raise SourceUnreachable(table=str(self.key), endpoint=self.key.endpoint, reason=reason) from None
        self.note(len(rows))
        return pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None)


_POLARS: Mapping[str, Any] = {
    "bool": pl.Boolean,
    "int2": pl.Int16,
    "int4": pl.Int32,
    "int8": pl.Int64,
    "float4": pl.Float32,
    "float8": pl.Float64,
    "text": pl.String,
    "varchar": pl.String,
    "bpchar": pl.String,
    "name": pl.String,
    "date": pl.Date,
    "time": pl.Time,
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "interval": pl.Duration("us"),
    "uuid": pl.String,
}


def _fetch(
    connection: psycopg.Connection[Any], statement: sql.Composed, parameters: Mapping[str, Any] | Sequence[Any]
) -> tuple[list[Any], dict[str, Any]]:
    connection.execute("SET LOCAL timezone TO 'UTC'")
    cursor = connection.execute(statement, parameters)
    schema = {}
    for column in cursor.description or ():
        info = connection.adapters.types.get(column.type_code)
        schema[column.name] = _POLARS.get(info.name) if info else None
    return cursor.fetchall(), schema
