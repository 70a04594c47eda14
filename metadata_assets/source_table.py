"""A table of a source database, as a dataset's function gets it: to be queried, not loaded whole."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import polars as pl
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.adapt import AdaptersMap
from psycopg.types.string import TextLoader

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from resources.postgres.errors import connection_problem

CONNECT_TIMEOUT_SECONDS: Final = 10
Parameters = Mapping[str, Any] | Sequence[Any]


class SourceUnreachable(MetadataError):
    """cannot read {table}: the endpoint {endpoint} does not answer ({reason}); nothing was written"""

    table: str
    endpoint: str
    reason: str
    exit_code: ClassVar[int] = 4


class TableMissing(MetadataError):
    """the endpoint {endpoint} has no table {table}{declared}; collect the endpoint if the table has another name \
there by now and run again, or correct what the project's files say"""

    endpoint: str
    table: str
    declared: str
    exit_code: ClassVar[int] = 3


class UnusableAnswer(MetadataError):
    """what a query on {table} answers is no table: {reason}"""

    table: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table of an endpoint, here of a Postgres one.

    What is read through it is recorded as an input of the materialization.
    """

    key: CanonicalKey
    """The name that it has now, by which it is read."""
    url: Callable[[], str]
    """Gives the connection URL; a function, so that no copy of this value carries a password."""
    note: Callable[[int], None]
    """Told how many rows each query read."""
    declared: CanonicalKey | None = None
    """The name that the project has for it; an older one, where it was renamed since."""

    def query(self, statement: str, parameters: Parameters = ()) -> pl.DataFrame:
        """The rows of one SELECT in which `{table}` stands for this table's quoted name, in a read-only transaction.

            jfk.query("SELECT * FROM {table} WHERE month = %(month)s", {"month": 1})

        With parameters a literal % is written %%. Column types come from PostgreSQL's answer and never from its rows,
        so an empty answer has the same: numeric(p, s) is exact, any other numeric is Float64 (so cast sums of money),
        an interval's month has 30 days, and what Polars has no type for (json, uuid, inet, enums …) is text.

        Raises SourceUnreachable, TableMissing, UnusableAnswer, and psycopg's own error for a statement that PostgreSQL
        refuses.
        """
        with self._connect() as connection:
            connection.read_only = True
            columns, rows = self._ask(connection, statement, parameters)
        problem = _problem_of(columns)
        try:
            frame = pl.DataFrame([] if problem else _series(columns, rows))
        except Unfit as error:
            problem = str(error)
        if problem:
            raise UnusableAnswer(table=str(self.key), reason=problem)
        self.note(len(rows))
        return frame

    def arrow(self, statement: str) -> pa.Table:
        """The same for the SQL of a project, which has more types than Polars."""
        return self.query(statement).to_arrow()

    def quoted(self, name: str) -> str:
        """The name of a column, as a statement has it."""
        return '"' + name.replace('"', '""') + '"'

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(
                self.url(), context=_ADAPTERS, connect_timeout=CONNECT_TIMEOUT_SECONDS, client_encoding="utf8"
            )
        except psycopg.OperationalError as error:
            reason = connection_problem(error)
        except psycopg.ProgrammingError:
            reason = "libpq cannot read its URL"
        # Out here there is no error behind ours: libpq's message may quote the URL.
        raise SourceUnreachable(table=str(self.key), endpoint=self.key.endpoint, reason=reason)

    def _ask(
        self, connection: psycopg.Connection[Any], statement: str, parameters: Parameters
    ) -> tuple[Sequence[psycopg.Column], list[tuple[Any, ...]]]:
        name = sql.Identifier(*(part for part in (self.key.schema, self.key.table) if part is not None))
        quoted = name.as_string(connection)
        text = statement.replace("{table}", quoted.replace("%", "%%") if parameters else quoted)
        try:
            connection.execute("SET LOCAL timezone TO 'UTC'")
            # Prepared, because PostgreSQL prepares one statement only: no "COMMIT; DROP TABLE …".
            cursor = connection.execute(text.encode(), parameters or None, prepare=True)
            return cursor.description or (), cursor.fetchall() if cursor.description else []
        except psycopg.errors.UndefinedTable:
            if self._is_there(connection, quoted):  # then the statement names another one
                raise
            called = f", which the project calls {self.declared}" if self.declared not in (None, self.key) else ""
            raise TableMissing(endpoint=self.key.endpoint, table=str(self.key), declared=called) from None
        except psycopg.OperationalError as error:
            reason = type(error).__name__
        except psycopg.DataError as error:
            if error.sqlstate is not None:  # PostgreSQL's own: the statement divides by zero or the like
                raise
            problem = "it has a date or time that Python has not (infinity, before the year 1, 24:00); cast it to text"
            raise UnusableAnswer(table=str(self.key), reason=problem) from None
        raise SourceUnreachable(table=str(self.key), endpoint=self.key.endpoint, reason=reason)

    def _is_there(self, connection: psycopg.Connection[Any], quoted: str) -> bool:
        connection.rollback()
        return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [quoted]).fetchone() == (True,)


_POLARS: Final[Mapping[str, Any]] = {
    "bool": pl.Boolean,
    "int2": pl.Int16,
    "int4": pl.Int32,
    "int8": pl.Int64,
    "oid": pl.UInt32,
    "float4": pl.Float32,
    "float8": pl.Float64,
    "numeric": pl.Float64,
    "bytea": pl.Binary,
    "date": pl.Date,
    "time": pl.Time,
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "interval": pl.Duration("us"),
}
"""Whatever is not here, and an array of numeric, is text."""


def _adapters() -> AdaptersMap:
    """psycopg's ways to read a value, but for everything that is to be text."""
    adapters = AdaptersMap(psycopg.adapters)
    for info in adapters.types:
        if info.name not in _POLARS:
            adapters.register_loader(info.oid, TextLoader)
    adapters.register_loader(adapters.types["numeric"].array_oid, TextLoader)
    return adapters


