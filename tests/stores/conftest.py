"""One control plane for all tests of the stores; each test has an endpoint of its own in it."""

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.rows import dict_row
from reference_inputs import Shelf
from store_inputs import Lake, Look

from resources.metadata_store import MetadataStore
from resources.postgres.session import Row
from resources.postgres.tables import METADATA

_numbers = itertools.count()


@pytest.fixture(scope="session")
def stores_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def metadata_url(stores_url: str) -> str:
    return stores_url


@pytest.fixture
def lake(store: MetadataStore) -> Lake:
    """An endpoint that no other test knows."""
    return Lake(store, f"lake{next(_numbers)}")


@pytest.fixture
def look(stores_url: str) -> Iterator[Callable[..., list[Row]]]:
    """A function that runs a statement as a superuser: all tenants, no policies."""
    with psycopg.connect(stores_url, row_factory=dict_row, autocommit=True) as connection:

        def run(statement: str, *parameters: object) -> list[Row]:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def shelf(lake: Lake, look: Look) -> Shelf:
    return Shelf(lake, look)


@pytest.fixture
def counts(look: Callable[..., list[Row]]) -> Callable[[], Row]:
    """A function that counts the rows of every table: what is equal before and after wrote nothing."""
    tables = [table.name for table in METADATA.sorted_tables]
    statement = ", ".join(f"(SELECT count(*) FROM metadata.{name}) AS {name}" for name in tables)
    return lambda: look(f"SELECT {statement}")[0]
