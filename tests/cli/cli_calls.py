"""What the tests of the command line call and fill."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from identity.idempotency import Delivery, Intent
from identity.ids import Entity
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, PublishPolicy, Read, Staged

JFK_FLIGHTS = dataset_key("jfk", source="jfk", schema="public", table="flights")
JFK_WEATHER = dataset_key("jfk", source="jfk", schema="public", table="weather")
FLIGHTS = dataset_key("lake", schema="nyc", table="flights")
WEATHER = dataset_key("lake", schema="nyc", table="weather")
DELAYS = dataset_key("lake", schema="nyc", table="daily_delays")
MONTH = dataset_key("lake", schema="nyc", table="carrier_month")
DAYS = ("2013-01-14", "2013-01-15")

EDGES = ((FLIGHTS, JFK_FLIGHTS), (WEATHER, JFK_WEATHER), (DELAYS, FLIGHTS), (DELAYS, WEATHER), (MONTH, DELAYS))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout, which must be all that is there."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The document on stderr."""
        return json.loads(self.err)


Run = Callable[..., Answer]
Call = Callable[..., Answer]


def program(*arguments: str, environ: Mapping[str, str], timeout: float = 120) -> Answer:
    """Run the command line as people do: a program of its own, with nothing else in its environment."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "metadata_assets.cli", *arguments],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Writer:
    """Puts datasets and materializations into a store, as the I/O manager does."""

    def __init__(self, store: MetadataStore) -> None:
        self.store = store

    def dataset(self, key: CanonicalKey, policy: PublishPolicy = "immediately") -> Entity:
        """Declare a dataset."""
        self.store.register_datasets([(Asset(key=key, type=AssetType.DATASET), policy)])
        return self.store.entity(key)

    def source(self, key: CanonicalKey) -> Entity:
        """Make a source table known."""
        self.store.register_assets([Asset(key=key, type=AssetType.TABLE, description="as collected")])
        return self.store.entity(key)

    def stage(self, key: CanonicalKey, partition: str | None, *, ttl: timedelta = timedelta(hours=1)) -> Attempt:
        """Take a lease."""
        token = self.store.next_fencing_token()
        attempt = Attempt(id=uuid4(), run_id=f"run-{token}", step_key=key.table, retry_number=1, fencing_token=token)
        location = f"{key.endpoint}:{key.table}/{partition}/{attempt.id}"
        self.store.open_staging(attempt, {(self.store.entity(key), partition): location}, ttl=ttl)
        return attempt

    def write(
        self,
        key: CanonicalKey,
        partition: str | None,
        *reads: Read,
        rows: int = 10,
        publish: bool = True,
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """Materialize one partition because of a new intent."""
        attempt = self.stage(key, partition)
        entity = self.store.entity(key)
        intent = Intent("run", attempt.run_id)
        staged = Staged(
            delivery=Delivery(entity.tenant, entity.id, partition, intent, "result"),
            location=f"{key.endpoint}:{key.table}/{partition}/{attempt.id}",
            manifest_sha256=b"\x01" * 32,
            row_count=rows,
            byte_count=rows * 100,
            data_version=f"data-{attempt.fencing_token}",
            code_version="7",
            metadata=metadata or {},
        )
        (committed,) = self.store.commit(attempt, [staged], {partition: reads})
        if publish:
            self.store.publish([committed.materialization_id])
        return committed.materialization_id

    def read(self, key: CanonicalKey, partition: str | None) -> Read:
        """What a reader of the published version records."""
        (found,) = self.store.current(key, [partition])
        return Read(
            asset=self.store.entity(key),
            partition=partition,
            materialization_id=found.materialization_id,
            version=found.version,
        )


def shape(value: Any, name: str = "") -> str:
    """What documents.py writes about a document."""
    match value:
        case dict() if name not in ("metadata", "tags"):
            nested = {field: shape(item, field) for field, item in value.items()}
            return f"{{{', '.join(f'{field}: {inner}' if inner else field for field, inner in nested.items())}}}"
        case [first, *_] if isinstance(first, dict):
            return f"[{shape(first)}]"
    return ""
