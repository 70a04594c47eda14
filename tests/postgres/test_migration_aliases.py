"""The migration to aliases: what is there keeps its id, its name and its data, for every tenant."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from identity.ids import Entity, child_id, tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres import migrate as migrations
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.errors import AdHocIdentity
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

TENANTS = ("default", "other")
KEYS = [dataset_key("lake", schema="nyc", table=f"t{number}") for number in range(50)]

_ASSET = """
INSERT INTO metadata.asset
  (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by, created_at, deleted_at)
VALUES (%s, %s, 'TABLE', %s, %s, %s, 'collector', '2026-01-01', %s)
"""
_FIELD = """
INSERT INTO metadata.schema_field (tenant_id, field_id, asset_id, name, type, nullable, position)
VALUES (%s, %s, %s, 'x', 'int', true, 1)
"""


@pytest.fixture
def before_url(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A control plane as the release before had it, with data of two tenants."""
    url = make_database()
    upgrade = migrations.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrations.command, "upgrade", lambda config, _head: upgrade(config, "0003"))
        migrate(plain_engine(url), tenants=TENANTS)
    with psycopg.connect(url) as connection:
        for slug in TENANTS:
            tenant = tenant_id(slug)
            bind = "SELECT set_config('metadata.actor', 'test', true), set_config('metadata.tenant', %s, true)"
            connection.execute(bind, (str(tenant),))
            for number, key in enumerate(KEYS):
                entity = Entity(tenant, key)
                gone = "2026-02-01" if number == 0 else None
                values = (tenant.value, entity.id.value, key.table, str(key), entity.key_sha256, gone)
                connection.execute(_ASSET.encode(), values)
                field = child_id(entity.id, "column", "x")
                connection.execute(_FIELD.encode(), (tenant.value, field, entity.id.value))
    return url


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def test_what_was_there_keeps_its_id_and_its_name(before_url: str) -> None:
    kept = "SELECT to_jsonb(t) - 'former_names', xmin::text FROM metadata.{} t ORDER BY ctid"  # a new column
    before = {table: rows(before_url, kept.format(table)) for table in ("asset", "schema_field", "audit")}
    migrate(plain_engine(before_url), tenants=TENANTS)
    assert {table: rows(before_url, kept.format(table)) for table in before} == before, "not a row was rewritten"
    aliases = "SELECT count(*), count(DISTINCT key), min(kind), min(actor), count(valid_to) FROM metadata.alias"
    assert rows(before_url, aliases) == [(100, 50, "primary", "collector", 0)]
    assert rows(before_url, "SELECT DISTINCT valid_from = '2026-01-01' FROM metadata.alias") == [(True,)]
    born = (
        "SELECT count(*) FROM metadata.alias x JOIN metadata.asset a USING (tenant_id) WHERE a.asset_id = x.entity_id"
    )
    assert rows(before_url, f"{born} AND a.key_sha256 = x.birth_sha256") == [(100,)]
    for slug in TENANTS:
        engine = app_engine(before_url)
        store = MetadataStore(Sessions(engine, tenant_id(slug), "test"))
        assert store.entities(KEYS) == {key: Entity(tenant_id(slug), key) for key in KEYS}
        assert store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in KEYS) == 1, "one was gone"
        store.rename({KEYS[1]: KEYS[2], KEYS[2]: KEYS[1]})
        assert store.entity(KEYS[1]).id == Entity(tenant_id(slug), KEYS[2]).id
        engine.dispose()


def test_the_digest_in_the_database_is_the_one_in_code(before_url: str) -> None:
    migrate(plain_engine(before_url), tenants=TENANTS)
    wrong = "SELECT key FROM metadata.alias WHERE key_sha256 <> metadata.name_digest(key)"
    assert rows(before_url, wrong) == []
    tables_after = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'metadata.asset'::regclass"
    assert rows(before_url, tables_after) == [(True,)]


def test_what_somebody_wrote_past_the_stores_stops_a_migration_and_is_kept(before_url: str) -> None:
    """Names were any text once. Nothing is changed until somebody says what such a row is called."""
    with psycopg.connect(before_url) as connection:
        bind = "SELECT set_config('metadata.actor', 'test', true), set_config('metadata.tenant', %s, true)"
        connection.execute(bind, (str(tenant_id("other")),))
        values = (tenant_id("other").value, uuid4(), "x", "some adhoc name", bytes(32), None)
        connection.execute(_ASSET.encode(), values)
    kept = "SELECT to_jsonb(t), (SELECT version_num FROM metadata.alembic_version) FROM metadata.asset t ORDER BY ctid"
    before = rows(before_url, kept)
    with pytest.raises(AdHocIdentity, match="not a canonical key; nothing was written"):
        migrate(plain_engine(before_url), tenants=TENANTS)
    assert rows(before_url, kept) == before
    with psycopg.connect(before_url) as connection:
        connection.execute("ALTER TABLE metadata.asset DISABLE TRIGGER audit_delete")
        connection.execute("DELETE FROM metadata.asset WHERE qualified_name = 'some adhoc name'")
    assert migrate(plain_engine(before_url), tenants=TENANTS).changed
