"""A project as a Dagster code location: its assets and schedules, what collects its sources and mirrors what ran."""

import dagster as dg

from metadata_assets.collection.sensors import collection_definitions, observable_sources
from metadata_assets.factory import definitions_for
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.mirror.lineage import lineage_sensor
from metadata_assets.mirror.runs import runs_sensor
from metadata_assets.scheduling import automation_sensors, schedule_definitions
from metadata_assets.settling import checks_sensor
from metadata_assets.spec import Project
from metadata_assets.translating import MetadataTranslator, asset_keys, translated
from resources.configurable import EndpointConfig, MetadataResource


def code_location(project: Project, translator: MetadataTranslator | None = None) -> dg.Definitions:
    """Everything that Dagster needs to run a project. Pure: no connection is opened, nothing is written.

    A translator says how Dagster shows its datasets: see `MetadataTranslator`.
    """
    metadata = metadata_resource(project)
    assets = observable_sources(definitions_for(project), project.endpoints.values())
    if translator is not None:
        assets = translated(assets, project, translator)
    own = dg.Definitions(
        assets=assets,
        schedules=schedule_definitions(project, asset_keys(assets)),
        sensors=[
            lineage_sensor(code_location=project.name),
            runs_sensor(),
            checks_sensor(),
            *automation_sensors(project),
        ],
        executor=dg.in_process_executor,  # a process for each step costs seconds; runs are parallel as they are
        resources={"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)},
    )
    return dg.Definitions.merge(own, collection_definitions(project.endpoints.values()))


def metadata_resource(project: Project) -> MetadataResource:
    """The stores of a project, and where its endpoints are: for its runs, and for who reads its data elsewhere."""
    return MetadataResource(
        endpoints={
            endpoint.slug: EndpointConfig(
                system=endpoint.location.system,
                url=endpoint.location.url,
                database=endpoint.location.database,
                root=endpoint.location.root,
                file=endpoint.location.file,
            )
            for endpoint in project.endpoints.values()
        }
    )
