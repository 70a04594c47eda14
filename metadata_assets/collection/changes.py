"""What a collection's changes mean to whoever reads the tables: a pure function from a plan and what was known."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.types import type_change
from resources.metadata.plans import Change, Column, KnownAsset, Plan
from resources.models import Asset, Field

_KEYS: Final = {"primary_key": "primary key", "unique_keys": "unique key", "foreign_keys": "foreign key"}


def with_changes(
    plan: Plan,
    known: Mapping[str, KnownAsset],
    columns_renamed: Mapping[str, Mapping[str, str]],
) -> Plan:
    """The plan with its changes, in the order of their tables.

    `known` is by present names, those of columns included. Breaking is what takes something
    away that a reader may count on: a table, a column, a name, values that a type held, that a column is never null, a
    key. Of a table that is new or gone its columns are not told one by one.
    """
    names = Names({was: now.table for was, now in plan.renamed}, columns_renamed)
    whole = {*(asset.key for asset in (*plan.created, *plan.reopened)), *plan.closed, *plan.replaced}
    tables = [
        *(Change("table removed", key, breaking=True) for key in plan.closed),
        *(Change("table replaced", key, breaking=True) for key in plan.replaced),
        *(Change("table renamed", now, breaking=True, before=was.table, after=now.table) for was, now in plan.renamed),
        *(Change("table back", asset.key, breaking=False) for asset in plan.reopened),
        *(Change("table added", asset.key, breaking=False) for asset in plan.created if asset.key not in plan.replaced),
        *(one for asset in plan.changed for one in _of_table(known[str(asset.key)], asset, names)),
    ]
    columns = [
        *(
            Change("column renamed", key, column=one.name, breaking=True, before=was, after=one.name)
            for was, (key, one) in plan.fields_renamed
            if key not in whole
        ),
        *_told("column removed", plan.fields_closed, whole, breaking=True),
        *_told("column added", plan.fields_created, whole, breaking=False),
        *_told("column back", plan.fields_reopened, whole, breaking=False),
        *(one for key, now in plan.fields_changed for one in _of_column(key, known[str(key)].fields[now.name], now)),
    ]
    return replace(plan, changes=tuple(sorted([*tables, *columns], key=_place)))


@dataclass(frozen=True, slots=True)
class Names:
    """What tables, and the columns of each by its present name, are called by now, where that is not as before."""

    tables: Mapping[CanonicalKey, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


_AS_IT_IS: Final = Names()


def _told(kind: str, columns: Iterable[Column], whole: Set[CanonicalKey], *, breaking: bool) -> Iterator[Change]:
    for key, some in groupby(columns, key=itemgetter(0)):
        if key not in whole:
            yield from (Change(kind, key, column=one.name, breaking=breaking) for _key, one in some)


def _place(change: Change) -> tuple[Any, ...]:
    return str(change.key), change.column or "", change.kind, change.before or "", change.after or ""


def _of_table(known: KnownAsset, seen: Asset, names: Names) -> Iterator[Change]:
    if known.collected and known.type != seen.type:
        yield Change("kind changed", seen.key, breaking=False, before=str(known.type), after=str(seen.type))
    if known.metadata.get("definition") != seen.metadata.get("definition") and "definition" in seen.metadata:
        yield Change("query changed", seen.key, breaking=False)
    if seen.metadata.get("broken") and not known.metadata.get("broken"):
        yield Change("query broken", seen.key, breaking=True)
    if not known.collected:
        return
    for fact, word in _KEYS.items():
        before = {_shown(key, seen.key, names) for key in _keys(fact, known.metadata)}
        after = {_shown(key, seen.key, _AS_IT_IS) for key in _keys(fact, seen.metadata)}
        for key in sorted(before - after):
            yield Change(f"{word} removed", seen.key, breaking=True, before=key)
        for key in sorted(after - before):
            yield Change(f"{word} added", seen.key, breaking=False, after=key)


def _keys(fact: str, metadata: Mapping[str, Any]) -> Iterable[Any]:
    found = metadata.get(fact)
    if found is None:
        return ()
    return [found] if fact == "primary_key" else found


def _shown(key: Any, of: CanonicalKey, names: Names) -> str:
    """The columns of a key, and the table that they refer to, by their present names."""
    renamed = names.columns.get(str(of), {})
    columns = key["columns"] if isinstance(key, Mapping) else key
    own = f"({', '.join(renamed.get(column, column) for column in columns)})"
    if not isinstance(key, Mapping):
        return own
    schema, table = key["references"]["schema"], key["references"]["table"]
    there = dataset_key(of.endpoint, source=of.source, schema=schema, table=table)
    return f"{own} to {names.tables.get(there, table)}"


def _of_column(key: CanonicalKey, stored: Field, seen: Field) -> Iterator[Change]:
    def change(kind: str, fact: Callable[[Field], str], *, breaking: bool) -> Change:
        return Change(kind, key, column=seen.name, breaking=breaking, before=fact(stored), after=fact(seen))

    if stored.type != seen.type:
        how = type_change(stored.type, seen.type)
        yield change(f"type {how}", lambda one: one.type, breaking=how != "widened")
    if stored.nullable != seen.nullable:
        kind = "nulls allowed" if seen.nullable else "nulls refused"
        yield change(kind, lambda one: "null" if one.nullable else "not null", breaking=seen.nullable)
