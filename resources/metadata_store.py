"""MetadataStore: what we know about every asset. It owns record identity; edges are the graph store's."""

from dataclasses import dataclass

from resources.metadata.aliases import Aliases
from resources.metadata.assets import Assets
from resources.metadata.catalogs import Catalogs
from resources.metadata.columns import Columns
from resources.metadata.data_plane import DataPlaneReferences
from resources.metadata.datasets import Datasets
from resources.metadata.endpoint_aliases import EndpointAliases
from resources.metadata.invalidations import Invalidations
from resources.metadata.legacy import Legacy
from resources.metadata.materializations import Materializations
from resources.metadata.pins import Pins
from resources.metadata.releases import Releases
from resources.metadata.versions import Versions


@dataclass(frozen=True, slots=True)
class MetadataStore(
    Legacy,
    EndpointAliases,
    Assets,
    Aliases,
    Catalogs,
    Columns,
    Datasets,
    Materializations,
    Versions,
    DataPlaneReferences,
    Pins,
    Releases,
    Invalidations,
):
    """The nouns of the store, for one tenant and actor.

    store = MetadataStore(Sessions(app_engine(url), tenant_id("default"), "cli"))
    """
