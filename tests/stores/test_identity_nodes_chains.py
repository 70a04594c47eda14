"""Where references lead: through chains, to what is registered there, and to what that becomes."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from reference_inputs import Shelf, driver_of, events, told
from store_inputs import Look

from benchmarks.wire import traced
from identity.errors import InvalidKey
from identity.keys import dataset_key, endpoint_key, job_key
from identity.nodes import (
    IdentityCycle,
    IdentityKey,
    IdentityTooDeep,
    MissingIdentity,
    Reference,
    UnknownIdentity,
    parse_reference,
)
from resources.graph.edges import EdgeChanges
from resources.graph.identities import NothingRegistered, NothingToRetype
from resources.graph.loaders import Loader, Node, default_loaders
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import AssetType, Endpoint
from resources.postgres.session import Row, Session


def test_a_chain_of_fifty_leads_to_its_key(shelf: Shelf) -> None:
    nodes = shelf.chain(50, shelf.key("a"))
    trail = shelf.graph.resolve(nodes[0])
    assert (trail.key, trail.depth, trail.path) == (shelf.key("a"), 50, (*nodes, shelf.key("a")))
    assert shelf.graph.resolve_key(nodes[0]) == shelf.key("a")
    assert shelf.graph.resolve_node(nodes[0]).name == "a"
    shelf.graph.update_identity(nodes[-1], expected_version=1, target=shelf.key("b"))
    assert {shelf.graph.resolve_key(node) for node in nodes} == {shelf.key("b")}


@pytest.mark.parametrize("length", [1, 60])
def test_to_follow_a_chain_is_one_round_trip_however_long_it_is(shelf: Shelf, length: int) -> None:
    start = shelf.chain(length, shelf.key("a"))[0]
    with traced(driver_of(shelf.graph.sessions)) as wire:
        shelf.graph.resolve_key(start)
    assert (wire.round_trips, wire.statements) == (1, 2)


def test_a_list_is_followed_in_as_many_statements_however_long_it_is(shelf: Shelf) -> None:
    nodes = shelf.chain(60, shelf.key("a"))
    counted = []
    for some in (nodes[-2:], nodes):
        with traced(driver_of(shelf.graph.sessions)) as wire:
            previews = shelf.graph.previews(some)
        assert [one.node.name for one in previews if one.node] == ["a"] * len(some)
        counted.append(wire.statements)
    assert counted[0] == counted[1]


def test_the_guard_is_a_setting(shelf: Shelf) -> None:
    nodes = shelf.chain(70, shelf.key("a"))
    with pytest.raises(IdentityTooDeep, match="more than 64") as refused:
        shelf.graph.resolve_key(nodes[0])
    assert len(refused.value.path) == 65
    assert shelf.graph.resolve_key(nodes[6]) == shelf.key("a")
    assert GraphStore(shelf.graph.sessions, max_depth=70).resolve_key(nodes[0]) == shelf.key("a")
    with pytest.raises(IdentityTooDeep, match="more than 3"):
        GraphStore(shelf.graph.sessions, max_depth=3).resolve_key(nodes[66])


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_a_circle_is_never_written_and_the_refusal_tells_its_path(shelf: Shelf, length: int) -> None:
    nodes = shelf.chain(length, shelf.key("a"))
    with pytest.raises(IdentityCycle) as refused:
        shelf.graph.update_identity(nodes[-1], expected_version=1, target=nodes[0])
    assert refused.value.path == tuple(map(str, [nodes[-1], *nodes]))
    assert shelf.graph.resolve_key(nodes[0]) == shelf.key("a")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_in_the_tables_is_told_with_its_path(shelf: Shelf, length: int) -> None:
    """Nothing writes one; a restored or repaired table may hold one all the same."""
    nodes = shelf.chain(length, shelf.key("a"))
    statement = "UPDATE metadata.identity_node SET target_key = %s WHERE identity_id = %s"
    shelf.plant(statement, str(nodes[0]), nodes[-1].id)
    for start in nodes:
        with pytest.raises(IdentityCycle) as refused:
            shelf.graph.resolve_key(start)
        assert refused.value.path[0] == refused.value.path[-1] == str(start)
        assert len(refused.value.path) == length + 1


def test_two_who_would_close_a_circle_together_do_not(shelf: Shelf, open_store: Callable[..., MetadataStore]) -> None:
    graphs = [GraphStore(open_store().sessions) for _ in range(2)]
    for _ in range(20):
        x, y = (shelf.graph.create_identity(shelf.key("a")).key for _ in range(2))
        together = threading.Barrier(2)

        def point(graph: GraphStore, one: IdentityKey, other: IdentityKey, start: threading.Barrier) -> bool:
            start.wait()
            try:
                graph.update_identity(one, expected_version=1, target=other)
            except IdentityCycle:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(point, graphs[0], x, y, together), pool.submit(point, graphs[1], y, x, together)]
            assert sorted(one.result() for one in done) == [False, True]
        assert shelf.graph.resolve_key(x) == shelf.key("a")


def test_a_deleted_node_breaks_the_references_to_it_and_no_others(shelf: Shelf) -> None:
    first, second = shelf.chain(2, shelf.key("a"))
    shelf.graph.delete_identity(second, expected_version=1)
    with pytest.raises(MissingIdentity) as refused:
        shelf.graph.resolve_key(first)
    assert refused.value.path == (str(first), str(second))
    shelf.graph.update_identity(first, expected_version=1, target=shelf.key("b"))
    assert shelf.graph.resolve_key(first) == shelf.key("b")


def test_all_nodes_of_a_key_are_found_through_chains(shelf: Shelf) -> None:
    """What `--show-identities` shows."""
    nodes = shelf.chain(3, shelf.key("a"))
    alone = shelf.graph.create_identity(shelf.key("a")).key
    found = shelf.graph.identities_of([shelf.key("a"), shelf.key("b")])
    assert found == {shelf.key("a"): tuple(sorted([*nodes, alone])), shelf.key("b"): ()}


# --- loaders


def test_a_node_is_what_is_registered_under_the_key(shelf: Shelf) -> None:
    shelf.lake.assets("flights")
    shelf.lake.store.register_endpoints([Endpoint(slug=shelf.lake.endpoint, system="files")])
    node = shelf.graph.ensure_identity_key(shelf.key("flights"))
    loaded = shelf.graph.resolve_node(node)
    assert (loaded.key, loaded.type, loaded.name) == (shelf.key("flights"), "DATASET", "flights")
    endpoint = shelf.graph.resolve_node(shelf.graph.ensure_identity_key(endpoint_key(shelf.lake.endpoint)))
    assert (endpoint.type, endpoint.name) == ("ENDPOINT", shelf.lake.endpoint)
    assert shelf.graph.load_node(node).type == "IDENTITY"


def test_a_key_behind_which_there_is_nothing_is_told(shelf: Shelf) -> None:
    node = shelf.graph.ensure_identity_key(shelf.key("nothing"))
    with pytest.raises(NothingRegistered, match=str(shelf.key("nothing"))):
        shelf.graph.resolve_node(node)
    with pytest.raises(NothingRegistered):
        shelf.graph.load_node(IdentityKey(uuid.uuid4()))


def test_a_registered_loader_answers_for_its_scheme(shelf: Shelf) -> None:
    asked: list[list[Reference]] = []

    def load(session: Session, keys: Any) -> dict[Reference, Node]:
        assert session.tenant == shelf.lake.store.tenant
        asked.append(sorted(keys))
        return {key: Node(key=key, type="JOB", name=key.segments[0]) for key in keys}

    loader: Loader = load
    jobs = [job_key(shelf.lake.endpoint, name) for name in ("nightly", "hourly")]
    graph = GraphStore(shelf.graph.sessions, loaders=default_loaders().registered("job", loader))
    references = [graph.ensure_identity_key(job) for job in jobs]
    shelf.lake.assets("a")
    previews = graph.previews([*references, shelf.key("a")])
    assert [one.node.type for one in previews if one.node] == ["JOB", "JOB", "DATASET"]
    assert asked == [sorted(jobs)]
    assert shelf.graph.previews(references)[0].node is None


def test_no_secret_gets_into_a_target(shelf: Shelf, look: Look, counts: Callable[[], Row]) -> None:
    """Not past the types, and not past the table itself."""
    before = counts()
    for text in ("postgresql://jo:hunter2@db/x", "identity:jo:hunter2@db", "mid1:dataset:x:~/~/jo:hunter2@db"):
        with pytest.raises(InvalidKey) as refused:
            shelf.graph.create_identity(parse_reference(text))
        assert "hunter2" not in str(refused.value)
        with pytest.raises(psycopg.errors.CheckViolation):
            look(
                """INSERT INTO metadata.identity_node (tenant_id, identity_id, target_key, created_by)
                   VALUES (%s, gen_random_uuid(), %s, 'x')""",
                shelf.lake.store.tenant.value,
                text,
            )
    assert counts() == before


def test_tenants_have_nodes_of_their_own(shelf: Shelf, open_store: Callable[..., MetadataStore]) -> None:
    other = GraphStore(open_store("other").sessions)
    key = dataset_key("same", table="same")
    mine, theirs = shelf.graph.ensure_identity_key(key), other.ensure_identity_key(key)
    assert mine != theirs
    for graph, foreign in ((shelf.graph, theirs), (other, mine)):
        with pytest.raises(UnknownIdentity):
            graph.identity(foreign)
        with pytest.raises(MissingIdentity):
            graph.resolve_key(foreign)
        with pytest.raises(UnknownIdentity):
            graph.update_identity(foreign, expected_version=1, target=key)
        with pytest.raises(UnknownIdentity):
            graph.delete_identity(foreign, expected_version=1)
        with pytest.raises(UnknownIdentity):
            graph.create_identity(foreign)
    assert [one.key for one in other.find_by_target_key(key)] == [theirs]


# --- retype


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (AssetType.TABLE, AssetType.VIEW),
        (AssetType.VIEW, AssetType.MATERIALIZED_VIEW),
        (AssetType.DATASET, AssetType.TABLE),
    ],
)
def test_a_thing_that_changes_its_type_keeps_its_key_and_its_references(
    shelf: Shelf, look: Look, was: AssetType, becomes: AssetType
) -> None:
    shelf.register("orders", was)
    node = shelf.graph.ensure_identity_key(shelf.key("orders"))
    seen = events(look)
    done = shelf.graph.retype(shelf.key("orders"), shelf.key("orders"), new_type=becomes, reason="for speed")
    assert (done.identities, done.type_changed) == ((), True)
    assert shelf.graph.resolve_node(node).type == becomes
    ((topic, payload),) = told(look, seen)
    assert (topic, payload["type"], payload["reason"]) == ("identity.retyped", becomes, "for speed")


def test_a_dataset_that_becomes_another_systems_table_takes_all_its_references_along(shelf: Shelf, look: Look) -> None:
    shelf.register("files", AssetType.DATASET)
    iceberg = dataset_key("warehouse", source="lakehouse", schema="nyc", table=shelf.lake.endpoint)
    several = [shelf.graph.create_identity(shelf.key("files")).key for _ in range(3)]
    behind = shelf.graph.create_identity(several[1]).key
    bystander = shelf.graph.create_identity(shelf.key("other")).key
    seen = events(look)
    done = shelf.graph.retype(shelf.key("files"), iceberg, reason="moved to Iceberg")
    assert set(done.identities) == set(several)
    assert {shelf.graph.resolve_key(one) for one in (*several, behind)} == {iceberg}
    assert shelf.graph.identity(bystander).version == 1
    ((topic, payload),) = told(look, seen)
    assert (topic, payload["was"], payload["now"]) == ("identity.retyped", str(shelf.key("files")), str(iceberg))
    assert shelf.graph.ensure_identity_key(iceberg) == several[0]
    assert shelf.graph.ensure_identity_key(shelf.key("files")) not in several


def test_a_type_for_what_is_not_registered_is_refused(shelf: Shelf, counts: Callable[[], Row]) -> None:
    a, b = shelf.keys("ab")
    node = shelf.graph.ensure_identity_key(a)
    before = counts()
    with pytest.raises(NothingToRetype, match="is registered under"):
        shelf.graph.retype(a, b, new_type=AssetType.VIEW)
    assert counts() == before
    assert shelf.graph.retype(a, b).identities == (node,)


def test_a_retype_touches_no_edge_of_the_key_itself(shelf: Shelf) -> None:
    a, b, c = (shelf.register(name) for name in "abc")
    node = shelf.graph.ensure_identity_key(a)
    shelf.graph.add_reference_edges([ReferenceEdge(a, c), ReferenceEdge(node, c)])
    assert shelf.graph.retype(a, b).edges == EdgeChanges(opened=1, closed=1)
    assert shelf.graph.refresh_reference_edges() == EdgeChanges(opened=0, closed=0)


def test_a_retype_asked_again_tells_nobody(shelf: Shelf, counts: Callable[[], Row]) -> None:
    a, b = shelf.keys("ab")
    shelf.register("b", AssetType.TABLE)
    shelf.graph.ensure_identity_key(a)
    shelf.graph.retype(a, b, new_type=AssetType.VIEW)
    before = counts()
    again = shelf.graph.retype(a, b, new_type=AssetType.VIEW)
    assert (again.identities, again.type_changed, again.edges.opened, again.edges.closed) == ((), False, 0, 0)
    assert counts() == before
