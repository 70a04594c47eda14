"""Edges and walks: who says what depends on what, until when, and what follows from it."""

import uuid
from collections.abc import Callable

import pytest
from graphs import Graph
from store_inputs import Lake
from test_session import driver_of

from benchmarks.wire import traced
from identity.ids import Entity
from resources.graph.edges import EdgeChanges, Link, ReservedProducer
from resources.graph.given import InvalidInput
from resources.models import AssetType, Edge, Read
from resources.postgres.session import Row


@pytest.fixture
def graph(lake: Lake) -> Graph:
    return Graph(lake)


def test_a_complete_look_closes_what_it_no_longer_sees(graph: Graph) -> None:
    assert graph.told("a<b", "a<c") == EdgeChanges(opened=2, closed=0)
    assert graph.told("a<c", "a<d") == EdgeChanges(opened=1, closed=1)
    assert graph.edges("a") == {"a<c", "a<d"}
    assert graph.told() == EdgeChanges(opened=0, closed=2)
    assert graph.edges("a") == set()


def test_a_complete_look_closes_nothing_of_others(graph: Graph) -> None:
    graph.told("a<b", producer="mirror")
    graph.told("a<c", producer="collection")
    graph.told("a<d", scope=f"other {graph.scope}")
    assert graph.told("a<e", producer="mirror") == EdgeChanges(opened=1, closed=1)
    assert graph.edges("a") == {"a<c", "a<d", "a<e"}


def test_a_partial_look_closes_nothing(graph: Graph) -> None:
    graph.told("a<b")
    assert graph.told("a<c", complete=False) == EdgeChanges(opened=1, closed=0)
    assert graph.told(complete=False) == EdgeChanges(opened=0, closed=0)
    assert graph.edges("a") == {"a<b", "a<c"}


def test_what_is_as_it_was_writes_nothing(graph: Graph, counts: Callable[[], Row]) -> None:
    graph.told("a<b", "a<c")
    before = counts()
    assert graph.told("a<c", "a<b", "a<b") == EdgeChanges(opened=0, closed=0)
    assert counts() == before


def test_an_edge_that_comes_back_has_two_intervals(graph: Graph, look: Callable[..., list[Row]]) -> None:
    graph.told("a<b")
    graph.told()
    graph.told("a<b")
    intervals = look("SELECT * FROM metadata.relationship WHERE scope = %s ORDER BY valid_from", graph.scope)
    assert [one["valid_to"] is None for one in intervals] == [False, True]
    assert intervals[0]["valid_to"] <= intervals[1]["valid_from"]


def test_what_two_producers_say_is_one_edge_until_both_take_it_back(graph: Graph) -> None:
    graph.told("a<b", producer="mirror")
    graph.told("a<b", producer="collection")
    assert graph.edges("a") == {"a<b"}
    graph.told(producer="mirror")
    assert graph.edges("a") == {"a<b"}
    graph.told(producer="collection")
    assert graph.edges("a") == set()


def test_up_is_what_it_is_made_from_and_down_what_is_made_from_it(graph: Graph) -> None:
    graph.told("report<delays", "delays<flights", "delays<weather", "map<weather")
    assert graph.edges("delays", "up") == {"delays<flights", "delays<weather"}
    assert graph.edges("delays", "down") == {"report<delays"}
    assert graph.edges("report", "up") == {"report<delays", "delays<flights", "delays<weather"}
    assert graph.nodes("weather", "down") == {"weather", "delays", "report", "map"}


def test_every_edge_between_the_nodes_is_there_also_the_one_not_walked(graph: Graph) -> None:
    graph.told("a<b", "b<c", "a<c", "c<d")
    assert graph.edges("a", depth=1) == {"a<b", "a<c", "b<c"}


@pytest.mark.parametrize(("depth", "reached"), [(0, "a"), (1, "ab"), (2, "abc"), (9, "abcde"), (None, "abcde")])
def test_a_walk_ends_at_its_depth(graph: Graph, depth: int | None, reached: str) -> None:
    graph.told("a<b", "b<c", "c<d", "d<e")
    assert graph.nodes("a", depth=depth) == set(reached)


