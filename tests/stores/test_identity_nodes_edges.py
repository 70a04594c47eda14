"""Edges between references: kept as given, and exactly the affected ones follow when a reference leads elsewhere."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_inputs import Shelf, events, told
from store_inputs import Lake, Look

from identity.nodes import FARTHEST, IdentityKey, Reference, UnknownIdentity, follow
from resources.graph.edges import EdgeChanges, Link
from resources.graph.identities import IdentityChanged
from resources.graph.references import ReferenceEdge, RemovedEdges
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.postgres.session import Row

NOTHING = EdgeChanges(opened=0, closed=0)


class Web:
    """Reference edges of one endpoint, and the resolved ones that follow them: "a<b" says that a is made from b."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.graph = shelf, shelf.graph

    def node(self, name: str) -> IdentityKey:
        self.shelf.lake.assets(name)
        return self.graph.create_identity(self.shelf.key(name)).key

    def add(self, *edges: tuple[Reference, Reference]) -> EdgeChanges:
        return self.graph.add_reference_edges([ReferenceEdge(*edge) for edge in edges])

    def retarget(self, node: IdentityKey, target: Reference) -> EdgeChanges:
        return self.graph.update_identity(node, expected_version=self.graph.identity(node).version, target=target)

    def resolved(self) -> set[str]:
        """The open edges of the graph at this endpoint, by the names that their ends have now."""
        rows = self.shelf.look(
            """SELECT s.name AS source, t.name AS target FROM metadata.relationship r
               JOIN metadata.asset s ON s.tenant_id = r.tenant_id AND s.asset_id = r.source_asset_id
               JOIN metadata.asset t ON t.tenant_id = r.tenant_id AND t.asset_id = r.target_asset_id
               WHERE r.valid_to IS NULL AND r.tenant_id = %s AND s.qualified_name LIKE %s""",
            self.shelf.lake.store.tenant.value,
            f"%:{self.shelf.lake.endpoint}:%",
        )
        return {f"{row['source']}<{row['target']}" for row in rows}

    def history(self) -> list[Row]:
        """Every row of a resolved edge there is, by id: what is equal before and after was not written."""
        return self.shelf.look(
            """SELECT relationship_id, xmin::text, valid_to FROM metadata.relationship
               WHERE producer = 'reference' ORDER BY 1"""
        )


@pytest.fixture
def web(lake: Lake, look: Look) -> Web:
    return Web(Shelf(lake, look))


def test_an_edge_is_kept_as_given_and_followed_by_one_of_the_graph(web: Web) -> None:
    a, b = web.node("a"), web.node("b")
    assert web.add((a, b)) == EdgeChanges(opened=1, closed=0)
    assert web.resolved() == {"a<b"}
    (stored,) = web.graph.reference_edges(a)
    assert (stored.edge, stored.resolved) == (ReferenceEdge(a, b), True)
    lineage = web.graph.lineage(web.shelf.lake.entity("a"), "up")
    assert {key.table for key in lineage.nodes} == {"a", "b"}


def test_the_same_edge_twice_is_one_edge(web: Web, counts: Callable[[], Row]) -> None:
    a, b = web.node("a"), web.node("b")
    web.add((a, b), (a, b))
    before = counts()
    assert web.add((a, b)) == NOTHING
    assert counts() == before


def test_keys_and_nodes_may_be_mixed_and_a_key_is_its_own_end(web: Web) -> None:
    a = web.node("a")
    web.shelf.register("b")
    web.add((a, web.shelf.key("b")), (web.shelf.key("b"), a))
    assert web.resolved() == {"a<b", "b<a"}


def test_a_retarget_writes_exactly_the_affected_edges(web: Web) -> None:
    """500 edges that have nothing to do with it, 3 that have: 3 rows are closed, 3 opened, no other is written."""
    web.shelf.lake.assets("moved", "fresh", *(f"t{number}" for number in range(40)))
    hub, moving = web.node("hub"), web.graph.create_identity(web.shelf.key("moved")).key
    others = list(web.graph.ensure_identity_keys(web.shelf.key(f"t{number}") for number in range(40)).values())
    bystanders = [(one, other) for one in others for other in others if one != other][:500]
    assert web.add(*bystanders).opened == 500
    assert web.add((moving, hub), (others[0], moving), (others[1], moving)).opened == 3

    before = web.history()
    assert web.retarget(moving, web.shelf.key("fresh")) == EdgeChanges(opened=3, closed=3)
    after = web.history()
    untouched = {row["relationship_id"] for row in before if row in after}
    assert len(before) - len(untouched) == 3
    assert len(after) - len(before) == 3
    assert {edge for edge in web.resolved() if "fresh" in edge or "moved" in edge} == {
        "fresh<hub",
        "t0<fresh",
        "t1<fresh",
    }


