"""A real Dagster instance on PostgreSQL, as dagster.yaml describes it, and a fresh control plane beside it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from scratch_databases import ScratchDatabases

from metadata_assets.io_manager import MetadataIOManager
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server, ensure_databases

ROOT = Path(__file__).resolve().parents[2]
# What steps print is nobody's here, and Dagster starts four processes for each run to catch it.
_NO_OUTPUT = """
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


@pytest.fixture(scope="session")
def dagster_url(server: Server) -> str:
    """Dagster's own storage, shared by the tests: each looks at its own runs only."""
    ensure_databases(server, ["dagster"])
    return server.url("dagster")


@pytest.fixture
def data_url(empty_databases: ScratchDatabases) -> Iterator[str]:
    """A data plane without anything."""
    with empty_databases.one() as url:
        yield url


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    dagster_url: str,
    data_url: str,
    metadata_url: str,
) -> Iterator[dict[str, str]]:
    """The environment of a process of this deployment, set for this test."""
    home = tmp_path / "dagster home"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text() + _NO_OUTPUT)
    variables = {
        "METADATA_HOME": str(tmp_path / "home"),
        "METADATA_PROJECT": str(tmp_path),
        "METADATA_DATABASE_URL": metadata_url,
        "DAGSTER_POSTGRES_URL": dagster_url,
        "DATA_DATABASE_URL": data_url,
        "DAGSTER_HOME": str(home),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield variables
    close_all()


@pytest.fixture
def instance(environment: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    """The instance that DAGSTER_HOME describes."""
    assert environment
    with dg.DagsterInstance.get() as found:
        yield found


@pytest.fixture
def metadata(environment: dict[str, str]) -> MetadataResource:
    """The resource as a project without endpoints has it."""
    assert environment
    return MetadataResource()


@pytest.fixture
def resources(metadata: MetadataResource) -> dict[str, object]:
    """What assets need to be stored."""
    return {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}


@pytest.fixture
def stored(metadata: MetadataResource) -> MetadataStore:
    """The store that the resource writes to."""
    return metadata.store()


@pytest.fixture
def ephemeral(environment: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    assert environment
    with dg.DagsterInstance.ephemeral() as found:
        yield found
