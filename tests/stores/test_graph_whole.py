"""Questions to the whole graph: circles, parts, the longest chain, the ends."""

from collections.abc import Callable
from datetime import datetime

import numpy
import pytest
from graphs import Graph
from store_inputs import Lake, Look, database_time
from test_lost_names import replace

from identity.keys import CanonicalKey
from resources.graph.held import places_of
from resources.graph.whole import WholeGraph
from resources.metadata_store import MetadataStore
from resources.models import AssetType


@pytest.fixture
def metadata_url(make_database: Callable[..., str]) -> str:
    """Its own: the whole graph is asked for, and nobody else's."""
    return make_database(migrated=True)


def whole(*edges: str, more: str = "") -> WholeGraph:
    """A graph by words: "a<b" says that a is made from b."""
    pairs = [tuple(edge.split("<")) for edge in edges]
    names = sorted({name for pair in pairs for name in pair} | set(more.split()))
    return WholeGraph.of(dict.fromkeys(names, AssetType.DATASET), [(b, a) for a, b in pairs])


def test_the_whole_graph_is_loaded_as_it_is_and_as_it_was(store: MetadataStore, look: Look) -> None:
    lake = Lake(store, "lake")
    graph = Graph(lake)
    lake.assets("apart")
    graph.told("c<b", "b<a", producer="mirror")
    graph.told("c<b", producer="collection")
    first = database_time(look)
    graph.told("a<c", "c<b")
    lake.rename(a="first")

    def told(found: WholeGraph) -> tuple[set[str], set[str]]:
        edges = {f"{CanonicalKey.parse(b).table}<{CanonicalKey.parse(a).table}" for a, b in found.edges}
        assert len(edges) == len(found.edges)
        return {CanonicalKey.parse(key).table for key in found.nodes}, edges

    assert told(graph.store.whole()) == ({"apart", "first", "b", "c"}, {"c<b", "first<c"})
    assert told(graph.store.whole(at=first)) == ({"apart", "a", "b", "c"}, {"c<b", "b<a"})
    assert list(graph.store.whole().nodes) == sorted(graph.store.whole().nodes)


def test_what_was_not_there_yet_or_no_more_is_not_alone(store: MetadataStore) -> None:
    """An asset is there from when it was first known until it was gone."""
    lake = Lake(store, "lake")
    graph = Graph(lake)

    def now() -> datetime:
        with store.session() as session:
            (row,) = session.rows("SELECT clock_timestamp() AS now")
        moment: datetime = row["now"]
        return moment

    before = now()
    lake.assets("early", "gone")
    between = now()
    lake.assets("late")
    graph.told("made<late")
    replace(lake, "gone")
    after = now()

    def alone(at: datetime | None) -> list[str]:
        return [CanonicalKey.parse(key).table for key in graph.store.whole(at=at).alone()]

    assert (alone(before), len(graph.store.whole(at=before).nodes)) == ([], 0)
    assert alone(between) == ["early", "gone"]
    assert alone(after) == alone(None) == ["early", "gone"], "the new one of that name"
    with store.session() as session:
        session.rows("UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE name = 'early'")
    assert (alone(None), alone(after)) == (["gone"], ["early", "gone"])


@pytest.mark.parametrize("ids", [[(5, 1), (3, 9), (4, 0)], [(5, 1), (3, 9), (5, 0)]], ids=["by half", "by all"])
def test_ids_are_found_by_all_of_them_where_a_half_does_not_tell(ids: list[tuple[int, int]]) -> None:
    asked = [2, 0, 0, 1, 2]
    table = numpy.array(ids, dtype=numpy.uint64)
    assert places_of(table, table[asked]).tolist() == asked


def test_the_same_graph_for_networkx() -> None:
    found = whole("b<a", "c<b", "b<b", more="alone").networkx()
    assert (sorted(found.nodes), sorted(found.edges)) == (
        ["a", "alone", "b", "c"],
        [("a", "b"), ("b", "b"), ("b", "c")],
    )


def test_each_knot_tells_one_shortest_circle() -> None:
    assert whole("b<a", "c<b", "d<c").circles() == []
    assert whole("a<a", "b<a").circles() == [("a",)]
    assert whole("b<a", "c<b", "a<c", "y<x", "x<y", "x<c").circles() == [("a", "b", "c"), ("x", "y")]
    assert whole("b<a", "c<b", "d<c", "a<d", "a<b").circles() == [("a", "b")]


def test_connected_parts_the_largest_first() -> None:
    assert whole("b<a", "z<y", "z<x", more="alone").parts() == [("x", "y", "z"), ("a", "b")]


def test_the_longest_chain() -> None:
    assert whole("d<c", "c<b", "b<a", "d<a", "z<y").longest_chain() == ("a", "b", "c", "d")
    assert whole(more="a").longest_chain() == whole("a<a").longest_chain() == ()


def test_the_longest_chain_crosses_a_knot() -> None:
    chain = whole("b<a", "c<b", "d<c", "b<d", "e<d", "f<e").longest_chain()
    assert chain == ("a", "b", "c", "d", "e", "f")


def test_the_ends() -> None:
    found = whole("b<a", "c<b", "b<b", "x<x", more="alone")
    assert (found.unmade(), found.unread(), found.alone()) == (["a"], ["c"], ["alone", "x"])


def test_what_is_reached_in_memory() -> None:
    found = whole("b<a", "c<b", "a<c", "d<c", "z<y")
    assert found.reached("d", "up") == {"a", "b", "c", "d"}
    assert found.reached("b", "down") == {"a", "b", "c", "d"}
    assert (found.reached("z", "down"), found.reached("nothing", "up")) == ({"z"}, {"nothing"})


def test_a_chain_of_any_length_is_looked_at() -> None:
    many = 5000
    found = whole(*(f"n{i + 1:05}<n{i:05}" for i in range(many)), f"n00000<n{many:05}")
    assert len(found.circles()[0]) == many + 1
    assert found.longest_chain() == ()
