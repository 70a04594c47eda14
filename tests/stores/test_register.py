"""Registering: everybody says what it knows, at the same time, and nobody is held up or overwritten."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from store_inputs import Counts, Lake, Look, attempt

from resources.metadata.assets import ReservedMetadata
from resources.metadata_store import MetadataStore
from resources.models import Endpoint, Read
from resources.postgres.errors import IdentityCollision


def test_registering_writes_only_what_is_new(lake: Lake, counts: Counts) -> None:
    asset = replace(lake.asset("delays"), description="minutes", metadata={"a": 1})
    assert lake.store.register_assets([asset]) == 1
    before = counts()
    assert lake.store.register_assets([asset, asset, lake.asset("delays")]) == 0
    assert counts() == before
    assert lake.store.register_assets([replace(asset, metadata={"b": 2}), lake.asset("flights")]) == 2
    assert lake.store.asset(asset.key).metadata == {"a": 1, "b": 2}


def test_what_another_one_knows_stays(lake: Lake) -> None:
    lake.store.register_assets([replace(lake.asset("delays"), description="minutes", metadata={"a": 1, "b": 1})])
    lake.store.register_assets([replace(lake.asset("delays"), metadata={"b": 2})])
    found = lake.store.asset(lake.key("delays"))
    assert (found.description, found.metadata) == ("minutes", {"a": 1, "b": 2})


def test_an_asset_finds_its_endpoint_when_that_is_registered(lake: Lake, look: Look) -> None:
    lake.assets("delays")
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="files")])
    assert lake.store.register_assets([lake.asset("delays")]) == 1
    statement = "SELECT endpoint_id IS NOT NULL AS known FROM metadata.asset WHERE asset_id = %s"
    assert look(statement, lake.entity("delays").id.value) == [{"known": True}]


def test_an_id_that_belongs_to_another_key_is_refused(lake: Lake, look: Look, counts: Counts) -> None:
    """As if two keys had one id, which the app could not write: nothing of either is overwritten."""
    taken = lake.entity("delays").id.value
    statement = """WITH bound AS (
        SELECT set_config('metadata.tenant', %s, false), set_config('metadata.actor', 'x', false))
      INSERT INTO metadata.asset
      (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
      SELECT %s, %s, 'DATASET', 'x', %s, sha256(%s), 'test' FROM bound"""
    name = f"mid1:dataset:{lake.endpoint}:~/~/x"
    look(statement, str(lake.store.tenant), lake.store.tenant.value, taken, name, name.encode())
    before = counts()
    with pytest.raises(IdentityCollision, match=f"{taken} belongs to {name}"):
        lake.assets("delays", "flights")
    assert counts() == before
    assert look("SELECT qualified_name FROM metadata.asset WHERE asset_id = %s", taken) == [{"qualified_name": name}]


@pytest.mark.parametrize("change", [{}, {"description": "changed"}])
def test_registering_does_not_wait_for_whoever_refers_to_the_asset(
    lake: Lake, stores_url: str, change: dict[str, str]
) -> None:
    """A commit holds its inputs in place until it ends; it changes nothing in them."""
    lake.datasets("delays")
    with psycopg.connect(stores_url) as connection, ThreadPoolExecutor(1) as pool:
        held = "SELECT 1 FROM metadata.{} WHERE {} = %s FOR KEY SHARE"
        for table, column in (("asset", "asset_id"), ("dataset", "dataset_id")):
            connection.execute(held.format(table, column).encode(), (lake.entity("delays").id.value,))
        asset = replace(lake.asset("delays"), **change)
        done = pool.submit(lake.store.register_datasets, [(asset, "manually")])
        assert done.result(timeout=20) == len(change)
        connection.rollback()


def test_many_that_create_the_same_assets_create_them_once(
    lake: Lake, open_store: Callable[..., MetadataStore]
) -> None:
    together = threading.Barrier(6)

    def register(store: MetadataStore) -> int:
        written = 0
        mine = Lake(store, lake.endpoint)
        for number in range(8):
            names = [f"t{number}.{one}" for one in range(20)]
            together.wait()
            written += store.register_datasets((mine.asset(name), "manually") for name in names)
        return written

    stores = [open_store() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(register, stores)) == 8 * 20 * 2


def test_registering_and_committing_at_the_same_time_never_deadlock(
    lake: Lake, open_store: Callable[..., MetadataStore], look: Look
) -> None:
    names = [f"t{number}" for number in range(12)]
    lake.datasets(*names)
    end = time.monotonic() + 1.5

    def register(store: MetadataStore) -> int:
        mine, rounds = Lake(store, lake.endpoint), 0
        while time.monotonic() < end:
            assets = [replace(mine.asset(name), description=str(uuid.uuid4())) for name in names]
            store.register_datasets((asset, "manually") for asset in assets)
            rounds += 1
        return rounds

    def commit(store: MetadataStore) -> int:
        mine, rounds = Lake(store, lake.endpoint), 0
        while time.monotonic() < end:
            shift = rounds % len(names)
            output, *inputs = names[shift:] + names[:shift]
            reads = {None: [Read(asset=mine.entity(name)) for name in inputs]}
            store.commit(attempt(), [mine.staged(output, intent=str(uuid.uuid4()))], reads)
            rounds += 1
        return rounds

    before = look("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(work, open_store()) for work in (register, register, register, commit, commit, commit)]
        assert min(one.result(timeout=60) for one in done) > 5
    assert look("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before


@pytest.mark.parametrize("word", ["merged", "moved_from", "object", "relation"])
def test_what_collections_and_merges_write_is_nobody_elses_to_say(lake: Lake, counts: Counts, word: str) -> None:
    before = counts()
    asset = replace(lake.asset("flights"), metadata={word: True})
    with pytest.raises(ReservedMetadata, match=f"have {word}"):
        lake.store.register_assets([lake.asset("weather"), asset])
    with pytest.raises(ReservedMetadata, match="call it otherwise"):
        lake.store.register_datasets([(asset, "manually")])
    assert counts() == before
