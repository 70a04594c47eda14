"""What tests do with a warehouse: write, publish, look at its views."""

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pyarrow as pa

from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import CanonicalKey, dataset_key
from resources.locations import location
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Staged
from resources.storage import Writing
from resources.tables.store import TableStorage
from resources.tables.switching import Settled, settle

_tokens = itertools.count(1)


@dataclass(frozen=True)
class Warehouse:
    """One endpoint: what writes it, and a connection of somebody who looks at it."""

    store: MetadataStore
    endpoint: str
    schema: str
    url: str = field(repr=False)
    connection: psycopg.Connection[Any]
    database: str = "data"

    @property
    def tables(self) -> TableStorage:
        return TableStorage(self.endpoint, lambda: self.url, self.store)

    def key(self, name: str) -> CanonicalKey:
        return dataset_key(self.endpoint, schema=self.schema, table=name, source=self.database)

    def entity(self, name: str = "flights") -> Entity:
        key = self.key(name)
        self.store.register_datasets([(Asset(key=key, type=AssetType.DATASET), "manually")])
        return self.store.entity(key)

    def stage(
        self, value: object, partition: str | None = None, *, name: str = "flights", intent: str = ""
    ) -> tuple[Attempt, Staged]:
        """Lease a place and write there, as a step does."""
        entity, tables = self.entity(name), self.tables
        attempt = Attempt(id=uuid.uuid4(), run_id="run", step_key="step", retry_number=0, fencing_token=next(_tokens))
        delivery = Delivery(entity.tenant, entity.id, partition, Intent("key", intent or str(attempt.id)), "result")
        path = tables.path_of(entity, partition, attempt)
        at = location(self.endpoint, path)
        self.store.open_staging(attempt, {(entity, partition): at}, ttl=timedelta(hours=1))
        writing = Writing(
            entity=entity, partition=partition, attempt=attempt, materialization_id=delivery.materialization_id
        )
        written = tables.write(path, value, writing)
        return attempt, Staged(
            delivery=delivery,
            location=at,
            manifest_sha256=written.manifest_sha256,
            row_count=written.row_count,
            byte_count=written.byte_count,
            data_version=written.data_version,
        )

    def commit(self, value: object, partition: str | None = None, *, name: str = "flights") -> uuid.UUID:
        attempt, staged = self.stage(value, partition, name=name)
        (committed,) = self.store.commit(attempt, [staged], {})
        return committed.materialization_id

    def publish(self, *materializations: uuid.UUID) -> None:
        self.store.publish(materializations)

    def settle(self, **options: Any) -> Settled:
        return settle(self.tables, **options)

    def show(self, value: object, partition: str | None = None, *, name: str = "flights") -> Settled:
        """Write, publish and switch."""
        self.publish(self.commit(value, partition, name=name))
        settled = self.settle()
        for one in settled.refused:
            raise one.error
        return settled

    def view(self, name: str = "flights") -> str:
        return f'"{self.schema}"."{name}"'

    def rows(self, name: str = "flights") -> list[tuple[Any, ...]]:
        """What a reader of the view gets."""
        return self.ask(f"SELECT * FROM {self.view(name)} ORDER BY 1, 2")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def columns(self, name: str = "flights") -> dict[str, str]:
        return dict(
            self.ask(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                f" WHERE attrelid = '{self.view(name)}'::regclass AND attnum > 0 ORDER BY attnum"
            )
        )

    def read(self, name: str = "flights") -> Mapping[str | None, pa.Table]:
        """The published version, as a step reads it."""
        found = {}
        for one in self.store.current(self.entity(name).key):
            assert one.location is not None
            assert one.manifest_sha256 is not None
            path = one.location.partition(":")[2]
            found[one.partition] = self.tables.read(path, one.manifest_sha256)
        return found


def flights(*numbers: int, **columns: Any) -> pa.Table:
    """Rows that are told apart by a number."""
    more = {name: pa.array([value] * len(numbers)) for name, value in columns.items()}
    return pa.table({"number": pa.array(numbers, pa.int64()), "carrier": ["AA"] * len(numbers), **more})
