"""What docs/versions.md tells people to write works, in its order, on one store."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from identity.idempotency import Delivery, Intent
from identity.keys import CanonicalKey, dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Attempt, Read, Staged

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "versions.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
DELAYS, CARRIERS = (dataset_key("lake", schema="nyc", table=name) for name in ("delays", "carriers"))


def made(store: MetadataStore, key: CanonicalKey, partition: str | None, *reads: Read) -> uuid.UUID:
    entity = store.entity(key)
    staged = Staged(
        delivery=Delivery(entity.tenant, entity.id, partition, Intent("key", str(uuid.uuid4())), "result"),
        location=None,
        manifest_sha256=None,
        row_count=1,
        byte_count=1,
        data_version="1",
        metadata={"model": "b7"},
    )
    attempt = Attempt(
        id=uuid.uuid4(),
        run_id="run",
        step_key="step",
        retry_number=0,
        fencing_token=store.next_fencing_token(),
    )
    (one,) = store.commit(attempt, [staged], {partition: reads})
    return one.materialization_id


@pytest.fixture
def metadata_url(make_database: object) -> str:
    return make_database(migrated=True)  # type: ignore[operator, no-any-return]


def test_what_the_page_says_works(store: MetadataStore, metadata_url: str) -> None:
    store.register_datasets((Asset(key=key, type=AssetType.DATASET), "manually") for key in (DELAYS, CARRIERS))
    source = made(store, CARRIERS, None)
    store.publish([source])
    read = Read(asset=store.entity(CARRIERS), materialization_id=source)
    for _ in range(3):
        store.publish([made(store, DELAYS, "2013-01-15", read)])
    store.pin("board-meeting", {DELAYS: 2})
    waiting = made(store, DELAYS, "2013-01-14")
    ready = [made(store, DELAYS, "2013-01-15", read), made(store, DELAYS, "2013-01-16", read)]
    names = {
        "url": metadata_url,
        "yesterday": store.versions(DELAYS)[1].published_at,
        "in_a_year": datetime.now(UTC) + timedelta(days=365),
        "materializations": ready,
        "waiting": waiting,
    }
    for block in BLOCKS:
        exec(block, names)
    names["store"].sessions.engine.dispose()  # type: ignore[attr-defined]
    assert (names["back"].version, names["forward"].version) == (5, 6)  # type: ignore[attr-defined]
    assert {(one.key, one.partition) for one in names["told"].stale} == {  # type: ignore[attr-defined]
        (CARRIERS, None),
        (DELAYS, "2013-01-15"),
        (DELAYS, "2013-01-16"),
    }
    assert len(store.materializations_with("model", "b7")) == 7
