"""Ids of an earlier catalog: imported as names of what they meant, and answered from then on."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from identity.credentials import scrubbed
from identity.errors import InvalidKey
from identity.ids import EntityId
from identity.keys import CanonicalKey, key_at
from resources.metadata.assets import Assets, UnknownKey
from resources.metadata.finding import Thing, ending_so
from resources.metadata.legacy_names import (
    LegacyRow,
    Names,
    Reading,
    RefusedRow,
    Unclear,
    asked_for,
    legacy_key,
    read,
)
from resources.metadata.resolution import hold_names, leading_key, present_key
from resources.models import LEGACY
from resources.postgres.session import Session

BATCH = 1000

_NAME = "SELECT key, entity_id, is_new FROM metadata.name_legacy_ids(%(batch)s, %(reason)s, %(names)s)"

_SYSTEMS = "SELECT slug, system FROM metadata.endpoint WHERE tenant_id = %(tenant)s ORDER BY slug"

_SLUGS = """
SELECT slug, endpoint FROM metadata.endpoint_alias WHERE tenant_id = %(tenant)s AND valid_to IS NULL ORDER BY slug
"""

_OF_KEYS = f"""
SELECT h.key, h.entity_id, h.birth_sha256, a.deleted_at AS closed_at,
  {present_key("a.qualified_name")} AS present_key, {leading_key("a")} AS leading_key
FROM metadata.holders_of(%(keys)s) h
JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = h.entity_id
"""


@dataclass(frozen=True, slots=True)
class TakenId:
    """An id that leads to something else already, and stays there."""

    line: int
    id: str
    meant: CanonicalKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to: how many ids were named now and earlier; those that were left alone, and why."""

    linked: int
    already: int
    ambiguous: tuple[Unclear, ...]
    unknown: tuple[Unclear, ...]
    taken: tuple[TakenId, ...]
    refused: tuple[RefusedRow, ...]

    @property
    def complete(self) -> bool:
        return not (self.ambiguous or self.unknown or self.taken or self.refused)


Progress = Callable[[int, int], None]
"""Told after every batch: how many ids are done, of how many."""


def _silent(_done: int, _of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Legacy(Assets):
    """Import ids of an earlier catalog, and find things by them."""

    def import_legacy(
        self,
        rows: Iterable[LegacyRow],
        *,
        reason: str | None = None,
        batch_size: int = BATCH,
        progress: Progress = _silent,
    ) -> Imported:
        """Let every id lead to the one thing that it meant. What is not certain is left alone and listed.

        Each batch is a transaction: stopped half-way, the same call does the rest, and where all is done it writes
        nothing. An id never changes what it leads to.
        """
        given: dict[str, list[LegacyRow]] = {}
        for row in rows:
            given.setdefault(row.id.lower(), []).append(row)  # a UUID is one in either case
        lines = list(given.values())
        batches: list[_Outcome] = []
        for start in range(0, len(lines), batch_size):
            some = lines[start : start + batch_size]
            batches.append(self._import([row for each in some for row in each], reason))
            progress(start + len(some), len(lines))
        return _imported(batches)

    def names(self, references: Iterable[str]) -> Names:
        """What has a name that one of these references may mean, and nothing else: a few index hits for each."""
        with self.session() as session:
            return _names(session, references)

    def thing(self, name: str) -> Thing:
        """What a person means by a name, by an id of an earlier catalog, or by an id of today.

        A name of today comes first, an id of today last. Raises as `Assets.thing` does.
        """
        meant = None if name.startswith("mid1:") else self._by_legacy_id(name)
        if meant is None:
            return Assets.thing(self, name)
        try:
            return Assets.thing(self, name) if "/" in name else meant
        except UnknownKey:
            return meant

    def _by_legacy_id(self, name: str) -> Thing | None:
        try:
            key = legacy_key(name)
        except InvalidKey:
            return None
        rows = self.sessions.call(_OF_KEYS, {"tenant": self.tenant.value, "keys": [str(key)]})
        return Thing.of(self.tenant, rows[0]) if rows else None

    def _import(self, rows: Sequence[LegacyRow], reason: str | None) -> "_Outcome":
        with self.session() as session:
            hold_names(session, exclusive=False)  # what is read is what is written
            names = _names(session, [row.reference for row in rows])
            return _named(session, read(rows, names), names, reason)


def _names(session: Session, references: Iterable[str]) -> Names:
    systems = {row["slug"]: row["system"] for row in session.rows(_SYSTEMS, {"tenant": session.tenant_value})}
    slugs: dict[str, list[str]] = {}
    for row in session.rows(_SLUGS, {"tenant": session.tenant_value}):
        slugs.setdefault(row["endpoint"], []).append(row["slug"])
    asked = asked_for(references, systems, slugs)
    known = {slug: endpoint for endpoint, others in slugs.items() for slug in others}

    def told(key: CanonicalKey) -> CanonicalKey:
        return key_at(key, known.get(key.namespace, key.namespace))

    leading: dict[CanonicalKey, CanonicalKey] = {}
    things: dict[CanonicalKey, EntityId] = {}
    for start in range(0, len(asked.endings), BATCH):
        for one in ending_so(session, asked.endings[start : start + BATCH]):
            if one.key.namespace != LEGACY:
                leading[one.key] = leading[told(one.key)] = one.leading
                things[one.leading] = one.thing.entity.id
    keys = [str(one) for one in asked.keys if one.namespace != LEGACY]
    for row in session.rows(_OF_KEYS, {"tenant": session.tenant_value, "keys": keys}):
        thing = Thing.of(session.tenant, row)
        key = CanonicalKey.parse(row["key"])
        leading[key] = thing.key or key
        things[leading[key]] = thing.entity.id
    return Names(leading, systems, things)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of one batch."""

    linked: int
    already: int
    taken: tuple[TakenId, ...]
    reading: Reading


def _named(session: Session, reading: Reading, names: Names, reason: str | None) -> _Outcome:
    """Let ids lead to the things that were found, whatever becomes of their names."""
    meant = {str(one.key): names.thing(one.target).value for one in reading.certain}
    given = [{"key": key, "entity_id": str(identifier)} for key, identifier in meant.items()]
    parameters = {"batch": uuid.uuid4(), "reason": scrubbed(reason), "names": Jsonb(given)}
    leads = {row["key"]: row for row in session.rows(_NAME, parameters)} if given else {}
    right = {key for key, identifier in meant.items() if leads[key]["entity_id"] == identifier}
    new = sum(row["is_new"] for row in leads.values())
    return _Outcome(
        linked=new,
        already=len(right) - new,
        taken=tuple(
            TakenId(one.row.line, one.row.id, one.target) for one in reading.certain if str(one.key) not in right
        ),
        reading=reading,
    )


def _imported(batches: Sequence[_Outcome]) -> Imported:
    return Imported(
        linked=sum(one.linked for one in batches),
        already=sum(one.already for one in batches),
        ambiguous=tuple(unclear for one in batches for unclear in one.reading.ambiguous),
        unknown=tuple(unclear for one in batches for unclear in one.reading.unknown),
        taken=tuple(taken for one in batches for taken in one.taken),
        refused=tuple(refused for one in batches for refused in one.reading.refused),
    )
