"""Collections: ordered lists of references that stay right when things become other things."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from reference_inputs import Shelf, events, told
from store_inputs import Lake, Look

from identity.keys import CanonicalKey
from identity.nodes import IdentityCycle, IdentityKey, MissingIdentity, Reference, UnknownIdentity
from resources.graph.collections import CollectionExists, InvalidCollection, NotInCollection, UnknownCollection
from resources.graph.identities import NothingRegistered
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import AssetType
from resources.postgres.session import Row


class Report:
    """An empty collection with a name that no other test knows."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.graph, self.slug = shelf, shelf.graph, f"report-{uuid.uuid4().hex[:12]}"
        self.graph.create_collection(self.slug, name="For the board", kind="report")

    def add(self, *references: Reference) -> list[Reference]:
        return self.graph.add_items(self.slug, references)

    def plant(self, *references: Reference) -> None:
        """Items as an earlier release stored them: keys as they are."""
        for number, reference in enumerate(references, start=1):
            self.shelf.plant(
                """INSERT INTO metadata.collection_item (tenant_id, collection_id, reference, position, added_by)
                   SELECT tenant_id, collection_id, %s, %s, 'x' FROM metadata.collection WHERE slug = %s""",
                str(reference),
                number * 1000,
                self.slug,
            )

    def names(self) -> str:
        """The items in order, by the names that they lead to."""
        return "".join(self.graph.resolve_key(one).table for one in self.graph.items(self.slug))


@pytest.fixture
def report(lake: Lake, look: Look) -> Report:
    return Report(Shelf(lake, look))


def test_a_key_is_wrapped_and_the_same_key_by_the_same_node(report: Report) -> None:
    a, b = report.shelf.keys("ab")
    items = report.add(a, b)
    assert all(isinstance(one, IdentityKey) for one in items)
    assert report.names() == "ab"
    other = Report(report.shelf)
    assert other.add(b, a) == items[::-1]
    assert [one.key for one in report.graph.find_by_target_key(a)] == [items[0]]


def test_a_reference_is_stored_as_it_is(report: Report) -> None:
    a = report.shelf.key("a")
    first, second = (report.graph.create_identity(a).key for _ in range(2))
    assert report.add(second, first) == [second, first]


def test_nothing_is_in_a_collection_twice(report: Report, counts: Callable[[], Row]) -> None:
    a, b = report.shelf.keys("ab")
    node = report.graph.ensure_identity_key(a)
    assert report.add(a, b, a, node) == report.add() == report.add(node, b)
    before = counts()
    report.add(a, node)
    assert counts() == before
    assert report.names() == "ab"


def test_items_are_removed_by_key_or_by_reference(report: Report) -> None:
    a, b, c = report.shelf.keys("abc")
    nodes = report.add(a, b, c)
    assert report.graph.remove_items(report.slug, [b]) == [nodes[0], nodes[2]]
    assert report.graph.remove_items(report.slug, [nodes[0], b]) == [nodes[2]]
    assert report.add(a) == [nodes[2], nodes[0]]
    assert report.graph.resolve_key(nodes[1]) == b


def test_items_are_moved_and_the_others_keep_their_order(report: Report) -> None:
    keys = report.shelf.keys("abcde")
    report.add(*keys)
    report.graph.move_item(report.slug, keys[4], 0)
    assert report.names() == "eabcd"
    report.graph.move_item(report.slug, report.graph.items(report.slug)[1], 99)
    assert report.names() == "ebcda"
    for _ in range(50):
        report.graph.move_item(report.slug, report.graph.items(report.slug)[-1], 1)
    assert sorted(report.names()) == list("abcde")
    assert report.names()[0] == "e"
    with pytest.raises(NotInCollection, match=str(report.shelf.key("z"))):
        report.graph.move_item(report.slug, report.shelf.key("z"), 0)


def test_a_move_and_an_addition_write_one_item(report: Report, look: Look) -> None:
    statement = "SELECT item_id, position, xmin::text FROM metadata.collection_item ORDER BY 1"
    keys = report.shelf.keys("abc")
    report.add(*keys)
    for change in (
        lambda: report.graph.move_item(report.slug, keys[2], 0),
        lambda: report.add(report.shelf.key("d")),
    ):
        before = look(statement)
        change()
        assert len([row for row in look(statement) if row not in before]) == 1
    assert report.names() == "cabd"


def test_additions_at_once_lose_none_and_keep_their_order(
    report: Report, open_store: Callable[..., MetadataStore]
) -> None:
    """Eight who add ten each, half of them the same keys, while one moves items around."""
    graphs = [GraphStore(open_store().sessions) for _ in range(9)]
    together = threading.Barrier(9)
    report.add(report.shelf.key("first"))

    def add(number: int) -> None:
        together.wait()
        for turn in range(10):
            name = f"own{number}x{turn}" if turn % 2 else f"shared{turn}"
            graphs[number].add_items(report.slug, [report.shelf.key(name)])

    def move() -> None:
        together.wait()
        for _ in range(10):
            graphs[8].move_item(report.slug, graphs[8].items(report.slug)[-1], 0)

    with ThreadPoolExecutor(9) as pool:
        done = [pool.submit(add, number) for number in range(8)] + [pool.submit(move)]
        for one in done:
            one.result(timeout=60)
    names = [report.graph.resolve_key(one).table for one in report.graph.items(report.slug)]
    assert len(names) == len(set(names)) == 1 + 8 * 5 + 5


