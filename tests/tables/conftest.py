"""A data plane on a real PostgreSQL beside a control plane; each test has schemas of its own in it."""

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest
from warehouse import Warehouse

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
