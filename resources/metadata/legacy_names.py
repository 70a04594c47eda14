"""What the ids of an earlier catalog meant: decided from names alone, before anything is written."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from identity.errors import InvalidKey, InvalidUrl, MetadataError
from identity.keys import CanonicalKey, Kind, dataset_key, refuse_credentials
from identity.naming import InvalidReference, UnknownSystem, location_key, reference_key

LEGACY: Final = "legacy"
"""The endpoint of the keys that ids of an earlier catalog have here."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
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
    return dataset_key(LEGACY, table=identifier.lower() if _UUID.fullmatch(identifier) else identifier)


class Names:
    """Everything that has a name, to be found by any end of it: `flights`, `public.flights`, `jfk/public/flights`."""

    def __init__(self, present: Mapping[CanonicalKey, CanonicalKey], systems: Mapping[str, str]) -> None:
        """`present` leads from names, old ones too, to present names; `systems` are those of the endpoints."""
        self._present = present
        self._systems = systems
        self._by_end: dict[tuple[str, ...], set[CanonicalKey]] = defaultdict(set)
        for key in present:
            for end in _ends(key):
                self._by_end[end].add(key)

    def meant_by(self, reference: str) -> tuple[CanonicalKey, ...]:
        """The present keys of what a reference may mean, in order. Raises what a key or a URL is refused with."""
        refuse_credentials(reference, InvalidReference)
        if reference.startswith("mid1:"):
            found = {CanonicalKey.parse(reference)} & self._present.keys()
        elif "://" in reference:
            found = {location_key(reference)} & self._present.keys()
        else:
            found = {*self._as_written(reference), *self._by_rules(reference)}
        return tuple(sorted({self._present[key] for key in found}))

    def _as_written(self, reference: str) -> Iterator[CanonicalKey]:
        for end in {(reference,), tuple(reference.split("/")), tuple(reference.split("."))}:
            yield from self._by_end.get(end, ())

    def _by_rules(self, reference: str) -> Iterator[CanonicalKey]:
        """By the rules of every system that is here: what it folds, and names in its quotes."""
        for system in set(self._systems.values()):
            end = _said(reference, system)
            for key in self._by_end.get(end, ()) if end else ():
                if self._systems.get(key.namespace) == system:
                    yield key


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
