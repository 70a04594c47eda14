"""The command line on a real control plane, in this process or as a program of its own."""

import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cli_calls import DAYS, DELAYS, EDGES, FLIGHTS, JFK_FLIGHTS, JFK_WEATHER, MONTH, WEATHER, Answer, Call, Run, Writer

from metadata_assets.cli import main
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Read


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


@pytest.fixture
def filled(store: MetadataStore, writer: Writer) -> dict[str, UUID]:
    """Two sources, four datasets, two days of data, a month from them; the ids of the last materializations by name."""
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
