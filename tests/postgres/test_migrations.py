"""Migrations: from nothing to the schema that the code has, once, whoever asks and however often."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.engine import make_url

from identity.ids import tenant_id
from identity.keys import dataset_key
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from resources.postgres.databases import check
from resources.postgres.embedded import Server, attach, stop
from resources.postgres.engine import app_engine, plain_engine, rendered
from resources.postgres.errors import SchemaNotCurrent, SchemaTooNew, TenantUnknown
from resources.postgres.migrate import migrate
from resources.postgres.release import head, revisions, stamp
from resources.postgres.server import binaries
from resources.postgres.server import cluster as clusters
from resources.postgres.server.account import server_account
from resources.postgres.session import Sessions
from resources.postgres.tables import METADATA, SCHEMA
from resources.postgres.tables.tenancy import Xid8

REPOSITORY = Path(__file__).resolve().parents[2]

_MIGRATE = """
import sys
from resources.postgres.engine import plain_engine
from resources.postgres.migrate import migrate
assert migrate(plain_engine(sys.argv[1])).changed
"""

# Everything in the schema that a migration could change, one line each.
_INVENTORY = """
WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'metadata'::regnamespace)
SELECT format('%s %s %s', relkind, relname, relacl) FROM ours
UNION ALL SELECT format('column %s.%s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull, attacl)
  FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0
UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
  WHERE connamespace = 'metadata'::regnamespace
UNION ALL SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc
  WHERE pronamespace = 'metadata'::regnamespace
UNION ALL SELECT format('policy %s %s', tablename, policyname) FROM pg_policies WHERE schemaname = 'metadata'
UNION ALL SELECT format('trigger %s %s', relname, tgname) FROM ours JOIN pg_trigger ON tgrelid = ours.oid
  WHERE NOT tgisinternal
UNION ALL SELECT format('tenant %s', tenant_id) FROM metadata.tenant
ORDER BY 1
"""


@pytest.fixture(scope="module")
def migrated_url(make_database: Callable[..., str]) -> str:
    """One migrated database for tests that leave it as it was."""
    return make_database(migrated=True)


@pytest.fixture
def untouched_server() -> Iterator[Server]:
    """A server on which nobody ever migrated: it has none of our roles."""
    with tempfile.TemporaryDirectory(prefix="metadata-tests-") as home:
        yield attach(Path(home))
        stop(Path(home), remove=True)


def run(url: str, statement: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return [str(row[0]) for row in cursor.fetchall()] if cursor.description else []


def differences(connection: sa.Connection) -> list[object]:
    """What alembic would have to change to make the database equal the tables in code."""
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
            "version_table_schema": SCHEMA,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    return list(compare_metadata(context, METADATA))


@pytest.fixture(autouse=True)
def _alembic_knows_xid8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ischema_names, "xid8", Xid8)


def test_migrations_lead_to_the_tables_in_code_and_repeating_them_changes_nothing(
    make_database: Callable[..., str],
) -> None:
    url = make_database()
    engine = plain_engine(url)
    with pytest.raises(SchemaNotCurrent, match="metadata-assets migrate") as refused:
        checked(engine, tenant="default")
    assert (refused.value.found, refused.value.needed) == ("nothing", stamp())

    first = migrate(engine)
    with engine.connect() as connection:
        assert differences(connection) == []
    before = run(url, _INVENTORY)
    second = migrate(engine)
    assert (first.before, first.after, second.before, second.changed) == (None, head(), head(), False)
    assert run(url, _INVENTORY) == before
    checked(engine, tenant="default")


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ("ALTER TABLE metadata.asset ADD COLUMN surplus text", "remove_column"),
        ("ALTER TABLE metadata.outbox DROP COLUMN xid", "add_column"),
        ("ALTER TABLE metadata.asset ALTER COLUMN description SET NOT NULL", "modify_nullable"),
        ("ALTER TABLE metadata.materialization ALTER COLUMN row_count TYPE integer", "modify_type"),
        ("ALTER TABLE metadata.dataset ALTER COLUMN published_version SET DEFAULT 1", "modify_default"),
        ("ALTER TABLE metadata.materialization DROP CONSTRAINT materialization_idempotency_key_key", "add_constraint"),
        ("ALTER TABLE metadata.version_partition DROP CONSTRAINT version_partition_from_fkey", "add_fk"),
        ("DROP INDEX metadata.relationship_open_key", "add_index"),
        ("CREATE TABLE metadata.surplus (id uuid)", "remove_table"),
    ],
)
def test_a_difference_from_the_tables_in_code_is_reported(migrated_url: str, change: str, reported: str) -> None:
    with plain_engine(migrated_url).connect() as connection:
        connection.execute(sa.text(change))
        assert reported in str(differences(connection))
        connection.rollback()
        assert differences(connection) == []


def test_migrations_at_the_same_time_give_one_schema(make_database: Callable[..., str], migrated_url: str) -> None:
    empty_url = make_database()
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(migrate, plain_engine(empty_url), tenants=("default", "other")) for _ in range(4)]
        changed = [one.result(timeout=120).changed for one in done]
    assert sorted(changed) == [False, False, False, True]
    assert run(empty_url, _INVENTORY) == run(migrated_url, _INVENTORY)


def test_a_failed_migration_leaves_nothing(make_database: Callable[..., str]) -> None:
    url = make_database()
    run(url, "CREATE SCHEMA metadata")
    run(url, "CREATE TABLE metadata.outbox (id uuid)")  # the fourth table of the first migration is in the way
    with pytest.raises(psycopg.errors.DuplicateTable, match="already exists"):
        migrate(plain_engine(url))
    assert run(url, "SELECT relname FROM pg_class WHERE relnamespace = 'metadata'::regnamespace") == ["outbox"]


def test_a_schema_of_another_release_is_brought_up_to_date(metadata_url: str) -> None:
    engine = plain_engine(metadata_url)
    checked(engine, tenant="default")
    run(metadata_url, "COMMENT ON SCHEMA metadata IS 'metadata-assets 0001 of another release'")
    run(
        metadata_url,
        "CREATE OR REPLACE FUNCTION metadata.next_fencing_token() RETURNS bigint LANGUAGE sql AS 'SELECT 7'",
    )
    with pytest.raises(SchemaNotCurrent, match="0001 of another release"):
        checked(engine, tenant="default")

    migrate(engine)
    checked(engine, tenant="default")
    (body,) = run(metadata_url, "SELECT prosrc FROM pg_proc WHERE proname = 'next_fencing_token'")
    assert "nextval" in body


def test_a_schema_of_a_newer_release_is_left_alone(metadata_url: str) -> None:
    engine = plain_engine(metadata_url)
    run(metadata_url, "UPDATE metadata.alembic_version SET version_num = '0099'")
    with pytest.raises(SchemaTooNew, match="0099, of a newer release"):
        migrate(engine)
    checked(engine, tenant="default")
    run(metadata_url, "COMMENT ON SCHEMA metadata IS 'metadata-assets 0099 0123456789ab'")
    before = run(metadata_url, _INVENTORY)
    for use in (lambda: migrate(engine), lambda: checked(engine, tenant="default")):
        with pytest.raises(SchemaTooNew) as refused:
            use()
        assert "metadata-assets migrate" not in str(refused.value)
    assert run(metadata_url, _INVENTORY) == before


def test_the_revisions_are_those_that_alembic_walks() -> None:
    scripts = ScriptDirectory(str(REPOSITORY / "resources" / "postgres" / "migrations"))
    assert [script.revision for script in scripts.walk_revisions()][::-1] == revisions()
    assert scripts.get_current_head() == head()


@pytest.mark.parametrize("part", ["functions", "head"])
def test_other_functions_or_another_revision_are_another_release(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(f"resources.postgres.release.{part}", lambda: "of another release")
    with pytest.raises(SchemaNotCurrent):
        checked(plain_engine(migrated_url), tenant="default")


def test_a_tenant_exists_when_a_migration_named_it(metadata_url: str) -> None:
    engine = plain_engine(metadata_url)
    with pytest.raises(TenantUnknown, match=str(tenant_id("newcomer"))):
        checked(engine, tenant="newcomer")
    migrate(engine, tenants=("default", "newcomer"))
    checked(engine, tenant="newcomer")


def test_a_login_that_may_create_roles_migrates_several_databases_of_an_untouched_server_at_once(
    untouched_server: Server,
) -> None:
    """As on a managed server: no superuser. Roles belong to the whole server, and all of the migrations want them."""
    admin = untouched_server.url("postgres")
    run(admin, "CREATE ROLE operator LOGIN CREATEROLE NOSUPERUSER")
    names = [f"managed_{number}" for number in range(3)]
    for name in names:
        run(admin, f"CREATE DATABASE {name} OWNER operator")
    urls = [untouched_server.url(name, user="operator") for name in names]
    command = [sys.executable, "-W", "error", "-c", _MIGRATE]
    running = [subprocess.Popen([*command, url], cwd=REPOSITORY) for url in urls]
    assert [one.wait(timeout=120) for one in running] == [0] * 3
    inventories = [run(untouched_server.url(name), _INVENTORY) for name in names]
    assert inventories == [inventories[0]] * 3
    assert_usable(urls[0])


def test_a_login_that_was_granted_the_roles_is_enough(server: Server, make_database: Callable[..., str]) -> None:
    """The roles are there already, made by another login, and this one may neither make nor change one."""
    name = make_url(make_database()).database
    admin = server.url("postgres")
    run(admin, "CREATE ROLE tenant_of_the_server LOGIN NOSUPERUSER NOCREATEROLE")
    run(admin, "GRANT metadata_owner, metadata_app, metadata_readonly TO tenant_of_the_server")
    run(admin, f'ALTER DATABASE "{name}" OWNER TO tenant_of_the_server')
    assert_usable(server.url(str(name), user="tenant_of_the_server"))


def test_the_oldest_server_is_new_enough() -> None:
    """The whole schema on PostgreSQL 15, where this machine has one."""
    account = server_account()
    oldest = [one for one in binaries.find(account) if one.major == binaries.OLDEST]
    if not oldest:
        pytest.skip(f"no PostgreSQL {binaries.OLDEST} on this machine")
    with tempfile.TemporaryDirectory(prefix="metadata-tests-") as home:
        cluster = clusters.locate(Path(home))
        clusters.initialise(cluster, oldest[0])
        server = attach(Path(home))
        try:
            assert_usable(server.url("postgres"))
            with plain_engine(server.url("postgres")).connect() as connection:
                assert differences(connection) == []
        finally:
            stop(Path(home), remove=True)


def checked(engine: sa.Engine, *, tenant: str) -> None:
    """Whether this release is in the database of an engine."""
    check(rendered(engine.url), tenant=tenant)


def assert_usable(url: str) -> None:
    """Migrate twice, then write through the app's role."""
    migrate(plain_engine(url))
    migrate(plain_engine(url))
    checked(plain_engine(url), tenant="default")
    engine = app_engine(url)
    asset = Asset(key=dataset_key("lake", schema="nyc", table="flights"), type=AssetType.DATASET)
    assert MetadataStore(Sessions(engine, tenant_id("default"), "test")).register_assets([asset]) == 1
    engine.dispose()
