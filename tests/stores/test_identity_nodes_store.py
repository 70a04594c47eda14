"""Identity nodes in the store: made once, retargeted, followed, and everything told in the same transaction."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from reference_inputs import Shelf, events, told
from store_inputs import Lake, Look

from identity.keys import CanonicalKey
from identity.nodes import (
    IdentityCycle,
    IdentityKey,
    UnknownIdentity,
)
from resources.graph.identities import IdentityChanged, IdentityTaken
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.postgres.errors import TenantUnknown
from resources.postgres.session import Row


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
    statement = "SELECT action, before_state, after_state FROM metadata.audit WHERE entity_id = %s ORDER BY audit_id"
    rows = look(statement, node.id)
    targets = [
        (row["action"], *((row[state] or {}).get("target_key") for state in ("before_state", "after_state")))
        for row in rows
    ]
    assert targets == [
        ("CREATE", None, str(a)),
        ("UPDATE", str(a), str(b)),
        ("UPDATE", str(b), str(b)),  # and it is the one that is reused there
        ("DELETE", str(b), None),
    ]


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


def test_a_target_is_kept_under_the_name_that_it_has_now(shelf: Shelf) -> None:
    a, b = shelf.keys("ab")
    shelf.register("a")
    shelf.lake.rename(a="b")
    node = shelf.graph.create_identity(a)
    other = shelf.graph.create_identity(shelf.key("c")).key
    shelf.graph.update_identity(other, expected_version=1, target=a)
    assert (node.target, shelf.graph.identity(other).target) == (b, b)
    assert [one.key for one in shelf.graph.find_by_target_key(b)] == [node.key, other]


@pytest.mark.parametrize(
    ("change", "told_of"),
    [
        ({"metadata": {"x": 1}}, "described"),
        ({"target": "b"}, "retargeted"),
        ({"target": "b", "metadata": {}}, "retargeted"),
    ],
)
def test_an_update_is_told_in_one_shape(shelf: Shelf, look: Look, change: dict[str, Any], told_of: str) -> None:
    node = shelf.graph.create_identity(shelf.key("a")).key
    target = shelf.key(change["target"]) if "target" in change else None
    seen = events(look)
    shelf.graph.update_identity(node, expected_version=1, target=target, metadata=change.get("metadata"))
    ((topic, payload),) = told(look, seen)
    assert topic == "identity.updated"
    assert payload == {
        "identity_id": str(node.id),
        "key": str(node),
        "was": str(shelf.key("a")),
        "target_key": str(target or shelf.key("a")),
        "version": 2,
        "reason": told_of,
    }


def test_a_target_is_known_by_each_of_its_names(shelf: Shelf) -> None:
    first = shelf.graph.create_identity(shelf.register("first")).key
    shelf.lake.rename(first="second")
    assert [shelf.graph.ensure_identity_key(key) for key in shelf.keys(["first", "second"])] == [first, first]
    assert [one.key for one in shelf.graph.find_by_target_key(shelf.key("first"))] == [first]


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


def test_a_tenant_that_nobody_made_is_told(open_store: Callable[..., MetadataStore], lake: Lake) -> None:
    with pytest.raises(TenantUnknown):
        GraphStore(open_store("nobody").sessions).create_identity(lake.key("a"))
