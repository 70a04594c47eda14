"""The asset graph of a code location as edges of the canonical graph: read, hashed, mirrored when it changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey
from metadata_assets.datasets import key_of, publish_policy_of
from metadata_assets.mirror.columns import columns_of, columns_text, scoped
from resources.configurable import MetadataResource
from resources.graph.edges import EdgeChanges, Link
from resources.graph_store import GraphStore
from resources.metadata.told_columns import ToldColumns
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge, PublishPolicy

PRODUCER: Final = "dagster"


class SharedDataset(MetadataError):
    """the assets {assets} are one dataset, {dataset}; give each a metadata_assets/key of its own, or none"""

    assets: str
    dataset: str


@dataclass(frozen=True, slots=True)
class AssetGraphSnapshot:
    """An asset graph in our words: the datasets that it materializes, the assets it only reads, and who needs whom."""

    datasets: tuple[tuple[Asset, PublishPolicy], ...]
    external: tuple[Asset, ...]
    edges: frozenset[Edge]
    columns: Mapping[CanonicalKey, ToldColumns] = field(default_factory=dict)

    @property
    def keys(self) -> frozenset[CanonicalKey]:
        """The datasets of all assets."""
        return frozenset(asset.key for asset in (*(asset for asset, _policy in self.datasets), *self.external))

    @property
    def digest(self) -> str:
        """Equal for equal graphs, whatever order or process they were loaded in."""
        known: list[tuple[Asset, str]] = [*self.datasets, *((asset, "external") for asset in self.external)]
        assets = [(str(asset.key), policy, asset.description, dict(asset.metadata)) for asset, policy in known]
        edges = sorted((str(edge.source), str(edge.target)) for edge in self.edges)
        columns = [(str(key), columns_text(one)) for key, one in sorted(self.columns.items())]
        return sha256_of(json.dumps([assets, edges, columns], sort_keys=True)).hex()


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What a mirror wrote, and whom it took the names in the graph for."""

    assets_written: int
    edges: EdgeChanges
    entities: Mapping[CanonicalKey, Entity] = field(default_factory=dict, compare=False, repr=False)
    columns_written: int = 0
    column_edges: int = 0


def snapshot(asset_graph: Any) -> AssetGraphSnapshot:
    """The asset graph of a code location (`Definitions.resolve_asset_graph()`), as values. Raises SharedDataset."""
    nodes = {key: asset_graph.get(key) for key in sorted(asset_graph.get_all_asset_keys())}
    keys = {key: key_of(key, node.metadata) for key, node in nodes.items()}
    _check_each_has_its_own(keys)
    assets = {
        key: Asset(
            key=keys[key],
            type=AssetType.DATASET,
            description=node.description,
            metadata={"dagster": _facts(key, node)},
        )
        for key, node in nodes.items()
    }
    return AssetGraphSnapshot(
        datasets=tuple(
            (assets[key], publish_policy_of(node.metadata)) for key, node in nodes.items() if node.is_materializable
        ),
        external=tuple(assets[key] for key, node in nodes.items() if not node.is_materializable),
        edges=frozenset(
            Edge(keys[key], keys[parent]) for key, node in nodes.items() for parent in node.parent_keys & nodes.keys()
        ),
        columns={
            keys[key]: told for key, node in nodes.items() if (told := columns_of(node.metadata, keys)) is not None
        },
    )


def mirror(
    metadata: MetadataStore, graph: GraphStore, asset_graph: AssetGraphSnapshot, *, code_location: str
) -> Mirrored:
    """Tell the stores what a code location defines. Edges that it no longer has are closed; assets stay."""
    written = metadata.register_datasets(asset_graph.datasets) + metadata.register_assets(asset_graph.external)
    entities = metadata.entities(asset_graph.keys)
    links = [Link(entities[edge.source], entities[edge.target]) for edge in asset_graph.edges]
    changes = graph.assert_edges(links, producer=PRODUCER, scope=code_location, complete=True)
    told = {key: scoped(one, code_location) for key, one in asset_graph.columns.items()}
    columns, column_edges = metadata.record_columns(told, producer=PRODUCER, scope=code_location)
    return Mirrored(written, changes, entities, columns, column_edges)


def lineage_sensor(*, code_location: str) -> dg.SensorDefinition:
    """A sensor that mirrors the asset graph of its code location once for each change of it, and of the store.

    Names are a part of that: what is declared about a name is meant for whatever has it, so when another thing got it
    (the old one was renamed and the name taken again, two were swapped) the edges are asserted anew. A tick that finds
    nothing new asks one question and writes nothing.

    Its cursor is in Dagster's storage, which several tenants and stores may share: it says what was mirrored where.

    Definitions are loaded again in every step process, so loading them writes nothing; the daemon's sensor does.
    """

    @dg.sensor(
        name="mirror_lineage",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Mirrors the asset graph into the canonical graph when the code location changed.",
    )
    def mirror_lineage(context: dg.SensorEvaluationContext, metadata: MetadataResource) -> dg.SkipReason:
        repository = context.repository_def
        assert repository is not None
        current = snapshot(repository.asset_graph)
        store = metadata.store()
        incarnation, holders = store.standing(current.keys)
        if context.cursor == _done(incarnation, current, holders):
            return dg.SkipReason("the asset graph has not changed")
        mirrored = mirror(store, metadata.graph(), current, code_location=code_location)
        # Of the names as they were mirrored: one that changed hands since is another cursor at the next tick.
        context.update_cursor(_done(incarnation, current, mirrored.entities))
        edges = mirrored.edges
        return dg.SkipReason(
            f"mirrored: {mirrored.assets_written} assets written, {edges.opened} edges opened, {edges.closed} closed"
        )

    return mirror_lineage


def _done(incarnation: str, asset_graph: AssetGraphSnapshot, holders: Mapping[CanonicalKey, Entity]) -> str:
    whom = (f"{key} {entity.id}" for key, entity in sorted(holders.items()))
    return sha256_of(incarnation, asset_graph.digest, *whom).hex()


def _check_each_has_its_own(keys: Mapping[dg.AssetKey, CanonicalKey]) -> None:
    owners: dict[CanonicalKey, list[dg.AssetKey]] = {}
    for asset_key, key in keys.items():
        owners.setdefault(key, []).append(asset_key)
    for key, found in owners.items():
        if len(found) > 1:
            raise SharedDataset(assets=", ".join(one.to_user_string() for one in found), dataset=str(key))


def _facts(key: dg.AssetKey, node: Any) -> Mapping[str, Any]:
    return {
        "asset_key": list(key.path),
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "owners": sorted(node.owners),
        "tags": dict(sorted(node.tags.items())),
        "code_version": node.code_version,
        "partitions": str(node.partitions_def) if node.partitions_def else None,
    }