def test_edges_through_a_chain_follow_a_retarget_at_its_end(web: Web) -> None:
    web.shelf.register("b")
    nodes = web.shelf.chain(20, web.shelf.key("a"))
    other = web.node("other")
    web.add((nodes[0], other), (nodes[10], other))
    assert web.retarget(nodes[-1], web.shelf.key("b")) == EdgeChanges(opened=2, closed=2)
    assert web.resolved() == {"b<other"}
    assert web.retarget(nodes[5], web.shelf.key("a")) == EdgeChanges(opened=1, closed=1)
    assert web.resolved() == {"a<other", "b<other"}


def test_a_retarget_to_what_is_the_same_in_the_end_writes_no_edge(web: Web) -> None:
    a, other = web.node("a"), web.node("other")
    web.add((a, other))
    before = web.history()
    assert web.retarget(a, web.node("a")) == NOTHING
    assert web.history() == before


def test_deleting_a_node_closes_its_edges_and_no_others(web: Web) -> None:
    a, b, c = web.node("a"), web.node("b"), web.node("c")
    behind = web.graph.create_identity(a).key
    web.add((a, b), (behind, c), (b, c))
    assert web.graph.delete_identity(a, expected_version=1) == EdgeChanges(opened=0, closed=2)
    assert web.resolved() == {"b<c"}
    assert [stored.resolved for stored in web.graph.reference_edges(a)] == [False]
    assert web.retarget(behind, web.shelf.key("a")) == EdgeChanges(opened=1, closed=0)
    assert web.resolved() == {"b<c", "a<c"}


def test_removing_an_edge_closes_what_followed_it(web: Web) -> None:
    a, b, c = web.node("a"), web.node("b"), web.node("c")
    web.add((a, b), (a, c))
    assert web.graph.remove_reference_edges([ReferenceEdge(a, b)]) == RemovedEdges(removed=1, closed=1)
    assert web.graph.remove_reference_edges([ReferenceEdge(a, b)]) == RemovedEdges(removed=0, closed=0)
    assert web.resolved() == {"a<c"}
    assert [stored.edge for stored in web.graph.reference_edges(a)] == [ReferenceEdge(a, c)]


def test_two_edges_that_come_to_the_same_close_one_by_one(web: Web) -> None:
    first, second, b = web.node("a"), web.node("a"), web.node("b")
    web.add((first, b), (second, b))
    web.graph.remove_reference_edges([ReferenceEdge(first, b)])
    assert web.resolved() == {"a<b"}
    web.graph.remove_reference_edges([ReferenceEdge(second, b)])
    assert web.resolved() == set()


def test_an_edge_of_somebody_else_is_left_alone(web: Web) -> None:
    """A producer that sees the same dependency keeps its own edge, whatever the references do."""
    a, b = web.node("a"), web.node("b")
    source, target = web.shelf.lake.entity("a"), web.shelf.lake.entity("b")
    web.graph.assert_edges([Link(source, target)], producer="mirror", scope=web.shelf.lake.endpoint, complete=True)
    web.add((a, b))
    web.graph.delete_identity(a, expected_version=1)
    assert web.resolved() == {"a<b"}


def test_ends_that_meet_have_no_edge_between_them(web: Web) -> None:
    a, b = web.node("a"), web.node("b")
    web.add((a, b))
    assert web.retarget(b, web.shelf.key("a")) == EdgeChanges(opened=0, closed=1)
    assert web.resolved() == set()
    assert web.retarget(b, web.shelf.key("b")) == EdgeChanges(opened=1, closed=0)


def test_an_edge_waits_for_what_is_not_registered_yet(web: Web) -> None:
    a = web.node("a")
    later = web.graph.ensure_identity_key(web.shelf.key("later"))
    assert web.add((a, later)) == NOTHING
    web.shelf.register("later")
    assert web.resolved() == {"a<later"}
    assert web.graph.refresh_reference_edges() == NOTHING


def test_an_edge_at_a_node_that_does_not_exist_is_refused(web: Web, counts: Callable[[], Row]) -> None:
    a = web.node("a")
    gone = IdentityKey(uuid.uuid4())
    before = counts()
    with pytest.raises(UnknownIdentity, match=str(gone)):
        web.add((a, gone))
    assert counts() == before


def test_a_retype_takes_edges_along_and_tells_once(web: Web, look: Look) -> None:
    a, b, other = web.node("files"), web.node("files"), web.node("other")
    web.shelf.register("iceberg")
    web.add((a, other), (other, b))
    seen = events(look)
    done = web.graph.retype(web.shelf.key("files"), web.shelf.key("iceberg"))
    assert (set(done.identities), done.edges) == ({a, b}, EdgeChanges(opened=2, closed=2))
    assert web.resolved() == {"iceberg<other", "other<iceberg"}
    assert [topic for topic, _ in told(look, seen)] == ["identity.retyped"]


