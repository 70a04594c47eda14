"""Collecting a database of 1,000 tables of 20 columns: the first time, unchanged, and after one table changed.

Limits, in the same run: the four queries of its catalog that a collection cannot do without (tables, columns, keys, and
what views read), all rows fetched over a connection that is open already; and for the first time, which has to write
21,000 rows, these and a COPY of the same rows into tables with the same indexes and checks, by hand in one transaction,
without audit, foreign keys, names or row-level security.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg

from benchmarks.control_plane import control_plane
from benchmarks.report import Exact, Result, measured
from identity.ids import tenant_id
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.postgres import looking
from resources.locations import EndpointLocation
from resources.metadata.plans import Collected
from resources.metadata_store import MetadataStore
from resources.postgres.databases import Databases
from resources.postgres.embedded import ensure_databases
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.settings import Settings

TABLES = 1_000
COLUMNS = 20
ROUNDS = 5
FIRST, UNCHANGED, CHANGED = "first", "unchanged", "after one column more"
QUERY, WRITTEN = "the four catalog queries, all fetched", "these, and a COPY of the same rows by hand"

_MAKE = """
DO $$ BEGIN FOR number IN 1..{tables} LOOP
  EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, {columns})', number);
END LOOP; END $$
"""

# What a collection tells, asked for as plainly as it can be: no privileges, no patterns, no partitions, nothing sorted.
_QUERIES = (
    """
SELECT n.nspname, c.relname, c.oid, c.relkind, c.reltuples, d.description,
  CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('r', 'v', 'm') AND n.nspname = 'public'
""",
    """
SELECT n.nspname, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_get_expr(e.adbin, e.adrelid), a.attidentity, a.attgenerated, d.description
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef e ON e.adrelid = c.oid AND e.adnum = a.attnum
LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
WHERE c.relkind IN ('r', 'v', 'm') AND n.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped
""",
    """
SELECT n.nspname, c.relname, k.contype, f.relname,
  ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
  ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid
WHERE k.contype IN ('p', 'u', 'f') AND n.nspname = 'public'
""",
    """
SELECT DISTINCT v.oid, d.refobjid
FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace JOIN pg_rewrite w ON w.ev_class = v.oid
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
WHERE v.relkind IN ('v', 'm') AND n.nspname = 'public' AND d.refobjid <> v.oid
""",
)
_STORED = ("asset", "schema_field")
_TWIN = "DROP TABLE IF EXISTS public.{name}; CREATE TABLE public.{name} (LIKE metadata.{name} INCLUDING ALL)"


@dataclass(frozen=True, slots=True)
class Bench:
    """A source, a store to collect it into, and what the collections of a run did."""

    store: MetadataStore
    databases: Databases
    source: psycopg.Connection
    control: psycopg.Connection
    did: list[Collected] = field(default_factory=list)
    copies: dict[str, bytes] = field(default_factory=dict)

    def bare(self) -> None:
        tables, columns, keys, _reads = (self.source.execute(query.encode()).fetchall() for query in _QUERIES)
        assert len(tables) == len(keys) == TABLES
        assert len(columns) >= TABLES * COLUMNS

    def collect(self, endpoint: str) -> None:
        location = EndpointLocation(slug=endpoint, system="postgres", url="env:SOURCE")
        self.did.append(collect_endpoint(self.store, location, self.databases))

    def asked(self) -> int:
        """How many statements a whole look at the source takes."""
        counted: list[object] = []

        class Counting(psycopg.Cursor[Any]):
            def execute(self, *given: Any, **named: Any) -> Self:
                counted.append(given)
                return super().execute(*given, **named)

        with (
            psycopg.connect(self.source.info.dsn, cursor_factory=Counting) as connection,
            looking(connection, "x") as look,
        ):
            look.catalog(look.fingerprint())
        return len(counted)

    def remember(self) -> None:
        """What a first collection stored, as COPY writes it."""
        for name in _STORED:
            with self.control.cursor().copy(f"COPY metadata.{name} TO STDOUT".encode()) as copy:
                self.copies[name] = b"".join(map(bytes, copy))

    def by_hand(self) -> None:
        self.bare()
        with self.control.transaction(), self.control.cursor() as cursor:
            for name in _STORED:
                with cursor.copy(f"COPY public.{name} FROM STDIN".encode()) as copy:
                    copy.write(self.copies[name])


@contextmanager
def bench() -> Iterator[Bench]:
    """1,000 tables on the server of a control plane of our own."""
    with control_plane() as (server, url):
        ensure_databases(server, ["source"])
        settings = Settings(home=Path("/nonexistent"), project=Path("/"), variables={"SOURCE": server.url("source")})
        engine = app_engine(url)
        with (
            psycopg.connect(server.url("source"), autocommit=True) as source,
            psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as control,
        ):
            columns = ", ".join(f"c{number} numeric(10, 2)" for number in range(1, COLUMNS))
            source.execute(_MAKE.format(tables=TABLES, columns=columns).encode())
            source.execute("ANALYZE")
            store = MetadataStore(Sessions(engine, tenant_id("default"), "bench"))
            yield Bench(store, Databases(settings), source, control)
        engine.dispose()


def run() -> list[Result]:
    """A first collection is of an endpoint that nobody collected yet, each time."""
    with bench() as one:
        numbers = count()
        one.collect("known")
        one.remember()
        one.collect("known")
        exact = Exact(what="rows written for an unchanged source", found=one.did[-1].rows_written, at_most=0)
        asked = Exact(what="statements at the source", found=one.asked(), at_most=10)
        times = measured(
            {
                FIRST: lambda: partial(one.collect, f"first-{next(numbers)}"),
                UNCHANGED: lambda: _settled(one),
                CHANGED: lambda: _changed(one, next(numbers)),
                QUERY: lambda: one.bare,
                WRITTEN: lambda: _emptied(one),
            },
            rounds=ROUNDS,
            calls=1,
        )
        return [
            times.result("collection", FIRST, QUERY, at_most=5, exact=(asked,)),
            times.result("collection", FIRST, WRITTEN),
            times.result("collection", UNCHANGED, QUERY, at_most=1.5, exact=(exact,)),
            times.result("collection", CHANGED, QUERY),
        ]


def _settled(one: Bench) -> Callable[[], None]:
    one.collect("known")
    return partial(one.collect, "known")


def _changed(one: Bench, number: int) -> Callable[[], None]:
    one.collect("known")
    one.source.execute(f"ALTER TABLE t1 ADD more{number} int".encode())
    return partial(one.collect, "known")


def _emptied(one: Bench) -> Callable[[], None]:
    for name in _STORED:
        one.control.execute(_TWIN.format(name=name).encode())
    return one.by_hand
