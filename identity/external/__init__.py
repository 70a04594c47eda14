"""What other catalogs call our things, and back: DataHub, OpenMetadata, Atlas, OpenLineage, Dagster.

A name is only given when it leads back to its key; what a catalog cannot say is refused. Collections are mapped with
`names_of` and `keys_of`, which report what would become one and merge nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from identity.external.atlas import Atlas as Atlas
    from identity.external.atlas import AtlasName as AtlasName
    from identity.external.dagster import DagsterAssets as DagsterAssets
    from identity.external.datahub import DataHub as DataHub
    from identity.external.lineage import LineageName as LineageName
    from identity.external.lineage import OpenLineage as OpenLineage
    from identity.external.names import Catalog as Catalog
    from identity.external.names import Conflict as Conflict
    from identity.external.names import InvalidName as InvalidName
    from identity.external.names import Mapped as Mapped
    from identity.external.names import NotExpressible as NotExpressible
    from identity.external.names import Refused as Refused
    from identity.external.names import keys_of as keys_of
    from identity.external.names import names_of as names_of
    from identity.external.openmetadata import OpenMetadata as OpenMetadata
    from identity.external.openmetadata import OpenMetadataName as OpenMetadataName

# Names are looked up when they are first used: Dagster's are wanted in the process of each step, the others are not.
_HOMES: Final = {
    "Atlas": "identity.external.atlas",
    "AtlasName": "identity.external.atlas",
    "Catalog": "identity.external.names",
    "Conflict": "identity.external.names",
    "DagsterAssets": "identity.external.dagster",
    "DataHub": "identity.external.datahub",
    "InvalidName": "identity.external.names",
    "LineageName": "identity.external.lineage",
    "Mapped": "identity.external.names",
    "NotExpressible": "identity.external.names",
    "OpenLineage": "identity.external.lineage",
    "OpenMetadata": "identity.external.openmetadata",
    "OpenMetadataName": "identity.external.openmetadata",
    "Refused": "identity.external.names",
    "keys_of": "identity.external.names",
    "names_of": "identity.external.names",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
