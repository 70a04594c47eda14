"""Large imports into a store that was empty: what they cost grows with what they bring, not with what is there."""

from collections.abc import Callable

import psycopg

from identity.ids import tenant_id
from resources.metadata_store import MetadataStore
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from tests.importers.lineage_events import event, imported

EVENTS = 600
_READ = "SELECT sum(idx_tup_read) FROM pg_stat_all_indexes WHERE schemaname = 'metadata' AND relname = ANY (%s)"
_COUNTED = """SELECT count(*) FROM pg_class
  WHERE relnamespace = 'metadata'::regnamespace AND reltuples > 0 AND relname = ANY (%s)"""
TABLES = ["job", "task", "task_attempt", "run_dataset"]


def table(number: int) -> dict[str, object]:
    return {"namespace": "postgres://db:5432", "name": f"db.public.t{number}"}


def test_each_batch_looks_up_its_own_runs_and_not_those_before(make_database: Callable[..., str]) -> None:
    """Planned without statistics, every look-up goes through all runs of the tenant."""
    url = make_database(migrated=True)
    engine = app_engine(url)
    store = MetadataStore(Sessions(engine, tenant_id("default"), "test"))
    told = [
        event(run=f"r{number}", job=f"j{number % 5}", inputs=[table(number % 7)], outputs=[table(number % 11 + 7)])
        for number in range(EVENTS)
    ]
    assert sum(batch.events for batch in imported(store, told, batch=120)) == EVENTS
    engine.dispose()  # a server process that ends tells what it read
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(0.3)")
        read = connection.execute(_READ, [TABLES]).fetchall()[0][0]
        assert connection.execute(_COUNTED, [TABLES]).fetchall() == [(len(TABLES),)]
    assert read < 60 * EVENTS
