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
from resources.graph.edges import Link
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
    "current": lambda store, thing: store.current(thing),
    "open_staging": lambda store, thing: store.open_staging(
        attempt(), {(thing, None): "a/place"}, ttl=timedelta(hours=1)
    ),
    "delivery": lambda store, thing: Delivery(store.tenant, thing, None, Intent("key", "k"), "result"),
}

GRAPH: Mapping[str, Callable[[GraphStore, Any], object]] = {
    "lineage": lambda graph, thing: graph.lineage(thing, "up"),
    "link": lambda _graph, thing: Link(thing, thing),
}

OF_ENTITIES = {"name_of", "merge", "open_staging", "delivery"}


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
        assert name == "merge", error  # noqa: PT017 - a thing is not merged into itself


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
