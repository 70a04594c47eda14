"""The asset graph of a code location as edges of the canonical graph: read, hashed, mirrored when it changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import dagster as dg

from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey
from metadata_assets.datasets import key_of, publish_policy_of
from metadata_assets.mirror.columns import columns_of, columns_text, scoped
from metadata_assets.mirror.locations import entry_of
from resources.configurable import MetadataResource
from resources.graph.edges import EdgeChanges, Link
from resources.graph_store import GraphStore
from resources.metadata.code_locations import CODE
from resources.metadata.told_columns import ToldColumns
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge, PublishPolicy

PRODUCER: Final = CODE
_LONGEST_TEXT: Final = 200


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
    assets_closed: int = 0
    """That this code location was the last one to speak of."""
    entities: Mapping[CanonicalKey, Entity] = field(default_factory=dict, compare=False, repr=False)
    columns_written: int = 0
    column_edges: int = 0


def snapshot(asset_graph: Any, jobs: Mapping[dg.AssetKey, Sequence[str]] = MappingProxyType({})) -> AssetGraphSnapshot:
    """The asset graph of a code location (`Definitions.resolve_asset_graph()`), as values. Raises SharedDataset.

    `jobs` are the names of the jobs that materialize an asset.
    """
    checks: dict[dg.AssetKey, list[str]] = {}
    for check in asset_graph.asset_check_keys:
        checks.setdefault(check.asset_key, []).append(check.name)
    nodes = {key: asset_graph.get(key) for key in sorted(asset_graph.get_all_asset_keys())}
    keys = {key: key_of(key, node.metadata) for key, node in nodes.items()}
    _check_each_has_its_own(keys)
    assets = {
        key: Asset(
            key=keys[key],
            type=AssetType.DATASET,
            description=node.description,
            metadata={
                PRODUCER: {
                    **_facts(key, node),
                    "checks": sorted(checks.get(key, ())),
                    "jobs": sorted(jobs.get(key, ())),
                }
            },
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
    """Tell the stores what a code location defines; a handful of statements, however large the graph is.

    What it says of an asset has an entry of its own, `dagster:<code location>`: an asset that two of them have is one
    thing, of which both words are shown. Edges that it no longer has are closed, and so is an asset that nobody speaks
    of any more; nothing is deleted.
    """
    slot = entry_of(code_location)

    def own(asset: Asset) -> Asset:
        return replace(asset, metadata={slot: asset.metadata[PRODUCER]})

    written = metadata.register_datasets((own(asset), policy) for asset, policy in asset_graph.datasets)
    written += metadata.register_assets(own(asset) for asset in asset_graph.external)
    entities = metadata.entities(asset_graph.keys)
    links = [Link(entities[edge.source], entities[edge.target]) for edge in asset_graph.edges]
    changes = graph.assert_edges(links, producer=PRODUCER, scope=code_location, complete=True)
    told = {key: scoped(one, code_location) for key, one in asset_graph.columns.items()}
    columns, column_edges = metadata.record_columns(told, producer=PRODUCER, scope=code_location)
    taken_back = metadata.take_back(slot, entities.values())  # the entries say whose columns were told
    return Mirrored(written, changes, taken_back.closed, entities, columns, column_edges)


def look_at_definitions(
    context: dg.SensorEvaluationContext, metadata: MetadataResource, *, code_location: str | None
) -> dg.SkipReason:
    """A tick of the sensor that mirrors the asset graph."""
    repository, origin = context.repository_def, context.code_location_origin
    assert repository is not None
    location = code_location or (origin.location_name if origin is not None else repository.name)
    current = snapshot(repository.asset_graph, jobs_in(repository))
    store = metadata.store()
    incarnation, holders = store.standing(current.keys)
    if context.cursor == _done(incarnation, current, holders):
        return dg.SkipReason("the asset graph has not changed")
    mirrored = mirror(store, metadata.graph(), current, code_location=location)
    # Of the names as they were mirrored: one that changed hands since is another cursor at the next tick.
    context.update_cursor(_done(incarnation, current, mirrored.entities))
    edges = mirrored.edges
    closed = f", {mirrored.assets_closed} closed" if mirrored.assets_closed else ""
    return dg.SkipReason(
        f"mirrored: {mirrored.assets_written} assets written{closed}, "
        f"{edges.opened} edges opened, {edges.closed} closed"
    )


def jobs_in(repository: dg.RepositoryDefinition) -> Mapping[dg.AssetKey, Sequence[str]]:
    """The jobs that materialize each asset; without the one that Dagster makes for all of them."""
    jobs: dict[dg.AssetKey, list[str]] = {}
    for job in repository.get_all_jobs():
        if not job.name.startswith("__"):
            for asset_key in job.asset_layer.executable_asset_keys:
                jobs.setdefault(asset_key, []).append(job.name)
    return jobs


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
        "partitions": _divided(node.partitions_def) if node.partitions_def else None,
        "partition_mappings": {
            parent.to_user_string(): _short(mapping) for parent, mapping in sorted(node.partition_mappings.items())
        },
    }


def _divided(definition: dg.PartitionsDefinition[str]) -> str:
    """How an asset is divided, in a line: of keys that are listed their number."""
    match definition:
        case dg.StaticPartitionsDefinition():
            return f"static, {len(definition.get_partition_keys()):,} partitions"
        case dg.MultiPartitionsDefinition():
            dimensions = ((one.name, one.partitions_def) for one in definition.partitions_defs)
            return "; ".join(f"{name}: {_divided(one)}" for name, one in dimensions)
    return _short(definition)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
