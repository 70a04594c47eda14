"""What waits for what: each mechanism that keeps two at once from spoiling references, one at a time.

The first keeps its transaction open, the second starts and must wait for it. Without the lock the second would go on at
once, by what it saw before the first was committed.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from reference_inputs import Shelf
from store_inputs import Look, waits

from identity.keys import CanonicalKey
from identity.nodes import IdentityCycle, IdentityKey, Reference, UnknownIdentity
from resources.graph.edges import EdgeChanges
from resources.graph.identities import IdentityChanged, ensured
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata.aliases import rename
from resources.metadata.assets import register
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.session import Session

NOTHING = EdgeChanges(opened=0, closed=0)

_UPDATE = "SELECT * FROM metadata.update_identity(%(id)s, 1, %(target)s, NULL)"
_LINK = "SELECT * FROM metadata.add_reference_edges(%(sources)s, %(targets)s, 'DEPENDS_ON')"
_NAME = "SELECT * FROM metadata.name_legacy_ids(gen_random_uuid(), 'x', %(names)s)"


class Two:
    """Two who work at once: the one here keeps its transaction open, the other one is in a thread."""

    def __init__(self, shelf: Shelf, look: Look, open_store: Callable[..., MetadataStore]) -> None:
        self.shelf, self.look, self.graph = shelf, look, shelf.graph
        self.first, self.second, self.third = (open_store() for _ in range(3))
        self.other = GraphStore(self.second.sessions)
        self.pool = ThreadPoolExecutor(3)

    @contextmanager
    def open(self) -> Iterator[Session]:
        with self.first.sessions.begin() as session:
            yield session

    def then(self, session: Session, work: Callable[..., Any], *given: Any) -> Future[Any]:
        """The work of the other one, which must have come to wait by now; committed is only after that."""
        assert session.connection
        done = self.pool.submit(work, *given)
        assert waits(self.look, done), "it waits for nobody"
        return done

    def asset(self, name: str) -> Asset:
        return Asset(key=self.shelf.key(name), type=AssetType.DATASET)

    def link(self, session: Session, *edges: tuple[Reference, Reference]) -> None:
        sources, targets = zip(*edges, strict=True)
        session.rows(_LINK, {"sources": [*map(str, sources)], "targets": [*map(str, targets)]})

    def rename(self, session: Session, was: str, now: str) -> None:
        rename(session, {self.shelf.key(was): self.shelf.key(now)}, reason="because")


@pytest.fixture
def two(shelf: Shelf, look: Look, open_store: Callable[..., MetadataStore]) -> Iterator[Two]:
    both = Two(shelf, look, open_store)
    yield both
    both.pool.shutdown()


@pytest.mark.parametrize("way", ["ensure", "create"])
def test_a_node_is_made_for_the_name_that_a_rename_gives(two: Two, way: str) -> None:
    """Who asked by the old name gets a node that targets the new one."""
    old = two.shelf.register("old")
    ways: dict[str, Callable[[], IdentityKey]] = {
        "ensure": lambda: two.other.ensure_identity_key(old),
        "create": lambda: two.other.create_identity(old).key,
    }
    with two.open() as session:
        two.rename(session, "old", "new")
        done = two.then(session, ways[way])
    assert two.graph.identity(done.result()).target == two.shelf.key("new")


def test_a_retarget_waits_for_a_rename_and_targets_the_new_name(two: Two) -> None:
    two.shelf.lake.assets("old")
    node = two.graph.ensure_identity_key(two.shelf.key("elsewhere"))

    def retarget() -> None:
        two.other.update_identity(node, expected_version=1, target=two.shelf.key("old"))

    with two.open() as session:
        two.rename(session, "old", "new")
        done = two.then(session, retarget)
    done.result()
    assert two.graph.identity(node).target == two.shelf.key("new")


def test_two_who_would_close_a_circle_together_wait_for_one_another(two: Two) -> None:
    two.shelf.lake.assets("a")
    x, y = (two.graph.create_identity(two.shelf.key("a")).key for _ in range(2))

    def close() -> None:
        two.other.update_identity(y, expected_version=1, target=x)

    with two.open() as session:
        session.rows(_UPDATE, {"id": x.id, "target": str(y)})
        done = two.then(session, close)
    with pytest.raises(IdentityCycle) as refused:
        done.result()
    assert refused.value.path == (str(y), str(x), str(y))


def test_a_node_is_not_led_to_while_it_is_deleted(two: Two) -> None:
    target = two.graph.create_identity(two.shelf.key("a")).key
    with two.open() as session:
        session.rows("SELECT * FROM metadata.delete_identity(%(id)s, 1)", {"id": target.id})
        done = two.then(session, two.other.create_identity, target)
    with pytest.raises(UnknownIdentity):
        done.result()


# --- births and edges


def test_an_edge_that_is_written_waits_for_a_birth(two: Two) -> None:
    a = two.graph.ensure_identity_key(two.shelf.register("a"))
    with two.open() as session:
        register(session, [two.asset("late")])
        edge = ReferenceEdge(a, two.shelf.key("late"))
        done = two.then(session, two.other.add_reference_edges, [edge])
    assert done.result() == EdgeChanges(opened=1, closed=0)


def test_a_birth_waits_for_an_edge_that_is_written(two: Two) -> None:
    a = two.graph.ensure_identity_key(two.shelf.register("a"))
    with two.open() as session:
        two.link(session, (a, two.shelf.key("late")))
        done = two.then(session, two.second.register_assets, [two.asset("late")])
    done.result()
    assert [one.resolved for one in two.graph.reference_edges(a)] == [True]


def test_a_birth_waits_for_a_retarget_to_it(two: Two) -> None:
    a, moving = (two.graph.ensure_identity_key(two.shelf.register(name)) for name in "ab")
    two.graph.add_reference_edges([ReferenceEdge(a, moving)])
    with two.open() as session:
        session.rows(_UPDATE, {"id": moving.id, "target": str(two.shelf.key("late"))})
        done = two.then(session, two.second.register_assets, [two.asset("late")])
    done.result()
    assert [one.resolved for one in two.graph.reference_edges(a)] == [True]


def test_both_ends_of_an_edge_may_be_born_at_once(two: Two) -> None:
    """Neither birth sees the other one; the second waits and then finds both."""
    one, other = two.shelf.keys(["one", "other"])
    two.graph.add_reference_edges([ReferenceEdge(one, other)])
    with two.open() as session:
        register(session, [two.asset("one")])
        done = two.then(session, two.second.register_assets, [two.asset("other")])
    done.result()
    assert [each.resolved for each in two.graph.reference_edges(one)] == [True]


def test_births_without_edges_wait_for_nobody(two: Two) -> None:
    two.graph.add_reference_edges([ReferenceEdge(*two.shelf.keys(["x", "y"]))])
    with two.open() as session:
        register(session, [two.asset("x")])
        two.pool.submit(two.second.register_assets, [two.asset("free")]).result(timeout=10)


def test_a_refresh_waits_for_who_changes_edges(two: Two) -> None:
    a, b = (two.graph.ensure_identity_key(two.shelf.register(name)) for name in "ab")
    with two.open() as session:
        two.link(session, (a, b))
        done = two.then(session, two.other.refresh_reference_edges)
    assert done.result() == NOTHING


def test_edges_and_births_at_once_leave_nothing_to_refresh(
    shelf: Shelf, open_store: Callable[..., MetadataStore]
) -> None:
    a = shelf.graph.ensure_identity_key(shelf.register("a"))
    rounds = 60
    together = threading.Barrier(2)
    graph, store = GraphStore(open_store().sessions), open_store()

    def link() -> None:
        for number in range(rounds):
            together.wait()
            graph.add_reference_edges([ReferenceEdge(a, shelf.key(f"late{number}"))])

    def bear() -> None:
        for number in range(rounds):
            together.wait()
            store.register_assets([Asset(key=shelf.key(f"late{number}"), type=AssetType.DATASET)])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(link), pool.submit(bear)]:
            done.result(timeout=120)
    assert shelf.graph.refresh_reference_edges() == NOTHING
    assert len(shelf.graph.lineage(shelf.lake.entity("a"), "up").nodes) == rounds + 1


# --- many nodes at once


def test_nodes_are_made_in_the_order_of_what_they_target(two: Two) -> None:
    """Not in the order in which they are asked for: a is called d by now. While b is waited for, c is free."""
    two.shelf.lake.assets("a")
    two.shelf.lake.rename(a="d")
    a, b, c = two.shelf.keys("abc")
    with two.open() as session:
        ensured(session, [b])
        done = two.then(session, two.other.ensure_identity_keys, [a, b, c])
        third = GraphStore(two.third.sessions)
        for free in (two.shelf.key("d"), c):
            two.pool.submit(third.ensure_identity_key, free).result(timeout=10)
    assert len(done.result()) == 3


def test_a_list_asks_for_all_its_nodes_in_one_order(two: Two) -> None:
    """Those that it stores and those that are added: while m is waited for, z is free."""
    slug = f"one-order-{uuid.uuid4().hex[:8]}"
    m, z = two.shelf.keys("mz")
    two.graph.create_collection(slug, name="x")
    two.shelf.plant(
        """INSERT INTO metadata.collection_item (tenant_id, collection_id, reference, position, added_by)
           SELECT tenant_id, collection_id, %s, 1, 'x' FROM metadata.collection WHERE slug = %s""",
        str(z),
        slug,
    )
    with two.open() as session:
        ensured(session, [m])
        done = two.then(session, two.other.add_items, slug, [m])
        two.pool.submit(GraphStore(two.third.sessions).ensure_identity_key, z).result(timeout=10)
    assert [two.graph.resolve_key(one) for one in done.result()] == [z, m]


def test_a_change_of_a_list_that_the_server_takes_back_is_made_again(two: Two) -> None:
    """A deadlock on purpose: the server takes back whoever waited first."""
    slug = f"again-{uuid.uuid4().hex[:8]}"
    a, z = two.shelf.keys("az")
    two.graph.create_collection(slug, name="x")
    with two.open() as session:
        ensured(session, [z])
        done = two.then(session, two.other.add_items, slug, [a, z])
        ensured(session, [a])
    assert [two.graph.resolve_key(one) for one in done.result()] == [a, z]


def test_who_names_an_old_id_waits_for_who_makes_a_node_of_its_thing(two: Two) -> None:
    """The node of the old id goes along; which of the two is reused is settled by the one that was first."""
    two.shelf.lake.assets("a")
    old = CanonicalKey.parse(f"mid1:dataset:legacy:~/~/{uuid.uuid4().hex}")
    theirs = two.graph.ensure_identity_key(old)
    names = Jsonb([{"key": str(old), "entity_id": str(two.shelf.lake.entity("a").id)}])

    def name() -> None:
        with two.second.sessions.begin() as session:
            session.rows(_NAME, {"names": names})

    with two.open() as session:
        (mine,) = ensured(session, [two.shelf.key("a")]).values()
        done = two.then(session, name)
    done.result()
    assert [one.key for one in two.graph.find_by_target_key(old)] == [mine, theirs]


def test_metadata_are_changed_while_edges_are_written(two: Two) -> None:
    """Who only describes a node waits for no birth and for nobody who shares the names."""
    node = two.graph.create_identity(two.shelf.key("a")).key
    with two.open() as session:
        register(session, [two.asset("late")])
        changed: Callable[[], EdgeChanges] = lambda: two.other.update_identity(  # noqa: E731
            node, expected_version=1, metadata={"x": 1}
        )
        assert two.pool.submit(changed).result(timeout=10) == NOTHING


def test_two_who_describe_one_node_do_not_overwrite_one_another(two: Two) -> None:
    node: IdentityKey = two.graph.create_identity(two.shelf.key("a")).key

    def describe() -> None:
        two.other.update_identity(node, expected_version=1, metadata={"by": "the second"})

    with two.open() as session:
        session.rows("""SELECT metadata.update_identity(%(id)s, 1, NULL, '{"by": "the first"}')""", {"id": node.id})
        done = two.then(session, describe)
    with pytest.raises(IdentityChanged):
        done.result()
    assert two.graph.identity(node).metadata == {"by": "the first"}
