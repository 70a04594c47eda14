"""Dagster's own storage, on the PostgreSQL of this deployment: what dagster.yaml names."""

import os
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster_postgres import DagsterPostgresStorage

from metadata_assets._dagster import ConfigurableClassData
from resources.postgres.databases import reach
from resources.settings import Settings


class MetadataPostgresStorage(DagsterPostgresStorage):
    """dagster-postgres on DAGSTER_POSTGRES_URL, else on the embedded server, which then runs as long as this process.

    No URL stands in dagster.yaml, so the same file serves a laptop and a managed database.
    """

    @classmethod
    def config_type(cls) -> dict[str, dg.Field]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        databases = reach(Settings.from_env(os.environ, cwd=Path.cwd()))
        return cls(postgres_url=databases.dagster, inst_data=inst_data)
