"""One control plane for the tests of the store, and the Dagster deployment that `tests/dagster` describes."""

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from resources.metadata_store import MetadataStore
from resources.postgres.session import Row
from resources.postgres.tables import METADATA

_TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(_TESTS / "dagster"), str(_TESTS / "stores")]  # deployment, run_processes, store_inputs

_spec = importlib.util.spec_from_file_location("dagster_fixtures", _TESTS / "dagster" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
dagster_url, environment, instance = _fixtures.dagster_url, _fixtures.environment, _fixtures.instance
data_url, metadata, stored = _fixtures.data_url, _fixtures.metadata, _fixtures.stored

_numbers = itertools.count()


@pytest.fixture(scope="session")
def runs_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def metadata_url(runs_url: str) -> str:
    return runs_url


@pytest.fixture
def run_id() -> str:
    """A run that no other test knows."""
    return f"run-{next(_numbers)}"


@pytest.fixture
def lake(store: MetadataStore) -> object:
    """An endpoint that no other test knows, with a dataset."""
    from store_inputs import Lake

    made = Lake(store, f"lake{next(_numbers)}")
    made.datasets("table")
    return made


@pytest.fixture
def look(runs_url: str) -> Iterator[Callable[..., list[Row]]]:
    """A function that runs a statement as a superuser: all tenants, no policies."""
    with psycopg.connect(runs_url, row_factory=dict_row, autocommit=True) as connection:

        def run(statement: str, *parameters: object) -> list[Row]:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def counts(look: Callable[..., list[Row]]) -> Callable[[], Row]:
    """A function that counts the rows of every table: what is equal before and after wrote nothing."""
    tables = [table.name for table in METADATA.sorted_tables]
    statement = ", ".join(f"(SELECT count(*) FROM metadata.{name}) AS {name}" for name in tables)
    return lambda: look(f"SELECT {statement}")[0]
