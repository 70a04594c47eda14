"""A dataset that is written as the I/O manager writes it, and the collection of its garbage."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from upath import UPath

from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import dataset_key
from resources.collecting import Collected, Collector
from resources.files import places, staging
from resources.files.marking import claim, present_root
from resources.locations import location, place
from resources.metadata.garbage import Garbage, Retention
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Committed, Staged
from resources.postgres.session import Row
from resources.storage import FileStorage

ENDPOINT = "lake"
EAGER = Retention(versions=1, time=timedelta(0))
Look = Callable[..., list[Row]]
_numbers = itertools.count()


@dataclass(frozen=True)
class World:
    """A store, a place for files, a dataset."""

    store: MetadataStore
    root: UPath
    look: Look
    dataset: Entity

    @classmethod
    def of(cls, store: MetadataStore, root: UPath, look: Look) -> "World":
        key = dataset_key(ENDPOINT, schema="s", table=f"t{next(_numbers)}")
        store.register_datasets([(Asset(key=key, type=AssetType.DATASET), "manually")])
        claim(ENDPOINT, root)
        return cls(store, root, look, store.entity(key))

    def attempt(self) -> Attempt:
        token = self.store.next_fencing_token()
        return Attempt(id=uuid.uuid4(), run_id=f"r{token}", step_key="s", retry_number=0, fencing_token=token)

    def stage(self, value: Any, partition: str | None = None, *, by: Attempt, intent: str | None = None) -> Staged:
        """Lease a place and write there."""
        path = staging.path_of(self.dataset.id, partition, by)
        at = location(ENDPOINT, path)
        self.store.open_staging(by, {(self.dataset, partition): at}, ttl=timedelta(hours=1))
        written = staging.write(self.root / path, value)
        made = Intent("key", intent or str(by.id))
        return Staged(
            delivery=Delivery(self.dataset.tenant, self.dataset.id, partition, made, "result"),
            location=at,
            manifest_sha256=written.manifest_sha256,
            row_count=written.row_count,
            byte_count=written.byte_count,
            data_version=written.data_version,
        )

    def commit(self, value: Any, partition: str | None = None, *, intent: str | None = None) -> Committed:
        by = self.attempt()
        (one,) = self.store.commit(by, [self.stage(value, partition, by=by, intent=intent)], {})
        return one

    def publish(self, value: Any, partition: str | None = None) -> Committed:
        one = self.commit(value, partition)
        self.store.publish([one.materialization_id])
        return one

    def read(self, one: Any) -> Any:
        return staging.read(self.folder_of(one.location), one.manifest_sha256)

    def folder_of(self, at: str) -> UPath:
        endpoint, path = place(at)
        return present_root(endpoint, self.root) / path

    def storage_of(self, endpoint: str) -> FileStorage:
        return FileStorage(endpoint, self.root)

    def collect(self, retention: Retention = EAGER, **options: Any) -> Collected:
        return self.collector(**options).collect([self.dataset], retention)

    def collector(self, **options: Any) -> Collector:
        return Collector(Garbage(self.store.sessions), self.storage_of, **options)

    def garbage(self) -> list[uuid.UUID]:
        """What a look at this dataset finds."""
        found = Garbage(self.store.sessions).look(self.dataset, EAGER).garbage
        return [one.materialization_id for one in found]

    def condemn(self) -> int:
        """Condemn what a look finds; how much that is."""
        return len(Garbage(self.store.sessions).condemn(self.dataset, EAGER, self.garbage()))

    def folders(self) -> set[str]:
        """The locations that have files of this dataset."""
        here = f"{self.dataset.id}"
        return {
            location(ENDPOINT, f"{here}/{one.path.rpartition('/')[0]}") for one in places.files_below(self.root / here)
        }

    def expire(self) -> None:
        """Let the leases of this dataset end."""
        self.look(
            "UPDATE metadata.staging_lease SET expires_at = clock_timestamp() - interval '1s' WHERE dataset_id = %s",
            self.dataset.id.value,
        )

    def leases(self) -> list[str]:
        rows = self.look(
            "SELECT location FROM metadata.staging_lease WHERE dataset_id = %s ORDER BY 1", self.dataset.id.value
        )
        return [row["location"] for row in rows]

    def states(self) -> dict[uuid.UUID, str]:
        rows = self.look(
            """SELECT c.materialization_id, c.state FROM metadata.condemned c
            JOIN metadata.materialization m USING (tenant_id, materialization_id) WHERE m.dataset_id = %s""",
            self.dataset.id.value,
        )
        return {row["materialization_id"]: row["state"] for row in rows}
