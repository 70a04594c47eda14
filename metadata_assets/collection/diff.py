"""What one look at an endpoint changes: a pure function from what is stored and what was seen to a plan."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, TypeVar

from identity.keys import CanonicalKey
from metadata_assets.collection.changes import with_changes
from metadata_assets.collection.evidence import after, column_renames, evidence, is_another_column
from resources.metadata.plans import COLLECTED_KEYS, Column, Known, KnownAsset, Move, Plan
from resources.models import Asset, AssetType, Catalog, Edge, Field, Gap, Origins

_T = TypeVar("_T")
NOTHING: Final[Mapping[CanonicalKey, CanonicalKey]] = MappingProxyType({})

ESTIMATE_TOLERANCE: Final = 0.1
"""How far a row estimate may move before it counts: ANALYZE of unchanged rows gives another number each time."""


class _Change(Enum):
    NEW = auto()
    CHANGED = auto()
    REOPENED = auto()
    NONE = auto()


def diff(
    current: Iterable[KnownAsset], observed: Catalog, joined: Mapping[CanonicalKey, CanonicalKey] = NOTHING
) -> Plan:
    """The plan that makes the store say what was seen.

    What the source's object ids tell comes first: things keep their identity under new names, and a name that something
    else has is its from now on. The rest is by name. What a complete catalog does not name is closed, columns included;
    an incomplete one adds and changes, and closes nothing at all. Assets that are only declared stay as they are, and a
    closed one that is back is reopened. A row estimate alone is a change only when it moved by more than
    ESTIMATE_TOLERANCE. What is `joined` is another endpoint's to describe: of it, only edges count.
    """
    before = {asset.name: asset for asset in current}
    ours = [asset for asset in observed.assets if asset.key not in joined]
    found = evidence(before, {str(asset.key): asset for asset in ours}, complete=observed.complete)
    heirs = {name: before[name] for name in found.replaced}
    seen = {
        name: _declared_as(heirs.get(name), asset) for asset in ours if (name := str(asset.key)) not in found.unclear
    }
    known = after(before, found)
    other = {
        name: asset for name, asset in seen.items() if name not in known or not _has_its_columns(known[name], asset)
    }
    columns = {
        name: column_renames(known[name], asset, complete=observed.complete)
        for name, asset in other.items()
        if name in known
    }
    in_the_way = list(_columns_in_the_way(known, seen, columns))
    known = {name: _with_columns(asset, columns.get(name, {})) for name, asset in known.items()}
    gone = [asset for name, asset in known.items() if name not in seen and asset.collected and observed.complete]
    assets = _grouped((_asset_change(known.get(name), asset), asset) for name, asset in seen.items())
    fields = _grouped(
        (_field_change(known[name], asset, field, complete=observed.complete), (asset.key, field))
        for name, asset in other.items()
        if name in known
        for field in asset.fields or ()
    )
    fields[_Change.NEW] += [
        (asset.key, field) for name, asset in other.items() if name not in known for field in asset.fields or ()
    ]
    plan = Plan(
        endpoint=observed.endpoint,
        fingerprint=observed.fingerprint,
        complete=observed.complete,
        replaced=tuple(CanonicalKey.parse(name) for name in heirs),
        renamed=tuple((CanonicalKey.parse(was), CanonicalKey.parse(now)) for was, now in found.renamed.items()),
        joined=tuple((asset.key, joined[asset.key]) for asset in observed.assets if asset.key in joined),
        created=tuple(assets[_Change.NEW]),
        changed=tuple(assets[_Change.CHANGED]),
        reopened=tuple(assets[_Change.REOPENED]),
        closed=tuple(CanonicalKey.parse(asset.name) for asset in gone),
        unchanged=len(assets[_Change.NONE]),
        fields_replaced=sum(len(heir.fields.keys() - heir.closed_fields) for heir in heirs.values()),
        fields_renamed=tuple(_columns_renamed(known, seen, columns)),
        fields_created=tuple(fields[_Change.NEW]),
        fields_changed=tuple(fields[_Change.CHANGED]),
        fields_reopened=tuple(fields[_Change.REOPENED]),
        fields_closed=(*in_the_way, *_columns_gone(known, other, gone)) if observed.complete else (),
        fields_unchanged=len(fields[_Change.NONE])
        + sum(len(asset.fields or ()) for name, asset in seen.items() if name not in other),
        edges=_clear(observed.edges, found.unclear),
        origins=dict(_clear_origins(observed.origins, found.unclear)),
        gaps=observed.gaps,
    )
    return with_changes(plan, known, columns)


def reestimated(
    known: Known,
    estimates: Mapping[str, int | None],
    *,
    endpoint: str,
    fingerprint: str,
    gaps: tuple[Gap, ...] = (),
    joined: Iterable[Move] = (),
) -> Plan:
    """The plan for an endpoint of which only the row estimates, by key, can have changed."""
    collected = [asset for asset in known.assets.values() if asset.collected]
    moved = [asset for asset in collected if _moved(asset.metadata.get("row_estimate"), estimates.get(asset.name))]
    return Plan(
        endpoint=endpoint,
        fingerprint=fingerprint,
        complete=not gaps,
        joined=tuple(joined),
        changed=tuple(_with_estimate(asset, estimates.get(asset.name)) for asset in moved),
        unchanged=len(collected) - len(moved),
        fields_unchanged=known.fields,
        gaps=gaps,
    )


def _grouped(changes: Iterable[tuple[_Change, _T]]) -> dict[_Change, list[_T]]:
    groups: dict[_Change, list[_T]] = {change: [] for change in _Change}
    for change, item in changes:
        groups[change].append(item)
    return groups


def _asset_change(known: KnownAsset | None, seen: Asset) -> _Change:
    if known is None:
        return _Change.NEW
    if not known.open:
        return _Change.REOPENED
    return _Change.NONE if _says_the_same(known, seen) else _Change.CHANGED


def _says_the_same(known: KnownAsset, seen: Asset) -> bool:
    """Whether writing `seen` over `known` would change nothing but a row estimate within its tolerance.

    A description that a project declared stands, so it is not compared; the comment is, in the metadata.
    """
    fills_description = known.description is None and seen.description is not None
    stored, observed = _collected_part(known.metadata), dict(seen.metadata)
    if not _moved(stored.get("row_estimate"), observed.get("row_estimate")):
        stored.pop("row_estimate", None)
        observed.pop("row_estimate", None)
    return known.type == seen.type and stored == observed and not fills_description


def _moved(stored: int | None, seen: int | None) -> bool:
    if stored is None or seen is None:
        return stored is not seen
    return abs(seen - stored) > ESTIMATE_TOLERANCE * stored


def _collected_part(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name in COLLECTED_KEYS}


def _with_estimate(known: KnownAsset, estimate: int | None) -> Asset:
    metadata = _collected_part(known.metadata) | {"row_estimate": estimate}
    return Asset(
        key=CanonicalKey.parse(known.name),
        type=AssetType(known.type),
        description=metadata.get("comment"),
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _has_its_columns(known: KnownAsset, seen: Asset) -> bool:
    """Whether the columns are the very ones that are known, so that of most tables none is looked at any further."""
    return (
        seen.fields is not None
        and not known.closed_fields
        and len(seen.fields) == len(known.fields)
        and all(known.fields.get(field.name) == field for field in seen.fields)
    )


def _field_change(known: KnownAsset, asset: Asset, seen: Field, *, complete: bool) -> _Change:
    stored = known.fields.get(seen.name)
    if stored is None:
        return _Change.NEW
    if complete and is_another_column(known, asset, stored, seen):
        return _Change.NEW
    if seen.name in known.closed_fields:
        return _Change.REOPENED
    return _Change.NONE if stored == seen else _Change.CHANGED


def _declared_as(heir: KnownAsset | None, seen: Asset) -> Asset:
    """What was seen with what was declared about its name, when something else had that until now."""
    if heir is None:
        return seen
    declared = {name: value for name, value in heir.metadata.items() if name not in COLLECTED_KEYS}
    said = heir.description if heir.description != heir.metadata.get("comment") else None
    return replace(seen, metadata={**declared, **seen.metadata}, description=said or seen.description)


def _with_columns(known: KnownAsset, renamed: Mapping[str, str]) -> KnownAsset:
    """The asset by its columns' new names. One that is in the way of a rename is gone, and its name another one's."""
    if not renamed:
        return known
    taken = set(renamed.values()) - renamed.keys()
    fields = {
        renamed.get(name, name): replace(field, name=renamed.get(name, name))
        for name, field in known.fields.items()
        if name not in taken
    }
    return replace(known, fields=fields, closed_fields=known.closed_fields - taken)


def _columns_in_the_way(
    known: Mapping[str, KnownAsset], seen: Mapping[str, Asset], renamed: Mapping[str, Mapping[str, str]]
) -> Iterable[Column]:
    """Open columns that are gone, and whose names others have by now."""
    for name, columns in renamed.items():
        open_names = known[name].fields.keys() - known[name].closed_fields
        taken = (set(columns.values()) - columns.keys()) & open_names
        yield from ((seen[name].key, known[name].fields[one]) for one in sorted(taken))


def _columns_renamed(
    known: Mapping[str, KnownAsset], seen: Mapping[str, Asset], renamed: Mapping[str, Mapping[str, str]]
) -> Iterable[tuple[str, Column]]:
    for name, columns in renamed.items():
        yield from ((was, (seen[name].key, known[name].fields[now])) for was, now in columns.items())


def _clear(edges: Iterable[Edge], unclear: frozenset[str]) -> frozenset[Edge]:
    return frozenset(edge for edge in edges if not {str(edge.source), str(edge.target)} & unclear)


def _clear_origins(
    origins: Mapping[CanonicalKey, Origins], unclear: frozenset[str]
) -> Iterable[tuple[CanonicalKey, Origins]]:
    for key, columns in origins.items():
        if str(key) not in unclear:
            yield (
                key,
                {name: frozenset(one for one in some if str(one[0]) not in unclear) for name, some in columns.items()},
            )


def _columns_gone(
    known: Mapping[str, KnownAsset], seen: Mapping[str, Asset], gone: Iterable[KnownAsset]
) -> Iterable[Column]:
    """Open columns that their table no longer has, and all columns of the tables that are gone."""
    for asset in gone:
        key = CanonicalKey.parse(asset.name)
        yield from ((key, field) for name, field in asset.fields.items() if name not in asset.closed_fields)
    for asset_name, now in seen.items():
        before = known.get(asset_name)
        if before is None or now.fields is None:
            continue
        stays = {
            field.name
            for field in now.fields
            if (stored := before.fields.get(field.name)) and not is_another_column(before, now, stored, field)
        }
        names = stays | before.closed_fields
        yield from ((now.key, field) for name, field in before.fields.items() if name not in names)
