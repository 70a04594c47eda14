"""What becomes of references when two things turn out to be one, when they part again, and when one is made anew."""

import pytest
from reference_inputs import Shelf, events, told
from store_inputs import Look

from identity.ids import Entity
from identity.keys import CanonicalKey, dataset_key
from identity.nodes import IdentityKey
from resources.graph.references import ReferenceEdge
from resources.models import Asset, AssetType


class Pair:
    """Two things that are one: `loser` with a node, and `winner`."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.graph, self.store = shelf, shelf.graph, shelf.lake.store
        shelf.lake.assets("loser", "winner", "report")
        self.loser, self.winner = shelf.keys(["loser", "winner"])
        self.node = self.graph.ensure_identity_key(self.loser)

    def merge(self, loser: str = "loser", winner: str = "winner") -> object:
        lake = self.shelf.lake
        self.merged = self.store.merge(lake.entity(loser), lake.entity(winner), reason="the same")
        return self.merged

    def leads_to(self, node: IdentityKey) -> CanonicalKey:
        """Where it points, and not only what is found there."""
        target = self.graph.identity(node).target
        assert isinstance(target, CanonicalKey)
        return target


@pytest.fixture
def pair(shelf: Shelf) -> Pair:
    return Pair(shelf)


def test_a_node_goes_along_with_a_merge(pair: Pair, look: Look) -> None:
    seen = events(look)
    pair.merge()
    ((topic, payload),) = told(look, seen)
    assert (topic, payload["reason"], payload["key"]) == ("identity.updated", "merged", str(pair.node))
    assert (payload["was"], payload["target_key"], payload["version"]) == (str(pair.loser), str(pair.winner), 2)
    assert pair.leads_to(pair.node) == pair.winner
    assert pair.graph.ensure_identity_keys([pair.loser, pair.winner]) == dict.fromkeys(
        [pair.loser, pair.winner], pair.node
    )
    for key in (pair.loser, pair.winner):
        assert [one.key for one in pair.graph.find_by_target_key(key)] == [pair.node]
    assert pair.graph.identities_of([pair.winner]) == {pair.winner: (pair.node,)}


def test_a_list_has_what_was_merged_once(pair: Pair) -> None:
    pair.graph.create_collection("merged", name="x")
    pair.graph.add_items("merged", [pair.node])
    pair.merge()
    assert pair.graph.add_items("merged", [pair.loser]) == [pair.node]
    assert pair.graph.add_items("merged", [pair.winner]) == [pair.node]
    assert pair.graph.remove_items("merged", [pair.loser]) == []


def test_nodes_of_both_lead_to_one_and_the_winners_is_the_one_that_is_reused(pair: Pair) -> None:
    own = pair.graph.ensure_identity_key(pair.winner)
    pair.graph.create_collection("both", name="x")
    pair.graph.add_items("both", [pair.node, own])
    pair.merge()
    assert [one.key for one in pair.graph.find_by_target_key(pair.loser)] == [own, pair.node]
    assert {pair.graph.ensure_identity_key(key) for key in (pair.loser, pair.winner)} == {own}
    shown = pair.graph.preview_collection("both")
    assert [one.same_as for one in shown] == [None, pair.node]
    assert {one.node.key for one in shown if one.node} == {pair.winner}
    assert pair.graph.remove_items("both", [pair.loser]) == []


def test_a_node_goes_where_the_winner_goes(pair: Pair) -> None:
    pair.merge()
    iceberg = dataset_key("warehouse", source="ice", schema="nyc", table=pair.shelf.lake.endpoint)
    assert pair.graph.retype(pair.winner, iceberg).identities == (pair.node,)
    assert pair.graph.resolve_key(pair.node) == iceberg


def test_the_name_of_what_was_merged_may_go_to_another_thing(pair: Pair) -> None:
    pair.merge()
    pair.shelf.register("tmp")
    pair.shelf.lake.rename(tmp="loser")
    assert pair.graph.resolve_node(pair.node).key == pair.winner
    assert pair.graph.ensure_identity_key(pair.loser) != pair.node


def test_taking_a_merge_back_puts_the_nodes_back(pair: Pair, look: Look) -> None:
    own, extra = pair.graph.ensure_identity_key(pair.winner), pair.graph.create_identity(pair.loser).key
    pair.graph.add_reference_edges([ReferenceEdge(pair.node, pair.graph.ensure_identity_key(pair.shelf.key("report")))])
    pair.merge()
    later = pair.graph.create_identity(pair.loser).key
    seen = events(look)
    pair.store.unmerge(pair.merged, reason="not the same")  # type: ignore[arg-type]
    told_here = [(topic, payload["reason"], payload["target_key"]) for topic, payload in told(look, seen)]
    assert told_here == [("identity.updated", "unmerged", str(pair.loser))] * 2
    targets = {node: pair.leads_to(node) for node in (pair.node, extra, own, later)}
    assert targets == {pair.node: pair.loser, extra: pair.loser, own: pair.winner, later: pair.winner}
    assert pair.graph.ensure_identity_key(pair.loser) == pair.node
    assert pair.graph.ensure_identity_key(pair.winner) == own
    assert pair.graph.refresh_reference_edges().opened == 0
    assert [one.resolved for one in pair.graph.reference_edges(pair.node)] == [True]


def test_merges_one_after_the_other_are_taken_back_one_after_the_other(pair: Pair) -> None:
    pair.shelf.register("third")
    first = pair.merge()
    second = pair.merge("winner", "third")
    assert pair.leads_to(pair.node) == pair.shelf.key("third")
    pair.store.unmerge(second)  # type: ignore[arg-type]
    assert pair.leads_to(pair.node) == pair.winner
    pair.store.unmerge(first)  # type: ignore[arg-type]
    assert pair.leads_to(pair.node) == pair.loser


def test_a_node_that_was_retargeted_since_stays_where_it_was_put(pair: Pair) -> None:
    moved = pair.graph.create_identity(pair.loser).key
    pair.merge()
    for target, version in ((pair.shelf.key("report"), 2), (pair.winner, 3)):
        pair.graph.update_identity(moved, expected_version=version, target=target)
    pair.graph.update_identity(pair.node, expected_version=2, metadata={"only": "described"})
    pair.store.unmerge(pair.merged)  # type: ignore[arg-type]
    assert (pair.leads_to(moved), pair.leads_to(pair.node)) == (pair.winner, pair.loser)


def test_the_end_of_a_merge_is_no_rename(pair: Pair) -> None:
    """The loser had another name before, which another thing has by now: that one's nodes are its own."""
    pair.shelf.lake.rename(loser="renamed")
    pair.merge("renamed")
    pair.shelf.register("other")
    pair.shelf.lake.rename(other="loser")
    others = pair.graph.ensure_identity_key(pair.loser)
    pair.store.unmerge(pair.merged)  # type: ignore[arg-type]
    assert (pair.leads_to(others), pair.leads_to(pair.node)) == (pair.loser, pair.shelf.key("renamed"))


