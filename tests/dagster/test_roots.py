"""What a step does where the root of an endpoint is not there, and where nothing was stored at all."""

import uuid
from pathlib import Path

import dagster as dg
import pytest

from identity.idempotency import Delivery, Intent
from identity.keys import dataset_key
from metadata_assets.datasets import key_of
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.writing import CommittedValues, stored
from resources.configurable import EndpointConfig, MetadataResource
from resources.files.marking import MARKER, RootNotMarked, RootNotThere
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Staged
from resources.reading import RecordedOnly


@dg.asset
def numbers() -> int:
    return 1


@dg.asset
def read(numbers: int) -> int:
    return numbers


def test_a_step_writes_and_loses_nothing_while_a_disk_is_away(
    instance: dg.DagsterInstance, environment: dict[str, str], tmp_path: Path
) -> None:
    assert environment
    key, disk = key_of(numbers.key, None), tmp_path / "disk"
    metadata = MetadataResource(endpoints={key.endpoint: EndpointConfig(system="files", root=str(disk))})
    resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}
    assert dg.materialize([numbers, read], instance=instance, resources=resources).success
    assert (disk / MARKER).exists()
    before = metadata.store().materializations(key)
    disk.rename(tmp_path / "unplugged")
    disk.mkdir()
    with pytest.raises(RootNotMarked, match="mount what belongs there"):
        dg.materialize([numbers], instance=instance, resources=resources)
    with pytest.raises(RootNotThere):
        dg.materialize([numbers, read], instance=instance, resources=resources, selection=[read])
    assert metadata.store().materializations(key) == before
    assert list(disk.iterdir()) == []
    disk.rmdir()
    (tmp_path / "unplugged").rename(disk)
    assert dg.materialize([numbers, read], instance=instance, resources=resources).success


def test_what_is_only_recorded_says_so_to_steps_and_checks(metadata: MetadataResource) -> None:
    store: MetadataStore = metadata.store()
    key = dataset_key("elsewhere", schema="s", table="t")
    store.register_datasets([(Asset(key=key, type=AssetType.DATASET), "manually")])
    entity = store.entity(key)
    staged = Staged(
        delivery=Delivery(entity.tenant, entity.id, None, Intent("key", "one"), "result"),
        location=None,
        manifest_sha256=None,
        row_count=1,
        byte_count=1,
        data_version="1",
    )
    by = Attempt(id=uuid.uuid4(), run_id="r", step_key="s", retry_number=0, fencing_token=store.next_fencing_token())
    (committed,) = store.commit(by, [staged], {})
    store.publish([committed.materialization_id])
    (current,) = store.current(key)
    for one in (committed, current):
        with pytest.raises(RecordedOnly, match="recorded, not stored by us"):
            stored(metadata, one)
    with pytest.raises(RecordedOnly):
        CommittedValues(metadata, {None: committed})[None]
