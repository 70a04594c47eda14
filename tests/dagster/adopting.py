"""Projects that are adopted, and what is recorded of them, for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg
from sqlalchemy.engine import make_url

from metadata_assets import with_metadata
from metadata_assets.datasets import key_of
from metadata_assets.mirror.materialized import record_materializations
from resources.metadata_store import MetadataStore
from resources.models import Materialization
from resources.postgres.embedded import Server


def records(store: MetadataStore, name: str, partition: str | None = None) -> list[Materialization]:
    """The records of an asset, the oldest first."""
    return store.materializations(key_of(dg.AssetKey(name), None), partition=partition)[::-1]


def from_log(store: MetadataStore, instance: dg.DagsterInstance, defs: dg.Definitions) -> int:
    """Record what only the event log knows; how many records that made."""
    return record_materializations(store, instance, defs.resolve_asset_graph()).recorded


def materialized(instance: dg.DagsterInstance, *assets: Any, fails: bool = False, **resources: Any) -> dg.Definitions:
    """A project of these assets, adopted, of which everything was asked for."""
    defs = with_metadata(dg.Definitions(assets=assets, resources=resources))
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, raise_on_error=False).success is not fails
    return defs


def told(instance: dg.DagsterInstance, name: str, *runs: dg.DagsterRun) -> list[dict[str, Any]]:
    """What Dagster's events of an asset in these runs show, the oldest first."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    found = [one for run in runs for one in instance.get_records_for_run(run.run_id, of_type=kind).records]
    events = [one.event_log_entry.asset_materialization for one in found]
    return [
        {key: value.value for key, value in one.metadata.items()}
        for one in events
        if one is not None and one.asset_key == dg.AssetKey(name)
    ]


@dataclass(frozen=True)
class Outage:
    """A database that nobody can reach for a while."""

    name: str
    admin: psycopg.Connection[Any]

    def begin(self) -> None:
        self.admin.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false".encode())
        self.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self.name])

    def end(self) -> None:
        self.admin.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true".encode())


@contextmanager
def outages(server: Server, url: str) -> Iterator[Outage]:
    """Outages of the database at a URL; the last one ends with this block."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        outage = Outage(str(make_url(url).database), admin)
        try:
            yield outage
        finally:
            outage.end()


@contextmanager
def held(url: str, store: MetadataStore, name: str) -> Iterator[Callable[[], bool]]:
    """Nobody makes a version of this dataset in this block; the answer says whether somebody waits to."""
    (key,) = [one.key for one in store.datasets() if f'"{name}"' in str(one.key) or str(one.key).endswith(name)]
    with psycopg.connect(url) as connection, psycopg.connect(url, autocommit=True) as other:
        connection.execute("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 0))", [store.entity(key).id.value])

        def waited_for() -> bool:
            asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
            return other.execute(asked).fetchone() is not None

        yield waited_for
