"""What one look at an endpoint changes: a pure function from what is stored and what was seen to a plan."""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final, TypeVar

from identity.keys import CanonicalKey
from resources.metadata.plans import COLLECTED_KEYS, Column, Known, KnownAsset, Plan
from resources.models import Asset, AssetType, Catalog, Field, Gap

_T = TypeVar("_T")

ESTIMATE_TOLERANCE: Final = 0.1
"""How far a row estimate may move before it counts: ANALYZE of unchanged rows gives another number each time."""


class _Change(Enum):
    NEW = auto()
    CHANGED = auto()
    REOPENED = auto()
    NONE = auto()


def diff(current: Iterable[KnownAsset], observed: Catalog) -> Plan:
    """The plan that makes the store say what was seen.

    What a complete catalog does not name is closed, columns included; an incomplete one adds and changes, and closes
    nothing at all. Assets that are only declared stay as they are, and a closed one that is back is reopened. A row
    estimate alone is a change only when it moved by more than ESTIMATE_TOLERANCE.
    """
    known = {asset.name: asset for asset in current}
    seen = {str(asset.key): asset for asset in observed.assets}
    gone = [asset for name, asset in known.items() if name not in seen and asset.collected and observed.complete]
    assets = _grouped((_asset_change(known.get(name), asset), asset) for name, asset in seen.items())
    columns = _grouped(
        (_field_change(known.get(name), field), (asset.key, field))
        for name, asset in seen.items()
        for field in asset.fields or ()
    )
    return Plan(
        endpoint=observed.endpoint,
        fingerprint=observed.fingerprint,
        complete=observed.complete,
        created=tuple(assets[_Change.NEW]),
        changed=tuple(assets[_Change.CHANGED]),
        reopened=tuple(assets[_Change.REOPENED]),
        closed=tuple(CanonicalKey.parse(asset.name) for asset in gone),
        unchanged=len(assets[_Change.NONE]),
        fields_created=tuple(columns[_Change.NEW]),
        fields_changed=tuple(columns[_Change.CHANGED]),
        fields_reopened=tuple(columns[_Change.REOPENED]),
        fields_closed=tuple(_columns_gone(known, seen, gone)) if observed.complete else (),
        fields_unchanged=len(columns[_Change.NONE]),
        edges=observed.edges,
        gaps=observed.gaps,
    )


def reestimated(
    known: Known, estimates: Mapping[str, int | None], *, endpoint: str, fingerprint: str, gaps: tuple[Gap, ...] = ()
) -> Plan:
    """The plan for an endpoint of which only the row estimates, by key, can have changed."""
    collected = [asset for asset in known.assets.values() if asset.collected]
    moved = [asset for asset in collected if _moved(asset.metadata.get("row_estimate"), estimates.get(asset.name))]
    return Plan(
        endpoint=endpoint,
        fingerprint=fingerprint,
        complete=not gaps,
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


def _field_change(known: KnownAsset | None, seen: Field) -> _Change:
    stored = known.fields.get(seen.name) if known else None
    if known is None or stored is None:
        return _Change.NEW
    if seen.name in known.closed_fields:
        return _Change.REOPENED
    return _Change.NONE if stored == seen else _Change.CHANGED


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
        names = {field.name for field in now.fields} | before.closed_fields
        yield from ((now.key, field) for name, field in before.fields.items() if name not in names)
