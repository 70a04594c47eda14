"""What the source's own object ids say: which things were renamed, and which names something else has by now.

Pure: from what is stored and what was seen. An object id holds within one database of one server; a restored or
cloned database has others, and then names are all there is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from resources.metadata.plans import KnownAsset
from resources.models import Asset, AssetType, Field

_VIEWS: Final = {AssetType.VIEW, AssetType.MATERIALIZED_VIEW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What object ids tell of one look. All names are keys' texts.

    `renamed`: old name to new. `replaced`: names whose things are gone, because something else has the name.
    `unclear`: seen names that a partial look cannot tell whose they are; they are left alone.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()


def object_of(asset: Asset) -> str | None:
    """The source's own id of what was seen."""
    found: str | None = asset.metadata.get("object")
    return found


def evidence(known: Mapping[str, KnownAsset], seen: Mapping[str, Asset], *, complete: bool) -> Evidence:
    """What became of the known things, as far as object ids tell.

    Something with a known object is that thing, whatever it is called. A table with another object than its name's
    thing had is another table: the old one was dropped. A view is its definition, so one that was made anew is the same
    one; so is what a table became that turned into a view, and what we materialize ourselves. After a restored dump
    names count.
    """
    restored = _is_restored(known, seen)
    things = {asset.object: asset.name for asset in sorted(known.values(), key=_open_last) if asset.object}
    where = {name: things[one] for name, asset in seen.items() if (one := object_of(asset)) in things}
    renamed = {was: name for name, was in where.items() if was != name and not _stays(known.get(name), seen)}
    renamed |= _called_back(known, seen, renamed)
    others = {name for name in seen if name in known and _is_another(known[name], seen[name])}
    taken = set() if restored else others - renamed.keys()
    taken |= {name for name in renamed.values() if name in known and name not in renamed}
    if complete:
        return Evidence(renamed=renamed, replaced=frozenset(taken))
    unclear = _with_followers(taken, renamed)
    return Evidence(renamed={was: now for was, now in renamed.items() if now not in unclear}, unclear=unclear)


def after(known: Mapping[str, KnownAsset], found: Evidence) -> dict[str, KnownAsset]:
    """What is known, by the names from after the renames; what lost its name is not in it."""
    moved = {found.renamed.get(name, name): asset for name, asset in known.items() if name not in found.replaced}
    return {name: asset if asset.name == name else replace(asset, name=name) for name, asset in moved.items()}


def column_renames(known: KnownAsset, seen: Asset, *, complete: bool) -> dict[str, str]:
    """Old to new names of the columns of one table: within one relation a column's number is never another one's."""
    if known.object is None or known.object != object_of(seen) or not seen.fields:
        return {}
    numbered = {one.position: name for name, one in known.fields.items() if name not in known.closed_fields}
    renamed = {
        numbered[one.position]: one.name
        for one in seen.fields
        if one.position in numbered and numbered[one.position] != one.name
    }
    in_the_way = {now for now in renamed.values() if now in numbered.values() and now not in renamed}
    return renamed if complete or not in_the_way else {}


def is_another_column(known: KnownAsset, seen: Asset, stored: Field, now: Field) -> bool:
    """Whether a column of the same name has another number in the same relation: it was dropped and added again."""
    return known.object is not None and known.object == object_of(seen) and stored.position != now.position


def _is_restored(known: Mapping[str, KnownAsset], seen: Mapping[str, Asset]) -> bool:
    """Whether most of the tables, and more than one, are other objects with the same names and columns.

    Then a dump was restored over them, or somebody makes them all anew each night: which one cannot be told. Views and
    what we materialize do not count, for these are made anew for any reason.
    """
    before = [asset for asset in known.values() if asset.collected and _counts(asset.type) and not asset.materialized]
    kept = {asset.object for asset in known.values()} & {object_of(asset) for asset in seen.values()}
    anew = [
        asset
        for asset in before
        if (now := seen.get(asset.name))
        and _is_another(asset, now)
        and not kept & {asset.object, object_of(now)}
        and _columns(asset) == {(one.name, one.type) for one in now.fields or ()}
    ]
    return len(anew) > max(1, len(before) / 2)


def _columns(known: KnownAsset) -> set[tuple[str, str]]:
    return {(name, one.type) for name, one in known.fields.items() if name not in known.closed_fields}


def _open_last(asset: KnownAsset) -> bool:
    return asset.open


def _stays(holder: KnownAsset | None, seen: Mapping[str, Asset]) -> bool:
    """Whether a name belongs to something that we make ourselves, and that is nowhere else by now."""
    if holder is None or not holder.materialized:
        return False
    return holder.object not in {object_of(asset) for asset in seen.values()}


def _called_back(
    known: Mapping[str, KnownAsset], seen: Mapping[str, Asset], renamed: Mapping[str, str]
) -> dict[str, str]:
    """Things that no source ever identified, seen under a name that still leads to them: the source's name counts."""
    back: dict[str, str] = {}
    for asset in known.values():
        if asset.object is None and asset.name not in seen and asset.name not in renamed:
            names = sorted(asset.former & seen.keys() - known.keys() - set(renamed.values()) - set(back.values()))
            back.update((asset.name, name) for name in names[:1])
    return back


def _is_another(known: KnownAsset, seen: Asset) -> bool:
    one, other = known.object, object_of(seen)
    if one is None or other is None or one == other or known.materialized:
        return False
    same_database = one.rpartition("/")[0] == other.rpartition("/")[0]
    return same_database and _counts(known.type) and _counts(seen.type)


def _counts(kind: str) -> bool:
    """Whether an object id tells one thing of this type from another."""
    return kind not in _VIEWS


def _with_followers(unclear: Iterable[str], renamed: Mapping[str, str]) -> frozenset[str]:
    """The names, and those that what is called so now would have given up."""
    found = set(unclear)
    whence = {now: was for was, now in renamed.items()}
    for name in list(found):
        while (was := whence.get(name)) is not None and was not in found:
            found.add(was)
            name = was
    return frozenset(found)
