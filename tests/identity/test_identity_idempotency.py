"""Deliveries: the same key for the same thing asked for again, and for nothing else."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hostile_names import names, optional_names, prop, recut
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import WITHHELD, InvalidIntent, InvalidKey
from identity.idempotency import Delivery, Intent
from identity.ids import Entity, tenant_id
from identity.keys import dataset_key

FLIGHTS = dataset_key("jfk", source="flights", schema="public", table="flights")
DEFAULT, ACME = tenant_id("default"), tenant_id("acme")
DELIVERY = Delivery(DEFAULT, Entity(DEFAULT, FLIGHTS).id, "2013-01-15", Intent("backfill", "abc"), "result")

intents = st.builds(Intent, st.sampled_from(["run", "backfill", "key"]), names.filter(bool))
deliveries = st.builds(
    Delivery,
    st.sampled_from([DEFAULT, ACME]),
    st.sampled_from([Entity(DEFAULT, FLIGHTS).id, Entity(ACME, FLIGHTS).id]),
    optional_names,
    intents,
    names,
)


def test_what_follows_from_a_delivery_is_frozen() -> None:
    """Computed once with other code: length-prefixed parts, SHA-256, RFC 9562."""
    assert DELIVERY.key == "4caf2f579a3c8d373c5ce0f127f565ed219596e9895e49f4311742931cbe13a6"
    assert DELIVERY.fingerprint.hex() == "7b0e5a41cba7ab70924a2674919a780bbcd69f5e4ba5b19c4c89e9efcf75a31a"
    assert str(DELIVERY.materialization_id) == "f014001d-a450-53c7-9905-0d0c94a96750"
    whole = replace(DELIVERY, partition=None, intent=Intent("run", "1"))
    assert whole.key == "93eb17d6cf12de733033925e5c0b3626c4448d617abb52267c49cebb26889ef1"
    assert str(whole.materialization_id) == "41b239d6-f1b0-53b7-b859-5e5a3b9929dd"


@prop
@given(deliveries)
def test_a_redelivery_repeats_everything(delivery: Delivery) -> None:
    again = pickle.loads(pickle.dumps(replace(delivery, intent=Intent.parse(str(delivery.intent)))))
    assert again == delivery
    assert again.key == delivery.key
    assert again.fingerprint == delivery.fingerprint
    assert again.materialization_id == delivery.materialization_id


near = st.builds(  # few values each: two of them often differ in a single part
    Delivery,
    st.sampled_from([DEFAULT, ACME]),
    st.sampled_from([Entity(DEFAULT, FLIGHTS).id, Entity(ACME, FLIGHTS).id]),
    st.sampled_from([None, "", "a"]),
    st.builds(Intent, st.sampled_from(["run", "backfill"]), st.sampled_from(["1", "a"])),
    st.sampled_from(["", "a"]),
)


@prop
@given(st.lists(near, unique=True, min_size=8, max_size=16) | st.lists(deliveries, unique=True, max_size=3))
def test_different_deliveries_never_meet(several: list[Delivery]) -> None:
    assert len({delivery.key for delivery in several}) == len(several)
    assert len({delivery.fingerprint for delivery in several}) == len(several)
    assert len({delivery.materialization_id for delivery in several}) == len(several)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": ACME},
        {"dataset": Entity(ACME, FLIGHTS).id},
        {"partition": "2013-01-16"},
        {"partition": ""},
        {"partition": None},
        {"intent": Intent("run", "abc")},
        {"intent": Intent("backfill", "abd")},
        {"output": "other"},
        {"output": ""},
    ],
    ids=str,
)
def test_each_part_makes_another_delivery(change: dict[str, Any]) -> None:
    other = replace(DELIVERY, **change)
    assert other.key != DELIVERY.key
    assert other.fingerprint != DELIVERY.fingerprint
    assert other.materialization_id != DELIVERY.materialization_id


@prop
@given(recut(2))
def test_where_an_intent_ends_is_part_of_the_key(pair: tuple[tuple[str, str], tuple[str, str]]) -> None:
    one, other = (replace(DELIVERY, intent=Intent("key", f"k{value}"), output=output) for value, output in pair)
    assert one.key != other.key


def test_an_absent_partition_is_none_of_its_spellings() -> None:
    keys = {replace(DELIVERY, partition=partition).key for partition in (None, "", "None", "~", "n", "null")}
    assert len(keys) == 6


@prop
@given(deliveries)
def test_the_fingerprint_is_not_the_key(delivery: Delivery) -> None:
    assert len(delivery.key) == 64
    assert len(delivery.fingerprint) == 32
    assert delivery.fingerprint.hex() != delivery.key


@prop
@given(intents)
def test_an_intent_is_read_as_it_is_written(intent: Intent) -> None:
    assert Intent.parse(str(intent)) == intent


def test_an_intent_keeps_its_colons() -> None:
    assert Intent.parse("key:nightly:2013-01-15") == Intent("key", "nightly:2013-01-15")
    assert str(Intent("run", "6b1f")) == "run:6b1f"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its kind is unknown"),
        ("run", "its kind is unknown"),
        ("6b1f-77", "its kind is unknown"),
        ("RUN:1", "its kind is unknown"),
        (" run:1", "its kind is unknown"),
        ("schedule:1", "its kind is unknown"),
        ("run:", "it is empty"),
        ("key:a\0", "NUL"),
        ("key:\ud800", "lone surrogate"),
        ("key:postgresql://sales:Kanari@db/x", "with a credential"),
        ("postgresql://sales:Kanari@db/x", "its kind is unknown"),
    ],
)
def test_what_is_not_an_intent_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidIntent, match=reason) as refusal:
        Intent.parse(text)
    assert "Kanari" not in str(refusal.value)
    assert "Kanari" not in text or refusal.value.value == WITHHELD


def test_the_kind_of_an_intent_is_one_of_three() -> None:
    with pytest.raises(InvalidIntent, match="run, backfill, key"):
        Intent("tick", "1")  # type: ignore[arg-type]


def test_what_the_type_checker_refuses_is_refused_at_run_time_too() -> None:
    for change in (
        {"tenant": "default"},
        {"tenant": DEFAULT.value},
        {"dataset": DELIVERY.dataset.value},
        {"intent": "run:1"},
    ):
        with pytest.raises(TypeError):
            replace(DELIVERY, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a\0", "\udc80"])
def test_partitions_and_outputs_are_text(name: str) -> None:
    for change in ({"partition": name}, {"output": name}):
        with pytest.raises(InvalidKey):
            replace(DELIVERY, **change)  # type: ignore[arg-type]
