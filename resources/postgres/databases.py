"""The three databases of a deployment: control plane, Dagster's own storage, and the data plane."""

from dataclasses import dataclass
from functools import cached_property

import psycopg

from identity.ids import DEFAULT_TENANT
from resources.postgres import embedded
from resources.postgres.engine import APP_ROLE, check_server, libpq, plain_engine, reached, with_driver
from resources.postgres.errors import SchemaNotCurrent
from resources.postgres.release import NO_SCHEMA, check_current
from resources.settings import Plane, Settings


@dataclass(frozen=True)
class Databases:
    """Connection URLs, each found and checked when it is first asked for. They may hold passwords: show none.

    A configured database must answer: DatabaseUnreachable, DatabaseTooOld. The others are on the embedded server, which
    is started with the first of them and then runs as long as this process.
    """

    settings: Settings

    @cached_property
    def metadata(self) -> str:
        """The control plane, for the app. A configured one must have been migrated: SchemaNotCurrent, TenantUnknown."""
        configured = self.settings.url("metadata")
        if configured is not None:
            with reached(configured, "metadata") as connection:
                check_current(connection, tenant=self.settings.tenant_slug)
        return locate(self.settings, "metadata", user=APP_ROLE)

    @cached_property
    def dagster(self) -> str:
        """Dagster's own storage, as dagster-postgres takes it."""
        return with_driver(self._found("dagster"), "psycopg2")

    @cached_property
    def data(self) -> str:
        """The data plane: databases of endpoints without a URL are on this server."""
        return self._found("data")

    def reach(self) -> None:
        """Ask for all three now, so that nothing starts while one of them is missing."""
        for plane in ("metadata", "dagster", "data"):
            getattr(self, plane)

    def _found(self, plane: Plane) -> str:
        configured = self.settings.url(plane)
        if configured is not None:
            check_server(configured, plane)
        return locate(self.settings, plane)


def locate(settings: Settings, plane: Plane, *, user: str = "postgres") -> str:
    """Where a database is, by URL. Starts the embedded server where it is on it, and migrates the control plane there.

    A configured database is not touched here: `metadata-assets migrate` prepares it. `user` is for the embedded server.
    """
    configured = settings.url(plane)
    if configured is not None:
        return configured
    server = embedded.attach(settings.home / "postgres")
    if plane == "metadata":
        _bring_up_to_date(server, settings.tenant_slug)
    else:
        embedded.ensure_databases(server, [plane])
    return server.url(plane, user=user)


def _bring_up_to_date(server: embedded.Server, tenant: str) -> None:
    """Migrate the embedded control plane unless it is current; one connection when it is, as nearly always.

    A new one is made for the tenant that asks. In one that is there a tenant that nobody made is more likely a typing
    error: TenantUnknown.
    """
    url = server.url("metadata")
    found = _found_in(server, tenant)
    if found is not None:
        from resources.postgres.migrate import migrate  # and Alembic, which every step would wait for

        migrate(plain_engine(url), tenants=(DEFAULT_TENANT, tenant) if found == NO_SCHEMA else (DEFAULT_TENANT,))
        check(url, tenant=tenant)


def _found_in(server: embedded.Server, tenant: str) -> str | None:
    """What is in the embedded control plane, which is made where it is not there; None for this very release."""
    url = server.url("metadata")
    try:
        try:
            check(url, tenant=tenant)
        except psycopg.OperationalError:
            embedded.ensure_databases(server, ["metadata"])
            check(url, tenant=tenant)
    except SchemaNotCurrent as behind:
        return behind.found
    return None


def check(url: str, *, tenant: str) -> None:
    """`check_current` of a database."""
    with psycopg.connect(libpq(url)) as connection:
        check_current(connection, tenant=tenant)
