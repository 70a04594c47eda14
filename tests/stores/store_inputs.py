"""What tests put into the stores: datasets of one endpoint, and attempts that deliver partitions of them."""

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Committed, Read, Staged
from resources.postgres.session import Row, Session

_tokens = itertools.count(1)

Look = Callable[..., list[Row]]
Counts = Callable[[], Row]


def attempt(*, token: int | None = None) -> Attempt:
    """An attempt that started after all others, unless its token says otherwise."""
    token = next(_tokens) if token is None else token
    return Attempt(id=uuid.uuid4(), run_id="run", step_key="step", retry_number=0, fencing_token=token)


@dataclass(frozen=True, slots=True)
class Lake:
    """An endpoint with datasets."""

    store: MetadataStore
    endpoint: str

    def key(self, name: str) -> CanonicalKey:
        return dataset_key(self.endpoint, schema="nyc", table=name)

    def entity(self, name: str) -> Entity:
        return self.store.entity(self.key(name))

    def datasets(self, *names: str) -> None:
        """Register datasets."""
        self.store.register_datasets((self.asset(name), "manually") for name in names)

    def assets(self, *names: str) -> None:
        """Register assets that we only observe."""
        self.store.register_assets(map(self.asset, names))

    def asset(self, name: str) -> Asset:
        return Asset(key=self.key(name), type=AssetType.DATASET)

    def rename(self, **names: str) -> dict[str, str]:
        """Rename by own names; what was renamed to what."""
        renamed = {self.key(was): self.key(now) for was, now in names.items()}
        return {one.was.table: one.now.table for one in self.store.rename(renamed, reason="because")}

    def name_of(self, entity: Entity) -> str:
        return self.store.name_of(entity).table

    def staged(
        self,
        name: str,
        partition: str | None = None,
        *,
        intent: str = "first",
        data: str | None = None,
        location: str | None = None,
        rows: int = 1,
    ) -> Staged:
        """A delivery whose digests follow from `data`."""
        entity = self.entity(name)
        return Staged(
            delivery=Delivery(entity.tenant, entity.id, partition, Intent("key", intent), "result"),
            location=location,
            manifest_sha256=(data or "data").encode().ljust(32, b"."),
            row_count=rows,
            byte_count=2 * rows,
            data_version=data or "data",
            metadata={"note": intent},
        )

    def commit(
        self,
        *staged: Staged,
        by: Attempt | None = None,
        token: int | None = None,
        reads: Mapping[str | None, Sequence[Read]] | None = None,
    ) -> list[Committed]:
        return self.store.commit(by or attempt(token=token), staged, reads or {})

    def committed(self, name: str, partition: str | None = None, *, intent: str, token: int | None = None) -> uuid.UUID:
        """The id of a new materialization."""
        (one,) = self.commit(self.staged(name, partition, intent=intent), token=token)
        assert not one.replayed
        return one.materialization_id

    def lease(self, by: Attempt, staged: Iterable[tuple[str, Staged]]) -> None:
        """Open staging for deliveries of the named datasets at their locations."""
        locations = {(self.entity(name), one.delivery.partition): str(one.location) for name, one in staged}
        self.store.open_staging(by, locations, ttl=timedelta(hours=1))


def names_read(session: Session) -> Counter[str]:
    """How often this connection read the names: whole, by an index, and how many rows by an index."""
    (row,) = session.rows(
        "SELECT seq_scan, idx_scan, idx_tup_fetch FROM pg_stat_xact_all_tables WHERE relid = 'metadata.alias'::regclass"
    )
    return Counter(row)


def rows_read(store: MetadataStore, look: Look, *tables: str) -> int:
    """How many rows of these tables were read so far, whole or by an index, by whoever."""
    look("SELECT pg_stat_force_next_flush()")  # or what this connection has read so far is told up to a minute later
    with store.session() as session:  # the one connection of the pool
        session.rows("SELECT pg_stat_force_next_flush()")
    (row,) = look(
        """SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS rows FROM pg_stat_all_tables
        WHERE schemaname = 'metadata' AND relname = ANY (%s)""",
        list(tables),
    )
    return int(row["rows"])


def database_time(look: Look) -> datetime:
    (row,) = look("SELECT clock_timestamp() AS now")
    moment: datetime = row["now"]
    return moment


def waits(look: Look, work: Future[Any]) -> bool:
    """Whether work in a thread comes to wait for a lock; False when it ends without."""
    statement = """SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not work.done():
        if look(statement):
            return True
        time.sleep(0.01)
    return False
