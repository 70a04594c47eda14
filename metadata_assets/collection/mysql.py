"""Look at the catalogs of a MySQL or MariaDB server: a handful of statements, read-only, each for a bounded time.

Its catalog has no snapshots. What moves while it is read is digested as it was read, so the next look finds it.
"""

import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy.engine import make_url

from identity.errors import MetadataError
from metadata_assets.collection.errors import (
    DriverMissing,
    EndpointBusy,
    EndpointMoving,
    EndpointRefused,
    EndpointTooOld,
    EndpointUnreachable,
)
from metadata_assets.collection.mysql_url import driver_options
from metadata_assets.collection.profiling import SAMPLE, Rows
from metadata_assets.collection.rows import Name, Names, Row
from metadata_assets.collection.scope import EVERYTHING, Scope
from metadata_assets.collection.snapshot import Contents, Snapshot
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases

try:
    import pymysql
except ImportError:
    pymysql = None

CONNECT_TIMEOUT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 60
LOCK_SECONDS: Final = 5
OLDEST_MYSQL: Final = 8
OLDEST_MARIADB: Final = 10

_SYSTEM: Final = "('information_schema', 'mysql', 'performance_schema', 'sys')"
_KINDS: Final = {"BASE TABLE": "r", "SYSTEM VERSIONED": "r", "VIEW": "v"}

_SCHEMAS: Final = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {_SYSTEM}"

_RELATIONS: Final = f"""
SELECT t.table_schema, t.table_name, t.table_type, nullif(t.table_comment, ''), v.view_definition, t.table_rows,
  t.engine
FROM information_schema.tables t
LEFT JOIN information_schema.views v ON v.table_schema = t.table_schema AND v.table_name = t.table_name
WHERE t.table_schema NOT IN {_SYSTEM} AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')
ORDER BY t.table_schema, t.table_name
"""

_COLUMNS: Final = f"""
SELECT table_schema, table_name, ordinal_position, column_name, column_type, is_nullable = 'YES', column_default,
  extra, nullif(generation_expression, ''), nullif(column_comment, '')
FROM information_schema.columns WHERE table_schema NOT IN {_SYSTEM}
ORDER BY table_schema, table_name, ordinal_position
"""

_CONSTRAINTS: Final = f"""
SELECT k.table_schema, k.table_name, k.constraint_name, c.constraint_type, k.column_name, k.referenced_table_schema,
  k.referenced_table_name, k.referenced_column_name
FROM information_schema.key_column_usage k
JOIN information_schema.table_constraints c ON c.constraint_schema = k.constraint_schema
  AND c.table_schema = k.table_schema AND c.table_name = k.table_name AND c.constraint_name = k.constraint_name
WHERE k.table_schema NOT IN {_SYSTEM} AND c.constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position
"""

_UNREACHABLE: Final[Mapping[int, str]] = {
    1044: "its login may not use that database",
    1045: "its login is refused",
    1049: "it has no such database",
    1698: "its login is refused",
    2003: "nothing answers there",
    2005: "its host name is unknown",
    2013: "the connection was lost",
    2026: "it offers no TLS, which its URL asks for",
}
_OUT_OF_TIME: Final = {1969, 3024}
_LOCKED: Final = {1205}
_MOVED: Final = {1146, 1049, 1356}
_HIDDEN: Final = "its query may not be seen: GRANT SHOW VIEW ON its database to the login"
_NOTHING: Final = "it shows this login no database at all: GRANT SELECT, SHOW VIEW ON what is to be collected"


@contextmanager
def looking_at_mysql(location: EndpointLocation, databases: Databases, scope: Scope = EVERYTHING) -> Iterator[Snapshot]:
    """A look at a MySQL or MariaDB server. A database is what other systems call a schema.

    Raises EndpointUnreachable, EndpointBusy, EndpointMoving, EndpointRefused, EndpointTooOld, DriverMissing;
    MissingVariable, InvalidUrl.
    """
    if pymysql is None:
        raise DriverMissing(endpoint=location.slug, system=location.system, extra="mysql")
    where = location.where(databases)
    with _connected(location.server_url(databases.settings), location.slug, where) as connection:
        contents = _contents(connection, location.slug)
    yield Snapshot(Names(location.slug, None), contents.within(scope), scope, "mysql")


