"""The real things that tests run on: one embedded PostgreSQL for the session, a fresh database for each test."""

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from by_folder import ByFileOrFolder
from hypothesis import HealthCheck, settings
from scratch_databases import ScratchDatabases

from identity.ids import tenant_id
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server, attach, ensure_databases, stop
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

gc.disable()  # until the tests are collected: see below
settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# For `make chaos`, each time with other draws; see tests/thorough.py.
settings.register_profile("thorough", settings.get_profile("default"), derandomize=False)
settings.load_profile("default")

SHARED = Path(__file__).resolve().parents[2] / "shared"
TENANTS = ("default", "other")
_TEMPLATE = "migrated_template"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileOrFolder | None:
    """What `--dist loadfile` means here."""
    return ByFileOrFolder(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What was imported and collected stays: look for garbage among the rest only, and less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real inputs beside the checkout; tests that want it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED / "data"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server for the whole session, with a migrated template database."""
    home = Path(tempfile.mkdtemp(prefix="metadata-tests-"))
    running = attach(home)
    with psycopg.connect(running.url("postgres"), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):  # the machine may crash: nobody wants these data
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        # Tests that are about plans say themselves when there are statistics.
        connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1h'")
        connection.execute("SELECT pg_reload_conf()")
    ensure_databases(running, [_TEMPLATE])
    engine = plain_engine(running.url(_TEMPLATE))
    migrate(engine, tenants=TENANTS)
    engine.dispose()
    yield running
    stop(home, remove=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_databases(server: Server) -> ScratchDatabases:
    """Control planes with the tenants `default` and `other`."""
    return ScratchDatabases(server, _TEMPLATE)


@pytest.fixture(scope="session")
def empty_databases(server: Server) -> ScratchDatabases:
    """Databases without anything."""
    return ScratchDatabases(server, "template1")


@pytest.fixture(scope="session")
def make_database(migrated_databases: ScratchDatabases, empty_databases: ScratchDatabases) -> Callable[..., str]:
    """A function that makes a scratch database and answers with its URL: empty, or `migrated=True`."""
    return lambda *, migrated=False: (migrated_databases if migrated else empty_databases).make()


@pytest.fixture(scope="session")
def drop_database(empty_databases: ScratchDatabases) -> Callable[[str], None]:
    """A function that removes a scratch database, so that the disk never has to write most of what tests write."""
    return empty_databases.drop


@pytest.fixture
def metadata_url(migrated_databases: ScratchDatabases) -> Iterator[str]:
    """A fresh, migrated control plane with the tenants `default` and `other`."""
    with migrated_databases.one() as url:
        yield url


@pytest.fixture
def open_store(metadata_url: str) -> Iterator[Callable[..., MetadataStore]]:
    """A function that opens the control plane as a tenant and an actor."""
    engines = []

    def open_as(tenant: str = "default", actor: str = "test") -> MetadataStore:
        engines.append(app_engine(metadata_url))
        return MetadataStore(Sessions(engines[-1], tenant_id(tenant), actor))

    yield open_as
    for engine in engines:
        engine.dispose()


@pytest.fixture
def store(open_store: Callable[..., MetadataStore]) -> MetadataStore:
    """The control plane as the default tenant sees it."""
    return open_store()
