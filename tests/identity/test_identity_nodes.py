"""References and where they lead: chains, circles, depth, and the decisions of ordered lists."""

import pickle
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, dataset_key, endpoint_key
from identity.nodes import (
    DEFAULT_MAX_DEPTH,
    GAP,
    BrokenReference,
    CollectionChange,
    IdentityCycle,
    IdentityKey,
    IdentityTooDeep,
    MissingIdentity,
    Positions,
    Reference,
    added,
    after,
    follow,
    moved,
    parse_reference,
    wrapped,
)

NODES = [IdentityKey(UUID(int=number)) for number in range(1, 1200)]
FLIGHTS = dataset_key("jfk", schema="public", table="flights")


def keys(names: str) -> list[CanonicalKey]:
    return [dataset_key("lake", table=name) for name in names]


def chain(length: int, end: Reference) -> dict[Reference, Reference]:
    """Nodes 0 … length-1, each leading to the next and the last one to `end`."""
    return dict(pairwise([*NODES[:length], end]))


@pytest.mark.parametrize("reference", [NODES[0], FLIGHTS, endpoint_key("jfk")])
def test_a_reference_reads_as_it_is_written(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "identity:",
        "identity:8C1F4B8E-0000-4000-8000-000000000000",
        "identity:{8c1f4b8e-0000-4000-8000-000000000000}",
        "identity:8c1f4b8e000040008000000000000000",
        "identity:8c1f4b8e-0000-4000-8000-000000000000 ",
        "identity:8c1f4b8e-0000-4000-8000-000000000000\n",
        "Identity:8c1f4b8e-0000-4000-8000-000000000000",
        "8c1f4b8e-0000-4000-8000-000000000000",
        "table-entity:abc",
        "flights",
        "",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://jo:hunter2@db/flights",
        "identity:postgresql://jo:hunter2@db/flights",
        "identity:hunter2;password=hunter2",
        "mid1:dataset:jfk:a/b/postgresql%3A%2F%2Fjo%3Ahunter2%40db",
        "mid1:dataset:jfk:a/b/password=hunter2",
    ],
)
def test_no_secret_is_accepted_or_repeated(text: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        parse_reference(text)
    assert "hunter2" not in f"{refused.value} {refused.value!r} {refused.value.facts}"


def test_a_key_leads_to_itself_without_a_look() -> None:
    trail = follow(FLIGHTS, lambda _node: pytest.fail("nothing to look up"))
    assert (trail.path, trail.key, trail.depth) == ((FLIGHTS,), FLIGHTS, 0)


@pytest.mark.parametrize("length", [1, 2, 50, DEFAULT_MAX_DEPTH])
def test_a_chain_leads_to_its_key(length: int) -> None:
    trail = follow(NODES[0], chain(length, FLIGHTS).get)
    assert (trail.key, trail.depth, trail.path) == (FLIGHTS, length, (*NODES[:length], FLIGHTS))


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_a_circle_is_told_with_its_path(length: int) -> None:
    with pytest.raises(IdentityCycle) as refused:
        follow(NODES[0], chain(length, NODES[0]).get)
    assert refused.value.path == tuple(map(str, [*NODES[:length], NODES[0]]))
    assert str(NODES[0]) in str(refused.value)


def test_a_circle_further_on_is_told_with_the_way_to_it() -> None:
    with pytest.raises(IdentityCycle) as refused:
        follow(NODES[0], chain(4, NODES[2]).get)
    assert refused.value.path == tuple(map(str, [*NODES[:4], NODES[2]]))


@pytest.mark.parametrize(("max_depth", "length"), [(64, 65), (0, 1), (1, 2), (1000, 1001)])
def test_the_guard_stops_one_node_after_its_depth(max_depth: int, length: int) -> None:
    with pytest.raises(IdentityTooDeep) as refused:
        follow(NODES[0], chain(length, FLIGHTS).get, max_depth=max_depth)
    assert (refused.value.max_depth, len(refused.value.path)) == (max_depth, max_depth + 1)
    if max_depth:
        assert follow(NODES[0], chain(length - 1, FLIGHTS).get, max_depth=max_depth).depth == max_depth


def test_a_way_that_ends_nowhere_is_told() -> None:
    with pytest.raises(MissingIdentity) as refused:
        follow(NODES[0], chain(2, NODES[7]).get)
    assert refused.value.path == tuple(map(str, [*NODES[:2], NODES[7]]))


def test_a_long_way_is_told_short_and_known_whole_and_crosses_processes() -> None:
    with pytest.raises(BrokenReference) as refused:
        follow(NODES[0], chain(50, NODES[0]).get)
    assert "(39 more)" in str(refused.value)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.path) == (str(refused.value), refused.value.path)
    assert len(again.path) == 51


