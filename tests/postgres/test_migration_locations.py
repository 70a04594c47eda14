"""The migration of locations: what was written before is found on the endpoint that its dataset was on then."""

import uuid
from collections.abc import Callable

import psycopg
import pytest

from identity.ids import Entity, tenant_id
from identity.keys import dataset_key
from resources.postgres import migrate as migrations
from resources.postgres.engine import plain_engine
from resources.postgres.migrate import migrate

TENANTS = ("default", "other")
LAKE, ARCHIVE = (dataset_key(slug, schema="nyc", table="flights") for slug in ("lake", "archive"))

_BIND = "SELECT set_config('metadata.actor', 'test', true), set_config('metadata.tenant', %s, true)"
_REGISTERED = """
INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)
VALUES (%(tenant)s, %(id)s, 'DATASET', %(name)s, %(key)s, %(digest)s, 'test')
"""
_DATASET = "INSERT INTO metadata.dataset VALUES (%(tenant)s, %(id)s, 'immediately')"
_MOVED = (
    "UPDATE metadata.alias SET valid_to = clock_timestamp() WHERE tenant_id = %(tenant)s AND key = %(was)s",
    """
    INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor)
    SELECT a.tenant_id, %(now)s, metadata.name_digest(%(now)s), a.asset_id, 'primary', clock_timestamp(), 'test'
    FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.qualified_name = %(was)s
    """,
    "UPDATE metadata.asset SET qualified_name = %(now)s WHERE tenant_id = %(tenant)s AND qualified_name = %(was)s",
)
"""What a rename wrote then, as far as it matters to this migration."""
_WRITTEN = """
INSERT INTO metadata.materialization (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key, intent,
  attempt_id, run_id, step_key, retry_number, fencing_token, location, actor)
VALUES (%(tenant)s, %(id)s, %(dataset)s, %(partition)s, %(partition)s, 'i', %(id)s, 'r', 's', 0, 1, %(location)s,
  'test')
"""
_LEASED = """
INSERT INTO metadata.staging_lease (tenant_id, attempt_id, dataset_id, partition_key, location, run_id, step_key,
  expires_at)
VALUES (%(tenant)s, %(id)s, %(dataset)s, %(partition)s, %(location)s, 'r', 's', now())
"""
_REDELIVERED = """
INSERT INTO metadata.redelivery (tenant_id, materialization_id, attempt_id, run_id, step_key, location, same_data,
  actor)
VALUES (%(tenant)s, %(id)s, gen_random_uuid(), 'r', 's', %(location)s, true, 'test')
"""
_NAMED_AS_IT_WAS = """
CREATE OR REPLACE FUNCTION metadata.name_births() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor)
  SELECT n.tenant_id, n.qualified_name, metadata.name_digest(n.qualified_name), n.asset_id, 'primary', now(), 'test'
  FROM new_rows n;
  RETURN NULL;
END $$
"""
_TABLES = ("materialization", "staging_lease", "redelivery")


def write(url: str, tenant: str, dataset: uuid.UUID, partition: str, location: str | None) -> None:
    """One row of each table that has a location, as the release before wrote them."""
    values = {
        "tenant": tenant_id(tenant).value,
        "id": uuid.uuid4(),
        "dataset": dataset,
        "partition": partition,
        "location": location,
    }
    with psycopg.connect(url) as connection:
        connection.execute(_BIND, (str(tenant_id(tenant)),))
        connection.execute(_WRITTEN, values)
        connection.execute(_REDELIVERED, values)
        if location is not None:
            connection.execute(_LEASED, values)


def registered(url: str, tenant: str) -> uuid.UUID:
    """The id of a dataset, registered as the release before did it."""
    entity = Entity(tenant_id(tenant), LAKE)
    values = {
        "tenant": tenant_id(tenant).value,
        "id": entity.id.value,
        "name": LAKE.table,
        "key": str(LAKE),
        "digest": entity.key_sha256,
    }
    with psycopg.connect(url) as connection:
        connection.execute(_BIND, (str(tenant_id(tenant)),))
        connection.execute(_REGISTERED, values)
        connection.execute(_DATASET, values)
    return entity.id.value


def moved(url: str, tenant: str) -> None:
    values = {"tenant": tenant_id(tenant).value, "was": str(LAKE), "now": str(ARCHIVE)}
    with psycopg.connect(url) as connection:
        connection.execute(_BIND, (str(values["tenant"]),))
        for statement in _MOVED:
            connection.execute(statement.encode(), values)


@pytest.fixture
def before_url(make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A control plane as it was before, with data of two tenants from before and after a move."""
    url = make_database()
    upgrade = migrations.command.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrations.command, "upgrade", lambda config, _head: upgrade(config, "0008"))
        migrate(plain_engine(url), tenants=TENANTS)
    with psycopg.connect(url) as superuser:
        superuser.execute(_NAMED_AS_IT_WAS.encode())
    for tenant in TENANTS:
        dataset = registered(url, tenant)
        write(url, tenant, dataset, "before", "d/before/1")
        moved(url, tenant)
        write(url, tenant, dataset, "after", "d/after/1")
        write(url, tenant, dataset, "without files", None)
    return url


def test_a_location_gets_the_endpoint_that_its_dataset_was_on(before_url: str) -> None:
    migrate(plain_engine(before_url), tenants=TENANTS)
    places = ["archive:d/after/1", "lake:d/before/1"]
    with psycopg.connect(before_url) as superuser:
        for table in _TABLES:
            rows = superuser.execute(f"SELECT location FROM metadata.{table} ORDER BY location".encode()).fetchall()
            assert [row[0] for row in rows if row[0]] == sorted(places * len(TENANTS))
        forced = "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relforcerowsecurity AND relkind = 'r'"
        assert len(superuser.execute(forced, [[*_TABLES, "asset", "alias"]]).fetchall()) == 5
    with psycopg.connect(before_url) as superuser, pytest.raises(psycopg.Error, match="append-only"):
        superuser.execute("DELETE FROM metadata.materialization")


@pytest.mark.parametrize("location", ["d/before/1", ":d", "lake:", "LAKE:d", "/d:1", "../x:d"])
def test_a_location_without_its_endpoint_is_refused(before_url: str, location: str) -> None:
    migrate(plain_engine(before_url), tenants=TENANTS)
    with psycopg.connect(before_url) as superuser:
        ((dataset,),) = superuser.execute("SELECT dataset_id FROM metadata.dataset LIMIT 1").fetchall()
    with pytest.raises(psycopg.errors.CheckViolation, match="location_check"):
        write(before_url, "default", dataset, "more", location)
