"""The command line on a real control plane, in this process or as a program of its own."""

import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cli_calls import DAYS, DELAYS, EDGES, FLIGHTS, JFK_FLIGHTS, JFK_WEATHER, MONTH, WEATHER, Answer, Call, Run, Writer
from scratch_databases import ScratchDatabases
from sqlalchemy.engine import make_url

from identity.ids import tenant_id
from metadata_assets.cli import main
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Read
from resources.postgres.embedded import Server
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions


@pytest.fixture(scope="session")
def empty_url(make_database: Callable[..., str]) -> str:
    """A database for the planes that these tests only connect to."""
    return make_database()


@pytest.fixture
def elsewhere(tmp_path: Path, empty_url: str) -> dict[str, str]:
    """The environment of a deployment with a project and without a control plane."""
    project = tmp_path / "a project"
    project.mkdir()
    return {
        "METADATA_HOME": str(tmp_path / "home"),
        "METADATA_PROJECT": str(project),
        "DAGSTER_POSTGRES_URL": empty_url,
        "DATA_DATABASE_URL": empty_url,
    }


@pytest.fixture
def environ(elsewhere: dict[str, str], metadata_url: str) -> dict[str, str]:
    """The environment of a deployment whose three databases are configured."""
    return {**elsewhere, "METADATA_DATABASE_URL": metadata_url}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process, in an environment: `call(environ, "datasets", "--json")`."""

    def called(environ: Mapping[str, str], *arguments: str) -> Answer:
        capsys.readouterr()
        code = main(arguments, environ)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return called


@pytest.fixture
def run(environ: dict[str, str], call: Call) -> Run:
    """The same in the whole deployment: `run("datasets", "--json")`; keywords are further variables."""
    return lambda *arguments, **variables: call({**environ, **variables}, *arguments)


@pytest.fixture
def writer(store: MetadataStore) -> Writer:
    """Writes into the store that the command line reads."""
    return Writer(store)


@pytest.fixture(scope="session")
def filled_template(server: Server, make_database: Callable[..., str]) -> tuple[ScratchDatabases, dict[str, UUID]]:
    """Control planes that are filled, and what `filled` answers: filling one takes longer than to copy it."""
    url = make_database(migrated=True)
    engine = app_engine(url)
    made = _fill(MetadataStore(Sessions(engine, tenant_id("default"), "test")))
    engine.dispose()
    return ScratchDatabases(server, str(make_url(url).database)), made


@pytest.fixture
def metadata_url(request: pytest.FixtureRequest, migrated_databases: ScratchDatabases) -> Iterator[str]:
    """A fresh, migrated control plane with the tenants `default` and `other`; filled, if the test is about `filled`."""
    databases = migrated_databases
    if "filled" in request.fixturenames:
        databases, _ = request.getfixturevalue("filled_template")
    with databases.one() as url:
        yield url


@pytest.fixture
def filled(metadata_url: str, filled_template: tuple[ScratchDatabases, dict[str, UUID]]) -> dict[str, UUID]:
    """Two sources, four datasets, two days of data, a month from them; the ids of the last materializations by name."""
    assert metadata_url
    _, made = filled_template
    return dict(made)


def _fill(store: MetadataStore) -> dict[str, UUID]:
    writer = Writer(store)
    jfk = {key: writer.source(key) for key in (JFK_FLIGHTS, JFK_WEATHER)}
    for key in (FLIGHTS, WEATHER, DELAYS, MONTH):
        writer.dataset(key)
    links = [Link(store.entity(source), store.entity(target)) for source, target in EDGES]
    GraphStore(store.sessions).assert_edges(links, producer="test", scope="test", complete=True)
    made: dict[str, UUID] = {}
    for day in DAYS:
        made["flights"] = writer.write(
            FLIGHTS, day, Read(asset=jfk[JFK_FLIGHTS], metadata={"rows_read": 297}), rows=297
        )
        made["weather"] = writer.write(WEATHER, day, Read(asset=jfk[JFK_WEATHER], metadata={"rows_read": 24}), rows=24)
        made["delays"] = writer.write(DELAYS, day, writer.read(FLIGHTS, day), writer.read(WEATHER, day))
    writer.store.start_attempt("external", "load", 0, "worker", timedelta(hours=1), job="load")
    made["month"] = writer.write(MONTH, "2013-01", *(writer.read(DELAYS, day) for day in DAYS))
    return made


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number
