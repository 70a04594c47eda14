"""What Dagster is told of the tables that a collection found changed: an observation of each."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import chain, groupby, islice
from types import MappingProxyType
from typing import Any, Final

import dagster as dg

from identity.ids import sha256_of
from identity.keys import CanonicalKey
from metadata_assets._dagster import last_observed
from metadata_assets.spec.project import asset_key
from resources.metadata.catalogs import current_catalog
from resources.metadata.plans import Change, Collected, KnownAsset
from resources.metadata.profiles import Profile
from resources.metadata_store import MetadataStore

Names = Mapping[CanonicalKey, dg.AssetKey]
NAMES: Final[Names] = MappingProxyType({})
OBSERVED: Final = 1_000
"""Of how many tables one collection tells Dagster: each is an event."""
_GONE: Final = "gone"
_LATE: Final = "found by an earlier collection"
_SCHEMA_FACTS: Final = ("primary_key", "unique_keys", "foreign_keys", "definition")


def observations(
    store: MetadataStore,
    instance: dg.DagsterInstance,
    collected: Collected,
    profiles: Iterable[Profile] = (),
    *,
    without: Collection[dg.AssetKey] = (),
    names: Names = NAMES,
) -> Iterator[dg.AssetObservation]:
    """One for each table that changed, that has a profile, or whose version is not the one that Dagster was told last.

    So what an earlier collection found and could not tell is told now, and what the command line found. It has the
    columns, what changed, and a version of the schema: one that moved makes what depends on the table stale, and lets
    automation run it. A table that is gone has a version of its own. `names` are the assets as which Dagster shows
    tables; others have the names that they have by themselves.
    """
    changed = {key: list(some) for key, some in groupby(collected.changes, key=lambda change: change.key)}
    profiled = {profile.key: profile for profile in profiles}
    known = _known(store, collected.endpoint)
    others = {key: asset for key, asset in known.items() if key not in changed}
    told = last_observed(instance, [_name(names, key) for key in others])
    late = {key: None for key, asset in others.items() if _was_not_told(told.get(_name(names, key)), asset)}
    wanted = (key for key in dict.fromkeys(chain(changed, late, profiled)) if _name(names, key) not in without)
    for key in islice(wanted, OBSERVED):
        changes = changed.get(key, None if key in late else ())
        yield _observation(_name(names, key), changes, known.get(key), profiled.get(key))


def _name(names: Names, key: CanonicalKey) -> dg.AssetKey:
    return names.get(key) or asset_key(key)


def _was_not_told(version: str | None, asset: KnownAsset) -> bool:
    """`version` is the one that Dagster was told last."""
    if asset.open:
        return asset.collected and version != _version(asset)
    return version not in (None, _GONE)


def results(
    store: MetadataStore, collected: Collected, wanted: Collection[dg.AssetKey], *, names: Names = NAMES
) -> Iterator[dg.ObserveResult]:
    """The answer of an observable asset for each of these tables, changed or not."""
    changes = {_name(names, key): list(some) for key, some in groupby(collected.changes, key=lambda one: one.key)}
    for key, asset in _known(store, collected.endpoint).items():
        if (name := _name(names, key)) in wanted:
            one = _observation(name, changes.get(name, ()), asset)
            version = dg.DataVersion(one.tags["dagster/data_version"])
            yield dg.ObserveResult(asset_key=name, metadata=one.metadata, data_version=version)


def _known(store: MetadataStore, endpoint: str) -> dict[CanonicalKey, KnownAsset]:
    with store.session() as session:
        return {CanonicalKey.parse(asset.name): asset for asset in current_catalog(session, endpoint)}


def described(change: Change) -> dict[str, Any]:
    """A change as metadata, without what it does not say."""
    said = {name: getattr(change, name) for name in ("column", "kind", "before", "after", "breaking")}
    return {name: value for name, value in said.items() if value is not None}


def _observation(
    name: dg.AssetKey, changes: Collection[Change] | None, asset: KnownAsset | None, profile: Profile | None = None
) -> dg.AssetObservation:
    """`changes` is None where an earlier collection found them: they are not known any more."""
    metadata: dict[str, Any] = {}
    if changes is not None:
        metadata["metadata_assets/changes"] = dg.MetadataValue.json([described(change) for change in changes])
        metadata["metadata_assets/breaking"] = any(change.breaking for change in changes)
    version = _GONE
    if asset is not None and asset.open:
        metadata |= _facts(asset)
        version = _version(asset)
    if profile is not None:
        metadata["metadata_assets/profile"] = dg.MetadataValue.json([asdict(column) for column in profile.columns])
        metadata["metadata_assets/rows_sampled"] = profile.sampled
        if profile.rows is not None:
            metadata["dagster/row_count"] = profile.rows
    return dg.AssetObservation(
        asset_key=name,
        description=_LATE if changes is None else "; ".join(sorted({change.kind for change in changes})) or None,
        metadata=metadata,
        tags={"dagster/data_version": version},
    )


def _facts(asset: KnownAsset) -> Mapping[str, Any]:
    columns = [
        dg.TableColumn(
            name=one.name,
            type=one.type,
            description=one.metadata.get("comment"),
            constraints=dg.TableColumnConstraints(nullable=one.nullable),
        )
        for one in _columns(asset)
    ]
    rows = asset.metadata.get("row_estimate")
    found: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(columns=columns)}
    return found if rows is None else {**found, "metadata_assets/row_estimate": rows}


def _version(asset: KnownAsset) -> str:
    columns = [(one.name, one.type, one.nullable) for one in _columns(asset)]
    facts = {name: asset.metadata.get(name) for name in _SCHEMA_FACTS}
    return sha256_of(asset.name, json.dumps([asset.type, columns, facts], sort_keys=True)).hex()[:32]


def _columns(asset: KnownAsset) -> list[Any]:
    found = [one for name, one in asset.fields.items() if name not in asset.closed_fields]
    return sorted(found, key=lambda one: one.position)
