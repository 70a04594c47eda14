"""Ids of an earlier catalog: imported as names of what they meant, and answered from then on."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from identity.credentials import scrubbed
from identity.errors import InvalidKey
from identity.keys import CanonicalKey, key_at
from resources.metadata.assets import Assets, UnknownKey
from resources.metadata.finding import ending_so
from resources.metadata.legacy_names import (
    LEGACY,
    LegacyRow,
    Meaning,
    Names,
    Reading,
    RefusedRow,
    Unclear,
    asked_for,
    legacy_key,
    read,
)
from resources.metadata.resolution import hold_names, holders, present_key
from resources.postgres.session import Session

BATCH = 1000

_NAME = "SELECT key, entity_id, is_new FROM metadata.name_legacy_ids(%(batch)s, %(reason)s, %(names)s)"

_SYSTEMS = "SELECT slug, system FROM metadata.endpoint WHERE tenant_id = %(tenant)s ORDER BY slug"

_SLUGS = """
SELECT slug, endpoint FROM metadata.endpoint_alias WHERE tenant_id = %(tenant)s AND valid_to IS NULL ORDER BY slug
"""

_OF_KEYS = f"""
SELECT h.key, {present_key("a.qualified_name")} AS present FROM metadata.holders_of(%(keys)s) h
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
        given = list(rows)
        reading = read(given, self.names([row.reference for row in given]))
        linked = already = 0
        taken: list[TakenId] = []
        gone: list[Unclear] = []
        for start in range(0, len(reading.certain), batch_size):
            some = reading.certain[start : start + batch_size]
            outcome = self._import(some, reason)
            linked, already = linked + outcome.linked, already + outcome.already
            taken += outcome.taken
            gone += outcome.gone
            progress(start + len(some), len(reading.certain))
        return _imported(reading, linked, already, taken, gone)

    def names(self, references: Iterable[str]) -> Names:
        """What has a name that one of these references may mean, and nothing else: a few index hits for each."""
        with self.session() as session:
            systems = {row["slug"]: row["system"] for row in session.rows(_SYSTEMS, {"tenant": session.tenant_value})}
            slugs: dict[str, list[str]] = {}
            for row in session.rows(_SLUGS, {"tenant": session.tenant_value}):
                slugs.setdefault(row["endpoint"], []).append(row["slug"])
            asked = asked_for(references, systems, slugs)
            known = {slug: endpoint for endpoint, others in slugs.items() for slug in others}

            def told(key: CanonicalKey) -> CanonicalKey:
                return key_at(key, known.get(key.namespace, key.namespace))

            present: dict[CanonicalKey, CanonicalKey] = {}
            for start in range(0, len(asked.endings), BATCH):
                for one in ending_so(session, asked.endings[start : start + BATCH]):
                    if one.key.namespace != LEGACY:
                        present[one.key] = present[told(one.key)] = one.present
            rows = session.rows(
                _OF_KEYS,
                {"tenant": session.tenant_value, "keys": [str(one) for one in asked.keys if one.namespace != LEGACY]},
            )
        return Names(
            present | {CanonicalKey.parse(row["key"]): CanonicalKey.parse(row["present"]) for row in rows}, systems
        )

    def resolve(self, name: str) -> CanonicalKey:
        """The present key of what a person means by a name, or by an id of an earlier catalog.

        A name of today comes first. Raises as `Assets.resolve` does.
        """
        meant = None if name.startswith("mid1:") else self._by_legacy_id(name)
        if meant is None:
            return Assets.resolve(self, name)
        try:
            return Assets.resolve(self, name) if "/" in name else meant
        except UnknownKey:
            return meant

    def _by_legacy_id(self, name: str) -> CanonicalKey | None:
        try:
            key = legacy_key(name)
        except InvalidKey:
            return None
        rows = self.sessions.call(_OF_KEYS, {"tenant": self.tenant.value, "keys": [str(key)]})
        return CanonicalKey.parse(rows[0]["present"]) if rows else None

    def _import(self, some: Sequence[Meaning], reason: str | None) -> "_Outcome":
        with self.session() as session:
            return _named(session, some, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of one batch."""

    linked: int
    already: int
    taken: tuple[TakenId, ...]
    gone: tuple[Unclear, ...]


def _named(session: Session, some: Sequence[Meaning], reason: str | None) -> _Outcome:
    hold_names(session, exclusive=False)
    meant = holders(session, {one.target for one in some})
    here = [one for one in some if one.target in meant]
    names = [{"key": str(one.key), "entity_id": str(meant[one.target].id)} for one in here]
    parameters = {"batch": uuid.uuid4(), "reason": scrubbed(reason), "names": Jsonb(names)}
    leads = {row["key"]: row for row in session.rows(_NAME, parameters)}
    right = {one.key for one in here if leads[str(one.key)]["entity_id"] == meant[one.target].id.value}
    new = sum(row["is_new"] for row in leads.values())
    return _Outcome(
        linked=new,
        already=len(right) - new,
        taken=tuple(TakenId(one.row.line, one.row.id, one.target) for one in here if one.key not in right),
        gone=tuple(Unclear(one.row.line, one.row.id, one.row.reference) for one in some if one.target not in meant),
    )


def _imported(
    reading: Reading, linked: int, already: int, taken: Sequence[TakenId], gone: Sequence[Unclear]
) -> Imported:
    return Imported(
        linked=linked,
        already=already,
        ambiguous=reading.ambiguous,
        unknown=(*reading.unknown, *gone),
        taken=tuple(taken),
        refused=reading.refused,
    )
