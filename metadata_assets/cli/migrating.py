"""`migrate`: bring the control plane to this release."""

from typing import ClassVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from identity.errors import MetadataError
from identity.ids import DEFAULT_TENANT
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from resources.postgres import embedded
from resources.postgres.engine import check_server, plain_engine
from resources.postgres.migrate import Migrated, migrate
from resources.settings import Settings


class MayNotMigrate(MetadataError):
    """the login of METADATA_DATABASE_URL may not change the schema ({reason}); nothing was changed: \
migrate once with a login that may create roles and schemas in that database"""

    reason: str
    exit_code: ClassVar[int] = ExitCode.UNUSABLE


class NoDryRun(MetadataError):
    """a migration of the schema has no --dry-run; `metadata-assets doctor` says whether one is due"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def migrate_database(cli: Cli, *, dry_run: bool) -> ExitCode:
    if dry_run:
        raise NoDryRun
    engine = _engine(cli.settings)
    try:
        done = migrate(engine, tenants=(DEFAULT_TENANT, cli.settings.tenant_slug))
    except (psycopg.errors.InsufficientPrivilege, DBAPIError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(original, psycopg.errors.InsufficientPrivilege):
            raise
        raise MayNotMigrate(reason=original.diag.message_primary or "permission denied") from None
    answer = {"before": done.before, "after": done.after, "changed": done.changed, "tenant": cli.settings.tenant_slug}
    cli.show(answer, f"{_told(done)}; tenant {cli.settings.tenant_slug} is there")
    return ExitCode.OK


def _engine(settings: Settings) -> sa.Engine:
    """The control plane for a login that may change it. The embedded one is not migrated on the way here."""
    configured = settings.url("metadata")
    if configured is not None:
        check_server(configured, "metadata")
        return plain_engine(configured)
    server = embedded.attach(settings.home / "postgres")
    embedded.ensure_databases(server, ["metadata"])
    return plain_engine(server.url("metadata"))


def _told(done: Migrated) -> str:
    if done.before is None:
        return f"the metadata schema was made, at {done.after}"
    if done.changed:
        return f"the metadata schema went from {done.before} to {done.after}"
    return f"the metadata schema is at {done.after}, as before"
