"""Who changes names waits for whoever is at it, in an order that never is a circle: one transaction is held open."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import psycopg
import pytest
from store_inputs import Lake, Look

from identity.ids import Entity
from resources.metadata.aliases import rename
from resources.metadata.assets import register
from resources.metadata.planned import apply_plan
from resources.metadata.plans import Plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from resources.postgres.errors import MergeRefused
from resources.postgres.session import Session


def waits(look: Look, pid: int, running: Future[object]) -> None:
    """Returns when what runs waits for the transaction of that backend; it may not end before."""
    end = time.monotonic() + 30
    while not look("SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))", pid):
        assert not running.done(), f"it did not wait: {running.result()}"
        assert time.monotonic() < end, "it neither waits nor ends"
        time.sleep(0.01)


def merge(session: Session, loser: Entity, winner: Entity) -> None:
    """A merge in a transaction that is held open."""
    session.rows(
        "SELECT * FROM metadata.merge_entities(%(l)s::text, sha256(''), gen_random_uuid(), %(l)s, %(w)s, NULL)",
        {"l": loser.id.value, "w": winner.id.value},
    )


def test_a_merge_waits_for_whoever_writes_to_the_loser(lake: Lake, look: Look, stores_url: str) -> None:
    lake.datasets("loser", "winner")
    loser, winner = lake.entity("loser"), lake.entity("winner")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(stores_url) as writer:
        writer.execute(
            "INSERT INTO metadata.staging_lease (tenant_id, attempt_id, dataset_id, partition_key, location, run_id,"
            " step_key, expires_at) SELECT tenant_id, gen_random_uuid(), dataset_id, '', 'lake:' || gen_random_uuid(),"
            " 'r', 's', now() + '1 hour' FROM metadata.dataset WHERE dataset_id = %s",
            [loser.id.value],
        )
        merging = pool.submit(lake.store.merge, loser, winner)
        waits(look, writer.info.backend_pid, merging)
        writer.commit()
        with pytest.raises(MergeRefused, match="has data of its own"):
            merging.result(timeout=30)


def test_a_rename_waits_for_births(lake: Lake, look: Look) -> None:
    lake.assets("old")
    with ThreadPoolExecutor(1) as pool:
        with lake.store.session() as session:
            register(session, [lake.asset("born")])
            (backend,) = session.rows("SELECT pg_backend_pid() AS pid")
            renaming = pool.submit(lake.rename, old="new")
            waits(look, backend["pid"], renaming)
        assert renaming.result(timeout=30) == {"old": "new"}


def test_a_birth_waits_for_renames(lake: Lake, look: Look, open_store: Callable[..., MetadataStore]) -> None:
    lake.assets("old")
    other = Lake(open_store(), lake.endpoint)
    with ThreadPoolExecutor(1) as pool:
        with lake.store.session() as session:
            rename(session, {lake.key("old"): lake.key("new")}, reason="because")
            (backend,) = session.rows("SELECT pg_backend_pid() AS pid")
            born = pool.submit(other.assets, "born")
            waits(look, backend["pid"], born)
        born.result(timeout=30)
    assert lake.entity("born") == other.entity("born")


def test_a_declaration_that_waited_for_a_merge_is_about_the_winner(
    lake: Lake, look: Look, open_store: Callable[..., MetadataStore]
) -> None:
    """What was merged meanwhile stays closed, although it was open when the declaration looked."""
    lake.assets("loser", "winner")
    loser, winner = lake.entity("loser"), lake.entity("winner")
    declared = replace(lake.asset("loser"), description="now described")
    other = open_store()
    with ThreadPoolExecutor(1) as pool:
        with lake.store.session() as session:
            merge(session, loser, winner)
            (backend,) = session.rows("SELECT pg_backend_pid() AS pid")
            declaring = pool.submit(other.register_datasets, [(declared, "immediately")])
            waits(look, backend["pid"], declaring)
        assert declaring.result(timeout=30) == 2
    assert [one.key.table for one in lake.store.datasets() if one.key.endpoint == lake.endpoint] == ["winner"]
    assert lake.store.presence(loser)[1] is not None
    assert lake.store.asset(lake.key("winner")).description == "now described"
    assert lake.committed("loser", intent="first"), "what is written to the name belongs to the winner"
    assert lake.rename(winner="loser") == {"winner": "loser"}


@pytest.mark.parametrize("called", ["now", "before"])
def test_what_a_collection_closed_meanwhile_comes_back_by_its_own_name_only(
    lake: Lake, look: Look, open_store: Callable[..., MetadataStore], called: str
) -> None:
    """A declaration found it open, and then waited for its row."""
    lake.assets("before")
    lake.rename(before="now")
    thing = lake.entity("now")
    declared = replace(lake.asset(called), description="now described")
    other = open_store()
    with ThreadPoolExecutor(1) as pool:
        with lake.store.session() as session:
            session.count(
                "UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE asset_id = %(id)s",
                {"id": thing.id.value},
            )
            (backend,) = session.rows("SELECT pg_backend_pid() AS pid")
            declaring = pool.submit(other.register_assets, [declared])
            waits(look, backend["pid"], declaring)
        declaring.result(timeout=30)
    assert (lake.store.presence(thing)[1] is None) == (called == "now")


def test_a_rename_locks_things_in_the_order_of_their_ids(lake: Lake, look: Look, stores_url: str) -> None:
    """The first name is of the higher id: whoever holds the lower one may still take the higher one."""
    names = next((f"a{n}", f"b{n}") for n in count() if lake.entity(f"a{n}").id > lake.entity(f"b{n}").id)
    lake.assets(*names)
    higher, lower = (lake.entity(name).id.value for name in names)
    lock = "SELECT 1 FROM metadata.asset WHERE asset_id = %s FOR NO KEY UPDATE NOWAIT"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(stores_url) as declaring:
        declaring.execute(lock, [lower])
        renaming = pool.submit(lake.rename, **{names[0]: "x", names[1]: "y"})
        waits(look, declaring.info.backend_pid, renaming)
        declaring.execute(lock, [higher])
        declaring.commit()
        assert renaming.result(timeout=30) == {names[0]: "x", names[1]: "y"}


def test_a_collection_locks_things_in_the_order_of_their_ids(lake: Lake, look: Look, stores_url: str) -> None:
    """What it changes is of the higher id, what it closes of the lower one: who declares both never is in a circle."""
    names = next((f"a{n}", f"b{n}") for n in count() if lake.entity(f"a{n}").id > lake.entity(f"b{n}").id)
    lake.store.register_endpoints([Endpoint(slug=lake.endpoint, system="postgres")])
    lake.assets(*names)
    higher, lower = (lake.entity(name).id.value for name in names)
    lock = "SELECT 1 FROM metadata.asset WHERE asset_id = %s FOR NO KEY UPDATE NOWAIT"
    changed = Asset(key=lake.key(names[0]), type=AssetType.VIEW, metadata={"relation": "view"})
    plan = Plan(
        endpoint=lake.endpoint, fingerprint="f", complete=True, changed=(changed,), closed=(lake.key(names[1]),)
    )

    def collect() -> int:
        return lake.store.sessions.perform(lambda session: apply_plan(session, plan)).assets.closed

    with ThreadPoolExecutor(1) as pool, psycopg.connect(stores_url) as declaring:
        declaring.execute(lock, [lower])
        collecting = pool.submit(collect)
        waits(look, declaring.info.backend_pid, collecting)
        declaring.execute(lock, [higher])
        declaring.commit()
        assert collecting.result(timeout=30) == 1