def test_previews_show_what_items_lead_to_now_and_tell_the_broken_ones(report: Report) -> None:
    shelf, graph = report.shelf, report.graph
    shelf.register("a", AssetType.TABLE)
    shelf.register("b", AssetType.VIEW)
    kept, deleted, circle = (graph.create_identity(shelf.key("a")).key for _ in range(3))
    items = report.add(kept, deleted, shelf.key("nowhere"), circle)
    graph.delete_identity(deleted, expected_version=1)
    shelf.plant("UPDATE metadata.identity_node SET target_key = %s WHERE identity_id = %s", str(circle), circle.id)
    previews = graph.preview_collection(report.slug)
    assert [one.reference for one in previews] == items
    assert [type(one.problem) for one in previews] == [type(None), MissingIdentity, NothingRegistered, IdentityCycle]
    assert [(one.node.type, one.node.name) for one in previews if one.node] == [("TABLE", "a")]
    assert previews[0].path == (kept, shelf.key("a"))

    graph.retype(shelf.key("a"), shelf.key("b"))
    (shown, *_) = graph.preview_collection(report.slug)
    assert shown.node
    assert (shown.reference, shown.node.type, shown.node.name) == (kept, "VIEW", "b")


def test_a_long_list_is_shown_in_its_order(report: Report) -> None:
    report.shelf.lake.assets(*(f"t{number}" for number in range(300)))
    report.add(*(report.shelf.key(f"t{number}") for number in range(300)))
    previews = report.graph.preview_collection(report.slug)
    assert [one.node.name for one in previews if one.node] == [f"t{number}" for number in range(300)]


def test_a_reference_to_nothing_is_refused(report: Report, counts: Callable[[], Row]) -> None:
    before = counts()
    gone = IdentityKey(uuid.uuid4())
    with pytest.raises(UnknownIdentity, match=str(gone)):
        report.add(report.shelf.key("a"), gone)
    assert counts() == before


def test_two_that_become_one_both_stay_and_the_second_says_so(report: Report) -> None:
    a, b = (report.shelf.register(name) for name in "ab")
    first, second = report.add(a, b)
    report.graph.retype(a, b)
    assert [one.same_as for one in report.graph.preview_collection(report.slug)] == [None, first]
    assert report.graph.move_item(report.slug, b, 1) == [second, first]
    assert report.graph.remove_items(report.slug, [b]) == []


def test_what_leads_there_by_a_chain_is_removed_by_key_too(report: Report) -> None:
    nodes = report.shelf.chain(3, report.shelf.key("a"))
    assert report.add(*nodes) == nodes
    assert report.graph.remove_items(report.slug, [report.shelf.key("a")]) == []


# --- keys stored before


def test_stored_keys_are_shown_before_they_are_wrapped(report: Report) -> None:
    report.shelf.lake.assets("a")
    report.plant(report.shelf.key("a"))
    ((shown),) = report.graph.preview_collection(report.slug)
    assert shown.reference == report.shelf.key("a")
    assert shown.node
    assert report.graph.collection(report.slug).raw_keys == 1


def test_stored_keys_are_wrapped_when_their_list_is_written(report: Report) -> None:
    a, b, c = report.shelf.keys("abc")
    report.plant(a, b)
    items = report.add(c, a)
    assert all(isinstance(one, IdentityKey) for one in items)
    assert report.names() == "abc"


@pytest.mark.parametrize("by_key", [True, False])
def test_a_stored_key_can_be_moved_and_removed(report: Report, by_key: bool) -> None:
    a, b = report.shelf.keys("ab")
    report.plant(a, b)
    which = b if by_key else report.graph.ensure_identity_key(b)
    report.graph.move_item(report.slug, which, 0)
    assert report.names() == "ba"
    fresh = Report(report.shelf)
    fresh.plant(a, b)
    fresh.graph.remove_items(fresh.slug, [which])
    assert fresh.names() == "a"


