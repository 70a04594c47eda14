"""Look at the catalog of a DuckDB file: attached read-only to an engine that may do nothing else, for some time."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, Final

import duckdb

from identity.errors import MetadataError
from metadata_assets.collection.errors import EndpointBusy, EndpointRefused, EndpointUnreachable
from metadata_assets.collection.profiling import SAMPLE, Rows
from metadata_assets.collection.rows import Names
from metadata_assets.collection.scope import EVERYTHING, Scope
from metadata_assets.collection.snapshot import Contents, Snapshot
from metadata_assets.spec.queries import quoted
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases

TIMEOUT_SECONDS: Final = 60.0

_RELATIONS: Final = """
SELECT schema_name, table_name, 'r', comment, NULL, NULL, NULL, NULL, estimated_size FROM duckdb_tables()
WHERE database_name = $database AND NOT internal AND NOT temporary
UNION ALL
SELECT schema_name, view_name, 'v', comment, sql, NULL, NULL, NULL, NULL FROM duckdb_views()
WHERE database_name = $database AND NOT internal AND NOT temporary
ORDER BY ALL
"""

_COLUMNS: Final = """
SELECT schema_name, table_name, column_index, column_name, data_type, is_nullable, column_default, NULL, '', comment
FROM duckdb_columns() WHERE database_name = $database AND NOT internal ORDER BY ALL
"""

# A foreign key leads to a table of the same schema: DuckDB has no others.
_CONSTRAINTS: Final = """
SELECT schema_name, table_name, CASE constraint_type WHEN 'PRIMARY KEY' THEN 'p' WHEN 'UNIQUE' THEN 'u' ELSE 'f' END,
  constraint_column_names, CASE constraint_type WHEN 'FOREIGN KEY' THEN schema_name END, referenced_table,
  coalesce(referenced_column_names, [])
FROM duckdb_constraints()
WHERE database_name = $database AND constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY') ORDER BY ALL
"""

_SCHEMAS: Final = "SELECT schema_name FROM duckdb_schemas() WHERE database_name = $database"


@contextmanager
def looking_at_duckdb(
    location: EndpointLocation, databases: Databases, scope: Scope = EVERYTHING
) -> Iterator[Snapshot]:
    """A look at a DuckDB file. Raises EndpointUnreachable, EndpointBusy, EndpointRefused, MissingVariable."""
    file = location.file_path(databases.settings)
    database = location.database or file.stem
    with _attached(file, database, location.slug, seconds=TIMEOUT_SECONDS) as connection:
        contents = _contents(connection, database, location.slug)
    called = frozenset({database, file.stem})  # by us, and by those who made the views
    yield Snapshot(Names(location.slug, database), contents.within(scope), scope, "duckdb", called)


@contextmanager
def rows_of_duckdb(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[Rows]:
    """The rows of tables, in an engine that has the file read-only."""
    file = location.file_path(databases.settings)
    database = location.database or file.stem
    with _attached(file, database, location.slug, seconds=TIMEOUT_SECONDS, limited=False) as connection:

        def ask(statement: str) -> Sequence[Any]:
            clock = Timer(seconds, connection.interrupt)
            clock.start()
            try:
                return connection.execute(statement).fetchone() or ()
            except duckdb.Error as error:
                raise _translated(error, location.slug, file) from None
            finally:
                clock.cancel()

        yield Rows(ask, quoted, _sample, within=f"{quoted(database)}.")


def _sample(table: str, _rows: int) -> str:
    return f"(SELECT * FROM {table} USING SAMPLE {SAMPLE} ROWS)"


@contextmanager
def reading_duckdb(
    location: EndpointLocation, databases: Databases, seconds: float
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine that has the file read-only, under the name that the endpoint gives it, for so long."""
    file = location.file_path(databases.settings)
    with _attached(file, location.database or file.stem, location.slug, seconds=seconds) as connection:
        yield connection


@contextmanager
def _attached(
    file: Path, database: str, endpoint: str, *, seconds: float, limited: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine with the file in it: no other files, no network, no extensions. Its errors are ours.

    `limited`, all that is asked of it has one limit of time and one snapshot.
    """
    if not file.is_file():
        raise EndpointUnreachable(endpoint=endpoint, where=str(file), reason="there is no such file")
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "threads": 1,
    }
    try:
        with closing(duckdb.connect(config=config)) as connection:
            clock = Timer(seconds, connection.interrupt)
            if limited:
                clock.start()
            try:
                path = str(file.absolute()).replace("'", "''")
                connection.execute(f"ATTACH '{path}' AS {quoted(database)} (READ_ONLY)")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                if limited:
                    connection.execute("BEGIN TRANSACTION")
                yield connection
            finally:
                clock.cancel()
    except duckdb.Error as error:
        raise _translated(error, endpoint, file) from None


def _translated(error: duckdb.Error, endpoint: str, file: Path) -> MetadataError:
    said = str(error)
    if isinstance(error, duckdb.InterruptException):
        return EndpointBusy(endpoint=endpoint, reason="a query ran into the time limit")
    if "Corrupt database" in said or "checksum" in said:
        return EndpointRefused(endpoint=endpoint, reason="its file is damaged")
    if (
        "Could not set lock" in said
        or "used by another process" in said
        or "already attached" in said
        or "Unique file handle" in said
    ):
        return EndpointBusy(endpoint=endpoint, reason="another process has the file open to write")
    if "not a valid DuckDB" in said:
        return EndpointRefused(endpoint=endpoint, reason="its file is no DuckDB database")
    if "storage version" in said or isinstance(error, duckdb.SerializationException):
        reason = f"its file is of another version than this DuckDB, {duckdb.__version__}"
        return EndpointRefused(endpoint=endpoint, reason=reason)
    if isinstance(error, duckdb.IOException):
        return EndpointUnreachable(endpoint=endpoint, where=str(file), reason="the file cannot be read")
    return EndpointRefused(endpoint=endpoint, reason=type(error).__name__)


def _contents(connection: duckdb.DuckDBPyConnection, database: str, endpoint: str) -> Contents:
    ends = time.monotonic() + TIMEOUT_SECONDS

    def rows(query: str) -> list[tuple[Any, ...]]:
        found = connection.execute(query, {"database": database}).fetchall()
        if time.monotonic() > ends:  # an interruption between two queries stops neither
            raise EndpointBusy(endpoint=endpoint, reason="a query ran into the time limit")
        return found

    relations = rows(_RELATIONS)
    return Contents(
        relations=[row[:8] for row in relations],
        columns=rows(_COLUMNS),
        constraints=rows(_CONSTRAINTS),
        estimates={(schema, name): size for schema, name, *_rest, size in relations},
        schemas=frozenset(schema for (schema,) in rows(_SCHEMAS)),
    )
