"""Homes of embedded servers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from embedded_users import User, new_homes, servers_below, wait_for

from resources.postgres.embedded import stop


@pytest.fixture
def new_home() -> Iterator[Callable[..., Path]]:
    """A function that names homes; their servers are gone after the test."""
    with new_homes() as name:
        yield name


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """The name of a home that a module's tests use one after the other."""
    with new_homes() as name:
        yield name("used")


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    """A home whose server is down; made by the first test that starts it."""
    assert not servers_below(used_home)
    yield used_home
    User.kill_all()
    stop(used_home)
    wait_for(lambda: not servers_below(used_home))
