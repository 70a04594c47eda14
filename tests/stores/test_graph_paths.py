"""Paths: why two things are connected, all shortest ways or every one."""

import random
from itertools import pairwise

import networkx
import pytest
from graphs import Graph
from store_inputs import Lake, Look, database_time, rows_read

from resources.graph.given import InvalidInput


@pytest.fixture
def graph(lake: Lake) -> Graph:
    return Graph(lake)


def paths(graph: Graph, start: str, end: str, **asked: object) -> list[str]:
    found = graph.store.paths(graph.lake.entity(start), graph.lake.entity(end), **asked)
    assert {key for path in found.paths for key in path} <= set(found.nodes)
    steps = {(made, source) for path in found.paths for source, made in pairwise(path)}
    assert {(edge.source, edge.target) for edge in found.edges} == steps
    return [" ".join(key.table for key in path) for path in found.paths]


def test_all_shortest_paths_in_the_direction_of_data(graph: Graph) -> None:
    graph.told("d<b", "d<c", "b<a", "c<a", "d<x", "x<y", "y<a", "a<before", "after<d")
    assert sorted(paths(graph, "a", "d")) == ["a b d", "a c d"]
    assert sorted(paths(graph, "a", "d", every=True)) == ["a b d", "a c d", "a y x d"]
    assert paths(graph, "d", "a") == paths(graph, "d", "a", every=True) == []
    assert paths(graph, "a", "a") == paths(graph, "a", "a", every=True) == ["a"]


def test_one_step_is_the_shortest_though_there_is_a_way_round(graph: Graph) -> None:
    graph.told("b<a", "b<c", "c<a")
    assert paths(graph, "a", "b") == ["a b"]
    assert paths(graph, "a", "b", every=True) == ["a b", "a c b"]


def test_no_path_visits_an_asset_twice(graph: Graph) -> None:
    graph.told("b<a", "a<b", "c<b", "b<c", "b<b")
    assert paths(graph, "a", "c", every=True) == ["a b c"]


def test_a_limit_cuts_and_says_so(graph: Graph, lake: Lake) -> None:
    graph.told(*(f"z<m{number}" for number in range(7)), *(f"m{number}<a" for number in range(7)))
    for every in (False, True):
        found = graph.store.paths(lake.entity("a"), lake.entity("z"), limit=3, every=every)
        assert (len(found.paths), found.more) == (3, True)
        found = graph.store.paths(lake.entity("a"), lake.entity("z"), limit=7, every=every)
        assert (len(found.paths), found.more) == (7, False)
    with pytest.raises(InvalidInput):
        graph.store.paths(lake.entity("a"), lake.entity("z"), limit=0)


@pytest.mark.parametrize("every", [False, True])
def test_a_depth_bounds_the_paths(graph: Graph, every: bool) -> None:
    graph.told("d<c", "c<b", "b<a")
    assert paths(graph, "a", "d", every=every, depth=2) == []
    assert paths(graph, "a", "d", every=every, depth=3) == ["a b c d"]


def test_a_depth_bounds_every_path_though_all_its_assets_are_near(graph: Graph) -> None:
    graph.told("d<c", "c<b", "b<a", "d<a")
    assert paths(graph, "a", "d", every=True, depth=2) == ["a d"]


@pytest.mark.parametrize("every", [False, True])
def test_paths_of_then(graph: Graph, look: Look, every: bool) -> None:
    graph.told("c<b", "b<a")
    first = database_time(look)
    graph.told("c<x", "x<a")
    assert paths(graph, "a", "c", every=every) == ["a x c"]
    assert paths(graph, "a", "c", every=every, at=first) == ["a b c"]


def test_what_is_huge_at_one_end_is_walked_from_the_other(graph: Graph, look: Look, lake: Lake) -> None:
    """From where there is less to look at: of the fan the first step is read, and nothing that is behind it."""
    leaves = [f"leaf{number}" for number in range(200)]
    beyond = [f"far{number}<{leaf}" for number in range(20) for leaf in leaves]
    graph.told(*(f"{leaf}<hub" for leaf in leaves), *beyond, "end<leaf7")
    start, end = lake.entity("hub"), lake.entity("end")
    look("VACUUM ANALYZE metadata.relationship")
    before = rows_read(lake.store, look, "relationship")
    (path,) = graph.store.paths(start, end).paths
    assert [key.table for key in path] == ["hub", "leaf7", "end"]
    assert rows_read(lake.store, look, "relationship") - before < 500


def test_paths_are_those_of_networkx(graph: Graph) -> None:
    random.seed(7)
    edges = {(random.randrange(14), random.randrange(14)) for _ in range(40)}
    graph.told(*(f"t{made}<t{source}" for source, made in edges))
    known: networkx.DiGraph[str] = networkx.DiGraph([(f"t{source}", f"t{made}") for source, made in edges])
    for start, end in [("t1", "t2"), ("t3", "t9"), ("t5", "t0"), ("t8", "t13"), ("t11", "t4")]:
        there = known.has_node(start) and known.has_node(end) and networkx.has_path(known, start, end)
        shortest = [" ".join(path) for path in networkx.all_shortest_paths(known, start, end)] if there else []
        every = [" ".join(path) for path in networkx.all_simple_paths(known, start, end)] if there else []
        assert sorted(paths(graph, start, end, limit=1000)) == sorted(shortest)
        found = paths(graph, start, end, limit=10_000, every=True)
        assert sorted(found) == sorted(every)
        assert [len(path.split()) for path in found] == sorted(len(path.split()) for path in found)
