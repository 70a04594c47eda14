"""Hostile tuples as keys, and through the door of each system: none collides, none is lost.

200,000 and 2,000 of each system in a thorough run, a fifth of them usually. Half of the tuples are drawn by Hypothesis,
as pools of names of which every tuple is made: each meets its neighbours.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any
from urllib.parse import unquote

import pytest
from hostile_names import close_names, hostile_tuples, prop, quoted
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import many

from identity.errors import InvalidKey, MetadataError
from identity.ids import Entity, column_id, tenant_id
from identity.keys import CanonicalKey, ColumnKey, Kind
from identity.naming import Fold, Naming, System, openlineage_key, reference_key, system
from identity.naming.rules import ALL

pytestmark = pytest.mark.proof

DRAWN = many(100_000, usually=20_000)
EACH = many(1_000, usually=200)
POOL = 14
POOLS = many(32, usually=7)
Names = tuple[str | None, ...]


class CollidedError(AssertionError):
    """Two things have one key, or one has two."""


def one_to_one(pairs: Iterable[tuple[Any, str]]) -> int:
    """How many different things there are, when each has a key of its own and the same one every time."""
    by_thing: dict[Any, str] = {}
    by_key: dict[str, Any] = {}
    for thing, key in pairs:
        if by_thing.setdefault(thing, key) != key:
            raise CollidedError(f"{thing!r} is {key} and {by_thing[thing]}")
        if by_key.setdefault(key, thing) != thing:
            raise CollidedError(f"{thing!r} and {by_key[key]!r} are {key}")
    return len(by_thing)


def of_kind(kind: str, endpoint: str, names: Names) -> CanonicalKey | ColumnKey:
    source, schema, table = names
    match kind:
        case "endpoint":
            return CanonicalKey(Kind.ENDPOINT, endpoint, ())
        case "dataset":
            return CanonicalKey(Kind.DATASET, endpoint, names)
        case "column":
            return ColumnKey(CanonicalKey(Kind.DATASET, endpoint, (None, schema, table)), source or "")
    return CanonicalKey(Kind(kind), endpoint, (f"{source}/{schema}/{table}",))


KINDS = {"endpoint": 2, "dataset": 5_000, "column": 10_000, "job": 2_500, "dashboard": 2_500}


def test_no_two_things_of_any_kind_share_a_key_or_an_id() -> None:
    assert set(KINDS) == {*Kind, "column"}
    tenant, pairs, ids = tenant_id("default"), [], set()
    for number, (kind, count) in enumerate(KINDS.items()):
        made = set()
        for index, one in enumerate(hostile_tuples(number, count)):
            with suppress(InvalidKey):  # it looks like a credential
                made.add(of_kind(kind, f"e{index % 2}", one))
        assert len(made) >= count * 0.5, kind
        for key in made:
            read = ColumnKey.parse(str(key)) if isinstance(key, ColumnKey) else CanonicalKey.parse(str(key))
            pairs.append(((type(read), read), str(key)))
            assert read == key
            parent = Entity(tenant, key.dataset if isinstance(key, ColumnKey) else key).id
            ids.add(column_id(parent, key.name) if isinstance(key, ColumnKey) else parent.value)
    assert one_to_one(pairs) == len(pairs) == len(ids)


def kept(tuples: Iterable[Names]) -> int:
    """How many tuples have keys of their own that lead back to them."""
    texts = ((names, str(CanonicalKey(Kind.DATASET, "jfk", names))) for names in tuples)
    return one_to_one((names, text) for names, text in texts if CanonicalKey.parse(text).segments == names)


def test_no_two_hostile_tuples_share_a_key() -> None:
    assert kept(hostile_tuples(7, DRAWN)) == DRAWN


def all_of(pool: list[str]) -> list[tuple[str | None, str | None, str]]:
    return list(product([None, *pool], [None, *pool], pool))


@settings(prop, max_examples=POOLS)
@given(st.lists(close_names, min_size=POOL, max_size=POOL, unique=True))
def test_no_two_tuples_of_hypothesis_share_a_key(pool: list[str]) -> None:
    assert kept(all_of(pool)) == (POOL + 1) ** 2 * POOL


def test_the_tuples_are_200_000_in_a_thorough_run() -> None:
    assert many(200_000, usually=40_000) <= DRAWN + POOLS * (POOL + 1) ** 2 * POOL


def said(rules: System, names: dict[str, str]) -> CanonicalKey:
    """The key by the door through which people and tools name things of this system."""
    source, schema, table = names.get("source"), names.get("schema"), names["table"]
    match rules.naming:
        case Naming.VERBATIM:
            return reference_key(table, of=rules, endpoint="e", source=source, schema=schema)
        case Naming.POSIX:
            return reference_key(f"/{table}", of=rules, endpoint="e", source=source)
        case Naming.ASSET_KEY:
            return reference_key(json.dumps(table.split("a")), of=rules, endpoint="e")
    if rules.dots_in_quotes or not rules.quotes:
        written = (
            {level: name.replace(".", r"\.") for level, name in names.items()} if "}.{" in rules.dataset else names
        )
        namespace = (rules.namespace or "").format(host="h", server="h", **names)
        key = openlineage_key(namespace, rules.dataset.format(**written))
        return replace(key, namespace="e")
    reference = ".".join(quoted(name, rules.quotes[0], not rules.backslash) for name in names.values())
    return reference_key(reference, of=rules, endpoint="e")


def meant(rules: System, names: dict[str, str]) -> Names:
    """What the system takes the names for, said a second time: its case, its length, its paths."""
    fold: dict[str, Callable[[str], str]] = {}
    if rules.folds_quoted:
        ascii_lower = str.maketrans({letter: letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
        lower = (lambda name: name.translate(ascii_lower)) if rules.folds_ascii_only else str.lower
        fold = dict.fromkeys(rules.folded, lower)
    for level, case in rules.one_case:
        fold.setdefault(level, ascii_case(case))
    found = [fold.get(level, str)(name) for level, name in names.items()]
    if rules.limit and rules.limit.cuts:
        found = [name.encode()[: rules.limit.longest].decode(errors="ignore") for name in found]
    if rules.naming is Naming.POSIX:
        found[-1] = "/".join(step for step in found[-1].split("/") if step not in ("", "."))
    if rules.naming is Naming.ASSET_KEY:
        return tuple(found[-1].split("a"))
    return tuple(found)


def ascii_case(case: Fold) -> Callable[[str], str]:
    if case is Fold.LOWER:
        return lambda name: "".join(letter.lower() if letter.isascii() else letter for letter in name)
    return lambda name: name.upper() if name.isascii() else name


REFUSED = ("part of it is empty", "where .. leads", "it is not", "more than a server", "credential", "is missing")


def through(rules: System, by: System, tuples: Iterable[Names] = ()) -> tuple[int, int]:
    """How many hostile things of a system have keys of their own by the rules `by`, and how many are refused."""
    pairs, reasons = [], []
    for tuple_ in tuples or hostile_tuples(len(rules.name), EACH):
        names = {
            level: name or "t"
            for level, name in zip(("source", "schema", "table"), tuple_, strict=True)
            if level in rules.used
        }
        names["table"] = f"{tuple_[0] or ''}{tuple_[1] or ''}{names['table']}" if len(names) == 1 else names["table"]
        if not rules.quotes and rules.dataset.find("}/") >= 0 and "/" in names["schema"]:
            continue  # no name of a database there has one, so nobody writes it
        try:
            key = said(by, names)
        except MetadataError as error:
            reasons.append(str(error))
            continue
        assert CanonicalKey.parse(str(key)) == key
        pairs.append((meant(rules, names), str(key)))
    assert [one for one in reasons if not any(reason in one for reason in REFUSED)] == []
    return one_to_one(pairs), len(reasons)


@pytest.mark.parametrize("rules", ALL, ids=lambda rules: rules.name)
def test_no_two_hostile_things_of_a_system_share_a_key(rules: System) -> None:
    different, refused = through(rules, rules)
    assert different + refused <= EACH
    assert different > EACH * 0.2, f"{different} different ones, {refused} refused"


@pytest.mark.parametrize("rules", ALL, ids=lambda rules: rules.name)
@settings(prop, max_examples=many(5, usually=1))
@given(pool=st.lists(close_names, min_size=6, max_size=6, unique=True))
def test_no_two_things_of_a_system_that_hypothesis_draws_share_a_key(rules: System, pool: list[str]) -> None:
    tuples = all_of(pool)
    different, refused = through(rules, rules, tuples)
    assert different + refused <= len(tuples)


def test_every_system_is_among_them() -> None:
    assert len({rules.name for rules in ALL}) == len(ALL) >= 35


PLANTED = {
    "folds what it keeps": ("postgresql", lambda rules: replace(rules, one_case=(("table", Fold.LOWER),))),
    "cuts what it keeps": ("mssql", lambda rules: replace(rules, limit=replace(rules.limit, longest=3, cuts=True))),
    "drops slashes": ("s3", lambda rules: replace(rules, naming=Naming.POSIX, rooted=False)),
    "keeps what it folds": ("oracle", lambda rules: replace(rules, one_case=())),
}


@pytest.mark.parametrize("planted", sorted(PLANTED))
def test_a_planted_collision_is_found_in_the_rules(planted: str) -> None:
    name, break_ = PLANTED[planted]
    with pytest.raises(CollidedError):
        through(system(name), break_(system(name)), hostile_tuples(len(name), 2_000))


@pytest.mark.parametrize(
    "written",
    [
        lambda names: "/".join(name or "" for name in names),
        lambda names: "/".join((name or "~").replace("/", "%2F") for name in names),
        lambda names: str(CanonicalKey(Kind.DATASET, "e", names)).lower(),
        lambda names: unquote(str(CanonicalKey(Kind.DATASET, "e", names))),
        lambda names: str(CanonicalKey(Kind.DATASET, "e", names))[:30],
    ],
)
def test_a_planted_collision_is_found_in_the_text_of_keys(written: Callable[[Names], str]) -> None:
    with pytest.raises(CollidedError):
        one_to_one((names, written(names)) for names in hostile_tuples(7, 20_000))