@given(st.lists(st.integers(0, 12), min_size=12, max_size=12), st.integers(0, 14))
def test_every_way_ends_as_it_must(targets: list[int], max_depth: int) -> None:
    """Twelve nodes that lead anywhere: 0 is a key, 12 does not exist. Against walking by hand."""
    names: list[Reference] = [FLIGHTS, *NODES[:12]]
    table = {names[at]: names[to] for at, to in enumerate(targets[:11], start=1)}
    walked: list[Reference] = [names[1]]
    while walked[-1] in table and len(set(walked)) == len(walked) and len(walked) <= max_depth:
        walked.append(table[walked[-1]])
    too_deep_or_missing = IdentityTooDeep if len(walked) > max_depth else MissingIdentity
    if walked[-1] == FLIGHTS:
        assert follow(names[1], table.get, max_depth=max_depth).path == tuple(walked)
    else:
        with pytest.raises(BrokenReference) as refused:
            follow(names[1], table.get, max_depth=max_depth)
        assert refused.value.path == tuple(map(str, walked))
        assert type(refused.value) is (IdentityCycle if len(set(walked)) < len(walked) else too_deep_or_missing)


# --- ordered lists


def stored(*items: Reference) -> Positions:
    return {one: GAP * number for number, one in enumerate(items, start=1)}


A, B, C, D = keys("abcd")
NODE_OF = dict(zip((A, B, C, D), NODES, strict=False))
A1, B1, C1, D1 = NODES[:4]


def test_keys_are_wrapped_and_references_stay_as_they_are() -> None:
    change = added(stored(), [A, D1, B], NODE_OF)
    assert list(after(stored(), change)) == [A1, D1, B1]
    assert (change.drop, change.wrap) == ((), {})


def test_nothing_is_added_twice_and_nothing_moves() -> None:
    before = stored(A1, B1)
    change = added(before, [B, A1, C, C1, C], NODE_OF)
    assert change == CollectionChange(place={C1: 3 * GAP})
    assert list(after(before, change)) == [A1, B1, C1]
    assert not added(before, [A, B], NODE_OF)


def test_keys_of_an_earlier_release_are_wrapped_where_they_stand() -> None:
    before = stored(A, D1, B)
    change = added(before, [C], NODE_OF)
    assert after(before, change) == {A1: GAP, D1: 2 * GAP, B1: 3 * GAP, C1: 4 * GAP}


@pytest.mark.parametrize(
    ("before", "kept", "dropped"), [(stored(A, B1, A1), [A1, B1], A1), (stored(A1, B1, A), [A1, B1], A)]
)
def test_of_a_key_and_its_node_the_first_place_stays(
    before: Positions, kept: list[Reference], dropped: Reference
) -> None:
    change = wrapped(before, NODE_OF)
    assert (change.drop, list(after(before, change))) == ((dropped,), kept)


def test_wrapping_what_is_wrapped_changes_nothing() -> None:
    assert not wrapped(stored(A1, B1), {})


@pytest.mark.parametrize(
    ("which", "index", "order"),
    [
        (C1, 0, [C1, A1, B1]),
        (A1, 1, [B1, A1, C1]),
        (A1, 2, [B1, C1, A1]),
        (A1, 99, [B1, C1, A1]),
        (C1, -5, [C1, A1, B1]),
    ],
)
def test_a_move_writes_one_item(which: Reference, index: int, order: list[Reference]) -> None:
    before = stored(A1, B1, C1)
    change = moved(before, which, index)
    assert list(change.place) == [which]
    assert list(after(before, change)) == order


def test_a_move_to_where_it_is_writes_nothing() -> None:
    assert not moved(stored(A1, B1), B1, 1)
    assert not moved(stored(A1), A1, 7)


def test_without_room_all_are_numbered_anew_and_there_is_room_again() -> None:
    items = stored(A1, B1, C1)
    rooms = []
    for _ in range(60):
        last = list(items)[-1]
        change = moved(items, last, 1)
        rooms.append(len(change.place))
        items = after(items, change)
    assert set(rooms) == {1, 3}
    assert rooms.count(3) <= 3


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 5)), max_size=80))
def test_any_moves_give_the_order_of_a_list(moves: list[tuple[int, int]]) -> None:
    model: list[Reference] = [A1, B1, C1, D1]
    items = stored(*model)
    for which, index in moves:
        one = NODES[which]
        change = moved(items, one, index)
        items = after(items, change)
        model.remove(one)
        model.insert(max(0, index), one)
        assert list(items) == model
        assert len(set(items.values())) == len(items)
