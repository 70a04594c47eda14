"""Look at the catalog of a PostgreSQL database: one read-only snapshot, a handful of statements."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.rows import tuple_row
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader

from metadata_assets.collection import queries, rows
from metadata_assets.collection.connect import connected
from metadata_assets.collection.errors import reading
from metadata_assets.collection.profiling import SAMPLE, Rows
from metadata_assets.collection.rows import Name, Names
from metadata_assets.collection.scope import EVERYTHING, NO_SUCH_SCHEMA, NO_SUCH_TABLE, Scope
from metadata_assets.collection.view_columns import view_origins
from resources.locations import EndpointLocation
from resources.models import Catalog, Gap
from resources.postgres.databases import Databases

STATEMENT_TIMEOUT: Final = "60s"
LOCK_TIMEOUT: Final = "5s"
"""The text of a view is made under a lock on what it reads: we do not queue behind somebody who rewrites a table."""


@dataclass(frozen=True)
class PostgresLook:
    """One snapshot of a database's catalog. Ask for the fingerprint before all but the estimates.

    Names of types, text of views and privileges come from the newest catalog, not from the snapshot. Taken first, the
    fingerprint is never newer than the rest, so whatever moved in between is found by the next look.
    """

    connection: psycopg.Connection[Any]
    names: Names
    scope: Scope
    place: str | None
    """Server and database as the server knows them: within one, an oid is one relation. None when it will not say."""

    def fingerprint(self) -> str:
        """Digest of all that `catalog` tells except row estimates: changes when and only when that does."""
        fingerprint, _gaps = self._digested
        return fingerprint

    def estimates(self) -> dict[Name, int | None]:
        """The row estimate of every relation that can be read, None where the server has none; asked for once.

        A partitioned table's is the sum over its partitions.
        """
        return self._estimates

    def gaps(self) -> list[Gap]:
        """What this login may not read, and what is not there. Not asked for where the fingerprint saw none."""
        _fingerprint, gaps = self._digested
        return self._gaps() if gaps else []

    def catalog(self, fingerprint: str) -> Catalog:
        """Everything that can be read, with gaps for what cannot."""
        gaps = self._gaps()  # not the fingerprint's: whoever lost the right to see a table since would find it gone
        relations = sorted(self._rows(queries.RELATIONS), key=itemgetter(0, 1))
        keys, unnamable = self.names.keys((schema, name) for schema, name, *_ in relations)
        columns = self._rows(queries.COLUMNS)
        with ThreadPoolExecutor(1) as beside:  # the source finds these while the columns are made of their rows
            constraints, reads = (beside.submit(self._rows, one) for one in (queries.CONSTRAINTS, queries.READS))
            fields = rows.fields_of(columns)
        found = rows.assets(
            keys,
            relations=relations,
            fields=fields,
            constraints=constraints.result(),
            estimates=self.estimates(),
            place=self.place,
        )
        assets, edges = tuple(found), rows.edges(keys, reads.result())
        return Catalog(
            endpoint=self.names.endpoint,
            fingerprint=fingerprint,
            assets=assets,
            edges=edges,
            origins=view_origins(keys, assets, edges, "postgres", {self.names.database or ""}),
            gaps=(*gaps, *unnamable, *rows.unnamable_columns(self.names, columns)),
        )

    def _gaps(self) -> list[Gap]:
        return [self.names.gap((schema, name), reason) for schema, name, reason in self._rows(queries.GAPS)]

    @cached_property
    def _digested(self) -> tuple[str, bool]:
        """The fingerprint, and whether it saw gaps."""
        ((fingerprint, gaps),) = self._rows(queries.FINGERPRINT)
        return fingerprint, gaps

    @cached_property
    def _estimates(self) -> dict[Name, int | None]:
        return {(schema, name): estimate for schema, name, estimate in self._rows(queries.ESTIMATES)}

    def _rows(self, query: sql.Composed) -> list[tuple[Any, ...]]:
        parameters: Mapping[str, Any] = {
            "wanted": self.scope.schemas.wanted,
            "unwanted": self.scope.schemas.unwanted,
            "named": self.scope.schemas.named,
            "tables": self.scope.tables.wanted,
            "no_tables": self.scope.tables.unwanted,
            "named_tables": self.scope.tables.named,
            "no_such_schema": NO_SUCH_SCHEMA,
            "no_such_table": NO_SUCH_TABLE,
            "place": self.place,
        }
        with self.connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(query, parameters).fetchall()


@contextmanager
def looking_at_postgres(
    location: EndpointLocation, databases: Databases, scope: Scope = EVERYTHING
) -> Iterator[PostgresLook]:
    """A look at a Postgres endpoint. Raises what `connected` does, EndpointBusy, EndpointMoving, EndpointRefused."""
    with connected(location, databases) as connection, looking(connection, location.slug, scope) as look:
        yield look


def _in_python(loader: type[Loader]) -> type[Loader]:
    """That loader, with None for what Python has no value of: infinity, years before Christ or after 9999."""

    class Loading(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._load = loader(oid, context).load

        def load(self, data: Buffer) -> Any:
            try:
                return self._load(data)
            except psycopg.DataError:
                return None

    return Loading


_MOMENTS: Final = {
    "date": _in_python(DateLoader),
    "timestamp": _in_python(TimestampLoader),
    "timestamptz": _in_python(TimestamptzLoader),
}


@contextmanager
def rows_of_postgres(location: EndpointLocation, databases: Databases, seconds: float) -> Iterator[Rows]:
    """The rows of tables, each statement in a transaction of its own that only reads."""
    with connected(location, databases) as connection:
        connection.read_only = True
        for name, loader in _MOMENTS.items():
            connection.adapters.register_loader(name, loader)

        def ask(statement: str) -> Sequence[Any]:
            with reading(location.slug, location.where(databases)), connection.transaction():
                limits = (f"{int(seconds * 1000)}ms", LOCK_TIMEOUT)
                connection.execute(queries.LIMITS, limits)
                return connection.execute(statement.encode()).fetchone() or ()

        yield Rows(ask, _quoted, _sample, lambda name: f"{name}::text")


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _sample(table: str, rows: int) -> str:
    """Whole pages, so that not all have to be read."""
    return f"{table} TABLESAMPLE SYSTEM ({min(100.0, 100.0 * SAMPLE / rows):.6f})"


@contextmanager
def looking(connection: psycopg.Connection[Any], endpoint: str, scope: Scope = EVERYTHING) -> Iterator[PostgresLook]:
    """A look at the database that an idle connection leads to. The connection is read-only from here on."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        limits = {"statement_timeout": STATEMENT_TIMEOUT, "lock_timeout": LOCK_TIMEOUT}
        ((database, database_oid, server_known, *_),) = cursor.execute(queries.ORIENTATION, limits).fetchall()
        place = None
        if server_known:
            ((server,),) = cursor.execute(queries.SERVER).fetchall()
            place = f"{server}/{database_oid}"
        yield PostgresLook(connection, Names(endpoint, database), scope, place)
