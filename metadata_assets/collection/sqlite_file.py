"""Look at the catalog of a SQLite file: read-only, in one read transaction, for a bounded time."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from identity.errors import MetadataError
from metadata_assets.collection.errors import EndpointBusy, EndpointRefused, EndpointUnreachable
from metadata_assets.collection.profiling import SAMPLE, Rows
from metadata_assets.collection.rows import Names, Row
from metadata_assets.collection.scope import EVERYTHING, Scope
from metadata_assets.collection.snapshot import Contents, Snapshot
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases

TIMEOUT_SECONDS: Final = 60.0
LOCK_TIMEOUT_SECONDS: Final = 5.0
_STEPS: Final = 10_000
"""How many steps of its virtual machine SQLite makes between two looks at the clock."""

SCHEMA: Final = "main"
_KINDS: Final = {"table": "r", "view": "v", "virtual": "x"}
_GENERATED: Final = {2: "v", 3: "s"}
_HIDDEN: Final = 1

_RELATIONS: Final = """
SELECT l.name, l.type, s.sql FROM pragma_table_list l
LEFT JOIN sqlite_schema s ON s.name = l.name AND s.type IN ('table', 'view')
WHERE l.schema = 'main' AND l.type IN ('table', 'view', 'virtual') AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY l.name
"""

_COLUMNS: Final = 'SELECT cid, name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid'

_UNIQUE: Final = """
SELECT l.name AS indexed, i.seqno, i.name FROM pragma_index_list(?) l JOIN pragma_index_info(l.name) i
WHERE l.origin = 'u' ORDER BY l.name, i.seqno
"""

_FOREIGN: Final = 'SELECT id, seq, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'


@contextmanager
def looking_at_sqlite(
    location: EndpointLocation, databases: Databases, scope: Scope = EVERYTHING
) -> Iterator[Snapshot]:
    """A look at a SQLite file. Raises EndpointUnreachable, EndpointBusy, EndpointRefused, MissingVariable."""
    file = location.file_path(databases.settings)
    with _opened(file, location.slug, seconds=TIMEOUT_SECONDS) as connection:
        contents = _contents(connection)
    yield Snapshot(Names(location.slug, location.database), contents.within(scope), scope, "sqlite")


@contextmanager
def rows_of_sqlite(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[Rows]:
    """The rows of tables, each in a read transaction of its own: one that lasts keeps writers waiting.

    Of a large one the first rows are looked at: it has no sampling.
    """
    file = location.file_path(databases.settings)

    with _opened(file, location.slug, seconds=TIMEOUT_SECONDS, at_once=False) as connection:

        def ask(statement: str) -> Sequence[Any]:
            ends = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            try:
                with closing(connection.execute(statement)) as cursor:
                    found: Sequence[Any] = cursor.fetchone()
            except sqlite3.Error as error:
                raise _translated(error, location.slug, file) from None
            return found

        yield Rows(ask, _quoted, _sample, is_always_sampled=True)


def _sample(table: str, _rows: int) -> str:
    return f"(SELECT * FROM {table} LIMIT {SAMPLE})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def reading_sqlite(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[sqlite3.Connection]:
    """The file to read, in one transaction, for so long."""
    with _opened(location.file_path(databases.settings), location.slug, seconds=seconds) as connection:
        yield connection


@contextmanager
def _opened(file: Path, endpoint: str, *, seconds: float, at_once: bool = True) -> Iterator[sqlite3.Connection]:
    """The file to read, whose errors are ours: all `at_once`, in one transaction, or each statement in its own."""
    if not file.is_file():
        raise EndpointUnreachable(endpoint=endpoint, where=str(file), reason="there is no such file")
    ends = time.monotonic() + seconds
    try:
        address = f"file:{quote(str(file.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as found:
            found.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
            found.execute("PRAGMA query_only = on")
            found.execute("PRAGMA trusted_schema = off")
            if at_once:
                found.execute("BEGIN")
            yield found
    except sqlite3.Error as error:
        raise _translated(error, endpoint, file) from None
    except UnicodeDecodeError:
        raise EndpointRefused(endpoint=endpoint, reason="some of its names are not UTF-8") from None


def _translated(error: sqlite3.Error, endpoint: str, file: Path) -> MetadataError:
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return EndpointBusy(endpoint=endpoint, reason="somebody is writing to the file")
    if code == "SQLITE_INTERRUPT":
        return EndpointBusy(endpoint=endpoint, reason="a query ran into the time limit")
    if code == "SQLITE_NOTADB":
        return EndpointRefused(endpoint=endpoint, reason="its file is no SQLite database, or it is encrypted")
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR", "SQLITE_READONLY")):
        return EndpointUnreachable(endpoint=endpoint, where=str(file), reason="the file cannot be read")
    if "Could not decode to UTF-8" in str(error):
        return EndpointRefused(endpoint=endpoint, reason="some of its names are not UTF-8")
    return EndpointRefused(endpoint=endpoint, reason=f"{type(error).__name__} {code}".strip())


def _contents(connection: sqlite3.Connection) -> Contents:
    found = connection.execute(_RELATIONS).fetchall()
    columns: list[Row] = []
    constraints: list[Row] = []
    keys: dict[str, tuple[str, ...]] = {}
    for table, kind, _sql in found:
        described = _described(connection, table, kind)
        columns.extend(_column(table, row) for row in described if row[6] != _HIDDEN)
        keys[table] = tuple(row[1] for row in sorted((row for row in described if row[5]), key=lambda row: row[5]))
        if keys[table]:
            constraints.append((SCHEMA, table, "p", list(keys[table]), None, None, []))
        if kind == "table":
            constraints.extend(_unique(connection, table))
    for table, kind, _sql in found:
        if kind == "table":
            constraints.extend(_foreign(connection, table, keys))
    counted = _estimates(connection)
    return Contents(
        relations=[
            (SCHEMA, table, _KINDS[kind], None, sql if kind == "view" else None, None, None, None)
            for table, kind, sql in found
        ],
        columns=columns,
        constraints=constraints,
        estimates={(SCHEMA, table): counted.get(table) for table, _kind, _sql in found},
        schemas=frozenset([SCHEMA]),
    )


def _described(connection: sqlite3.Connection, table: str, kind: str) -> list[Row]:
    """The columns of a table; none of a view that does not work, or of a virtual table whose module is not here."""
    try:
        return connection.execute(_COLUMNS, (table,)).fetchall()
    except sqlite3.OperationalError as error:
        if kind in ("view", "virtual") and getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR":
            return []
        raise


def _column(table: str, row: Row) -> Row:
    position, name, kind, not_null, default, _key, hidden = row
    return SCHEMA, table, position + 1, name, kind, not not_null, default, None, _GENERATED.get(hidden, ""), None


def _unique(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    by_index: dict[str, list[str]] = defaultdict(list)
    for index, _number, column in connection.execute(_UNIQUE, (table,)):
        by_index[index].append(column)
    yield from ((SCHEMA, table, "u", columns, None, None, []) for columns in by_index.values())


def _foreign(connection: sqlite3.Connection, table: str, keys: dict[str, tuple[str, ...]]) -> Iterator[Row]:
    """Foreign keys; one that names no columns there means the primary key."""
    by_id: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for number, _position, other, column, there in connection.execute(_FOREIGN, (table,)):
        by_id[number].append((other, column, there))
    for pairs in by_id.values():
        other = pairs[0][0]
        there = [one for _other, _column, one in pairs if one is not None] or list(keys.get(other, ()))
        yield SCHEMA, table, "f", [column for _other, column, _there in pairs], SCHEMA, other, there


def _estimates(connection: sqlite3.Connection) -> dict[str, int]:
    """What ANALYZE counted last, where somebody ran it."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'").fetchone():
        return {}
    rows = connection.execute("SELECT tbl, max(CAST(stat AS integer)) FROM sqlite_stat1 GROUP BY tbl").fetchall()
    return {table: count for table, count in rows if count is not None}
