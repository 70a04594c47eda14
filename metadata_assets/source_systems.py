"""Tables of DuckDB and SQLite files, and of MySQL and MariaDB servers, as a dataset's function gets them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa

from identity.errors import MetadataError, shown
from metadata_assets.source_table import Parameters, SourceTable, TableMissing, UnusableAnswer
from metadata_assets.spec.queries import quoted
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases

SECONDS: Final = 600.0
"""So long may one statement take."""
BATCH: Final = 10_000
"""So many rows are values of Python at once; those before are columns by then."""


class StatementRefused(MetadataError):
    """{table}: the statement is refused: {reason}"""

    table: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTable(SourceTable):
    """A table of an endpoint that is no PostgreSQL. Statements and parameters are written as its system has them."""

    location: EndpointLocation
    databases: Callable[[], Databases]
    seconds: float = SECONDS

    def query(self, statement: str, parameters: Parameters = ()) -> pl.DataFrame:
        """The rows of one SELECT in which `{table}` stands for this table's quoted name; nothing can be changed.

        Parameters are $day or ? in DuckDB, :day or ? in SQLite, %(day)s or %s in MySQL and MariaDB. Types are those of
        the answer; in SQLite, whose columns have none, those of the values, and of a column without any the declared
        one. What takes longer than ten minutes is broken off.

        Raises EndpointUnreachable, EndpointBusy, EndpointRefused, TableMissing, StatementRefused, UnusableAnswer.
        """
        frame = self._answer(self._named(statement, parameters), parameters or None)
        self.note(frame.height)
        return frame

    def arrow(self, statement: str) -> pa.Table:
        """In the types of `query`, and where Polars has none in Arrow's: DuckDB's intervals; its unions are text."""
        if self.location.system != "duckdb":
            return self.query(statement).to_arrow()
        answer = self._of_duckdb(self._named(statement, ()), None, unions_as_text=True)
        self.note(answer.num_rows)
        columns = [one if _is_foreign(one.type) else pl.Series(values=one).to_arrow() for one in answer.columns]
        return pa.table(columns, names=answer.column_names)

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`" if self._is_server else quoted(name)

    @property
    def _is_server(self) -> bool:
        return self.location.system in ("mysql", "mariadb")

    def _named(self, statement: str, parameters: Parameters) -> str:
        name = ".".join(self.quoted(part) for part in self._parts())
        return statement.replace("{table}", name.replace("%", "%%") if parameters and self._is_server else name)

    def _parts(self) -> list[str]:
        within = [self.key.source] if self.location.system == "duckdb" else []
        return [part for part in (*within, self.key.schema, self.key.table) if part is not None]

    def _answer(self, text: str, parameters: Parameters | None) -> pl.DataFrame:
        match self.location.system:
            case "duckdb":
                return self._in_polars(self._of_duckdb(text, parameters))
            case "sqlite":
                return self._of_sqlite(text, parameters)
        return self._of_mysql(text, parameters)

    def _in_polars(self, answer: pa.Table) -> pl.DataFrame:
        if any(_is_foreign(one) for one in answer.schema.types):
            reason = "a column has a type that Polars has not, such as interval or union; cast it to text"
            raise UnusableAnswer(table=str(self.key), reason=reason)
        return pl.DataFrame(answer)

    def _of_duckdb(self, text: str, parameters: Parameters | None, *, unions_as_text: bool = False) -> pa.Table:
        import duckdb

        from metadata_assets.collection.duckdb_file import reading_duckdb

        with reading_duckdb(self.location, self.databases(), self.seconds) as connection:
            try:
                if (
                    len(connection.extract_statements(text)) > 1
                ):  # COMMIT, DETACH and ATTACH would get the file to write
                    raise StatementRefused(table=str(self.key), reason="it is several statements")
                found = connection.sql(text, params=parameters)
                self._check_names(found.columns if found is not None else ())
                return (_without_unions(found) if unions_as_text else found).to_arrow_table()
            except (duckdb.InterruptException, duckdb.IOException):
                raise
            except duckdb.Error as error:
                there = "SELECT 1 FROM duckdb_columns() WHERE (database_name, schema_name, table_name) = ($1, $2, $3)"
                parts = [self.key.source, self.key.schema, self.key.table]
                connection.rollback()
                raise self._refused(str(error), connection.execute(there, parts).fetchone()) from None

    def _of_sqlite(self, text: str, parameters: Parameters | None) -> pl.DataFrame:
        import sqlite3

        from metadata_assets.collection.sqlite_file import reading_sqlite

        with reading_sqlite(self.location, self.databases(), self.seconds) as connection:
            declared = dict(connection.execute("SELECT name, type FROM pragma_table_xinfo(?)", [self.key.table]))
            reads = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
            connection.set_authorizer(lambda what, *_: sqlite3.SQLITE_OK if what in reads else sqlite3.SQLITE_DENY)
            try:
                cursor = connection.execute(text, parameters or ())
                names = [str(one[0]) for one in cursor.description or ()]
                kinds = {name: _affinity(str(declared[name])) for name in names if name in declared}
                return self._frame(names, {}, kinds, _batches(cursor))
            except (sqlite3.Error, sqlite3.Warning) as error:
                code = getattr(error, "sqlite_errorname", None)
                if code not in _OF_STATEMENTS:
                    raise
                reason = "it does more than to read" if code == "SQLITE_AUTH" else str(error)
                raise self._refused(reason, declared) from None

    def _of_mysql(self, text: str, parameters: Parameters | None) -> pl.DataFrame:
        from metadata_assets.collection.mysql import is_refusal, reading_mysql

        with reading_mysql(self.location, self.databases(), self.seconds) as connection:
            import pymysql

            cursor = connection.cursor(pymysql.cursors.SSCursor)
            try:
                cursor.execute(text, parameters)
                names = [str(one[0]) for one in cursor.description or ()]
                kinds = {str(one[0]): _of_server(one[1], one[5]) for one in cursor.description or ()}
                return self._frame(names, {name: one for name, one in kinds.items() if one}, {}, _batches(cursor))
            except (pymysql.MySQLError, TypeError, KeyError) as error:
                if isinstance(error, pymysql.MySQLError) and not is_refusal(error):
                    raise
                there = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
                with connection.cursor() as asked:
                    is_there = asked.execute(there, [self.key.schema, self.key.table])
                raise self._refused(str(error.args[-1]), is_there) from None
            finally:
                cursor.close()

    def _refused(self, reason: str, is_there: object) -> MetadataError:
        if is_there:
            return StatementRefused(table=str(self.key), reason=shown(reason.partition("\n")[0]))
        called = f", which the project calls {self.declared}" if self.declared not in (None, self.key) else ""
        return TableMissing(endpoint=self.key.endpoint, table=str(self.key), declared=called)

    def _check_names(self, names: Sequence[str]) -> None:
        if not names:
            reason = "the statement has no columns; only a SELECT of some has"
            raise UnusableAnswer(table=str(self.key), reason=reason)
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise UnusableAnswer(table=str(self.key), reason=f"two columns are called {name}; name them apart with AS")

    def _frame(
        self,
        names: Sequence[str],
        kinds: Mapping[str, Any],
        empty: Mapping[str, Any],
        batches: Iterator[Sequence[Sequence[Any]]],
    ) -> pl.DataFrame:
        """Columns of these types; others have that of their values, and where these are all null the `empty` one."""
        self._check_names(names)
        schema = {name: kinds.get(name, pl.Null) for name in names}
        frames = [pl.DataFrame(schema=schema)]
        for rows in batches:
            columns = zip(names, zip(*rows, strict=True), strict=True)
            frames.append(pl.DataFrame([self._series(name, some, kinds.get(name)) for name, some in columns]))
        for name in names:  # what one type is for all of them, Polars would turn into text where there is none
            found = {frame.schema[name] for frame in frames} - {pl.Null}
            if len(found) > 1 and found != {pl.Int64, pl.Float64}:
                raise UnusableAnswer(table=str(self.key), reason=_MIXED.format(f"column {name}"))
        whole = pl.concat(frames, how="vertical_relaxed")
        nulls = [name for name, kind in whole.schema.items() if kind == pl.Null]
        return whole.with_columns(pl.col(name).cast(empty.get(name, pl.String)) for name in nulls)

    def _series(self, name: str, values: Sequence[Any], kind: Any) -> pl.Series:
        if kind is None:
            types = {type(value) for value in values if value is not None}
            kind = pl.Float64 if types == {int, float} else _OF_PYTHON.get(types.pop()) if len(types) == 1 else None
            if kind is None and any(value is not None for value in values):
                raise UnusableAnswer(table=str(self.key), reason=_MIXED.format(f"column {name}"))
            kind = kind or pl.Null
        try:
            return pl.Series(name, values, dtype=kind)
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            reason = f"column {name} holds values that are no {kind}; cast it to text"
            raise UnusableAnswer(table=str(self.key), reason=reason) from None


_OF_STATEMENTS: Final = (None, "SQLITE_ERROR", "SQLITE_AUTH", "SQLITE_MISMATCH", "SQLITE_RANGE", "SQLITE_TOOBIG")
"""What SQLite has against a statement, and not against the file."""
_MIXED: Final = "{} holds values of several types; cast it to one"
_OF_PYTHON: Final[Mapping[type, Any]] = {int: pl.Int64, float: pl.Float64, str: pl.String, bytes: pl.Binary}


def table_at(location: EndpointLocation, databases: Callable[[], Databases], **table: Any) -> SourceTable:
    """A table of an endpoint, asked as its system is. The others are `key`, `note` and `declared`."""
    if location.system == "postgres":
        return SourceTable(url=lambda: location.database_url(databases()), **table)
    return OtherTable(url=str, location=location, databases=databases, **table)


def _batches(cursor: Any) -> Iterator[Sequence[Sequence[Any]]]:
    while rows := cursor.fetchmany(BATCH):
        yield rows


def _without_unions(answer: Any) -> Any:
    """The same where columns of DuckDB's unions are text: DuckDB itself does not take them from Arrow."""
    columns = ((quoted(name), kind) for name, kind in zip(answer.columns, answer.types, strict=True))
    return answer.project(
        ", ".join(f"{name}::VARCHAR AS {name}" if _has_union(kind) else name for name, kind in columns)
    )


