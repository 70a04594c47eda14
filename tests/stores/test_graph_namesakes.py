"""Things of one name: what was dropped and made anew is two things, and nothing leads from one into the other."""

from collections.abc import Callable

import pytest
from graphs import Graph
from store_inputs import Lake, Look, database_time
from test_lost_names import replace

from identity.ids import Entity
from resources.graph.edges import Link
from resources.graph.walk import Lineage, Node


@pytest.fixture
def metadata_url(make_database: Callable[..., str]) -> str:
    """Its own: the whole graph is asked for, and nobody else's."""
    return make_database(migrated=True)


@pytest.fixture
def graph(lake: Lake) -> Graph:
    return Graph(lake)


@pytest.fixture
def old(graph: Graph) -> Entity:
    """A `raw` made from `before`, of which `report` was really made; then another `raw`, made from that report."""
    graph.lake.assets("raw", "before", "report")
    old = replace(graph.lake, "raw")
    before, report = map(graph.lake.entity, ("before", "report"))
    links = [Link(report, old), Link(old, before)]
    graph.store.assert_edges(links, producer="materialization", scope="read", complete=False)
    graph.told("raw<report", "kid<raw")
    return old


def called(part: Lineage, old: Entity) -> set[str]:
    """Edges by names; the old `raw` as RAW."""

    def name(node: Node) -> str:
        return "RAW" if node.id == old.id.value else node.key.table

    return {f"{name(part.things[made])}<{name(part.things[source])}" for made, source in part.pairs}


EDGES = {"report<RAW", "RAW<before", "raw<report", "kid<raw"}


@pytest.mark.parametrize("depth", [None, 5])
def test_a_walk_tells_them_apart(graph: Graph, old: Entity, depth: int | None) -> None:
    up = graph.store.lineage(graph.lake.entity("kid"), "up", depth=depth)
    assert called(up, old) == EDGES
    gone = up.things[old.id.value]
    assert (gone.key, gone.name_taken, gone.reference) == (graph.lake.key("raw"), True, str(old.id))
    assert gone.closed_at is not None
    assert up.things[graph.lake.entity("raw").id.value].reference == str(graph.lake.key("raw"))
    assert graph.nodes("before", "down") == {"before", "report", "raw", "kid"}
    assert graph.edges("kid") == {"raw<report", "kid<raw"}, "by keys, of what they lead to"
    below = graph.store.lineage(old, "down", depth=1)
    assert (called(below, old), below.start) == ({"report<RAW"}, graph.lake.key("raw"))


def test_as_of_then_it_had_its_name(graph: Graph, look: Look) -> None:
    graph.told("report<raw", "raw<before")
    first = database_time(look)
    old = replace(graph.lake, "raw")
    graph.told("raw<report", scope="anew")
    then = graph.store.lineage(graph.lake.entity("report"), "up", at=first)
    assert (called(then, old), then.things[old.id.value].name_taken) == ({"report<RAW", "RAW<before"}, False)
    assert graph.lake.key("raw") in then.nodes
    assert then.things[old.id.value].closed_at is None, "it was there"


@pytest.mark.parametrize("every", [False, True])
def test_a_path_goes_through_one_of_them(graph: Graph, old: Entity, every: bool) -> None:
    store, lake = graph.store, graph.lake
    found = store.paths(lake.entity("before"), lake.entity("kid"), every=every)
    assert [[key.table for key in path] for path in found.paths] == [["before", "raw", "report", "raw", "kid"]]
    assert called(found.part, old) == EDGES
    assert len(set(found.ways[0])) == 5
    assert store.paths(lake.entity("raw"), lake.entity("report"), every=every).paths == ()


def test_the_whole_graph_has_no_circle_that_is_none(graph: Graph, old: Entity) -> None:
    whole = graph.store.whole()
    keys = {name: str(graph.lake.key(name)) for name in ("before", "raw", "report", "kid")}
    assert whole.circles() == []
    assert whole.longest_chain() == (keys["before"], str(old.id), keys["report"], keys["raw"], keys["kid"])
    assert whole.gone == {str(old.id): keys["raw"]}
    assert (whole.unmade(), whole.unread()) == ([keys["before"]], [keys["kid"]])
