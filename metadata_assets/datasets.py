"""Dagster's name of an asset and ours of the dataset: which is which."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, get_args

import dagster as dg

from identity.external import DagsterAssets
from identity.keys import CanonicalKey
from resources.models import PublishPolicy

KEY_METADATA: Final = "metadata_assets/key"
PUBLISH_METADATA: Final = "metadata_assets/publish"
_POLICIES: Final[Mapping[str | None, PublishPolicy]] = {policy: policy for policy in get_args(PublishPolicy)}
DAGSTER_ENDPOINT: Final = "dagster"
"""Where assets live that no project declares: their only name is the one that Dagster has for them."""


def key_of(asset_key: dg.AssetKey, metadata: Mapping[str, Any] | None) -> CanonicalKey:
    """The dataset of an asset: the one its metadata names, else one named by the asset key's path as JSON.

    Never by the path joined with slashes: `["a/b"]` and `["a", "b"]` are two assets.
    """
    declared = _text(metadata, KEY_METADATA)
    if declared is not None:
        return CanonicalKey.parse(declared)
    return _own_key(tuple(asset_key.path))


@lru_cache(maxsize=4096)
def _own_key(path: tuple[str, ...]) -> CanonicalKey:
    return DagsterAssets(DAGSTER_ENDPOINT).key_of(path)


def publish_policy_of(metadata: Mapping[str, Any] | None) -> PublishPolicy:
    """When the asset's materializations are published; `immediately` where nothing is said."""
    return _POLICIES.get(_text(metadata, PUBLISH_METADATA), "immediately")


def is_dataset(metadata: Mapping[str, Any] | None) -> bool:
    """Whether the asset is a dataset that a project declares, not a table that it only reads."""
    return _text(metadata, PUBLISH_METADATA) is not None


def _text(metadata: Mapping[str, Any] | None, name: str) -> str | None:
    value = (metadata or {}).get(name)
    value = value.value if isinstance(value, dg.MetadataValue) else value
    return value if isinstance(value, str) else None
