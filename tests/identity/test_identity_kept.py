"""What is kept of names: nothing of long ones, and nothing with a credential in it."""

import sys
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest

from identity.credentials import holds_credential, scrub, scrubbed
from identity.errors import InvalidKey
from identity.ids import Entity, column_id, tenant_id
from identity.keys import dataset_key

LONG = "x y" * 1_000
DATASET = Entity(tenant_id("default"), dataset_key("lake", table="t")).id


def named(name: str) -> None:
    with suppress(InvalidKey):
        dataset_key("lake", table=name)


NAMING: dict[str, Callable[[str], object]] = {
    "a key": named,
    "a column": lambda name: column_id(DATASET, name),
    "a part of a document": lambda name: scrubbed({name: 1}),
    "a text": scrub,
    "a name": holds_credential,
}


@pytest.mark.parametrize("given", [f"{LONG}!", "postgres://ann:hunter2hunter2@db/shop"], ids=["long", "a credential"])
@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING.keys())
def test_a_long_name_and_one_with_a_credential_are_not_kept(naming: Callable[[str], object], given: str) -> None:
    name = f"{given[:-1]}{given[-1]}"  # nobody else has this very text
    before = sys.getrefcount(name)
    with suppress(InvalidKey):
        naming(name)
    assert sys.getrefcount(name) == before


@pytest.mark.parametrize("naming", NAMING.values(), ids=NAMING.keys())
def test_another_name_is(naming: Callable[[str], object]) -> None:
    """So that the test above can fail."""
    name = f"a{uuid4()}"
    before = sys.getrefcount(name)
    naming(name)
    assert sys.getrefcount(name) > before
