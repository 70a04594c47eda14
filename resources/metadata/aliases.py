"""Aliases: what things are called and were called, who said so, and the few ways to change it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from psycopg.types.json import Jsonb

from identity.credentials import scrubbed
from identity.ids import Entity, EntityId, TenantId, sha256_of
from identity.keys import CanonicalKey, check_name, endpoint_key, key_text, short_name
from resources.metadata.assets import UnknownKey, own_name
from resources.metadata.finding import around
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.models import Alias, AliasKind, Renamed
from resources.postgres.errors import RenameRefused
from resources.postgres.session import Row, Session

_RENAME: Final = f"""
SELECT a.entity_id, {present_key("a.was")} AS was, {present_key("a.now")} AS now, a.replayed
FROM metadata.rename_entities(%(key)s, %(fingerprint)s, %(batch)s, %(moves)s, %(reason)s) a
"""

_MERGE = "SELECT * FROM metadata.merge_entities(%(key)s, %(fingerprint)s, %(batch)s, %(loser)s, %(winner)s, %(reason)s)"

_UNMERGE = "SELECT * FROM metadata.unmerge_entities(%(key)s, %(fingerprint)s, %(batch)s, %(merge)s, %(reason)s)"

_ALIASES = """
SELECT x.key, x.entity_id, x.kind, x.valid_from, x.valid_to, x.actor, x.reason, x.batch_id
FROM metadata.alias x WHERE x.tenant_id = %(tenant)s AND x.entity_id = %(entity)s
ORDER BY x.valid_from DESC, x.key, x.alias_id
"""

_AS_OF = """
SELECT x.entity_id, a.key_sha256 AS birth_sha256
FROM metadata.alias x JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = ANY (ARRAY(
    SELECT s.digest FROM metadata.spellings(ARRAY[%(key)s::text]) s))
  AND x.valid_from <= %(at)s AND (x.valid_to IS NULL OR x.valid_to > %(at)s)
ORDER BY x.kind = 'primary' DESC, x.valid_from DESC, x.alias_id LIMIT 1
"""

# By the merge itself, by what it closed, or by a name that it took from that.
_MERGES = """
SELECT l.asset_id AS entity_id, l.key_sha256 AS birth_sha256, (l.metadata -> 'merged' ->> 'batch')::uuid AS batch
FROM metadata.asset l
WHERE l.tenant_id = %(tenant)s AND l.metadata ? 'merged'
  AND (l.asset_id = %(id)s::uuid OR l.metadata -> 'merged' ->> 'batch' = %(id)s::text)
"""
_MERGE_OF_NAME = """
SELECT l.asset_id AS entity_id, l.key_sha256 AS birth_sha256, (l.metadata -> 'merged' ->> 'batch')::uuid AS batch
FROM metadata.alias o JOIN metadata.asset l ON l.tenant_id = o.tenant_id AND l.asset_id = o.entity_id
WHERE o.tenant_id = %(tenant)s AND o.key_sha256 = ANY (ARRAY(
    SELECT s.digest FROM metadata.spellings(ARRAY[%(key)s::text]) s))
  AND o.closed_by IS NOT NULL AND l.metadata -> 'merged' ->> 'batch' = o.closed_by::text
