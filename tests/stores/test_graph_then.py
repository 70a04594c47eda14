"""Lineage as it was at a moment: edges and names of then, whatever became of them."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from graphs import Graph
from store_inputs import Lake, Look, database_time

from resources.graph.given import InvalidInput
from resources.postgres.session import Row


@pytest.fixture
def graph(lake: Lake) -> Graph:
    return Graph(lake)


def then(graph: Graph, start: str, at: datetime, direction: str = "up", depth: int | None = None) -> set[str]:
    found = graph.store.lineage(graph.lake.entity(start), direction, depth=depth, at=at)
    assert found.at == at
    return {f"{edge.source.table}<{edge.target.table}" for edge in found.edges}


@pytest.mark.parametrize("depth", [None, 5])
def test_the_edges_are_those_of_then(graph: Graph, look: Look, depth: int | None) -> None:
    before = database_time(look)
    graph.told("a<b", "b<c")
    first = database_time(look)
    graph.told("a<d", "d<c")
    second = database_time(look)
    graph.told()
    assert graph.edges("a") == set()
    assert then(graph, "a", before, depth=depth) == set()
    assert then(graph, "a", first, depth=depth) == {"a<b", "b<c"}
    assert then(graph, "a", second, depth=depth) == {"a<d", "d<c"}
    assert then(graph, "c", first, "down", depth) == {"a<b", "b<c"}
    assert then(graph, "a", database_time(look), depth=depth) == set()


def test_an_edge_holds_from_its_first_moment_and_no_longer_in_its_last(
    graph: Graph, look: Callable[..., list[Row]]
) -> None:
    graph.told("a<b")
    graph.told()
    (edge,) = look("SELECT valid_from, valid_to FROM metadata.relationship WHERE scope = %s", graph.scope)
    assert then(graph, "a", edge["valid_from"]) == {"a<b"}
    assert then(graph, "a", edge["valid_to"]) == set()


def test_an_edge_that_came_back_was_away_in_between(graph: Graph, look: Look) -> None:
    graph.told("a<b")
    graph.told()
    between = database_time(look)
    graph.told("a<b")
    assert then(graph, "a", between) == set()
    assert then(graph, "a", database_time(look)) == {"a<b"} == graph.edges("a")


def test_nodes_have_the_names_of_then(graph: Graph, lake: Lake, look: Look) -> None:
    graph.told("orders<tmp")
    first = database_time(look)
    lake.rename(orders="backup", tmp="orders")
    second = database_time(look)
    lake.rename(orders="final")
    thing = lake.entity("final")
    found = graph.store.lineage(thing, "down", at=first)
    assert (found.start, set(found.nodes)) == (lake.key("tmp"), {lake.key("tmp"), lake.key("orders")})
    assert then(graph, "final", first, "down") == {"orders<tmp"}
    assert then(graph, "final", second, "down") == {"backup<orders"}
    assert graph.edges("final", "down") == {"backup<final"}


def test_what_was_not_there_yet_stands_alone_by_its_present_name(graph: Graph, lake: Lake, look: Look) -> None:
    before = database_time(look)
    graph.told("a<b")
    found = graph.store.lineage(lake.entity("a"), "up", at=before)
    assert (set(found.nodes), found.edges) == ({lake.key("a")}, ())


def test_a_moment_without_a_zone_is_refused(graph: Graph, lake: Lake) -> None:
    lake.assets("a")
    with pytest.raises(InvalidInput, match="time zone"):
        graph.store.lineage(lake.entity("a"), "up", at=datetime.now(UTC).replace(tzinfo=None))
    with pytest.raises(TypeError):
        graph.store.lineage(lake.entity("a"), "up", at="2026-03-01")
