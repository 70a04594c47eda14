"""What this release brings to a database, and whether it ran there. Knows no Alembic: most processes only look."""

import functools
import hashlib
from importlib import resources as package_files

import psycopg

from identity.ids import tenant_id
from resources.postgres.errors import SchemaNotCurrent, SchemaTooNew, TenantUnknown
from resources.postgres.tables import SCHEMA

NO_SCHEMA = "nothing"
"""What SchemaNotCurrent finds in a database that was never migrated."""

PACKAGE = package_files.files("resources.postgres")


def check_current(connection: psycopg.Connection, *, tenant: str) -> None:
    """Raise SchemaNotCurrent, SchemaTooNew or TenantUnknown unless `migrate` of this very release ran here."""
    stamped = connection.execute("SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (SCHEMA,))
    ((found,),) = stamped.fetchall()
    if found != stamp():
        check_known(_revision_of(found), found=str(found))
        raise SchemaNotCurrent(found=str(found or NO_SCHEMA), needed=stamp())
    identifier = str(tenant_id(tenant))
    connection.execute("SELECT set_config('metadata.tenant', %s, true)", (identifier,))
    # By its id: a superuser sees the rows of every tenant.
    known = connection.execute("SELECT FROM metadata.tenant WHERE tenant_id = %s::text::uuid", (identifier,))
    if not known.rowcount:
        raise TenantUnknown(tenant=identifier)


def head() -> str:
    """The newest revision that this release brings."""
    return revisions()[-1]


@functools.cache
def revisions() -> list[str]:
    """All revisions that this release brings, the oldest first: what the names of their files begin with."""
    names = (file.name for file in (PACKAGE / "migrations" / "versions").iterdir())
    return sorted(name.partition("_")[0] for name in names if name[:1].isdigit() and name.endswith(".py"))


def stamp() -> str:
    """What a current database is marked with: the revision, and a digest of the functions that go with it."""
    text = functions() + (PACKAGE / "bootstrap.sql").read_text() + (PACKAGE / "privileges.sql").read_text()
    return f"metadata-assets {head()} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


@functools.cache
def functions() -> str:
    """The SQL of all functions, in the order of their files' names."""
    files = sorted((PACKAGE / "functions").iterdir(), key=lambda file: file.name)
    return "\n".join(file.read_text() for file in files if file.name.endswith(".sql"))


def check_known(revision: str | None, *, found: str) -> None:
    """Raise SchemaTooNew for a revision that this release does not have: no release takes one away."""
    if revision is not None and revision not in revisions():
        raise SchemaTooNew(found=found, needed=stamp())


def _revision_of(stamped: str | None) -> str | None:
    """The revision in what `stamp` wrote; None where it wrote nothing."""
    parts = (stamped or "").split()
    return parts[1] if len(parts) == 3 and parts[0] == "metadata-assets" else None
