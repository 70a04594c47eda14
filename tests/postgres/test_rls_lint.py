"""The catalogue lint finds nothing in our schema, and finds everything that is planted into it."""

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from rls_lint import RULES, problems

# What may stay, and why.
ALLOWED = {
    "table alembic_version: row-level security is not enabled": "one row, the revision; no role but the owner reads it",
    "table alembic_version: row-level security is not forced": "the same",
    "table alembic_version: no tenant_id": "the same",
    "table alembic_version: no policy restricts every command of every role to the tenant": "the same",
    "unique index alembic_version_pkc: tells of rows of other tenants": "the same",
    "unique index tenant_name_key: tells of rows of other tenants": "only the owner's migration writes tenants",
    "policy outbox.relay: for a role that no policy restricts": "the relay reads this one table of all tenants",
}


# What is planted, and what the lint must say about it.
PLANTED = [
    (
        "ALTER TABLE metadata.asset DISABLE TRIGGER audit_delete",
        "table asset: the app changes it and the audit trail is not told",
    ),
    ("DROP TRIGGER append_only ON metadata.audit", "table audit: can be changed"),
    ("ALTER TABLE metadata.asset DISABLE ROW LEVEL SECURITY", "table asset: row-level security is not enabled"),
    ("ALTER TABLE metadata.asset NO FORCE ROW LEVEL SECURITY", "table asset: row-level security is not forced"),
    ("CREATE TABLE metadata.planted (id uuid)", "table planted: no tenant_id"),
    (
        "DROP POLICY tenant ON metadata.asset",
        "table asset: no policy restricts every command of every role to the tenant",
    ),
    (
        "ALTER POLICY tenant ON metadata.asset USING (true)",
        "table asset: no policy restricts every command of every role to the tenant",
    ),
    (
        "ALTER POLICY tenant ON metadata.asset TO metadata_app, metadata_readonly",
        "table asset: no policy restricts every command of every role to the tenant",
    ),
    (
        "CREATE POLICY planted ON metadata.asset FOR SELECT USING (true)",
        "policy asset.planted: for a role that no policy restricts",
    ),
    (
        """CREATE TABLE metadata.parent (tenant_id uuid) PARTITION BY LIST (tenant_id);
        CREATE TABLE metadata.child PARTITION OF metadata.parent DEFAULT;
        GRANT SELECT ON metadata.child TO metadata_app""",
        "partition child: can be read directly",
    ),
    ("ALTER ROLE metadata_app BYPASSRLS", "role metadata_app: may do more than its grants"),
    ("ALTER ROLE metadata_relay SUPERUSER", "role metadata_relay: may do more than its grants"),
    ("ALTER ROLE metadata_owner LOGIN", "role metadata_owner: may log in as the owner"),
    (
        "GRANT metadata_owner TO metadata_app",
        "role metadata_app in metadata_owner: is a member of another one",
    ),
    (
        "CREATE MATERIALIZED VIEW metadata.planted AS SELECT 1 AS one",
        "materialized view planted: has no row-level security",
    ),
    ("CREATE VIEW metadata.planted AS SELECT * FROM metadata.asset", "view planted: shows what its owner sees"),
    (
        "CREATE UNIQUE INDEX planted ON metadata.asset (qualified_name)",
        "unique index planted: tells of rows of other tenants",
    ),
    (
        """CREATE TABLE metadata.parent (id uuid PRIMARY KEY);
        ALTER TABLE metadata.asset ADD CONSTRAINT planted FOREIGN KEY (asset_id) REFERENCES metadata.parent""",
        "foreign key planted: crosses tenants",
    ),
    (
        "CREATE FUNCTION metadata.planted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function metadata.planted(): anybody may call it",
    ),
    (
        "CREATE FUNCTION metadata.planted() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "function metadata.planted(): runs as its owner with the names of its caller",
    ),
    (
        "CREATE FUNCTION metadata.planted() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "owner of metadata.planted(): is not metadata_owner",
    ),
    ("CREATE TABLE metadata.planted (tenant_id uuid)", "owner of planted: is not metadata_owner"),
    (
        "GRANT INSERT ON metadata.materialization TO metadata_app",
        "grant metadata_app INSERT materialization: past the functions",
    ),
    (
        "GRANT UPDATE (to_version) ON metadata.version_partition TO metadata_app",
        "grant metadata_app UPDATE version_partition: past the functions",
    ),
    (
        "GRANT UPDATE (name) ON metadata.asset TO metadata_readonly",
        "grant metadata_readonly UPDATE asset: to write, for a role that only reads",
    ),
    (
        "GRANT SELECT ON metadata.asset TO metadata_relay",
        "grant metadata_relay SELECT asset: to write, for a role that only reads",
    ),
    ("GRANT SELECT ON metadata.asset TO PUBLIC", "grant PUBLIC SELECT asset: to write, for a role that only reads"),
    (
        "GRANT TRUNCATE ON metadata.asset TO metadata_app",
        "grant metadata_app TRUNCATE asset: takes rows away or goes around policies",
    ),
    (
        "GRANT UPDATE (published_version) ON metadata.dataset TO metadata_app",
        "grant metadata_app UPDATE dataset.published_version: to move a published version or a key",
    ),
    (
        "GRANT UPDATE (asset_id) ON metadata.schema_field TO metadata_app",
        "grant metadata_app UPDATE schema_field.asset_id: to move a published version or a key",
    ),
    (
        "GRANT CREATE ON SCHEMA metadata TO metadata_app",
        "grant metadata_app: to make something in the schema",
    ),
]


@pytest.fixture(scope="module")
def database(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A transaction that is taken back, roles included."""
    with psycopg.connect(database) as connected:
        yield connected
        connected.rollback()


def test_the_lint_finds_nothing_but_what_is_allowed(connection: psycopg.Connection) -> None:
    assert problems(connection) == set(ALLOWED)


@pytest.mark.parametrize(("planted", "found"), PLANTED, ids=[planted[:40] for planted, _found in PLANTED])
def test_the_lint_finds_what_is_planted(connection: psycopg.Connection, planted: str, found: str) -> None:
    connection.execute(planted.encode())
    assert found in problems(connection) - set(ALLOWED)


def test_every_rule_finds_something_that_is_planted() -> None:
    sentences = {re.escape(rule).replace(r"\{\}", ".+") for rule in RULES}
    assert {rule for rule in sentences if not any(re.fullmatch(rule, found) for _planted, found in PLANTED)} == set()
