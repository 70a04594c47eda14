"""The migration of facets: those from before are found, whether they had words of the former kind or none."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg.types.json import Jsonb

from identity.ids import Entity, tenant_id
from identity.keys import job_key
from resources.metadata.facets import WantedFacet
from resources.metadata_store import MetadataStore
from resources.postgres import migrate as migrations
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.migrate import migrate
from resources.postgres.session import Sessions

TENANTS = ("default", "other")
LOAD = job_key("shop", "load")
_BEFORE = (
    """INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
    VALUES (%(tenant)s, %(id)s, 'JOB', 'load', %(key)s, %(digest)s, 'test')""",
    """INSERT INTO metadata.facet (tenant_id, about, asset_id, name, as_of, sha256, document)
    VALUES (%(tenant)s, 'job', %(id)s, 'sql', now(), %(digest)s, %(document)s)""",
)


@pytest.mark.parametrize("revision", ["0027", "0028"])
def test_facets_from_before_are_found(
    make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    url, upgrade = make_database(), migrations.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrations.command, "upgrade", lambda config, _head: upgrade(config, revision))
        migrate(plain_engine(url), tenants=TENANTS)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        for tenant in TENANTS:
            entity = Entity(tenant_id(tenant), LOAD)
            values = {"tenant": entity.tenant.value, "id": entity.id.value, "key": str(LOAD)}
            document = Jsonb({"query": tenant, "tables": [{"name": "a"}, {"name": "a"}]})
            for statement in _BEFORE:
                given = {**values, "digest": entity.key_sha256, "document": document}
                connection.execute(statement.encode(), given)
    assert migrate(plain_engine(url), tenants=TENANTS).changed
    for tenant in TENANTS:
        engine = app_engine(url)
        store = MetadataStore(Sessions(engine, tenant_id(tenant), "test"))
        mine, both = WantedFacet("sql", ("query",), tenant), WantedFacet("sql", ("tables", "name"), "a")
        assert [one.key for one in store.with_facets([mine, both])] == [LOAD]
        assert store.with_facets([WantedFacet("sql", ("query",), "another")]) == []
        engine.dispose()
