"""What a step writes, and which partitions of which datasets each partition of that is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from identity.keys import CanonicalKey
from metadata_assets._dagster import upstream_partitions
from metadata_assets.datasets import key_of
from resources.metadata.steps import Begun
from resources.step_store import StepStore

Partitions = tuple[str | None, ...]
Needed = Mapping[str | None, Mapping[dg.AssetKey, Sequence[str | None]]]
"""By partition of an asset: the partitions of its parents that it is made from; [None] for all, or too many."""
_MOST_PARTITIONS: Final = 100
"""A run over more partitions records of each which datasets it read, not which partitions of them."""
_MOST_READ: Final = 1_000


@dataclass(frozen=True, slots=True)
class Needs:
    """The partitions of assets that a step writes, what each is made from, and the datasets that all of these are."""

    partitions: Mapping[dg.AssetKey, Partitions]
    needed: Mapping[dg.AssetKey, Needed]
    keys: Mapping[dg.AssetKey, CanonicalKey]

    @classmethod
    def of(cls, asset_graph: Any, partitions: Mapping[dg.AssetKey, Partitions]) -> "Needs":
        """Of what a step writes."""
        needed = {one: _needed(asset_graph, one, some) for one, some in partitions.items()}
        parents = {one for by_partition in needed.values() for some in by_partition.values() for one in some}
        keys = {one: key_of(one, asset_graph.get(one).metadata) for one in parents | partitions.keys()}
        return cls(partitions, needed, keys)

    def begun(self, store: StepStore) -> Begun:
        """Take a fencing token, and see what the inputs are: before any work, in one round trip."""
        reads: dict[CanonicalKey, set[str | None]] = {}
        for by_partition in self.needed.values():
            for by_parent in by_partition.values():
                for parent, some in by_parent.items():
                    reads.setdefault(self.keys[parent], set()).update(some)
        return store.begin_step_reading(set(self.keys.values()), reads)


def _needed(asset_graph: Any, asset_key: dg.AssetKey, partitions: Partitions) -> Needed:
    parents = sorted(asset_graph.get(asset_key).parent_keys)
    divided = [one for one in parents if asset_graph.get(one).partitions_def is not None]
    whole: dict[dg.AssetKey, Sequence[str | None]] = {one: [None] for one in parents}
    if not divided or len(partitions) > _MOST_PARTITIONS:
        return dict.fromkeys(partitions, whole)
    needed = {}
    for partition in partitions:
        mapped = upstream_partitions(asset_graph, asset_key, partition)
        some = {one: mapped[one] for one in divided if 0 < len(mapped.get(one, ())) <= _MOST_READ}
        needed[partition] = {**whole, **some}
    return needed
