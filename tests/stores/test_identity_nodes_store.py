"""Identity nodes in the store: made once, retargeted, followed, and everything told in the same transaction."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from reference_inputs import Shelf, driver_of, events, told
from store_inputs import Lake

from benchmarks.wire import traced
from identity.errors import InvalidKey
from identity.keys import CanonicalKey, dataset_key, endpoint_key, job_key
from identity.nodes import (
    IdentityCycle,
    IdentityKey,
    IdentityTooDeep,
    MissingIdentity,
    Reference,
    UnknownIdentity,
    parse_reference,
)
from resources.graph.identities import IdentityChanged, IdentityTaken, NothingRegistered
from resources.graph.loaders import Loader, Node, default_loaders
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import AssetType, Endpoint
from resources.postgres.session import Row, Session

Look = Callable[..., list[Row]]


@pytest.fixture
def shelf(lake: Lake, look: Look) -> Shelf:
    return Shelf(lake, look)


def test_a_node_is_made_read_changed_listed_and_deleted(shelf: Shelf) -> None:
    graph, (a, b) = shelf.graph, shelf.keys("ab")
    node = graph.create_identity(a, metadata={"why": "demo"})
    assert (node.target, node.metadata, node.version, node.created_by) == (a, {"why": "demo"}, 1, "test")
    assert str(node.key) == f"identity:{node.key.id}"

    graph.update_identity(node.key, expected_version=1, target=b)
    after = graph.identity(node.key)
    assert (after.target, after.metadata, after.version) == (b, {"why": "demo"}, 2)
    assert after.created_at == node.created_at
    assert after.updated_at > node.updated_at

    graph.update_identity(node.key, expected_version=2, metadata={})
    assert (graph.identity(node.key).target, graph.identity(node.key).metadata) == (b, {})

    assert [one.key for one in graph.find_by_target_key(b)] == [node.key]
    assert graph.find_by_target_key(a) == []
    graph.delete_identity(node.key, expected_version=3)
    with pytest.raises(UnknownIdentity, match=str(node.key)):
        graph.identity(node.key)
    assert graph.find_by_target_key(b) == []


def test_the_list_comes_in_pages_that_join(shelf: Shelf) -> None:
    made = {shelf.graph.create_identity(shelf.key("a")).key for _ in range(5)}
    listed: list[IdentityKey] = []
    while page := shelf.graph.identities(after=listed[-1] if listed else None, limit=2):
        listed += [node.key for node in page]
    assert made <= set(listed)
    assert listed == sorted(set(listed))


def test_each_change_is_told_once_and_audited(shelf: Shelf, look: Look) -> None:
    a, b = shelf.keys("ab")
    seen = events(look)
    node = shelf.graph.create_identity(a).key
    shelf.graph.update_identity(node, expected_version=1, target=b)
    shelf.graph.delete_identity(node, expected_version=2)
    assert [(topic, payload.get("was"), payload.get("target_key")) for topic, payload in told(look, seen)] == [
        ("identity.created", None, str(a)),
        ("identity.updated", str(a), str(b)),
        ("identity.deleted", str(b), None),
    ]
    assert {payload["key"] for _topic, payload in told(look, seen)} == {str(node)}
    rows = look("SELECT action, before_state, after_state FROM metadata.audit WHERE entity_id = %s", node.id)
    targets = [
        (row["action"], *((row[state] or {}).get("target_key") for state in ("before_state", "after_state")))
        for row in rows
    ]
    assert targets[0] == ("CREATE", None, str(a))
    assert ("UPDATE", str(a), str(b)) in targets
    assert targets[-1] == ("DELETE", str(b), None)


def test_a_refused_change_writes_nothing(shelf: Shelf, counts: Callable[[], Row]) -> None:
    a, b = shelf.keys("ab")
    node = shelf.graph.create_identity(a).key
    gone = IdentityKey(uuid.uuid4())
    before = counts()
    with pytest.raises(IdentityChanged, match="at version 1, not at 7"):
        shelf.graph.update_identity(node, expected_version=7, target=b)
    with pytest.raises(IdentityChanged):
        shelf.graph.delete_identity(node, expected_version=7)
    with pytest.raises(IdentityCycle):
        shelf.graph.update_identity(node, expected_version=1, target=node)
    for refused in (
        lambda: shelf.graph.update_identity(node, expected_version=1, target=gone),
        lambda: shelf.graph.update_identity(gone, expected_version=1, target=a),
        lambda: shelf.graph.delete_identity(gone, expected_version=1),
        lambda: shelf.graph.create_identity(gone),
    ):
        with pytest.raises(UnknownIdentity, match=str(gone)):
            refused()
    assert counts() == before


def test_asking_again_changes_nothing_more(shelf: Shelf, counts: Callable[[], Row]) -> None:
    """Whoever lost the answer asks again: the same node, the same change."""
    a, b = shelf.keys("ab")
    key = IdentityKey(uuid.uuid4())
    first = shelf.graph.create_identity(a, key=key)
    before = counts()
    assert shelf.graph.create_identity(a, key=key) == first
    with pytest.raises(IdentityTaken):
        shelf.graph.create_identity(b, key=key)
    assert counts() == before
    shelf.graph.update_identity(key, expected_version=1, target=b)
    before = counts()
    shelf.graph.update_identity(key, expected_version=1, target=b)
    assert counts() == before
    with pytest.raises(IdentityChanged):
        shelf.graph.update_identity(key, expected_version=1, target=a)


# --- one node for a target


def test_a_target_has_one_node_however_often_it_is_asked_for(shelf: Shelf, counts: Callable[[], Row]) -> None:
    node = shelf.graph.ensure_identity_key(shelf.key("a"))
    before = counts()
    assert shelf.graph.ensure_identity_key(shelf.key("a")) == node
    assert shelf.graph.ensure_identity_key(node) == node
    assert counts() == before


def test_a_node_made_on_purpose_is_the_one_that_is_reused(shelf: Shelf) -> None:
    made = [shelf.graph.create_identity(shelf.key("a")).key for _ in range(3)]
    assert shelf.graph.ensure_identity_key(shelf.key("a")) == made[0]
    assert [node.key for node in shelf.graph.find_by_target_key(shelf.key("a"))] == made


def test_the_reused_node_leaves_its_place_to_the_next_one(shelf: Shelf) -> None:
    a, b = shelf.keys("ab")
    first, second = (shelf.graph.create_identity(a).key for _ in range(2))
    third = shelf.graph.ensure_identity_key(b)
    shelf.graph.update_identity(first, expected_version=1, target=b)
    assert (shelf.graph.ensure_identity_key(a), shelf.graph.ensure_identity_key(b)) == (second, third)
    shelf.graph.delete_identity(third, expected_version=1)
    assert shelf.graph.ensure_identity_key(b) == first
    shelf.graph.delete_identity(second, expected_version=1)
    assert shelf.graph.ensure_identity_key(a) not in {first, second, third}


def test_sixteen_writers_at_once_get_one_node(
    shelf: Shelf, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    """Ten rounds; each writer has its own connection. Many keys at once, in orders that would deadlock."""
    writers, rounds = 16, 10
    together = threading.Barrier(writers)
    graphs = [GraphStore(open_store(actor=f"writer {number}").sessions) for number in range(writers)]
    wanted = [shelf.keys([f"contended{turn}{number}" for number in range(4)]) for turn in range(rounds)]
    seen = events(look)

    def ask(number: int) -> list[dict[CanonicalKey, IdentityKey]]:
        answers = []
        for keys in wanted:
            together.wait()
            answers.append(graphs[number].ensure_identity_keys(keys[number % 4 :] + keys[: number % 4]))
        return answers

    with ThreadPoolExecutor(writers) as pool:
        answers = list(pool.map(ask, range(writers)))
    assert all(answer == answers[0] for answer in answers)
    assert len({node for answer in answers[0] for node in answer.values()}) == rounds * 4
    for keys in wanted:
        assert all(len(shelf.graph.find_by_target_key(key)) == 1 for key in keys)
    assert [topic for topic, _ in told(look, seen)] == ["identity.created"] * rounds * 4


def test_ensuring_while_nodes_come_and_go_leaves_one_reused_node(
    shelf: Shelf, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    a, b = shelf.keys("ab")
    together = threading.Barrier(8)
    graphs = [GraphStore(open_store().sessions) for _ in range(8)]

    def work(number: int) -> None:
        together.wait()
        for _ in range(15):
            if number % 2:
                graphs[number].ensure_identity_key(a)
                graphs[number].ensure_identity_key(b)
            else:
                node = graphs[number].create_identity(a)
                graphs[number].update_identity(node.key, expected_version=1, target=b)
                graphs[number].delete_identity(node.key, expected_version=2)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    rows = look("SELECT preferred FROM metadata.identity_node WHERE target_key = ANY (%s)", [str(a), str(b)])
    assert [row["preferred"] for row in rows if row["preferred"]] == [True, True]


# --- chains


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


def test_a_retype_asked_again_tells_nobody(shelf: Shelf, counts: Callable[[], Row]) -> None:
    a, b = shelf.keys("ab")
    shelf.register("b", AssetType.TABLE)
    shelf.graph.ensure_identity_key(a)
    shelf.graph.retype(a, b, new_type=AssetType.VIEW)
    before = counts()
    again = shelf.graph.retype(a, b, new_type=AssetType.VIEW)
    assert (again.identities, again.type_changed, again.edges.opened, again.edges.closed) == ((), False, 0, 0)
    assert counts() == before