def test_a_chain_longer_than_anybodys_guard_has_its_edge_whoever_looks(web: Web) -> None:
    """Stores with different guards read differently and write the same edges."""
    other, short = web.node("other"), GraphStore(web.graph.sessions, max_depth=3)
    nodes = web.shelf.chain(70, web.shelf.key("a"))
    assert short.add_reference_edges([ReferenceEdge(nodes[0], other)]) == EdgeChanges(opened=1, closed=0)
    for graph in (short, web.graph, GraphStore(web.graph.sessions, max_depth=FARTHEST)):
        assert graph.refresh_reference_edges() == NOTHING
    assert short.update_identity(nodes[-1], expected_version=1, target=web.shelf.register("b")) == EdgeChanges(
        opened=1, closed=1
    )
    web.shelf.lake.rename(b="c")
    assert web.resolved() == {"c<other"}


def test_the_edges_go_as_far_as_a_guard_may(web: Web) -> None:
    assert web.shelf.look("SELECT metadata.farthest() AS farthest") == [{"farthest": FARTHEST}]


def test_other_metadata_touch_no_edge(web: Web) -> None:
    a, b = web.node("a"), web.node("b")
    web.add((a, b))
    web.shelf.plant(
        "UPDATE metadata.relationship SET valid_to = now() WHERE producer = 'reference' AND valid_to IS NULL"
    )
    assert web.graph.update_identity(a, expected_version=1, metadata={"x": 1}) == NOTHING
    assert web.resolved() == set()
    assert web.graph.refresh_reference_edges().opened >= 1


def test_an_edge_is_forgotten_by_any_name_of_its_ends(web: Web) -> None:
    source, target, other = (web.shelf.register(name) for name in ("source", "target", "other"))
    web.add((source, target), (source, other))
    web.shelf.lake.rename(source="new_source", target="new_target")
    now = ReferenceEdge(*web.shelf.keys(["new_source", "new_target"]))
    for name in (source, now.source):
        found = [one.edge for one in web.graph.reference_edges(name)]
        assert found == sorted([ReferenceEdge(source, target), ReferenceEdge(source, other)])
    assert web.graph.remove_reference_edges([now], edge_type="USES") == RemovedEdges(removed=0, closed=0)
    assert web.graph.remove_reference_edges([now]) == RemovedEdges(removed=1, closed=1)
    assert web.resolved() == {"new_source<other"}


def test_edges_are_told_once_for_each_change(web: Web, look: Look) -> None:
    a, b, c = web.node("a"), web.node("b"), web.node("c")
    seen = events(look)
    web.add((a, b), (a, c))
    web.add((a, b))
    web.graph.remove_reference_edges([ReferenceEdge(a, b), ReferenceEdge(b, a)])
    web.graph.remove_reference_edges([ReferenceEdge(a, b)])
    both = sorted([(str(a), str(b)), (str(a), str(c))])
    assert told(look, seen) == [
        ("identity.linked", {"type": "DEPENDS_ON", "edges": [{"source": s, "target": t} for s, t in both]}),
        ("identity.unlinked", {"type": "DEPENDS_ON", "edges": [{"source": str(a), "target": str(b)}]}),
    ]


def test_a_node_made_again_under_its_old_name_has_its_edges_again(web: Web) -> None:
    a, b = web.node("a"), web.node("b")
    web.add((a, b))
    web.graph.delete_identity(a, expected_version=1)
    web.graph.create_identity(web.shelf.key("a"), key=a)
    assert web.resolved() == {"a<b"}


# --- names that change


def test_a_node_stays_with_its_thing_when_names_are_swapped(web: Web) -> None:
    """orders and backup change their names: whoever refers to one by a node means the same thing as before."""
    orders, backup, report = web.node("orders"), web.node("backup"), web.node("report")
    web.add((report, orders))
    old, new = web.shelf.key("orders"), web.shelf.key("backup")
    seen = web.history()
    web.shelf.lake.store.rename({old: new, new: old}, reason="swapped")
    assert (web.graph.resolve_key(orders), web.graph.resolve_key(backup)) == (new, old)
    assert web.resolved() == {"report<backup"}
    assert web.history() == seen
    assert (web.graph.ensure_identity_key(new), web.graph.ensure_identity_key(old)) == (orders, backup)


