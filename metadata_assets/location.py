"""A project as a Dagster code location: its assets and schedules, what collects its sources and mirrors what ran."""

from collections.abc import Mapping
from types import MappingProxyType

import dagster as dg

from identity.keys import CanonicalKey
from metadata_assets.collection.sensors import collection_definitions, observable_sources
from metadata_assets.factory import definitions_for
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.location_names import ALONE, LocationNames
from metadata_assets.scheduling import automation_sensors, schedule_definitions
from metadata_assets.sensors import checks_sensor, lineage_sensor, runs_sensor
from metadata_assets.spec import Project, asset_key
from metadata_assets.translating import MetadataTranslator, asset_keys, translated
from resources.configurable import EndpointConfig, MetadataResource


def code_location(
    project: Project,
    translator: MetadataTranslator | None = None,
    *,
    beside_others: bool = False,
    shown: Mapping[CanonicalKey, dg.AssetKey] = MappingProxyType({}),
) -> dg.Definitions:
    """Everything that Dagster needs to run a project. Pure: no connection is opened, nothing is written.

    A translator says how Dagster shows its datasets: see `MetadataTranslator`. With `beside_others` the project is one
    of several in a code location: its resources, schedules, jobs and sensors have its name in theirs, conditions are
    asked of its own datasets only, and the executor is whatever the code location has. `shown` are source tables that
    are in the code location already, under their keys.
    """
    names = LocationNames.beside_others(project.name) if beside_others else ALONE
    metadata = metadata_resource(project)
    own = [one for one in definitions_for(project, names) if one.key not in {asset_key(key) for key in shown}]
    if translator is not None or shown:
        own = translated(own, project, translator or MetadataTranslator(), shown)
    keys = asset_keys(own)
    known = {**keys, **shown}
    assets = observable_sources(own, project.endpoints.values(), names, known)
    target = dg.AssetSelection.assets(*keys.values()) if beside_others else dg.AssetSelection.all()
    mirrored_as = None if beside_others else project.name  # the graph of a code location is mirrored as a whole
    defs = dg.Definitions(
        assets=assets,
        schedules=schedule_definitions(project, keys, names),
        sensors=[
            lineage_sensor(name=names.of("mirror_lineage"), code_location=mirrored_as, metadata=metadata),
            runs_sensor(name=names.of("mirror_runs"), metadata=metadata),
            checks_sensor(name=names.of("settle_checks"), metadata=metadata),
            *automation_sensors(project, target, names),
        ],
        # A process for each step costs seconds; runs are parallel as they are.
        executor=None if beside_others else dg.in_process_executor,
        resources={names.metadata: metadata, names.io_manager: MetadataIOManager(metadata=metadata)},
    )
    return dg.Definitions.merge(defs, collection_definitions(project.endpoints.values(), names, known))


def metadata_resource(project: Project) -> MetadataResource:
    """The stores of a project, and where its endpoints are: for its runs, and for who reads its data elsewhere."""
    return MetadataResource(
        project=str(project.folder.absolute()),
        endpoints={
            endpoint.slug: EndpointConfig(
                system=endpoint.location.system,
                url=endpoint.location.url,
                database=endpoint.location.database,
                root=endpoint.location.root,
                file=endpoint.location.file,
            )
            for endpoint in project.endpoints.values()
        },
    )
