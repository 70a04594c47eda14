"""The end of a code location that is renamed or removed. Without Dagster: its code may be gone."""

from dataclasses import dataclass

from resources.graph_store import GraphStore
from resources.metadata.code_locations import CODE
from resources.metadata_store import MetadataStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLocation:
    """What closing a code location took back; all 0 where nothing of it stood."""

    assets: int
    """That it spoke of."""
    assets_closed: int
    """Of these, that nobody else speaks of."""
    edges_closed: int
    column_edges_closed: int
    version_retired: bool


def entry_of(code_location: str) -> str:
    """The entry in the metadata of assets that has what a code location says of them."""
    return f"{CODE}:{code_location}"


def close_location(metadata: MetadataStore, graph: GraphStore, code_location: str) -> ClosedLocation:
    """Take back all that a code location says, as if it had no assets any more; others' words and all history stay.

    Each part is a transaction, and the whole may be repeated: what is closed already is left alone.
    """
    edges = graph.assert_edges([], producer=CODE, scope=code_location, complete=True)
    _written, columns = metadata.record_columns({}, producer=CODE, scope=code_location)
    taken_back = metadata.take_back(entry_of(code_location), [])
    return ClosedLocation(
        assets=taken_back.assets,
        assets_closed=taken_back.closed,
        edges_closed=edges.closed,
        column_edges_closed=columns,
        version_retired=metadata.retire_dag(code_location),
    )