def _has_union(kind: Any) -> bool:
    """Whether a type of DuckDB is a union, or has one inside."""
    if kind.id == "union":
        return True
    inside = [one for _name, one in kind.children] if kind.id in {"list", "array", "struct", "map"} else []
    return any(_has_union(one) for one in inside if hasattr(one, "id"))


def _is_foreign(kind: pa.DataType) -> bool:
    """Whether Polars has no such type."""
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return any(_is_foreign(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_interval(kind) or pa.types.is_union(kind))


def _affinity(declared: str) -> Any:
    """What a column of SQLite is for, by its words for that; dates are texts."""
    said = declared.upper()
    found = next((kind for words, kind in _AFFINITIES if any(word in said for word in words)), pl.Float64)
    return found if said else pl.String


_AFFINITIES: Final = (
    (("INT", "BOOL"), pl.Int64),
    (("CHAR", "CLOB", "TEXT", "DATE", "TIME"), pl.String),
    (("BLOB",), pl.Binary),
)


def _of_server(code: int, scale: int) -> Any:
    """The type of an answer's column; None for texts and bytes, which MySQL tells apart by the value."""
    return pl.Decimal(38, min(scale, 38)) if code in (0, 246) else _SERVER_TYPES.get(code)


_SERVER_TYPES: Final[Mapping[int, Any]] = {
    **dict.fromkeys((1, 2, 3, 8, 9, 13), pl.Int64),
    **dict.fromkeys((4, 5), pl.Float64),
    **dict.fromkeys((10, 14), pl.Date),
    **dict.fromkeys((7, 12), pl.Datetime("us")),
    11: pl.Duration("us"),
}
