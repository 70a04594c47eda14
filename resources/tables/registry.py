"""What we keep beside the tables: what each holds, and which version of each dataset its view shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import psycopg
from psycopg import errors, sql

from identity.errors import MetadataError
from resources.locations import VERSIONS, EndpointAway
from resources.postgres.errors import connection_problem

REGISTRY: Final = "metadata_registry"

_PINNED: Final = (
    "SET search_path = pg_catalog; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';"
    "SET extra_float_digits = 1; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '10min';"
    "SET default_transaction_isolation = 'read committed'"
)
_OWN: Final = "let it own the schemas that it writes to, and the schema metadata_registry"
Connection = psycopg.Connection[Any]
_LOCK: Final = 7_318_349_127_001
"""One at a time makes schemas: IF NOT EXISTS alone lets two of them collide."""

_DDL: Final = f"""
CREATE TABLE IF NOT EXISTS {REGISTRY}.written (
  schema_name text NOT NULL, table_name text NOT NULL,
  tenant_id uuid NOT NULL, dataset_id uuid NOT NULL, partition_key text NOT NULL,
  attempt_id uuid NOT NULL, materialization_id uuid NOT NULL,
  manifest text NOT NULL, manifest_sha256 bytea NOT NULL, row_count bigint NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT written_pkey PRIMARY KEY (schema_name, table_name));
CREATE INDEX IF NOT EXISTS written_dataset_idx ON {REGISTRY}.written (tenant_id, dataset_id);
CREATE TABLE IF NOT EXISTS {REGISTRY}.published (
  tenant_id uuid NOT NULL, dataset_id uuid NOT NULL,
  schema_name text NOT NULL, view_name text NOT NULL,
  version bigint NOT NULL DEFAULT 0, materializations uuid[] NOT NULL DEFAULT '{{}}',
  switched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT published_pkey PRIMARY KEY (tenant_id, dataset_id),
  CONSTRAINT published_view_key UNIQUE (schema_name, view_name) DEFERRABLE INITIALLY DEFERRED);
COMMENT ON SCHEMA {REGISTRY} IS 'What metadata-assets keeps about the tables that it writes here';
"""

_EXISTS: Final = f"""
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = '{REGISTRY}' AND c.relname = 'published'
"""


class TablesUnreachable(EndpointAway):
    """cannot reach the endpoint {endpoint}: {reason}; nothing was written there"""

    reason: str
    exit_code: ClassVar[int] = 4


class RegistryNotThere(EndpointAway):
    """the database of endpoint {endpoint} has no {registry}, so it is not the one that its tables were written to; \
correct the endpoint's url and database, or restore it from a copy"""

    registry: str = REGISTRY
    exit_code: ClassVar[int] = 4


class NotWritable(MetadataError):
    """the login of the endpoint {endpoint} may not {what} there; {fix}"""

    endpoint: str
    what: str
    fix: str
    exit_code: ClassVar[int] = 2


@contextmanager
def connected(endpoint: str, url: str) -> Iterator[Connection]:
    """A connection to the data plane, in a transaction that is committed when the block ends without an error.

    What the names of types and functions mean there does not depend on the login. Raises
    TablesUnreachable, NotWritable.
    """
    try:
        connection = psycopg.connect(
            url,
            connect_timeout=10,
            application_name="metadata-assets tables",
            client_encoding="utf8",
            prepare_threshold=None,
        )
        problem = ""
    except psycopg.OperationalError as error:
        problem = connection_problem(error)
    except psycopg.ProgrammingError:
        problem = "libpq cannot read its URL"
    if problem:  # out here there is no error behind ours: libpq's message may quote the URL
        raise TablesUnreachable(endpoint=endpoint, reason=problem)
    try:
        with connection:
            connection.execute(_PINNED)
            connection.commit()
            yield connection
    except errors.InsufficientPrivilege:
        raise NotWritable(endpoint=endpoint, what="use what it would need", fix=_OWN) from None
    except psycopg.Error as error:
        raise TablesUnreachable(endpoint=endpoint, reason=type(error).__name__) from None


def exists(connection: Connection) -> bool:
    """Whether anything was ever written here."""
    return connection.execute(_EXISTS.encode()).fetchone() is not None


def require(connection: Connection, endpoint: str) -> None:
    """Raises RegistryNotThere where nothing was ever written: what is not there is not gone."""
    if not exists(connection):
        raise RegistryNotThere(endpoint=endpoint)


def prepare(connection: Connection, endpoint: str, schema: str) -> bool:
    """Make the registry and the schemas that a dataset needs, where they are missing; whether any was.

    Then the caller commits soon: nobody else makes schemas here until then. Raises NotWritable.
    """
    wanted = [schema, versions_schema(schema)]
    count = "SELECT count(*) FROM pg_namespace WHERE nspname = ANY (%s)"
    if exists(connection) and connection.execute(count, [wanted]).fetchone() == (2,):
        return False
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for name in (REGISTRY, *wanted):
            there = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [name]).fetchone() is not None
            if not there:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        if not exists(connection):
            connection.execute(_DDL.encode())
    except errors.InsufficientPrivilege:
        fix = "GRANT CREATE ON DATABASE … TO it, or make the schemas for it"
        raise NotWritable(endpoint=endpoint, what="make schemas", fix=f"{fix}: {_OWN}") from None
    return True


def versions_schema(schema: str) -> str:
    """Where the versioned tables of a schema are. A schema's name has at most 53 bytes: the project sees to it."""
    return f"{schema}{VERSIONS}"
