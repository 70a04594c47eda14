"""The stores take keys and entities. What only looks like one is refused, and nothing is written."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from store_inputs import Counts, Lake, attempt

from identity.errors import MetadataError
from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import dataset_key
from identity.nodes import IdentityKey
from resources.graph.edges import Link
from resources.graph.references import ReferenceEdge
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Read, Staged

Refused = (TypeError, AttributeError)

STORE: Mapping[str, Callable[[MetadataStore, Any], object]] = {
    "entity": lambda store, thing: store.entity(thing),
    "entities": lambda store, thing: store.entities([thing]),
    "asset": lambda store, thing: store.asset(thing),
    "register_assets": lambda store, thing: store.register_assets([Asset(key=thing, type=AssetType.TABLE)]),
    "register_datasets": lambda store, thing: store.register_datasets(
        [(Asset(key=thing, type=AssetType.TABLE), "manually")]
    ),
    "aliases_of": lambda store, thing: store.aliases_of(thing),
    "entity_at": lambda store, thing: store.entity_at(thing, datetime.now(UTC)),
    "name_of": lambda store, thing: store.name_of(thing),
    "rename": lambda store, thing: store.rename({thing: thing}),
    "merge": lambda store, thing: store.merge(thing, thing),
    "materializations": lambda store, thing: store.materializations(thing),
    "versions": lambda store, thing: store.versions(thing),
    "unpublished": lambda store, thing: store.unpublished(thing),
    "version_at": lambda store, thing: store.version_at(thing),
    "retractions": lambda store, thing: store.retractions(thing),
    "rollback": lambda store, thing: store.rollback(thing, to=1, expected=2),
    "pin": lambda store, thing: store.pin("board", {thing: None}),
    "invalidate": lambda store, thing: store.invalidate(thing, reason="because"),
    "stale": lambda store, thing: store.stale(thing or "x"),
    "why_stale": lambda store, thing: store.why_stale(thing),
    "current": lambda store, thing: store.current(thing),
    "open_staging": lambda store, thing: store.open_staging(
        attempt(), {(thing, None): "lake:a/place"}, ttl=timedelta(hours=1)
    ),
    "lease": lambda store, thing: store.lease(attempt(), thing, {None: "lake:b/place"}, ttl=timedelta(hours=1)),
    "begin_step": lambda store, thing: store.begin_step([], thing or 7, [None]),
    "begin_step for": lambda store, thing: store.begin_step([thing]),
    "delivery": lambda store, thing: Delivery(store.tenant, thing, None, Intent("key", "k"), "result"),
}

NODE = IdentityKey(UUID(int=1))
KEY = dataset_key("lake", table="x")

GRAPH: Mapping[str, Callable[[GraphStore, Any], object]] = {
    "lineage": lambda graph, thing: graph.lineage(thing, "up"),
    "reached": lambda graph, thing: graph.reached(thing, "up"),
    "column_lineage": lambda graph, thing: graph.column_lineage(thing, "up"),
    "paths": lambda graph, thing: graph.paths(thing, thing),
    "assert_edges": lambda graph, thing: graph.assert_edges(
        [Link(thing, thing)], producer="p", scope="s", complete=True
    ),
}

REFERENCES: Mapping[str, Callable[[GraphStore, Any], object]] = {
    "create_identity": lambda graph, thing: graph.create_identity(thing),
    "ensure_identity_key": lambda graph, thing: graph.ensure_identity_key(thing),
    "find_by_target_key": lambda graph, thing: graph.find_by_target_key(thing),
    "update_identity": lambda graph, thing: graph.update_identity(NODE, expected_version=1, target=thing or "x"),
    "resolve": lambda graph, thing: graph.resolve(thing),
    "resolve_key": lambda graph, thing: graph.resolve_key(thing),
    "resolve_node": lambda graph, thing: graph.resolve_node(thing),
    "load_node": lambda graph, thing: graph.load_node(thing),
    "previews": lambda graph, thing: graph.previews([thing]),
    "add_reference_edges": lambda graph, thing: graph.add_reference_edges([ReferenceEdge(thing, NODE)]),
    "remove_reference_edges": lambda graph, thing: graph.remove_reference_edges([ReferenceEdge(NODE, thing)]),
    "reference_edges": lambda graph, thing: graph.reference_edges(thing or "x"),
    "add_items": lambda graph, thing: graph.add_items("list", [thing]),
    "remove_items": lambda graph, thing: graph.remove_items("list", [thing]),
    "move_item": lambda graph, thing: graph.move_item("list", thing, 0),
}

KEYS: Mapping[str, Callable[[GraphStore, Any], object]] = {
    "ensure_identity_keys": lambda graph, thing: graph.ensure_identity_keys([thing]),
    "identities_of": lambda graph, thing: graph.identities_of([thing]),
    "retype": lambda graph, thing: graph.retype(thing, KEY),
    "retype to": lambda graph, thing: graph.retype(KEY, thing),
}

NODES: Mapping[str, Callable[[GraphStore, Any], object]] = {
    "identity": lambda graph, thing: graph.identity(thing),
    "identities": lambda graph, thing: graph.identities(after=thing or "x"),
    "delete_identity": lambda graph, thing: graph.delete_identity(thing, expected_version=1),
    "update_identity": lambda graph, thing: graph.update_identity(thing, expected_version=1, target=KEY),
    "create_identity": lambda graph, thing: graph.create_identity(KEY, key=thing or "x"),
}

NO_THINGS = {
    *("refresh_reference_edges", "migrate_collections", "collections", "whole"),
    *("collection", "create_collection", "delete_collection", "items", "preview_collection"),
}
"""What is asked for nothing, or for a slug: see the tests of input."""

OF_ENTITIES = {"name_of", "merge", "open_staging", "lease", "delivery"}


def looks_alike(lake: Lake) -> list[object]:
    """Values that somebody could hand in for the dataset `orders`, which is there."""
    entity = lake.entity("orders")
    return [str(lake.key("orders")), entity.id.value, str(entity.id), uuid4(), "orders", 7, None, b"orders"]


@pytest.mark.parametrize("call", STORE.values(), ids=STORE)
def test_the_metadata_store_takes_nothing_that_only_looks_like_a_key(
    lake: Lake, counts: Counts, call: Callable[[MetadataStore, Any], object]
) -> None:
    lake.datasets("orders")
    before = counts()
    for thing in looks_alike(lake):
        with pytest.raises(Refused):
            call(lake.store, thing)
    assert counts() == before


@pytest.mark.parametrize("name", STORE)
def test_the_calls_above_are_right_but_for_what_they_are_given(lake: Lake, name: str) -> None:
    lake.datasets("orders")
    thing: object = lake.entity("orders") if name in OF_ENTITIES else lake.key("orders")
    if name == "delivery":
        thing = lake.entity("orders").id
    try:
        STORE[name](lake.store, thing)
    except MetadataError as error:
        # A thing is not merged into itself; what was never published is not pinned and goes nowhere.
        assert name in {"merge", "pin", "rollback"}, error  # noqa: PT017


@pytest.mark.parametrize("call", GRAPH.values(), ids=GRAPH)
def test_the_graph_store_takes_nothing_that_only_looks_like_an_entity(
    lake: Lake, counts: Counts, call: Callable[[GraphStore, Any], object]
) -> None:
    lake.datasets("orders")
    graph = GraphStore(lake.store.sessions)
    before = counts()
    for thing in [*looks_alike(lake), lake.key("orders"), lake.entity("orders").id]:
        with pytest.raises(Refused):
            call(graph, thing)
    assert counts() == before


def of_the_graph(*tables: Mapping[str, Callable[[GraphStore, Any], object]]) -> pytest.MarkDecorator:
    calls = {f"{name} {number}": call for number, table in enumerate(tables) for name, call in table.items()}
    return pytest.mark.parametrize("call", calls.values(), ids=calls)


@of_the_graph(REFERENCES, KEYS, NODES)
def test_what_only_looks_like_a_reference_is_refused_before_the_database_is_asked(
    lake: Lake, counts: Counts, call: Callable[[GraphStore, Any], object]
) -> None:
    lake.datasets("orders")
    graph = GraphStore(lake.store.sessions)
    graph.create_collection("list", name="list")
    before = counts()
    for thing in [*looks_alike(lake), lake.entity("orders"), lake.entity("orders").id, str(NODE)]:
        with pytest.raises(TypeError):
            call(graph, thing)
    assert counts() == before


@of_the_graph(KEYS)
def test_a_node_is_no_key(lake: Lake, call: Callable[[GraphStore, Any], object]) -> None:
    with pytest.raises(TypeError):
        call(GraphStore(lake.store.sessions), NODE)


@of_the_graph(NODES)
def test_a_key_is_no_node(lake: Lake, call: Callable[[GraphStore, Any], object]) -> None:
    with pytest.raises(TypeError):
        call(GraphStore(lake.store.sessions), KEY)


@pytest.mark.parametrize("name", ["CHAIR", "VIEW", 7])
def test_only_an_asset_type_is_one(lake: Lake, name: Any) -> None:
    with pytest.raises(TypeError):
        GraphStore(lake.store.sessions).retype(KEY, KEY, new_type=name)


def test_every_method_of_the_graph_store_is_in_a_table() -> None:
    methods = {name for name in dir(GraphStore) if not name.startswith("_") and callable(getattr(GraphStore, name))}
    assert methods - NO_THINGS <= {*GRAPH, *REFERENCES, *KEYS, *NODES}
    assert methods >= NO_THINGS


def test_a_read_of_something_that_is_no_entity_is_not_recorded(lake: Lake) -> None:
    lake.datasets("orders", "totals")
    for thing in looks_alike(lake):
        with pytest.raises(Refused):
            lake.commit(lake.staged("totals"), reads={None: [Read(asset=thing)]})  # type: ignore[arg-type]
    assert lake.store.materializations(lake.key("totals")) == []


def test_an_entity_cannot_be_given_an_id(lake: Lake) -> None:
    for thing in (uuid4(), str(UUID(int=1)), lake.entity("orders").id):
        with pytest.raises(TypeError):
            Entity(lake.store.tenant, lake.key("orders"), thing)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Entity(lake.store.tenant.value, lake.key("orders"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Entity(lake.store.tenant, str(lake.key("orders")))  # type: ignore[arg-type]


def test_a_staged_delivery_keeps_to_its_dataset(lake: Lake) -> None:
    lake.datasets("orders")
    entity = lake.entity("orders")
    with pytest.raises(TypeError):
        Staged(
            delivery=Delivery(entity.tenant, entity.id.value, None, Intent("key", "k"), "result"),  # type: ignore[arg-type]
            location=None,
            manifest_sha256=None,
            row_count=None,
            byte_count=None,
            data_version=None,
        )
