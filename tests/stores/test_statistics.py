"""Statistics that a large first load makes: nobody who looks after the tables is waited for."""

from collections.abc import Callable

import psycopg
import pytest

from identity.ids import tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.postgres.statistics import MANY

_RELTUPLES = "SELECT reltuples > 0 FROM pg_class WHERE oid = 'metadata.asset'::regclass"


@pytest.mark.parametrize("vacuumed", [False, True], ids=["else", "while somebody vacuums"])
def test_a_large_first_load_does_not_wait_for_who_vacuums(make_database: Callable[..., str], vacuumed: bool) -> None:
    url = make_database(migrated=True)
    engine = app_engine(f"{url}&options=-c%20lock_timeout=1s")
    store = MetadataStore(Sessions(engine, tenant_id("default"), "test"))
    keys = [dataset_key("lake", table=f"t{number}") for number in range(MANY)]
    try:
        with psycopg.connect(url) as other:
            if vacuumed:  # the lock that VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY hold
                other.execute("LOCK TABLE metadata.asset IN SHARE UPDATE EXCLUSIVE MODE")
            assert store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys) == MANY
            assert other.execute(_RELTUPLES).fetchall() == [(not vacuumed,)]
    finally:
        engine.dispose()
