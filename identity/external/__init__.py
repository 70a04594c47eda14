"""What other catalogs call our things, and back: DataHub, OpenMetadata, Atlas, OpenLineage, Dagster.

A name is only given when it leads back to its key; what a catalog cannot say is refused. Collections are mapped with
`names_of` and `keys_of`, which report what would become one and merge nothing.
"""

from identity.external.atlas import Atlas, AtlasName
from identity.external.dagster import DagsterAssets
from identity.external.datahub import DataHub
from identity.external.lineage import LineageName, OpenLineage
from identity.external.names import Catalog, Conflict, InvalidName, Mapped, NotExpressible, Refused, keys_of, names_of
from identity.external.openmetadata import OpenMetadata, OpenMetadataName

__all__ = [
    "Atlas",
    "AtlasName",
    "Catalog",
    "Conflict",
    "DagsterAssets",
    "DataHub",
    "InvalidName",
    "LineageName",
    "Mapped",
    "NotExpressible",
    "OpenLineage",
    "OpenMetadata",
    "OpenMetadataName",
    "Refused",
    "keys_of",
    "names_of",
]
