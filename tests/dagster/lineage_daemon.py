"""Dagster's daemon, as the lineage sensor meets it."""

from typing import Any

import dagster as dg

from metadata_assets.sensors import lineage_sensor
from resources.configurable import MetadataResource

NOTHING = "the asset graph has not changed"


class Daemon:
    """What Dagster's daemon does with the sensor: it keeps one cursor, whatever store the code location writes to."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None

    def tick(self, defs: dg.Definitions, metadata: MetadataResource) -> str:
        repository = defs.get_repository_def()
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, repository_def=repository, resources={"metadata": metadata}
        ) as context:
            answer: Any = lineage_sensor(code_location="here")(context)
            self.cursor = context.cursor
        return str(answer.skip_message)
