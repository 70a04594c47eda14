"""Errors: a message made of facts, the facts as attributes, and never a credential."""

import copy
import inspect
import pickle
from typing import ClassVar
from urllib.parse import quote

import pytest

import identity.errors
from identity.errors import (
    WITHHELD,
    InvalidEndpoint,
    InvalidIntent,
    InvalidKey,
    InvalidTenant,
    InvalidUrl,
    MetadataError,
    shown,
)

LEAVES = [InvalidKey, InvalidEndpoint, InvalidTenant, InvalidIntent, InvalidUrl]


class UnknownDataset(MetadataError):
    """no dataset {key!r}; the nearest ones are {nearest}

    This paragraph is not part of the message.
    """

    key: str
    nearest: list[str]
    endpoint: str = "jfk"
    exit_code: ClassVar[int] = 3


class Renamed(UnknownDataset):
    by: "str | None"


def made(leaf: type[MetadataError]) -> MetadataError:
    return leaf(**{name: f"the {name}" for name in leaf._facts})


def test_every_leaf_of_the_module_is_tested_here() -> None:
    found = {
        leaf for _, leaf in inspect.getmembers(identity.errors, inspect.isclass) if issubclass(leaf, MetadataError)
    }
    assert found == {*LEAVES, MetadataError}


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_says_every_fact_and_exits_with_2(leaf: type[MetadataError]) -> None:
    error = made(leaf)
    assert all(f"the {name}" in str(error) for name in leaf._facts)
    assert error.exit_code == 2


@pytest.mark.parametrize("leaf", [*LEAVES, UnknownDataset, Renamed, MetadataError])
def test_a_leaf_survives_pickle_and_copy(leaf: type[MetadataError]) -> None:
    error = made(leaf)
    error.add_note("while collecting jfk")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is leaf
        assert (str(again), again.facts, vars(again)) == (str(error), error.facts, vars(error))
        assert again.__notes__ == ["while collecting jfk"]


def test_the_first_line_is_the_message_and_the_facts_are_attributes() -> None:
    error = UnknownDataset(key="flight", nearest=["flights"])
    assert str(error) == "no dataset 'flight'; the nearest ones are ['flights']"
    assert repr(error) == f"UnknownDataset({str(error)!r})"
    assert (error.key, error.nearest, error.endpoint, error.exit_code) == ("flight", ["flights"], "jfk", 3)
    assert error.facts == {"key": "flight", "nearest": ["flights"], "endpoint": "jfk"}


def test_a_leaf_without_a_docstring_speaks_with_its_parents_words() -> None:
    error = Renamed(key="a", nearest=[], endpoint="lga", by=None)
    assert str(error) == "no dataset 'a'; the nearest ones are []"
    assert error.facts == {"key": "a", "nearest": [], "endpoint": "lga", "by": None}


def test_the_root_can_be_raised_and_fails_the_command() -> None:
    assert str(MetadataError()) == "something in the metadata of this project is wrong"
    assert MetadataError.exit_code == 1


def test_facts_must_be_the_declared_ones() -> None:
    with pytest.raises(TypeError, match=r"missing facts \['nearest'\]"):
        UnknownDataset(key="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"undeclared facts \['table'\]"):
        UnknownDataset(key="a", nearest=[], table="b")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        UnknownDataset("a", ["b"])  # type: ignore[misc]


def test_a_message_over_an_undeclared_fact_fails_where_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"\['table'\], which are not annotated"):

        class _Wrong(MetadataError):
            """no {table} in {endpoint.name}"""

            endpoint: str


CREDENTIALS = [
    "postgresql://sales:Kanari@db/x",
    "sales:Kanari@db",
    "scott/Kanari@db",
    "password=Kanari",
    "Driver={x};PWD=Kanari",
    quote("postgresql://sales:Kanari@db/x", safe=""),
    quote(quote("sales:Kanari@db", safe=""), safe=""),
    quote(quote(quote("PWD=Kanari", safe=""), safe=""), safe=""),
    "mid1:dataset:jfk:~/~/" + quote("mysql://sales:Kanari@db", safe=""),
    "x" * 500 + "sales:Kanari@db",
]


@pytest.mark.parametrize("value", CREDENTIALS)
def test_what_may_hold_a_credential_is_withheld(value: str) -> None:
    assert shown(value) == WITHHELD
    for leaf in (InvalidKey, InvalidEndpoint, InvalidTenant, InvalidIntent):
        error = leaf(value=value, reason="r", fix="f")
        assert error.value == WITHHELD
        assert "Kanari" not in repr(pickle.dumps(error)) + repr(error) + str(vars(error))


@pytest.mark.parametrize(
    "value", ["", "flights", "mid1:dataset:jfk:a/b/c", "Daily Delays", "caf\u00e9", "50%", "\ud800", "a\0b"]
)
def test_what_cannot_hold_one_is_shown(value: str) -> None:
    assert shown(value) == value
    assert repr(value) in str(InvalidKey(value=value, reason="r", fix="f"))
    str(InvalidKey(value=value, reason="r", fix="f")).encode()


def test_a_long_value_is_shortened_once() -> None:
    assert shown("x" * 1000) == shown(shown("x" * 1000)) == "x" * 119 + "\u2026"
    assert shown(WITHHELD) == WITHHELD
