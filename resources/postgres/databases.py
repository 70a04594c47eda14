"""The three databases of a deployment: control plane, Dagster's own storage, and the data plane."""

from dataclasses import dataclass

import sqlalchemy as sa

from identity.ids import DEFAULT_TENANT
from resources.postgres import embedded
from resources.postgres.engine import APP_ROLE, Plane, check_server, plain_engine, with_driver
from resources.postgres.errors import SchemaNotCurrent, TenantUnknown
from resources.postgres.migrate import check_current, migrate
from resources.settings import Settings

_NAMES: tuple[Plane, ...] = ("metadata", "dagster", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """Connection URLs. They may hold passwords: never log, store or show one.

    `metadata` is for the app, `migration` is the same database for a login that may change its schema.
    """

    metadata: str
    migration: str
    dagster: str
    data: str


def locate(settings: Settings) -> Databases:
    """Where the databases are. Starts the embedded server if one of them is on it, and migrates that one.

    A configured database is not touched here: `metadata-assets migrate` prepares it.
    """
    configured = (settings.metadata_url, settings.dagster_url, settings.data_url)
    server = None if all(configured) else embedded.attach(settings.home / "postgres")
    if server is not None:
        embedded.ensure_databases(server, [n for n, url in zip(_NAMES, configured, strict=True) if url is None])

    def url(configured: str | None, plane: Plane, user: str = "postgres") -> str:
        if configured is not None:
            return configured
        assert server is not None
        return server.url(plane, user=user)

    databases = Databases(
        metadata=url(settings.metadata_url, "metadata", APP_ROLE),
        migration=url(settings.metadata_url, "metadata"),
        dagster=with_driver(url(settings.dagster_url, "dagster"), "psycopg2"),
        data=url(settings.data_url, "data"),
    )
    if settings.metadata_url is None:
        _bring_up_to_date(plain_engine(databases.migration), settings.tenant_slug)
    return databases


def _bring_up_to_date(engine: sa.Engine, tenant: str) -> None:
    """Migrate the embedded control plane unless it is current; one round trip when it is."""
    try:
        check_current(engine, tenant=tenant)
    except (SchemaNotCurrent, TenantUnknown):
        migrate(engine, tenants=(DEFAULT_TENANT, tenant))


def reach(settings: Settings) -> Databases:
    """`locate`, and a look at each configured server: DatabaseUnreachable, DatabaseTooOld, SchemaNotCurrent."""
    configured: dict[Plane, str | None] = {
        "metadata": settings.metadata_url,
        "dagster": settings.dagster_url,
        "data": settings.data_url,
    }
    for plane, url in configured.items():
        if url is not None:
            check_server(url, plane)
    databases = locate(settings)
    if settings.metadata_url is not None:
        check_current(plain_engine(databases.migration), tenant=settings.tenant_slug)
    return databases
