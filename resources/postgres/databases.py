"""The three databases of a deployment: control plane, Dagster's own storage, and the data plane."""

from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa

from identity.ids import DEFAULT_TENANT
from resources.postgres import embedded
from resources.postgres.engine import APP_ROLE, check_server, plain_engine, with_driver
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
        url = self._found("metadata", user=APP_ROLE)
        if self.settings.url("metadata") is not None:
            check_current(plain_engine(url), tenant=self.settings.tenant_slug)
        return url

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

    def _found(self, plane: Plane, *, user: str = "postgres") -> str:
        configured = self.settings.url(plane)
        if configured is not None:
            check_server(configured, plane)
        return locate(self.settings, plane, user=user)


def locate(settings: Settings, plane: Plane, *, user: str = "postgres") -> str:
    """Where a database is, by URL. Starts the embedded server where it is on it, and migrates the control plane there.

    A configured database is not touched here: `metadata-assets migrate` prepares it. `user` is for the embedded server.
    """
    configured = settings.url(plane)
    if configured is not None:
        return configured
    server = embedded.attach(settings.home / "postgres")
    embedded.ensure_databases(server, [plane])
    if plane == "metadata":
        _bring_up_to_date(plain_engine(server.url(plane)), settings.tenant_slug)
    return server.url(plane, user=user)


def _bring_up_to_date(engine: sa.Engine, tenant: str) -> None:
    """Migrate the embedded control plane unless it is current; one round trip when it is.

    A new one is made for the tenant that asks. In one that is there a tenant that nobody made is more likely a typing
    error: TenantUnknown.
    """
    try:
        check_current(engine, tenant=tenant)
    except SchemaNotCurrent as behind:
        from resources.postgres.migrate import migrate  # and Alembic, which every step would wait for

        migrate(engine, tenants=(DEFAULT_TENANT, tenant) if behind.found == NO_SCHEMA else (DEFAULT_TENANT,))
        check_current(engine, tenant=tenant)
