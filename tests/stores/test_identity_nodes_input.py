"""What references refuse to take: in our own words, which name the field and what to do; nothing is written then."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from reference_inputs import Shelf
from store_inputs import Counts

from identity.nodes import FARTHEST, IdentityKey
from resources.graph.collections import InvalidCollection, UnknownCollection
from resources.graph.given import METADATA_BYTES, NAME_LENGTH, TEXT_LENGTH, InvalidInput
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore

METADATA = {
    "NUL": {"x": "\0"},
    "NUL after a backslash": {"x": "\\\\\0"},
    "NUL in a name": {"a": {"\0": 1}},
    "NaN": {"x": float("nan")},
    "infinity": {"x": [float("inf")]},
    "half a pair": {"x": "\ud800"},
    "half a pair in a name": {"\udfff": 1},
    "an object": {"x": object()},
    "too large": {"x": "y" * METADATA_BYTES},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_metadata_that_cannot_be_stored(shelf: Shelf, counts: Counts, metadata: dict[str, Any]) -> None:
    node = shelf.graph.create_identity(shelf.key("a")).key
    before = counts()
    with pytest.raises(InvalidInput, match="metadata cannot be used"):
        shelf.graph.create_identity(shelf.key("a"), metadata=metadata)
    with pytest.raises(InvalidInput) as refused:
        shelf.graph.update_identity(node, expected_version=1, metadata=metadata)
    assert (refused.value.field, refused.value.exit_code) == ("metadata", 2)
    assert counts() == before


def test_metadata_that_only_look_so_are_stored_as_they_are(shelf: Shelf) -> None:
    given = {
        "x": "\\u0000",
        "y": "\\\\u0000",
        "z": ["é", 1.5, None, True, {"n": {}}],
        "long": "y" * (METADATA_BYTES - 100),
    }
    assert shelf.graph.create_identity(shelf.key("a"), metadata=given).metadata == given


CALLS: dict[str, tuple[str, Callable[[GraphStore, Shelf], object]]] = {
    "a limit below one": ("limit", lambda graph, _: graph.identities(limit=-1)),
    "no limit at all": ("limit", lambda graph, _: graph.identities(limit=2**40)),
    "a version that is none": (
        "expected_version",
        lambda graph, shelf: graph.update_identity(
            IdentityKey(uuid.uuid4()), expected_version=2**40, target=shelf.key("a")
        ),
    ),
    "a version below one": (
        "expected_version",
        lambda graph, _: graph.delete_identity(IdentityKey(uuid.uuid4()), expected_version=0),
    ),
    "a reason with NUL": ("reason", lambda graph, shelf: graph.retype(*shelf.keys("ab"), reason="\0")),
    "half a pair as a reason": ("reason", lambda graph, shelf: graph.retype(*shelf.keys("ab"), reason="\ud800")),
    "a long reason": (
        "reason",
        lambda graph, shelf: graph.retype(*shelf.keys("ab"), reason="x" * (TEXT_LENGTH + 1)),
    ),
    "an unknown kind": ("kind", lambda graph, _: graph.create_collection("x", name="x", kind="heap")),  # type: ignore[arg-type]
    "a long name": ("name", lambda graph, _: graph.create_collection("x", name="x" * (NAME_LENGTH + 1))),
    "a long description": (
        "description",
        lambda graph, _: graph.create_collection("x", name="x", description="x" * (TEXT_LENGTH + 1)),
    ),
    "an unknown type of edge": (
        "edge_type",
        lambda graph, shelf: graph.add_reference_edges([ReferenceEdge(*shelf.keys("ab"))], edge_type="LIKES"),  # type: ignore[arg-type]
    ),
    "an unknown type of edge to forget": (
        "edge_type",
        lambda graph, shelf: graph.remove_reference_edges([ReferenceEdge(*shelf.keys("ab"))], edge_type="LIKES"),  # type: ignore[arg-type]
    ),
    "a place that is none": ("index", lambda graph, shelf: graph.move_item("x", shelf.key("a"), 2**40)),
    "a guard below zero": ("max_depth", lambda graph, _: GraphStore(graph.sessions, max_depth=-1)),
    "a guard beyond the edges": ("max_depth", lambda graph, _: GraphStore(graph.sessions, max_depth=FARTHEST + 1)),
}


@pytest.mark.parametrize(("field", "call"), CALLS.values(), ids=CALLS)
def test_what_is_out_of_bounds(
    shelf: Shelf, counts: Counts, field: str, call: Callable[[GraphStore, Shelf], object]
) -> None:
    before = counts()
    with pytest.raises(InvalidInput) as refused:
        call(shelf.graph, shelf)
    assert refused.value.field == field
    assert counts() == before


@pytest.mark.parametrize("slug", ["No slug", "", "a\0b", "\ud800", "x" * 100_000, "postgresql://jo:hunter2@db/x"])
def test_a_collection_of_an_impossible_slug_is_unknown(shelf: Shelf, slug: str) -> None:
    graph, key = shelf.graph, shelf.key("a")
    with pytest.raises(InvalidCollection):
        graph.create_collection(slug, name="x")
    for ask in (
        lambda: graph.collection(slug),
        lambda: graph.items(slug),
        lambda: graph.preview_collection(slug),
        lambda: graph.delete_collection(slug),
        lambda: graph.add_items(slug, [key]),
        lambda: graph.remove_items(slug, [key]),
        lambda: graph.move_item(slug, key, 0),
    ):
        with pytest.raises(UnknownCollection) as refused:
            ask()
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("wrong", [7, None, b"x"])
def test_a_slug_is_a_text(shelf: Shelf, wrong: Any) -> None:
    for ask in (shelf.graph.collection, shelf.graph.items, shelf.graph.delete_collection):
        with pytest.raises(TypeError):
            ask(wrong)
