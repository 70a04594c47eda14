"""A data plane on a real PostgreSQL beside a control plane; each test has schemas of its own in it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from dying_steps import TableProject
from warehouse import Warehouse

from resources.configurable import close_all
from resources.metadata_store import MetadataStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def tables_control_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def metadata_url(tables_control_url: str) -> str:
    return tables_control_url


@pytest.fixture(scope="session")
def data_url(make_database: Callable[..., str]) -> str:
    return make_database()


@pytest.fixture
def warehouse(store: MetadataStore, data_url: str) -> Iterator[Warehouse]:
    """An endpoint that no other test knows, with a schema of its own."""
    number = next(_numbers)
    with psycopg.connect(data_url, autocommit=True) as connection:
        yield Warehouse(store, f"warehouse{number}", f"nyc{number}", data_url, connection)


@pytest.fixture
def project(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata_url: str, data_url: str
) -> Iterator[TableProject]:
    """A project whose endpoint `warehouse` is the data plane; its schema is no other test's."""
    monkeypatch.setenv("METADATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("DATA_DATABASE_URL", data_url)
    database = str(psycopg.conninfo.conninfo_to_dict(data_url)["dbname"])
    yield TableProject.written(tmp_path / "project", warehouse.schema, database)
    close_all()


@pytest.fixture
def shop(project: TableProject, warehouse: Warehouse, data_url: str) -> Warehouse:
    """The warehouse as the project calls it."""
    database = str(psycopg.conninfo.conninfo_to_dict(data_url)["dbname"])
    return replace(warehouse, endpoint="warehouse", schema=project.schema, database=database)
