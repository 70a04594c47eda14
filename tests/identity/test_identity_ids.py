"""Ids are computed, never chosen; digests of different tuples differ."""

import copy
import dataclasses
import pickle
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hostile_names import keys, prop, recut, slugs
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import InvalidKey, InvalidTenant
from identity.ids import DEFAULT_TENANT, Entity, EntityId, TenantId, child_id, digest_id, sha256_of, tenant_id
from identity.keys import CanonicalKey, dataset_key, endpoint_key

TENANT = tenant_id(DEFAULT_TENANT)
FLIGHTS = Entity(TENANT, dataset_key("jfk", schema="public", table="flights"))
SOME_UUID = UUID(int=7)


@prop
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["default", "acme"]) | slugs, st.sampled_from([FLIGHTS.key, endpoint_key("jfk")]) | keys
        ),
        unique=True,
        max_size=4,
    )
)
def test_an_entity_is_one_key_of_one_tenant(pairs: list[tuple[str, CanonicalKey]]) -> None:
    entities = [Entity(tenant_id(slug), key) for slug, key in pairs]
    assert len({entity.id for entity in entities}) == len(pairs)
    assert len({entity.key_sha256 for entity in entities}) == len({key for _, key in pairs})


def test_the_same_table_at_two_endpoints_is_two_entities() -> None:
    ids = {Entity(TENANT, dataset_key(e, schema="public", table="flights")).id for e in ("ewr", "jfk", "lga")}
    assert len(ids) == 3


def test_an_id_is_computed_again_and_equal() -> None:
    again = Entity(tenant_id("default"), CanonicalKey.parse(str(FLIGHTS.key)))
    assert again == FLIGHTS
    assert (again.id, again.key_sha256) == (FLIGHTS.id, FLIGHTS.key_sha256)
    assert len(FLIGHTS.key_sha256) == 32
    assert (FLIGHTS.id.value.version, TENANT.value.version) == (5, 5)


@pytest.mark.parametrize("value", [SOME_UUID, str(SOME_UUID), "flights", FLIGHTS.id, FLIGHTS.id.value])
def test_nobody_can_make_an_entity_id(value: Any) -> None:
    for make in (EntityId, lambda v: EntityId(v, object()), lambda v: EntityId(value=v, seal=None)):
        with pytest.raises(TypeError, match=r"Entity\(tenant, key\)"):
            make(value)
    with pytest.raises(TypeError, match=r"Entity\(tenant, key\)"):
        dataclasses.replace(FLIGHTS.id, value=value)


@pytest.mark.parametrize("value", [SOME_UUID, "default", TENANT.value])
def test_nobody_can_make_a_tenant_id(value: Any) -> None:
    for make in (TenantId, lambda v: TenantId(v, object())):
        with pytest.raises(TypeError, match=r"tenant_id\(slug\)"):
            make(value)
    with pytest.raises(TypeError, match=r"tenant_id\(slug\)"):
        dataclasses.replace(TENANT, value=value)


def test_an_entity_takes_no_id() -> None:
    make: Any = Entity
    for arguments in ((TENANT, FLIGHTS.key, FLIGHTS.id), (FLIGHTS.id, FLIGHTS.key), ("default", FLIGHTS.key)):
        with pytest.raises(TypeError):
            make(*arguments)
    for key in (str(FLIGHTS.key), FLIGHTS.id, SOME_UUID):
        with pytest.raises(TypeError, match="CanonicalKey"):
            make(TENANT, key)
    with pytest.raises((AttributeError, TypeError)):  # which of them depends on the version of Python
        setattr(FLIGHTS, "id", FLIGHTS.id)  # noqa: B010
    with pytest.raises(TypeError):
        dataclasses.replace(FLIGHTS, id=FLIGHTS.id)


def test_ids_cannot_be_changed() -> None:
    for made in (FLIGHTS, FLIGHTS.id, TENANT):
        for field in dataclasses.fields(made):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(made, field.name, SOME_UUID)


def test_a_later_thing_of_the_same_name_is_another_generation() -> None:
    first, *later = (Entity.of_generation(TENANT, FLIGHTS.key, number) for number in range(1, 6))
    assert first == FLIGHTS
    assert len({FLIGHTS.id, *(one.id for one in later)}) == 5
    assert len({FLIGHTS.key_sha256, *(one.key_sha256 for one in later)}) == 5
    assert all(one.key == FLIGHTS.key and one != FLIGHTS for one in later)
    assert later[0] == Entity.of_generation(TENANT, FLIGHTS.key, 2)
    with pytest.raises(ValueError, match="generations count from 1"):
        Entity.of_generation(TENANT, FLIGHTS.key, 0)


@prop
@given(keys, st.integers(2, 40))
def test_no_generation_is_another_keys_entity(key: CanonicalKey, number: int) -> None:
    assert Entity.of_generation(TENANT, key, number).id != Entity(TENANT, key).id
    assert "#" not in str(key), "so no key reads like the name of a generation"


def test_a_store_says_whom_a_renamed_key_names() -> None:
    other = Entity(TENANT, dataset_key("jfk", schema="public", table="departures"))
    renamed = Entity.from_database(TENANT, FLIGHTS.key, other.id.value, other.key_sha256)
    assert (renamed.id, renamed.key_sha256, renamed.key) == (other.id, other.key_sha256, FLIGHTS.key)
    assert renamed != FLIGHTS
    plain = Entity.from_database(TENANT, FLIGHTS.key, FLIGHTS.id.value, FLIGHTS.key_sha256)
    assert plain == FLIGHTS, "one thing is one value, wherever it was read"
    assert pickle.loads(pickle.dumps(renamed)) == renamed == copy.deepcopy(renamed)
    with pytest.raises(TypeError, match="nobody hands an id"):
        Entity(TENANT, FLIGHTS.key, SOME_UUID)  # type: ignore[arg-type]


