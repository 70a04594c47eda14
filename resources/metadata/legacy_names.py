"""What the ids of an earlier catalog meant: decided from names alone, before anything is written."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from identity.errors import InvalidKey, InvalidUrl, MetadataError
from identity.ids import EntityId
from identity.keys import CanonicalKey, Kind, dataset_key, refuse_credentials
from identity.naming import InvalidReference, UnknownSystem, location_key, reference_key
from resources.metadata.finding import Ending, spelled_in_key, start_of
from resources.models import LEGACY

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OURS: Final = ("mid1:", "identity:")
_NOT_SAID: Final = "\ufdd0"  # no character: what a reference leaves out comes back as this


class InvalidLegacyId(InvalidKey):
    """not an id of an earlier catalog, {reason}: {value!r}; {fix}"""


@dataclass(frozen=True, slots=True)
class LegacyRow:
    """One line of an import: an id, and the reference or name that it meant; where it stands, from 1."""

    line: int
    id: str
    reference: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """An id that leads nowhere yet, as it was given, and the keys that it could mean; none when nothing fits."""

    line: int
    id: str
    reference: str
    candidates: tuple[CanonicalKey, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A line that says nothing that could be stored. The error withholds credentials."""

    line: int
    error: MetadataError


@dataclass(frozen=True, slots=True)
class Meaning:
    """An id that means one thing: its own key, and the key of that thing."""

    row: LegacyRow
    key: CanonicalKey
    target: CanonicalKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the lines of an import mean, each of them in one of the four."""

    certain: tuple[Meaning, ...]
    ambiguous: tuple[Unclear, ...]
    unknown: tuple[Unclear, ...]
    refused: tuple[RefusedRow, ...]


def legacy_key(identifier: str) -> CanonicalKey:
    """The key of an id of an earlier catalog; UUIDs in whatever case are one. Raises InvalidLegacyId."""
    if not identifier.strip():
        raise InvalidLegacyId(value=identifier, reason="it is empty", fix="give the id as the catalog had it")
    refuse_credentials(identifier, InvalidLegacyId)
    if identifier.startswith(_OURS):
        fix = "leave the line out: it leads to what it names without an import"
        raise InvalidLegacyId(value=identifier, reason="it is written like a key of this catalog", fix=fix)
    return dataset_key(LEGACY, table=identifier.lower() if _UUID.fullmatch(identifier) else identifier)


NO_THINGS: Final[Mapping[CanonicalKey, EntityId]] = MappingProxyType({})


class Names:
    """Everything that has a name, to be found by any end of it: `flights`, `public.flights`, `jfk/public/flights`."""

    def __init__(
        self,
        present: Mapping[CanonicalKey, CanonicalKey],
        systems: Mapping[str, str],
        things: Mapping[CanonicalKey, EntityId] = NO_THINGS,
    ) -> None:
        """`present` leads from names, old ones too, to present names, or to the one that still leads to a thing.

        `systems` are those of the endpoints, `things` the ids of what the present names are.
        """
        self._present = present
        self._things = things
        self._systems = systems
        self._by_end: dict[tuple[str, ...], set[CanonicalKey]] = defaultdict(set)
        for key in present:
            for end in _ends(key):
                self._by_end[end].add(key)

    def meant_by(self, reference: str) -> tuple[CanonicalKey, ...]:
        """The present keys of what a reference may mean, in order. Raises what a key or a URL is refused with."""
        refuse_credentials(reference, InvalidReference)
        key = _as_key(reference)
        if key is not None:
            found = {key} & self._present.keys()
        else:
            found = {*self._as_written(reference), *self._by_rules(reference)}
        return tuple(sorted({self._present[key] for key in found}))

    def thing(self, key: CanonicalKey) -> EntityId:
        """The id of what one of the keys of `meant_by` leads to."""
        return self._things[key]

    def _as_written(self, reference: str) -> Iterator[CanonicalKey]:
        for end in _written(reference):
            yield from self._by_end.get(end, ())

    def _by_rules(self, reference: str) -> Iterator[CanonicalKey]:
        """By the rules of every system that is here: what it folds, and names in its quotes."""
        for system in set(self._systems.values()):
            end = _said(reference, system)
            for key in self._by_end.get(end, ()) if end else ():
                if self._systems.get(key.namespace) == system:
                    yield key


@dataclass(frozen=True, slots=True)
class Asked:
    """What the references of an import ask for: ends of names, and keys."""

    endings: tuple[Ending, ...]
    keys: tuple[CanonicalKey, ...]


def asked_for(references: Iterable[str], systems: Mapping[str, str], slugs: Mapping[str, Collection[str]]) -> Asked:
    """Where to look for whatever these references may mean; one that is refused asks for nothing.

    `slugs` are those that keys may have beside an endpoint's own, provisional ones.
    """
    endings: dict[Ending, None] = {}
    keys: dict[CanonicalKey, None] = {}
    for reference in references:
        try:
            refuse_credentials(reference, InvalidReference)
            key = _as_key(reference)
        except (InvalidKey, InvalidUrl):
            continue
        if key is not None:
            keys[key] = None
            continue
        for end in _written(reference):
            endings.update(dict.fromkeys(_endings(end, None, slugs)))
        for system in set(systems.values()):
            endings.update(dict.fromkeys(_endings(_said(reference, system) or (), system, slugs)))
    return Asked(tuple(endings), tuple(keys))


def _as_key(reference: str) -> CanonicalKey | None:
    """The key that a reference is, or that the URL of a file has."""
    if reference.startswith("mid1:"):
        return CanonicalKey.parse(reference)
    return location_key(reference) if "://" in reference else None


def _written(reference: str) -> set[tuple[str, ...]]:
    return {(reference,), tuple(reference.split("/")), tuple(reference.split("."))}


def _endings(end: tuple[str, ...], system: str | None, slugs: Mapping[str, Collection[str]]) -> Iterator[Ending]:
    """Where the names with an end are, whatever stands above the own name there: what `_ends` yields, turned round."""
    match end:
        case (own,):
            places: list[tuple[str | None, str | None]] = [(start_of(own), None)]
        case (above, own):
            places = [(start_of(own, above), None), (start_of(own, None), above)]
            places += [(start_of(own, None, slug), None) for slug in (above, *slugs.get(above, ()))]
        case (top, above, own):
            places = [(start_of(own, above), top)]
            for slug in (top, *slugs.get(top, ())):
                places += [(start_of(own, above, slug), None), (start_of(own, None, slug), above)]
        case (endpoint, top, above, own):
            places = [(start_of(own, above, slug), top) for slug in (endpoint, *slugs.get(endpoint, ()))]
        case _:
            return
    for start, source in places:
        spelled = None if source is None else spelled_in_key(source)
        if start is not None and (spelled is None) == (source is None):
            yield Ending(start, spelled, system)


def _ends(key: CanonicalKey) -> Iterator[tuple[str, ...]]:
    parts = tuple(part for part in key.segments if part is not None)
    for start in range(len(parts)):
        yield parts[start:]
    yield (key.namespace, *parts)
    if key.kind is Kind.DATASET and key.source is not None:
        yield (key.namespace, *parts[1:])


def _said(reference: str, system: str) -> tuple[str, ...] | None:
    try:
        key = reference_key(reference, of=system, endpoint=LEGACY, source=_NOT_SAID, schema=_NOT_SAID)
    except (InvalidReference, UnknownSystem):
        return None
    return tuple(part for part in key.segments if part not in (None, _NOT_SAID))


def read(rows: Iterable[LegacyRow], names: Names) -> Reading:
    """Decide what each line means. An id that the lines give two meanings is ambiguous; two lines of one are one."""
    refused: list[RefusedRow] = []
    meant: dict[CanonicalKey, dict[CanonicalKey, None]] = {}
    first: dict[CanonicalKey, LegacyRow] = {}
    for row in rows:
        try:
            key, candidates = legacy_key(row.id), names.meant_by(row.reference)
        except (InvalidKey, InvalidUrl) as error:
            refused.append(RefusedRow(row.line, error))
            continue
        first.setdefault(key, row)
        meant.setdefault(key, {}).update(dict.fromkeys(candidates))
    certain = [Meaning(first[key], key, next(iter(found))) for key, found in meant.items() if len(found) == 1]
    return Reading(
        certain=tuple(certain),
        ambiguous=tuple(_unclear(first[key], found) for key, found in meant.items() if len(found) > 1),
        unknown=tuple(_unclear(first[key], found) for key, found in meant.items() if not found),
        refused=tuple(refused),
    )


def _unclear(row: LegacyRow, candidates: Iterable[CanonicalKey]) -> Unclear:
    return Unclear(row.line, row.id, row.reference, tuple(sorted(candidates)))
