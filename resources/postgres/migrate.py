"""Bring a database to this release: schema, roles, versions, functions. Safe to repeat, one at a time."""

import hashlib
import threading
from dataclasses import dataclass
from importlib import resources as package_files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from identity.ids import DEFAULT_TENANT, tenant_id
from resources.postgres.errors import SchemaNotCurrent, SchemaTooNew, TenantUnknown
from resources.postgres.session import translating
from resources.postgres.tables import SCHEMA

NO_SCHEMA = "nothing"
"""What SchemaNotCurrent finds in a database that was never migrated."""

_LOCK = 0x6D696431  # "mid1": one migration at a time in a database
_ONE_IN_A_PROCESS = threading.Lock()  # Alembic keeps the migration that runs in globals of its modules
_PACKAGE = package_files.files("resources.postgres")


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
        _check_known(before, found=str(before))
        _run(connection, (_PACKAGE / "bootstrap.sql").read_text())
        connection.execute(sa.text("SET LOCAL ROLE metadata_owner"))
        connection.execute(sa.text("SET LOCAL check_function_bodies = off"))  # they come before the tables
        _run(connection, _functions())
        command.upgrade(_config(connection), "head")
        _run(connection, (_PACKAGE / "privileges.sql").read_text())
        connection.execute(sa.text(f"COMMENT ON SCHEMA {SCHEMA} IS '{stamp()}'"))
        for slug in tenants:
            _ensure_tenant(connection, slug)
    return Migrated(before, head())


def check_current(engine: sa.Engine, *, tenant: str) -> None:
    """Raise SchemaNotCurrent, SchemaTooNew or TenantUnknown unless `migrate` of this very release ran here.

    One round trip.
    """
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT obj_description(to_regnamespace(:schema), 'pg_namespace')"), {"schema": SCHEMA}
        ).scalar()
        if found != stamp():
            _check_known(_revision_of(found), found=str(found))
            raise SchemaNotCurrent(found=str(found or NO_SCHEMA), needed=stamp())
        identifier = str(tenant_id(tenant))
        connection.execute(sa.text("SELECT set_config('metadata.tenant', :tenant, true)"), {"tenant": identifier})
        # By its id: a superuser sees the rows of every tenant.
        known = sa.text("SELECT 1 FROM metadata.tenant WHERE tenant_id = CAST(:tenant AS uuid)")
        if connection.execute(known, {"tenant": identifier}).scalar() is None:
            raise TenantUnknown(tenant=identifier)


def head() -> str:
    """The newest revision that this release brings."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def stamp() -> str:
    """What a current database is marked with: the revision, and a digest of the functions that go with it."""
    text = _functions() + (_PACKAGE / "bootstrap.sql").read_text() + (_PACKAGE / "privileges.sql").read_text()
    return f"metadata-assets {head()} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _revision_of(stamped: str | None) -> str | None:
    """The revision in what `stamp` wrote; None where it wrote nothing."""
    parts = (stamped or "").split()
    return parts[1] if len(parts) == 3 and parts[0] == "metadata-assets" else None


def _check_known(revision: str | None, *, found: str) -> None:
    """Raise SchemaTooNew for a revision that this release does not have: no release takes one away."""
    if revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise SchemaTooNew(found=found, needed=stamp())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_PACKAGE / "migrations"))


def _functions() -> str:
    files = sorted((_PACKAGE / "functions").iterdir(), key=lambda file: file.name)
    return "\n".join(file.read_text() for file in files if file.name.endswith(".sql"))


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
    config.set_main_option("script_location", str(_PACKAGE / "migrations").replace("%", "%%"))
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
