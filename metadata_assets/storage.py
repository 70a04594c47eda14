"""Dagster's own storage, on the PostgreSQL of this deployment: what dagster.yaml names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import dagster as dg
import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import retry_pg_connection_fn

from metadata_assets._dagster import ConfigurableClassData
from resources.postgres.databases import Databases
from resources.settings import Settings

KEEP_SECONDS: Final = 30
"""How long a connection is used before it is replaced: one that broke while idle is not met for longer."""
LONGEST_STATEMENT_MS: Final = 600_000

_CREATION: Final = 7_264_100_001
"""An advisory lock of Dagster's database: whoever makes the tables has it alone."""
_TABLES: Final = ("runs", "instance_info", "event_logs", "jobs")
"""The first table of each part of the storage, and what dagster-postgres looks for besides."""
_HAS_TABLES: Final = f"SELECT count(to_regclass(name)) = {len(_TABLES)} FROM unnest(ARRAY{list(_TABLES)}) AS name"


class MetadataPostgresStorage(DagsterPostgresStorage):
    """dagster-postgres on DAGSTER_POSTGRES_URL, else on the embedded server, which then runs as long as this process.

    No URL stands in dagster.yaml, so the same file serves a laptop and a managed database. Connections are kept for a
    while: by itself dagster-postgres opens a new one for each of the many statements of a step.
    """

    @classmethod
    def config_type(cls) -> dict[str, dg.Field]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        assert not config_value, "this storage takes no configuration"
        databases = Databases(Settings.from_env(os.environ, cwd=Path.cwd()))
        with _tables(databases.dagster) as has_tables:
            storage = cls(databases.dagster, should_autocreate_tables=not has_tables, inst_data=inst_data)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=LONGEST_STATEMENT_MS, pool_recycle=KEEP_SECONDS, max_overflow=20
            )
        return storage


@contextmanager
def _tables(url: str) -> Iterator[bool]:
    """Whether Dagster's tables are there. Where they are not, this block is alone with them, and whoever comes waits.

    dagster-postgres creates tables and then migrates what is in them, which fails where another process has written.
    """
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    for lock in ("pg_advisory_xact_lock_shared", "pg_advisory_xact_lock"):  # no lock is left behind a connection pooler
        with retry_pg_connection_fn(engine.connect) as connection, connection.begin():
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(sa.text(f"SELECT {lock}({_CREATION})"))
            has_tables = bool(connection.scalar(sa.text(_HAS_TABLES)))
            if has_tables or lock == "pg_advisory_xact_lock":
                yield has_tables
                return
