"""Ids of an earlier catalog: imported as names of what they meant, and answered from then on."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from identity.credentials import scrubbed
from identity.errors import InvalidKey
from identity.ids import key_digest
from identity.keys import CanonicalKey
from resources.metadata.assets import Assets, UnknownKey
from resources.metadata.legacy_names import LegacyRow, Meaning, Names, Reading, RefusedRow, Unclear, legacy_key, read
from resources.metadata.resolution import hold_names, holders
from resources.postgres.session import Session

BATCH = 1000

_NAME = "SELECT key, entity_id, is_new FROM metadata.name_legacy_ids(%(batch)s, %(reason)s, %(names)s)"

_KNOWN = """
SELECT x.key, a.qualified_name FROM metadata.alias x
JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
WHERE x.tenant_id = %(tenant)s AND x.valid_to IS NULL AND x.kind <> 'legacy'
ORDER BY x.key
"""

_SYSTEMS = "SELECT slug, system FROM metadata.endpoint WHERE tenant_id = %(tenant)s ORDER BY slug"

_HOLDER = """
SELECT a.qualified_name FROM metadata.alias x
JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = %(key)s AND x.valid_to IS NULL AND x.kind = 'legacy'
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
        reading = read(rows, self.names())
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

    def names(self) -> Names:
        """Everything that has a name now."""
        with self.session() as session:
            parameters = {"tenant": session.tenant_value}
            known = session.rows(_KNOWN, parameters)
            systems = session.rows(_SYSTEMS, parameters)
        present = {CanonicalKey.parse(row["key"]): CanonicalKey.parse(row["qualified_name"]) for row in known}
        return Names(present, {row["slug"]: row["system"] for row in systems})

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
        rows = self.sessions.call(_HOLDER, {"tenant": self.tenant.value, "key": key_digest(key)})
        return CanonicalKey.parse(rows[0]["qualified_name"]) if rows else None

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