def test_a_part_born_under_a_name_that_lives_on_is_another_part() -> None:
    ids = {child_id(FLIGHTS.id, "column", "x", generation=number) for number in (1, 2, 3)}
    assert len(ids | {child_id(FLIGHTS.id, "column", f"x#{number}") for number in (1, 2, 3)}) == 6
    with pytest.raises(ValueError, match="generations count from 1"):
        child_id(FLIGHTS.id, "column", "x", generation=0)


def test_rows_of_our_tables_become_ids() -> None:
    assert EntityId.from_database(FLIGHTS.id.value) == FLIGHTS.id
    assert str(FLIGHTS.id) == str(FLIGHTS.id.value)
    for other in (str(SOME_UUID), SOME_UUID.bytes, FLIGHTS.id, None):
        with pytest.raises(TypeError, match="UUID"):
            EntityId.from_database(other)  # type: ignore[arg-type]


def test_ids_survive_pickle_and_copy() -> None:
    for made in (FLIGHTS, FLIGHTS.id, TENANT):
        assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made) == copy.copy(made)


@prop
@given(st.lists(st.uuids(), max_size=8))
def test_ids_sort_as_postgresql_sorts_uuids(values: list[UUID]) -> None:
    in_order = sorted(EntityId.from_database(value) for value in values)
    assert [made.value.bytes for made in in_order] == sorted(value.bytes for value in values)


@pytest.mark.parametrize("slug", ["", "A", "tenant:a", "a b", "\ud800", "postgresql://sales:Kanari@db"])
def test_a_tenant_is_a_slug(slug: str) -> None:
    with pytest.raises(InvalidTenant, match="it is not a slug") as refusal:
        tenant_id(slug)
    assert "Kanari" not in str(refusal.value)


@prop
@given(recut(2))
def test_where_a_kind_ends_is_part_of_a_child_id(pair: tuple[tuple[str, str], tuple[str, str]]) -> None:
    one, other = pair
    assert child_id(FLIGHTS.id, *one) != child_id(FLIGHTS.id, *other)


def test_children_of_different_parents_differ() -> None:
    other = Entity(TENANT, endpoint_key("jfk")).id
    assert child_id(FLIGHTS.id, "column", "carrier") != child_id(other, "column", "carrier")
    assert child_id(FLIGHTS.id, "a", "bc") != child_id(FLIGHTS.id, "ab", "c")
    assert child_id(FLIGHTS.id, "1:a2", "b") != child_id(FLIGHTS.id, "1", "a21:b")


def test_a_child_needs_a_parent_and_a_name_that_is_text() -> None:
    with pytest.raises(TypeError, match="EntityId"):
        child_id(FLIGHTS.id.value, "column", "carrier")  # type: ignore[arg-type]
    for name in ("a\0", "\ud800", "x://sales:Kanari@db"):
        with pytest.raises(InvalidKey):
            child_id(FLIGHTS.id, "column", name)


PARTS = st.none() | st.text(max_size=4) | st.text("ns\0", max_size=4) | st.binary(max_size=4)


@prop
@given(st.lists(st.lists(PARTS, max_size=4).map(tuple), unique_by=lambda parts: [*map(typed, parts)].__repr__()))
def test_digests_of_different_tuples_differ(tuples: list[tuple[str | bytes | None, ...]]) -> None:
    assert len({sha256_of(*parts) for parts in tuples}) == len(tuples)


def test_digests_of_short_tuples_differ() -> None:
    """Exhaustive over what a careless framing confuses: types, absence, lengths, the number of parts."""
    words: list[str | bytes | None] = [None, "", b"", "a", b"a", "aa", "n", b"n", "s", "\0", "\0" * 8]
    tuples = [parts for size in range(4) for parts in product(words, repeat=size)]
    assert len({sha256_of(*parts) for parts in tuples}) == len(tuples)


def test_the_framing_cannot_be_imitated() -> None:
    framed = b"s" + (1).to_bytes(8, "big") + b"a"
    assert (
        len({sha256_of(framed), sha256_of(framed.decode()), sha256_of("a"), sha256_of("a", None), sha256_of("an")}) == 5
    )


def test_a_digest_is_32_bytes_of_any_text() -> None:
    assert {len(sha256_of(part)) for part in ("", "\ud800", "\udfff", b"\xff", None, "x" * 10**6)} == {32}
    assert len({sha256_of(part) for part in ("\ud800", "\udfff", "?", "\ufffd", "", b"\xed\xa0\x80")}) == 6


@pytest.mark.parametrize("part", [3, True, 1.5, ["a"], ("a",), SOME_UUID])
def test_only_text_bytes_and_none_are_hashed(part: Any) -> None:
    with pytest.raises(AssertionError):
        sha256_of(part)


def typed(part: str | bytes | None) -> tuple[str, str | bytes | None]:
    return type(part).__name__, part


def test_what_a_digest_names_has_the_same_child_id() -> None:
    digest = sha256_of("anything").hex()
    assert digest_id(FLIGHTS.id, "materialization", digest) == child_id(FLIGHTS.id, "materialization", digest)
    for no_digest in ("", digest[1:], digest.upper(), f"{digest}\n", "password=hunter2"):
        with pytest.raises(TypeError, match="64 hexadecimal digits"):
            digest_id(FLIGHTS.id, "materialization", no_digest)