def test_a_node_stays_with_its_thing_when_its_old_name_is_given_to_another_one(web: Web, look: Look) -> None:
    orders, report = web.node("orders"), web.node("report")
    web.add((report, orders))
    seen = events(look)
    web.shelf.lake.store.rename({web.shelf.key("orders"): web.shelf.key("archive")}, reason="archived")
    ((topic, payload),) = told(look, seen)
    assert (topic, payload["identity_id"]) == ("identity.updated", str(orders.id))
    web.shelf.register("tmp")
    web.shelf.lake.store.rename({web.shelf.key("tmp"): web.shelf.key("orders")}, reason="the new one")
    assert web.graph.resolve_node(orders).key == web.shelf.key("archive")
    assert web.resolved() == {"report<archive"}
    assert web.graph.ensure_identity_key(web.shelf.key("orders")) != orders


def test_edges_follow_a_merge_and_its_end(web: Web) -> None:
    loser, report = web.node("loser"), web.node("report")
    web.shelf.register("winner")
    web.add((report, loser))
    store = web.shelf.lake.store
    merge = store.merge(web.shelf.lake.entity("loser"), web.shelf.lake.entity("winner"), reason="the same")
    assert web.resolved() == {"report<winner"}
    assert web.graph.resolve_node(loser).key == web.shelf.key("winner")
    store.unmerge(merge, reason="not the same")
    assert web.resolved() == {"report<loser"}
    assert web.graph.refresh_reference_edges() == NOTHING


# --- at once, and at random


def test_retargets_at_once_leave_the_edges_right(web: Web, open_store: Callable[..., MetadataStore]) -> None:
    """A chain a → b → key, both retargeted by several at once while edges are added: nothing is left to refresh."""
    names = ["k0", "k1", "k2"]
    web.shelf.lake.assets(*names)
    end = web.graph.create_identity(web.shelf.key("k0")).key
    start = web.graph.create_identity(end).key
    other = web.node("other")
    web.add((start, other))
    together = threading.Barrier(6)
    graphs = [GraphStore(open_store().sessions) for _ in range(6)]

    def work(number: int) -> None:
        graph, mine = graphs[number], web.shelf.key(names[number % 3])
        together.wait()
        for turn in range(10):
            for node, target in ((end, mine), (start, end if turn % 2 else mine)):
                version = graph.identity(node).version
                with suppress(IdentityChanged):
                    graph.update_identity(node, expected_version=version, target=target)
            graph.add_reference_edges([ReferenceEdge(mine, start)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert web.graph.refresh_reference_edges() == NOTHING
    assert f"{web.graph.resolve_key(start).table}<other" in web.resolved()


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["retarget", "edge", "drop", "delete"]), st.integers(0, 5), st.integers(0, 8)),
        max_size=25,
    )
)
def test_the_edges_are_what_a_walk_by_hand_finds(
    store: MetadataStore, look: Look, steps: list[tuple[str, int, int]]
) -> None:
    """Six nodes, three keys, anything done to them: the graph's edges are those of `follow` over a plain dict."""
    web = Web(Shelf(Lake(store, f"walk{uuid.uuid4().hex[:12]}"), look))
    web.shelf.lake.assets("k0", "k1", "k2")
    keys = web.shelf.keys(["k0", "k1", "k2"])
    nodes = [web.graph.create_identity(keys[number % 3]).key for number in range(6)]
    ends: list[Reference] = [*nodes, *keys]
    targets: dict[Reference, Reference] = {node: keys[number % 3] for number, node in enumerate(nodes)}
    edges: set[tuple[Reference, Reference]] = set()

    def end_of(reference: Reference) -> Reference | None:
        while isinstance(reference, IdentityKey):
            if reference not in targets:
                return None
            reference = targets[reference]
        return reference

    def leads_to(reference: Reference, node: Reference) -> bool:
        while reference != node and reference in targets:
            reference = targets[reference]
        return reference == node

    for what, one, other in steps:
        node, end = nodes[one], ends[other]
        known = node in targets and (not isinstance(end, IdentityKey) or end in targets)
        if what == "retarget" and known and not leads_to(end, node):
            web.retarget(node, end)
            targets[node] = end
        elif what == "edge" and known:
            web.add((node, end))
            edges.add((node, end))
        elif what == "drop":
            web.graph.remove_reference_edges([ReferenceEdge(node, end)])
            edges.discard((node, end))
        elif what == "delete" and node in targets:
            web.graph.delete_identity(node, expected_version=web.graph.identity(node).version)
            del targets[node]
        pairs = {(end_of(source), end_of(target)) for source, target in edges}
        expected = {f"{a.table}<{b.table}" for a, b in pairs if a is not None and b is not None and a != b}
        assert web.resolved() == expected
    assert web.graph.refresh_reference_edges() == NOTHING
    for node in (node for node in nodes if end_of(node)):
        assert web.graph.resolve(node) == follow(node, targets.get)
