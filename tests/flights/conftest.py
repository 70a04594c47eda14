"""The flights example on its real sources, loaded once per session."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for `examples`, which is no installed package

from collections.abc import Callable
from functools import partial

import pytest
from flights_loads import Ask, Loads, load_with_accidents, rows_of

from identity.keys import dataset_key
from metadata_assets import SourceTable
from resources.postgres.embedded import Server


@pytest.fixture(scope="session")
def loads(server: Server) -> Loads:
    """The three source databases, complete."""
    return load_with_accidents(server)


@pytest.fixture(scope="session")
def ask(server: Server, loads: Loads) -> Ask:
    """Asks one of them."""
    assert loads.finished
    return partial(rows_of, server)


@pytest.fixture(scope="session")
def tables_of(server: Server, loads: Loads) -> Callable[[str], dict[str, SourceTable]]:
    """A function that gives one table of every airport, as the functions of the datasets get them."""
    assert loads.finished

    def table(airport: str, name: str) -> SourceTable:
        key = dataset_key(airport, source=airport, schema="public", table=name)
        return SourceTable(key, lambda: server.url(airport), lambda _: None)

    return lambda name: {airport: table(airport, name) for airport in ("ewr", "jfk", "lga")}