ORDER BY o.valid_to DESC, o.alias_id LIMIT 1
"""

_NAMES = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, a.deleted_at FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Aliases(Noun):
    """Rename, merge, take a merge back, and look names up. Old names lead on until something else takes them."""

    def rename(
        self, batch: Mapping[CanonicalKey, CanonicalKey], *, reason: str | None = None, key: str | None = None
    ) -> list[Renamed]:
        """Give the things that have these keys new ones, all or none, judged by what comes out.

        So two may swap names, three may go round, and `orders` may make room for `tmp`. A move to another endpoint or
        schema is a rename too. What has its new name already is left alone and not in the answer. With a `key` the same
        request may be sent again and is answered the same; without one this call repeats itself until it is answered.
        Raises UnknownName, NameTaken, RenameRefused, IdempotencyConflict; then nothing was renamed.
        """
        return _renamed(self.sessions.call(_RENAME, _rename_request(self.tenant, batch, reason, key)))

    def merge(self, loser: Entity, winner: Entity, *, reason: str | None = None, key: str | None = None) -> uuid.UUID:
        """Say that two identities were one thing all along: the loser's names and edges become the winner's.

        Answers with the merge, for `unmerge`. Raises MergeRefused when something would be lost or go in a circle,
        UnknownName, IdempotencyConflict; then nothing was changed.
        """
        content = sha256_of("merge", loser.id.value.bytes, winner.id.value.bytes)
        asked = _request(content, reason, key)
        rows = self.sessions.call(_MERGE, {**asked, "loser": loser.id.value, "winner": winner.id.value})
        merge: uuid.UUID = rows[0]["batch_id"]
        return merge

    def unmerge(self, merge: uuid.UUID, *, reason: str | None = None, key: str | None = None) -> EntityId:
        """Take a merge back: answers with the thing that has its names and edges again.

        Raises UnknownName when no such merge is in force, MergeRefused when its name is taken by now.
        """
        rows = self.sessions.call(
            _UNMERGE, {**_request(sha256_of("unmerge", merge.bytes), reason, key), "merge": merge}
        )
        return EntityId.from_database(rows[0]["entity_id"])

    def merge_of(self, what: uuid.UUID | CanonicalKey) -> uuid.UUID | None:
        """The merge in force that has this id, that closed the thing with this id, or that took this name from it.

        Whatever has the name by now. None when there is none.
        """
        if isinstance(what, CanonicalKey):
            rows = self.sessions.call(_MERGE_OF_NAME, {"tenant": self.tenant.value, "key": key_text(what)})
        else:
            rows = self.sessions.call(_MERGES, {"tenant": self.tenant.value, "id": str(what)})
        return next((row["batch"] for row in rows), None)

    def aliases_of(self, thing: CanonicalKey | Entity) -> list[Alias]:
        """Every name that a thing has or had, the newest first; open ones have no end."""
        entity = thing if isinstance(thing, Entity) else self.entity(thing)
        rows = self.sessions.call(_ALIASES, {"tenant": self.tenant.value, "entity": entity.id.value})
        return [_alias(row) for row in rows]

    def entity_at(self, key: CanonicalKey, at: datetime) -> Entity:
        """Whom a key named at a time. Raises UnknownKey when it named nothing then."""
        rows = self.sessions.call(_AS_OF, {"tenant": self.tenant.value, "key": key_text(key), "at": at})
        if not rows:
            raise UnknownKey(name=short_name(key), hint=f"it named nothing at {at.isoformat()}")
        return Entity.from_database(self.tenant, key, rows[0]["entity_id"], rows[0]["birth_sha256"])

    def suggestions(self, key: CanonicalKey, *, limit: int = 5) -> list[CanonicalKey]:
        """Open things of the same endpoint with similar names, the most similar first. Only told, never acted on.

        Looked for among a bounded number of names: those near this one, and near its key, in the order of names.
        """
        found = around(self.sessions.call, own_name(key), [key])
        names = {one: own_name(one) for _near, one in found if one.endpoint == key.endpoint and one != key}
        near = get_close_matches(own_name(key), sorted(set(names.values())), n=limit, cutoff=0.6)
        return sorted((one for one in names if names[one] in near), key=lambda one: (near.index(names[one]), one))[
            :limit
        ]

    def name_of(self, entity: Entity) -> CanonicalKey:
        """The key that a thing has now, or had last. Raises UnknownKey."""
        return self.presence(entity)[0]

    def presence(self, entity: Entity) -> tuple[CanonicalKey, datetime | None]:
        """The key that a thing has now, or had last, and since when it is gone. Raises UnknownKey."""
        rows = self.sessions.call(_NAMES, {"tenant": self.tenant.value, "id": entity.id.value})
        if not rows:
            raise UnknownKey(name=short_name(entity.key), hint="nobody registered it")
        return CanonicalKey.parse(rows[0]["qualified_name"]), rows[0]["deleted_at"]


def rename(session: Session, batch: Mapping[CanonicalKey, CanonicalKey], *, reason: str) -> list[Renamed]:
    """The same within a transaction of somebody else's."""
    return _renamed(session.rows(_RENAME, _rename_request(session.tenant, batch, reason, None)))


def _rename_request(
    tenant: TenantId, batch: Mapping[CanonicalKey, CanonicalKey], reason: str | None, key: str | None
) -> Row:
    moves = sorted(batch.items())
    for was, now in moves:
        if was.kind is not now.kind:
            raise RenameRefused(detail=f"{was} is a {was.kind} and cannot become a {now.kind}")
    content = sha256_of("rename", *(str(one) for move in moves for one in move))
    return {**_request(content, reason, key), "moves": Jsonb([_move(tenant, was, now) for was, now in moves])}


def _request(content: bytes, reason: str | None, key: str | None) -> Row:
    """What makes a call repeatable: the same key asks for the same content, whoever gets the answer."""
    check_name(key or "")
    batch = uuid.uuid4()  # a call without a key is a request of its own
    return {"key": key or str(batch), "fingerprint": content, "batch": batch, "reason": scrubbed(reason)}


def _move(tenant: TenantId, was: CanonicalKey, now: CanonicalKey) -> Row:
    return {
        "was": str(was),
        "now": str(now),
        "name": own_name(now),
        "kind": _kind(was, now),
        "endpoint_id": str(Entity(tenant, endpoint_key(now.endpoint)).id),
    }


def _kind(was: CanonicalKey, now: CanonicalKey) -> AliasKind:
    if was.endpoint != now.endpoint:
        return "endpoint"
    return "case" if str(was).lower() == str(now).lower() else "rename"


def _renamed(rows: list[Row]) -> list[Renamed]:
    return [
        Renamed(
            entity=EntityId.from_database(row["entity_id"]),
            was=CanonicalKey.parse(row["was"]),
            now=CanonicalKey.parse(row["now"]),
            replayed=row["replayed"],
        )
        for row in rows
    ]


def _alias(row: Row) -> Alias:
    return Alias(
        key=CanonicalKey.parse(row["key"]),
        entity=EntityId.from_database(row["entity_id"]),
        kind=row["kind"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        actor=row["actor"],
        reason=row["reason"],
        batch=row["batch_id"],
    )
