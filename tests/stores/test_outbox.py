"""The outbox: a subscriber hears every event once, in the order in which things were decided."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy.engine import make_url
from store_inputs import Lake

from resources.metadata_store import MetadataStore
from resources.postgres.session import Row

_EVENT = "INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (%s, %s, 'test', '{}')"


class Subscriber:
    """Reads as the relay does, from where it stopped the last time."""

    def __init__(self, url: str) -> None:
        self.url, self.xid, self.seq = url, "0", 0

    def hear(self, limit: int = 1000) -> list[Row]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            statement = "SELECT xid::text, seq, event_id, payload FROM metadata.outbox_after(%s::xid8, %s, %s)"
            events = connection.execute(statement, (self.xid, self.seq, limit)).fetchall()
        if events:
            self.xid, self.seq = events[-1]["xid"], events[-1]["seq"]
        return events


@pytest.fixture
def relay_url(stores_url: str) -> str:
    return make_url(stores_url).set(username="metadata_relay").render_as_string()


@pytest.fixture
def subscriber(relay_url: str) -> Subscriber:
    """One that has heard everything that happened before."""
    fresh = Subscriber(relay_url)
    while fresh.hear():
        pass
    return fresh


@contextmanager
def owner(url: str, lake: Lake) -> Iterator[psycopg.Connection]:
    """A transaction of the tables' owner, for this tenant."""
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL ROLE metadata_owner")
        tenant = str(lake.store.tenant)
        connection.execute(
            "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', 'x', true)", (tenant,)
        )
        yield connection


def test_an_event_committed_late_is_heard_all_the_same(lake: Lake, stores_url: str, subscriber: Subscriber) -> None:
    """It has the smaller number: whoever reads on from the largest number seen would never hear it."""
    lake.datasets("delays")
    late = uuid.uuid4()
    with owner(stores_url, lake) as connection:
        connection.execute(_EVENT, (lake.store.tenant.value, late))
        committed = lake.committed("delays", intent="first")
        assert subscriber.hear() == []
    assert [event["event_id"] for event in subscriber.hear()] == [late, committed]
    assert subscriber.hear() == []


def test_pages_join_without_loss_or_overlap(lake: Lake, subscriber: Subscriber) -> None:
    lake.datasets("delays")
    ids = [lake.committed("delays", f"p{number}", intent="first") for number in range(7)]
    pages = [subscriber.hear(limit=3) for _ in range(4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert [event["event_id"] for page in pages for event in page] == ids


def test_the_events_of_one_transaction_keep_their_order(lake: Lake, stores_url: str, subscriber: Subscriber) -> None:
    ids = [uuid.uuid4() for _ in range(5)]
    with owner(stores_url, lake) as connection:
        for one in ids:
            connection.execute(_EVENT, (lake.store.tenant.value, one))
    assert [event["event_id"] for event in subscriber.hear()] == ids


def test_whoever_waits_for_a_dataset_is_heard_after_whom_it_waited_for(
    lake: Lake,
    stores_url: str,
    subscriber: Subscriber,
    open_store: Callable[..., MetadataStore],
    look: Callable[..., list[Row]],
) -> None:
    """The first publish is held up at the one dataset while the second one gets the other dataset they share."""
    blocked, shared = sorted(("flights", "weather"), key=lambda name: lake.entity(name).id)
    lake.datasets(blocked, shared)
    first = [lake.committed(name, "p", intent="first") for name in (blocked, shared)]
    second = lake.committed(shared, "q", intent="second")

    def waiting(count: int) -> None:
        statement = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while look(statement)[0]["n"] < count:
            pass

    def publish(ids: list[UUID]) -> None:
        open_store().publish(ids)

    with ThreadPoolExecutor(2) as pool:
        with owner(stores_url, lake) as connection:
            statement = "SELECT 1 FROM metadata.dataset WHERE dataset_id = %s FOR UPDATE"
            connection.execute(statement, (lake.entity(blocked).id.value,))
            one = pool.submit(publish, first)
            waiting(1)
            other = pool.submit(publish, [second])
            for _ in range(100):  # it waits for the first one, or overtakes it
                if other.done() or look("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")[0]["n"] > 1:
                    break
        one.result(timeout=60)
        other.result(timeout=60)
    told = [event["payload"] for event in subscriber.hear() if event["payload"].get("version")]
    versions = [payload["version"] for payload in told if payload["dataset_id"] == str(lake.entity(shared).id)]
    assert versions == [1, 2]


def test_the_relay_hears_all_tenants_and_reads_nothing_else(
    lake: Lake, relay_url: str, subscriber: Subscriber, open_store: Callable[..., MetadataStore]
) -> None:
    other = Lake(open_store("other"), lake.endpoint)
    for one in (lake, other):
        one.datasets("delays")
        one.committed("delays", intent="first")
    assert len(subscriber.hear()) == 2
    with psycopg.connect(relay_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT * FROM metadata.materialization")


def test_the_app_is_no_subscriber(store: MetadataStore) -> None:
    with pytest.raises(Exception, match="permission denied for function outbox_after"), store.session() as session:
        session.rows("SELECT * FROM metadata.outbox_after('0', 0, 1)")