_ADAPTERS: Final = _adapters()


class Unfit(Exception):
    """A column whose values do not fit its type."""


def _problem_of(columns: Sequence[psycopg.Column]) -> str | None:
    if not columns:
        return "the statement has no columns; only a SELECT of some has"
    name, times = Counter(column.name for column in columns).most_common(1)[0]
    return f"two columns are called {name}; name them apart with AS" if times > 1 else None


def _series(columns: Sequence[psycopg.Column], rows: Sequence[tuple[Any, ...]]) -> list[pl.Series]:
    values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    return [_one_series(column, some) for column, some in zip(columns, values, strict=True)]


def _one_series(column: psycopg.Column, values: Sequence[Any]) -> pl.Series:
    kind = _type_of(column)
    if kind == pl.Float64:
        values = [None if value is None else float(value) for value in values]
    if kind == pl.Decimal and any(value is not None and not value.is_finite() for value in values):
        raise Unfit(f"column {column.name} holds NaN, which no exact number is; cast it to float8")
    try:
        return pl.Series(column.name, values, dtype=kind)
    except (pl.exceptions.PolarsError, TypeError):
        raise Unfit(f"column {column.name} holds values that are no {kind}; cast it to text") from None


def _type_of(column: psycopg.Column) -> Any:
    info = _ADAPTERS.types.get(column.type_code)
    if info is None:  # an enum, a composite, an extension's
        return pl.String
    if column.type_code == info.array_oid:
        return pl.String if info.name == "numeric" else pl.List(_POLARS.get(info.name, pl.String))
    precision, scale = column.precision, column.scale
    if info.name == "numeric" and precision is not None and scale is not None and 0 <= scale <= precision <= 38:
        return pl.Decimal(precision, scale)
    return _POLARS.get(info.name, pl.String)
