"""Sources to collect: scratch databases, and the ways to look at them and at what the store says of them."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.collection.postgres import looking
from metadata_assets.collection.scope import EVERYTHING, Scope
from metadata_assets.collection.sensors import collection_definitions
from metadata_assets.spec import load_project
from resources.configurable import MetadataResource, close_all
from resources.locations import EndpointLocation
from resources.metadata.plans import Collected
from resources.metadata_store import MetadataStore
from resources.models import Asset, Catalog
from resources.postgres.databases import Databases
from resources.postgres.embedded import Server
from resources.settings import Settings
from tests.collection.daemons import PROJECT, Clock, Daemon, NoOutputs
from tests.collection.places import (
    MariaDB,
    Place,
    duckdb_place,
    mariadb_binaries,
    postgres_place,
    running_mariadb,
    sqlite_place,
)


@dataclass(frozen=True, slots=True)
class Source:
    """A database of somebody else's."""

    url: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return str(make_url(self.url).database)

    def run(self, *statements: str) -> None:
        """Each statement in a transaction of its own, as its owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def look(self, endpoint: str = "shop", *, user: str | None = None, scope: Scope = EVERYTHING) -> Catalog:
        with psycopg.connect(self.url_for(user)) as connection:
            return catalog_of(connection, endpoint, scope)

    def fingerprint(self, *, user: str | None = None, scope: Scope = EVERYTHING) -> str:
        with psycopg.connect(self.url_for(user)) as connection, looking(connection, "any", scope) as look:
            return look.fingerprint()

    def collect_into(
        self,
        store: MetadataStore,
        endpoint: str = "shop",
        *,
        user: str | None = None,
        scope: Scope = EVERYTHING,
    ) -> Collected:
        settings = settings_with({"SOURCE_URL": self.url_for(user)})
        location = EndpointLocation(slug=endpoint, system="postgres", url="env:SOURCE_URL")
        return collect_endpoint(store, location, Databases(settings), scope=scope)

    def url_for(self, user: str | None) -> str:
        url = make_url(self.url)
        return (url.set(username=user) if user else url).render_as_string(hide_password=False)


def catalog_of(connection: psycopg.Connection, endpoint: str, scope: Scope = EVERYTHING) -> Catalog:
    """What a collection sees through a connection."""
    with looking(connection, endpoint, scope) as look:
        return look.catalog(look.fingerprint())


def settings_with(variables: Mapping[str, str]) -> Settings:
    return Settings(home=Path("/nonexistent"), project=Path("/nonexistent"), variables=variables)


SHOP = (
    "CREATE TABLE customer (id int PRIMARY KEY, name text)",
    "COMMENT ON TABLE customer IS 'Who buys'",
    "CREATE TABLE purchase (id int PRIMARY KEY, customer_id int REFERENCES customer)",
    "CREATE VIEW buyers AS SELECT name FROM customer JOIN purchase ON customer_id = customer.id",
    "INSERT INTO customer SELECT n FROM generate_series(1, 1000) n",
    "ANALYZE",
)

_CLEAR = """
DO $$ DECLARE statement text; BEGIN
  FOR statement IN
    SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION ALL SELECT format('DROP FOREIGN DATA WRAPPER %I CASCADE', fdwname) FROM pg_foreign_data_wrapper
    UNION ALL SELECT format('ALTER DATABASE %I RESET ALL', current_database())
    UNION ALL SELECT 'CREATE SCHEMA public'
    UNION ALL SELECT 'GRANT USAGE ON SCHEMA public TO PUBLIC'
  LOOP EXECUTE statement; END LOOP;
END $$
"""


@pytest.fixture(scope="session")
def cleared_databases() -> list[str]:
    """Those that no test uses now: a database takes longer to make than to clear."""
    return []


@pytest.fixture
def make_source(make_database: Callable[..., str], cleared_databases: list[str]) -> Iterator[Callable[..., Source]]:
    """A function that makes a source out of SQL statements."""
    made = []

    def make(*statements: str) -> Source:
        made.append(Source(cleared_databases.pop() if cleared_databases else make_database()))
        made[-1].run(*statements)
        return made[-1]

    yield make
    for source in made:
        source.run(_CLEAR)
        cleared_databases.append(source.url)


@pytest.fixture
def shop(make_source: Callable[..., Source]) -> Source:
    return make_source(*SHOP)


@pytest.fixture
def source(make_source: Callable[..., Source]) -> Source:
    return make_source()


_readers = itertools.count()


@pytest.fixture
def reader(source: Source) -> Iterator[str]:
    """A login that has no privilege on `source` but what PUBLIC has."""
    name = f"reader_{os.getpid()}_{next(_readers)}"
    source.run(f"CREATE ROLE {name} LOGIN")
    yield name
    source.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def by_name(catalog: Catalog) -> dict[str, Asset]:
    """Assets by schema.table."""
    return {f"{asset.key.schema}.{asset.key.table}": asset for asset in catalog.assets}


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table of the control plane with the transaction that wrote it."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'metadata'::regnamespace AND relkind = 'r' ORDER BY 1"
        ).fetchall()
        query = "SELECT xmin::text, xmax::text, to_jsonb(t) FROM metadata.{} t ORDER BY ctid"
        return {name: connection.execute(sql.SQL(query).format(sql.Identifier(name))).fetchall() for (name,) in tables}


SYSTEMS = ("postgres", "duckdb", "sqlite", "mariadb")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    found = mariadb_binaries()
    if found is None:
        pytest.skip("no mariadbd: install Debian's mariadb-server")
    with running_mariadb(*found) as server:
        yield server


@pytest.fixture(params=SYSTEMS)
def place(request: pytest.FixtureRequest, tmp_path: Path, make_database: Callable[..., str]) -> Place:
    match request.param:
        case "postgres":
            return postgres_place(make_database())
        case "duckdb":
            return duckdb_place(tmp_path)
        case "sqlite":
            return sqlite_place(tmp_path)
    server = request.getfixturevalue("mariadb")
    assert isinstance(server, MariaDB)
    return server.place("shop")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def definitions(
    source: Source, metadata_url: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> Iterator[dg.Definitions]:
    source.run("CREATE TABLE customer (id int PRIMARY KEY)")
    (tmp_path / "metadata.yml").write_text(PROJECT.format(database=source.database))
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    for name in ("DAGSTER_POSTGRES_URL", "DATA_DATABASE_URL"):
        monkeypatch.setenv(name, server.url("postgres"))
    resources = dg.Definitions(resources={"metadata": MetadataResource(), "io_manager": NoOutputs()})
    endpoints = load_project(tmp_path).endpoints.values()
    yield dg.Definitions.merge(resources, collection_definitions(endpoints, clock=clock))
    close_all()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def daemon(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(definitions, instance)