@pytest.mark.parametrize("depth", [None, 1, 5])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_walk_through_a_circle_ends(graph: Graph, direction: str, depth: int | None) -> None:
    graph.told("a<b", "b<a", "a<a")
    assert graph.edges("a", direction, depth) == {"a<b", "b<a", "a<a"}


def test_a_walk_over_a_huge_fan_finds_all_of_it(graph: Graph) -> None:
    leaves = [f"leaf{number}" for number in range(1000)]
    graph.told(*(f"hub<{leaf}" for leaf in leaves), *(f"{leaf}<root" for leaf in leaves))
    for depth, edges in ((None, 2000), (1, 1000), (3, 2000)):
        assert len(graph.edges("hub", depth=depth)) == edges
        assert len(graph.edges("root", "down", depth=depth)) == edges


def test_a_part_takes_one_round_trip_and_may_be_bounded(graph: Graph, lake: Lake) -> None:
    graph.told("a<b", "b<c", "b<d", "c<e")
    with traced(driver_of(lake.store.sessions)) as wire:
        whole = graph.store.lineage(lake.entity("a"), "up")
    lookups = 1  # of the entity
    assert (wire.round_trips - lookups, len(whole.things), whole.more) == (1, 5, 0)
    for depth, more in ((None, 3), (2, 2)):
        near = graph.store.lineage(lake.entity("a"), "up", depth=depth, limit=2)
        assert (set(near.nodes), near.more) == ({lake.key("a"), lake.key("b")}, more)
        assert near.edges == (Edge(lake.key("a"), lake.key("b")),)
    with pytest.raises(InvalidInput):
        graph.store.lineage(lake.entity("a"), "up", limit=0)


def test_nodes_carry_their_types_and_the_start_is_one_of_them(graph: Graph, lake: Lake) -> None:
    graph.told("a<b")
    found = graph.store.lineage(lake.entity("a"), "down")
    assert graph.store.reached(lake.entity("a"), "up") == {lake.entity("a").id.value, lake.entity("b").id.value}
    assert graph.store.reached(lake.entity("b"), "up", depth=3) == {lake.entity("b").id.value}
    assert (found.start, found.nodes, found.edges) == (lake.key("a"), {lake.key("a"): AssetType.DATASET}, ())
    assert graph.store.lineage(lake.entity("a"), "up").edges == (Edge(lake.key("a"), lake.key("b")),)


def test_inputs_and_declared_edges_meet_in_one_graph(graph: Graph, lake: Lake) -> None:
    """Whoever says it, it is the same asset."""
    graph.told("report<delays")
    lake.datasets("delays")
    lake.assets("flights")
    lake.commit(lake.staged("delays"), reads={None: [Read(asset=lake.entity("flights"))]})
    assert graph.edges("report") == {"report<delays", "delays<flights"}
    graph.told()
    assert graph.edges("delays") == {"delays<flights"}


@pytest.mark.parametrize("made_up", ["mid1:dataset:jfk:jfk/public/flights", uuid.uuid4(), None, 7])
def test_an_id_made_by_hand_is_refused_at_run_time(graph: Graph, lake: Lake, made_up: object) -> None:
    entity = lake.entity("a")
    with pytest.raises(TypeError):
        Link(entity, made_up)
    with pytest.raises(TypeError):
        Link(made_up, entity)
    with pytest.raises(TypeError):
        graph.store.lineage(made_up, "up")
    with pytest.raises(TypeError):
        Entity(lake.store.tenant, made_up)
    with pytest.raises(TypeError):
        Entity(made_up, entity.key)
    with pytest.raises(TypeError):
        type(entity.id)(made_up)
    with pytest.raises((TypeError, AttributeError)):
        graph.store.assert_edges([made_up], producer="mirror", scope=graph.scope, complete=True)


def test_nobody_says_what_follows_from_reference_edges(graph: Graph) -> None:
    graph.lake.assets("a", "b")
    with pytest.raises(ReservedProducer, match="another producer"):
        graph.told("a<b", producer="reference", complete=False)
    assert graph.edges("a") == set()
