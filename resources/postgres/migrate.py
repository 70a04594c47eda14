"""Bring a database to this release: schema, roles, versions, functions. Safe to repeat, one at a time."""

import threading
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from identity.ids import DEFAULT_TENANT, tenant_id
from resources.postgres.release import PACKAGE, check_known, functions, head, stamp
from resources.postgres.session import translating
from resources.postgres.tables import SCHEMA

_LOCK = 0x6D696431  # "mid1": one migration at a time in a database
_ONE_IN_A_PROCESS = threading.Lock()  # Alembic keeps the migration that runs in globals of its modules


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did: the revision before (None on an empty database) and after."""

    before: str | None
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


def migrate(engine: sa.Engine, *, tenants: tuple[str, ...] = (DEFAULT_TENANT,)) -> Migrated:
    """Bring the database of `engine` to the newest revision and make sure that the tenants exist.

    Everything happens in one transaction: a migration that fails leaves the database as it was. `engine` logs in as
    a superuser, or as a role that may create roles. Raises SchemaTooNew where a newer release ran, and AdHocIdentity
    where somebody wrote, past the stores, what is not called by a key.
    """
    with _ONE_IN_A_PROCESS, translating(), engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = _revision(connection)
        check_known(before, found=str(before))
        _run(connection, (PACKAGE / "bootstrap.sql").read_text())
        connection.execute(sa.text("SET LOCAL ROLE metadata_owner"))
        connection.execute(sa.text("SET LOCAL check_function_bodies = off"))  # they come before the tables
        _run(connection, functions())
        command.upgrade(_config(connection), "head")
        _run(connection, (PACKAGE / "privileges.sql").read_text())
        connection.execute(sa.text(f"COMMENT ON SCHEMA {SCHEMA} IS '{stamp()}'"))
        for slug in tenants:
            _ensure_tenant(connection, slug)
    return Migrated(before, head())


def _revision(connection: sa.Connection) -> str | None:
    exists = connection.execute(sa.text("SELECT to_regclass('metadata.alembic_version')")).scalar()
    if exists is None:
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM metadata.alembic_version")).scalar()
    return revision


def _run(connection: sa.Connection, script: str) -> None:
    """Run a script of several statements; the driver's own cursor, because `:name` means something to SQLAlchemy."""
    cursor = connection.connection.cursor()
    cursor.execute(script)
    cursor.close()


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(PACKAGE / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _ensure_tenant(connection: sa.Connection, slug: str) -> None:
    identifier = str(tenant_id(slug))
    connection.execute(
        sa.text("SELECT set_config('metadata.tenant', :tenant, true), set_config('metadata.actor', 'migrate', true)"),
        {"tenant": identifier},
    )
    connection.execute(
        sa.text("INSERT INTO metadata.tenant (tenant_id, name) VALUES (:tenant, :name) ON CONFLICT DO NOTHING"),
        {"tenant": identifier, "name": slug},
    )
