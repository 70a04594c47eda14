"""MetadataStore: what we know about every asset. It owns record identity; edges are the graph store's."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from identity.keys import CanonicalKey
from resources.metadata.aliases import Aliases
from resources.metadata.assets import Assets
from resources.metadata.attempts import Attempts
from resources.metadata.catalogs import Catalogs
from resources.metadata.code_locations import CodeLocations
from resources.metadata.columns import Columns
from resources.metadata.data_plane import DataPlaneReferences
from resources.metadata.datasets import Datasets
from resources.metadata.declarations import Declarations
from resources.metadata.endpoint_aliases import EndpointAliases
from resources.metadata.explanations import Explanations
from resources.metadata.facets import Facets
from resources.metadata.impact import Impacts
from resources.metadata.imports import Imports
from resources.metadata.invalidations import Invalidations
from resources.metadata.legacy import Legacy
from resources.metadata.lineage_events import LineageEvents
from resources.metadata.pins import Pins
from resources.metadata.profiles import Profiles
from resources.metadata.publishing import Publishing
from resources.metadata.releases import Releases
from resources.metadata.runs import Runs
from resources.metadata.telling import Telling
from resources.metadata.told_columns import ColumnWords
from resources.models import PARTITION
from resources.step_store import StepStore
from resources.version_records import At, Frame


@dataclass(frozen=True, slots=True)
class MetadataStore(
    StepStore,
    Legacy,
    EndpointAliases,
    Assets,
    Aliases,
    Catalogs,
    Columns,
    Datasets,
    Declarations,
    Attempts,
    Runs,
    CodeLocations,
    DataPlaneReferences,
    Pins,
    Publishing,
    Releases,
    Invalidations,
    Explanations,
    Impacts,
    Imports,
    Profiles,
    LineageEvents,
    Facets,
    Telling,
    ColumnWords,
):
    """The nouns of the store, for one tenant and actor.

    store = MetadataStore(Sessions(app_engine(url), tenant_id("default"), "cli"))
    """

    def read(
        self,
        dataset: CanonicalKey | str,
        *,
        storages: Callable[[str], Any],
        at: At = None,
        partitions: Collection[str] | None = None,
        frame: Frame = "polars",
        partition_column: str | None = PARTITION,
    ) -> Any:
        """The data of a dataset from where `storages` says that endpoints keep them: see `Reader.read`.

        The store itself knows no tables: what reads them is imported when it is asked for.
        """
        from resources.reading import Reader

        return Reader(self, storages).read(
            dataset, at=at, partitions=partitions, frame=frame, partition_column=partition_column
        )
