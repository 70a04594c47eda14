"""Dagster's own storage, on the PostgreSQL of this deployment: what dagster.yaml names."""

import os
from pathlib import Path
from typing import Any, Final, Self

import dagster as dg
from dagster_postgres import DagsterPostgresStorage

from metadata_assets._dagster import ConfigurableClassData
from resources.postgres.databases import Databases
from resources.settings import Settings

KEEP_SECONDS: Final = 30
"""How long a connection is used before it is replaced: one that broke while idle is not met for longer."""
LONGEST_STATEMENT_MS: Final = 600_000


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
        storage = cls(postgres_url=databases.dagster, inst_data=inst_data)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=LONGEST_STATEMENT_MS, pool_recycle=KEEP_SECONDS, max_overflow=20
            )
        return storage