def test_all_collections_are_migrated_once_with_a_report_and_a_dry_run(
    report: Report, counts: Callable[[], Row]
) -> None:
    a, b, c = report.shelf.keys("abc")
    known = report.graph.ensure_identity_key(a)
    report.plant(a, b, known, c)
    other = Report(report.shelf)
    other.plant(b)
    mine = {report.slug, other.slug}

    before = counts()
    dry = {one.slug: one for one in report.graph.migrate_collections(dry_run=True) if one.slug in mine}
    assert counts() == before
    assert dry[report.slug].wrapped == {a: known, b: None, c: None}
    assert dry[report.slug].dropped == (known,)

    done = {one.slug: one for one in report.graph.migrate_collections() if one.slug in mine}
    assert done.keys() == mine
    assert done[report.slug].wrapped == {key: report.graph.ensure_identity_key(key) for key in (a, b, c)}
    assert (report.names(), other.names()) == ("abc", "b")
    assert report.graph.items(report.slug)[0] == known
    before = counts()
    assert [one for one in report.graph.migrate_collections() if one.slug in mine] == []
    assert counts() == before


def test_a_migration_at_once_with_additions_loses_nothing(
    report: Report, open_store: Callable[..., MetadataStore]
) -> None:
    keys = report.shelf.keys([f"raw{number}" for number in range(30)])
    report.plant(*keys)
    together = threading.Barrier(4)
    graphs = [GraphStore(open_store().sessions) for _ in range(4)]

    def work(number: int) -> None:
        together.wait()
        if number % 2:
            graphs[number].migrate_collections()
        else:
            graphs[number].add_items(report.slug, report.shelf.keys([f"new{number}"]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    items = [report.graph.resolve_key(one) for one in report.graph.items(report.slug)]
    assert items[:30] == keys
    assert set(items[30:]) == set(report.shelf.keys(["new0", "new2"]))
    assert report.graph.collection(report.slug).raw_keys == 0


# --- the collections themselves


def test_a_collection_is_made_once_listed_and_deleted(report: Report) -> None:
    again = report.graph.create_collection(report.slug, name="For the board", kind="report")
    assert (again.kind, again.items, again.version) == ("report", 0, 1)
    with pytest.raises(CollectionExists):
        report.graph.create_collection(report.slug, name="Another one")
    report.add(*report.shelf.keys("ab"))
    (listed,) = [one for one in report.graph.collections() if one.slug == report.slug]
    assert (listed.items, listed.raw_keys, listed.created_by) == (2, 0, "test")
    nodes = report.graph.items(report.slug)
    report.graph.delete_collection(report.slug)
    assert report.graph.resolve_key(nodes[0]) == report.shelf.key("a")
    for asked in (
        lambda: report.graph.collection(report.slug),
        lambda: report.graph.items(report.slug),
        lambda: report.graph.preview_collection(report.slug),
        lambda: report.add(report.shelf.key("a")),
        lambda: report.graph.remove_items(report.slug, []),
        lambda: report.graph.move_item(report.slug, nodes[0], 0),
        lambda: report.graph.delete_collection(report.slug),
    ):
        with pytest.raises(UnknownCollection, match=report.slug):
            asked()


@pytest.mark.parametrize(
    ("slug", "name"),
    [("No slug", "x"), ("", "x"), ("ok", "see postgresql://jo:hunter2@db/x"), ("ok", "\0")],
)
def test_a_collection_needs_a_slug_and_a_name_without_a_secret(lake: Lake, slug: str, name: str) -> None:
    with pytest.raises(InvalidCollection) as refused:
        GraphStore(lake.store.sessions).create_collection(slug, name=name)
    assert "hunter2" not in str(refused.value)


def test_each_change_of_a_collection_is_told_and_audited(lake: Lake, look: Look) -> None:
    seen = events(look)
    report = Report(Shelf(lake, look))
    (node,) = report.add(report.shelf.key("a"))
    report.graph.remove_items(report.slug, [node])
    report.graph.delete_collection(report.slug)
    told_here = [(topic, payload.get("placed"), payload.get("removed")) for topic, payload in told(look, seen)]
    assert told_here == [
        ("collection.created", None, None),
        ("identity.created", None, None),
        ("collection.updated", [str(node)], []),
        ("collection.updated", [], [str(node)]),
        ("collection.deleted", None, None),
    ]
    statement = """SELECT action FROM metadata.audit WHERE entity_type = 'COLLECTION_ITEM'
      AND coalesce(after_state, before_state) ->> 'reference' = %s ORDER BY audit_id"""
    assert [row["action"] for row in look(statement, str(node))] == ["CREATE", "DELETE"]


def test_tenants_have_collections_of_their_own(report: Report, open_store: Callable[..., MetadataStore]) -> None:
    other = GraphStore(open_store("other").sessions)
    key: CanonicalKey = report.shelf.key("a")
    (mine,) = report.add(key)
    assert report.slug not in {one.slug for one in other.collections()}
    with pytest.raises(UnknownCollection):
        other.items(report.slug)
    other.create_collection(report.slug, name="Theirs")
    (theirs,) = other.add_items(report.slug, [key])
    assert theirs != mine
    with pytest.raises(UnknownIdentity, match=str(mine)):
        other.add_items(report.slug, [mine])
    assert other.items(report.slug) == [theirs]
    assert report.graph.items(report.slug) == [mine]