def test_a_rename_of_many_takes_each_node_along(shelf: Shelf) -> None:
    names = [f"t{number}" for number in range(200)]
    shelf.lake.assets(*names)
    nodes = shelf.graph.ensure_identity_keys(shelf.keys(names))
    shelf.lake.rename(**{name: f"moved_{name}" for name in names})
    for name in names:
        assert shelf.graph.identity(nodes[shelf.key(name)]).target == shelf.key(f"moved_{name}")
    assert shelf.graph.ensure_identity_keys(shelf.keys(names)) == nodes


# --- gone, and made anew


def gone(shelf: Shelf, name: str) -> None:
    """Close a thing, as a collection does that no longer finds it."""
    statement = "UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE qualified_name = %s"
    shelf.plant(statement, str(shelf.key(name)))


def test_a_node_of_what_is_gone_says_so_and_its_edges_stay(pair: Pair) -> None:
    edge = ReferenceEdge(pair.graph.ensure_identity_key(pair.shelf.key("report")), pair.node)
    pair.graph.add_reference_edges([edge])
    gone(pair.shelf, "loser")
    assert pair.graph.resolve_node(pair.node).deleted_at
    assert pair.graph.refresh_reference_edges().closed == 0
    assert [one.resolved for one in pair.graph.reference_edges(pair.node)] == [True]


@pytest.mark.parametrize("how", ["collected again", "another thing renamed"])
def test_a_node_leads_to_the_thing_that_has_the_name_of_what_is_gone(pair: Pair, look: Look, how: str) -> None:
    report = pair.graph.ensure_identity_key(pair.shelf.key("report"))
    pair.graph.add_reference_edges([ReferenceEdge(report, pair.node)])
    old = pair.shelf.lake.entity("loser")
    gone(pair.shelf, "loser")
    seen = events(look)
    if how == "another thing renamed":
        pair.shelf.lake.rename(winner="loser")
    else:
        born_anew(pair.shelf, "loser")
    new = pair.shelf.lake.entity("loser")
    assert new.id != old.id
    assert (pair.leads_to(pair.node), pair.graph.resolve_node(pair.node).deleted_at) == (pair.loser, None)
    ((topic, payload),) = told(look, seen)
    assert (topic, payload["reason"], payload["key"]) == ("identity.updated", "recreated", str(pair.node))
    assert (payload["was"], payload["target_key"]) == (str(pair.loser), str(pair.loser))
    lineage = pair.graph.lineage(pair.shelf.lake.entity("report"), "up")
    assert pair.loser in lineage.nodes
    assert pair.graph.refresh_reference_edges() == pair.graph.refresh_reference_edges()
    statement = (
        "SELECT target_asset_id AS id FROM metadata.relationship WHERE producer = 'reference' AND valid_to IS NULL"
    )
    assert new.id.value in {row["id"] for row in look(statement)}
    assert pair.graph.ensure_identity_key(pair.loser) == pair.node


def born_anew(shelf: Shelf, name: str) -> None:
    """The next generation of a name, as a collection registers what was dropped and created again."""
    entity = shelf.lake.entity(name)
    new = Entity.of_generation(entity.tenant, shelf.key(name), 2)
    shelf.plant(
        """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
           VALUES (%s, %s, 'TABLE', %s, %s, %s, 'collector')""",
        entity.tenant.value,
        new.id.value,
        name,
        str(shelf.key(name)),
        new.key_sha256,
    )


def test_what_is_registered_for_the_first_time_changes_no_node(shelf: Shelf, look: Look) -> None:
    shelf.graph.ensure_identity_key(shelf.key("later"))
    seen = events(look)
    shelf.lake.store.register_assets([Asset(key=shelf.key("later"), type=AssetType.TABLE)])
    assert told(look, seen) == []
