"""HOW does it run? The Dagster plugin. Import from here; `identity` and `resources` are what it stands on.

from metadata_assets import MetadataIOManager, MetadataResource, SourceTable, code_location, load_project
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from identity.errors import MetadataError as MetadataError
    from identity.keys import CanonicalKey as CanonicalKey
    from identity.keys import dataset_key as dataset_key
    from metadata_assets.adoption import with_metadata as with_metadata
    from metadata_assets.component import MetadataProject as MetadataProject
    from metadata_assets.io_manager import MetadataIOManager as MetadataIOManager
    from metadata_assets.location import code_location as code_location
    from metadata_assets.location import metadata_resource as metadata_resource
    from metadata_assets.recording import recorded as recorded
    from metadata_assets.sensors import checks_sensor as checks_sensor
    from metadata_assets.source_table import SourceTable as SourceTable
    from metadata_assets.spec import load_project as load_project
    from metadata_assets.translating import DatasetProps as DatasetProps
    from metadata_assets.translating import MetadataTranslator as MetadataTranslator
    from resources.configurable import MetadataResource as MetadataResource
    from resources.graph_store import GraphStore as GraphStore
    from resources.metadata_store import MetadataStore as MetadataStore
    from resources.reading import Reader as Reader
    from resources.settings import Settings as Settings

# Names are looked up when they are first used: the command line must not wait for Dagster when it does not need it.
# No submodule may be called like one of them: importing it would put the module in the name's place.
_HOMES: Final = {
    "CanonicalKey": "identity.keys",
    "DatasetProps": "metadata_assets.translating",
    "GraphStore": "resources.graph_store",
    "MetadataError": "identity.errors",
    "MetadataIOManager": "metadata_assets.io_manager",
    "MetadataResource": "resources.configurable",
    "MetadataProject": "metadata_assets.component",
    "MetadataStore": "resources.metadata_store",
    "MetadataTranslator": "metadata_assets.translating",
    "Reader": "resources.reading",
    "Settings": "resources.settings",
    "SourceTable": "metadata_assets.source_table",
    "checks_sensor": "metadata_assets.sensors",
    "code_location": "metadata_assets.location",
    "dataset_key": "identity.keys",
    "load_project": "metadata_assets.spec",
    "metadata_resource": "metadata_assets.location",
    "recorded": "metadata_assets.recording",
    "with_metadata": "metadata_assets.adoption",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
