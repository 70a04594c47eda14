"""Endpoints in the store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from resources.metadata_store import MetadataStore
from resources.models import Endpoint
from tests.collection.conftest import contents

JFK = Endpoint(slug="jfk", system="postgres", attributes={"database": "jfk"})
LAKE = Endpoint(slug="lake", system="files")


def test_registering_again_writes_nothing(store: MetadataStore, metadata_url: str) -> None:
    assert store.register_endpoints([JFK, LAKE]) == 2
    before = contents(metadata_url)
    assert store.register_endpoints([LAKE, JFK]) == 0
    assert store.register_endpoints([]) == 0
    assert contents(metadata_url) == before, "not even a row lock"
    assert store.endpoints() == [JFK, LAKE]


def test_attributes_may_change_and_identity_does_not(store: MetadataStore, metadata_url: str) -> None:
    store.register_endpoints([JFK])
    moved = Endpoint(slug="jfk", system="postgres", attributes={"url": "env:JFK"})
    assert store.register_endpoints([JFK, LAKE, moved]) == 2
    assert store.endpoint("jfk") == moved
    assert len(contents(metadata_url)["endpoint"]) == 2


def test_an_unknown_endpoint_is_none(store: MetadataStore) -> None:
    assert store.endpoint("nowhere") is None


def test_endpoints_of_other_tenants_are_not_seen(open_store: Callable[..., MetadataStore]) -> None:
    open_store("default").register_endpoints([JFK])
    other = open_store("other")
    assert other.endpoint("jfk") is None
    assert other.register_endpoints([JFK]) == 1


def test_processes_that_start_at_once_register_an_endpoint_once(open_store: Callable[..., MetadataStore]) -> None:
    """The table has two unique keys; `ON CONFLICT (one of them) DO UPDATE` breaks on the other one here."""
    stores = [open_store() for _ in range(4)]
    together = Barrier(4)

    def register(store: MetadataStore) -> list[int]:
        written = []
        for number in range(300):
            together.wait(timeout=60)
            written.append(store.register_endpoints([Endpoint(slug=f"e{number}", system="files")]))
        return written

    with ThreadPoolExecutor(4) as pool:
        rounds = zip(*pool.map(register, stores), strict=True)
        assert all(sorted(written) == [0, 0, 0, 1] for written in rounds)