@contextmanager
def reading_mysql(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[Any]:
    """A connection that reads, in UTC, each statement for so long."""
    if pymysql is None:
        raise DriverMissing(endpoint=location.slug, system=location.system, extra="mysql")
    where = location.where(databases)
    with _connected(location.server_url(databases.settings), location.slug, where, seconds=seconds) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION time_zone = '+00:00'")
            cursor.execute("START TRANSACTION READ ONLY")  # which no SET STATEMENT changes
        yield connection


@contextmanager
def rows_of_mysql(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[Rows]:
    """The rows of tables. Of a large one the first rows are looked at: it has no sampling."""
    if pymysql is None:
        raise DriverMissing(endpoint=location.slug, system=location.system, extra="mysql")
    where = location.where(databases)
    with _connected(location.server_url(databases.settings), location.slug, where, seconds=seconds) as connection:

        def ask(statement: str) -> Sequence[Any]:
            try:
                return _rows(connection, statement)[0]
            except pymysql.MySQLError as error:
                raise _translated(error, location.slug, where) from None

        yield Rows(ask, _quoted, _sample, is_always_sampled=True)


def _sample(table: str, _rows: int) -> str:
    return f"(SELECT * FROM {table} LIMIT {SAMPLE}) s"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _connected(given: str, endpoint: str, where: str, *, seconds: float = STATEMENT_SECONDS) -> Iterator[Any]:
    url, options = make_url(given), driver_options(given)
    path = options.get("unix_socket")
    if path is not None and not listens(path):
        raise EndpointUnreachable(endpoint=endpoint, where=where, reason="nothing answers there")
    limits = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": max(STATEMENT_SECONDS, seconds) + CONNECT_TIMEOUT_SECONDS,
        "write_timeout": STATEMENT_SECONDS + CONNECT_TIMEOUT_SECONDS,
    }
    connection = pymysql.connect(
        host=url.host or "localhost",
        port=url.port or 3306,
        user=url.username or "",
        password=url.password or "",
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        defer_connect=True,
        **{**limits, **options},
    )
    try:
        try:
            connection.connect()
            _bounded(connection, endpoint, seconds)
            yield connection
        finally:
            if connection.open:  # also when the login was refused
                connection.close()
    except pymysql.MySQLError as error:
        raise _translated(error, endpoint, where) from None


def listens(path: str) -> bool:
    """Asked before, because the driver leaves a socket open that it cannot connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_SECONDS)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _bounded(connection: Any, endpoint: str, seconds: float) -> None:
    """Read-only and with limits of time, which the two systems spell in their own ways."""
    said = str(connection.get_server_info())
    is_mariadb = "mariadb" in said.lower()
    found = int(said.removeprefix("5.5.5-").partition(".")[0])
    system, needed = ("MariaDB", OLDEST_MARIADB) if is_mariadb else ("MySQL", OLDEST_MYSQL)
    if found < needed:
        raise EndpointTooOld(endpoint=endpoint, system=system, found=found, needed=needed)
    limit = f"max_statement_time = {seconds}"
    limit = limit if is_mariadb else f"max_execution_time = {int(seconds * 1000)}"
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {limit}, SESSION lock_wait_timeout = {LOCK_SECONDS}, SESSION sql_mode = ''")
        cursor.execute("SET SESSION TRANSACTION READ ONLY")


def is_refusal(error: Exception) -> bool:
    """Whether the server has something against the statement, and against nothing else."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    return 1000 <= code < 2000 and code not in {*_OUT_OF_TIME, *_LOCKED, *_UNREACHABLE}


def _translated(error: Exception, endpoint: str, where: str) -> MetadataError:
    """Without the driver's words: they repeat the login."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLError):
        untrusted = isinstance(cause, ssl.SSLCertVerificationError)
        reason = "its certificate is not one that is trusted for this host" if untrusted else "no TLS came about"
        return EndpointUnreachable(endpoint=endpoint, where=where, reason=reason)
    if code in _OUT_OF_TIME:
        return EndpointBusy(endpoint=endpoint, reason="a query ran into the time limit")
    if code in _LOCKED:
        return EndpointBusy(endpoint=endpoint, reason="somebody holds a lock on a table")
    if code in _UNREACHABLE or (2000 <= code < 3000):
        reason = _UNREACHABLE.get(code, "no answer that we know")
        return EndpointUnreachable(endpoint=endpoint, where=where, reason=reason)
    if code in _MOVED:
        return EndpointMoving(endpoint=endpoint)
    return EndpointRefused(endpoint=endpoint, reason=f"{type(error).__name__}, error {code}")


def _contents(connection: Any, endpoint: str) -> Contents:
    relations = _rows(connection, _RELATIONS)
    columns = [_column(*row) for row in _rows(connection, _COLUMNS)]
    schemas = frozenset(schema for (schema,) in _rows(connection, _SCHEMAS))
    described = {(row[0], row[1]) for row in columns}
    views = {(row[0], row[1]) for row in relations if row[2] == "VIEW"}
    if any((row[0], row[1]) not in described | views for row in relations):
        raise EndpointMoving(endpoint=endpoint)  # there is no table without columns: it was dropped meanwhile
    hidden = [name for row in relations if (name := (row[0], row[1])) in views and not row[4]]
    denied: list[tuple[Name | None, str]] = [(name, _HIDDEN) for name in hidden]
    if not schemas:
        denied.append((None, _NOTHING))
    return Contents(
        relations=[
            (schema, name, _KINDS[kind], None if kind == "VIEW" else comment, definition, None, None, None)
            for schema, name, kind, comment, definition, *_ in relations
            if (schema, name) not in hidden
        ],
        columns=[row for row in columns if (row[0], row[1]) not in hidden],
        constraints=list(_constraints(_rows(connection, _CONSTRAINTS))),
        estimates={(row[0], row[1]): row[5] for row in relations if (row[0], row[1]) not in hidden},
        schemas=schemas,
        denied=denied,
    )


def _rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _column(
    schema: str,
    table: str,
    position: int,
    name: str,
    kind: str,
    nullable: int,
    default: str | None,
    extra: str,
    generated: str | None,
    comment: str | None,
) -> Row:
    """As `rows.py` takes it. MariaDB writes that there is no default as NULL, as it would write it in SQL."""
    said = extra.lower()
    how = "" if generated is None else "v" if "virtual" in said else "s"
    identity = "d" if "auto_increment" in said else None
    default = None if default == "NULL" else default
    return schema, table, position, name, kind, bool(nullable), generated or default, identity, how, comment


def _constraints(found: list[tuple[Any, ...]]) -> Iterator[Row]:
    by_name: dict[tuple[str, str, str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for schema, table, name, kind, *rest in found:
        by_name[schema, table, name, kind].append(tuple(rest))
    for (schema, table, _name, kind), parts in by_name.items():
        columns = [column for column, *_ in parts]
        if kind == "FOREIGN KEY":
            _column_name, to_schema, to_table, _there = parts[0]
            yield schema, table, "f", columns, to_schema, to_table, [there for *_, there in parts]
        else:
            yield schema, table, "p" if kind == "PRIMARY KEY" else "u", columns, None, None, []
