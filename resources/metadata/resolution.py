"""Whom keys name: the only way from a key to the id of a stored thing."""

from collections.abc import Iterable, Mapping
from typing import Final

from identity.ids import Entity, TenantId, key_digest
from identity.keys import CanonicalKey
from resources.postgres.session import Row, Session, Sessions

HOLDER: Final = """(
  SELECT x.entity_id FROM metadata.alias x
  WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = %(key)s AND x.valid_to IS NULL)"""
"""The id that the key with digest `key` leads to, as a part of a statement: one index hit, no round trip of its own."""

_HOLDERS = "SELECT * FROM metadata.holders(%(keys)s)"

# Whatever had the key had an alias for it: so many generations are taken at most.
_HELD = """
SELECT x.key_sha256, count(DISTINCT x.entity_id) AS times FROM metadata.alias x
WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = ANY (%(keys)s) GROUP BY x.key_sha256
"""

# The same holder as for somebody who writes: what is gone is not called back by an old name.
_NAMED = """
SELECT x.entity_id, a.key_sha256 AS birth_sha256, a.qualified_name
FROM metadata.alias x JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = %(key)s AND x.valid_to IS NULL
  AND (x.kind = 'primary' OR a.deleted_at IS NULL)
"""

_STANDING = """
SELECT concat_ws('/', %(tenant)s::text, d.oid, 'metadata.relationship'::regclass::oid, pg_postmaster_start_time())
  AS incarnation, h.*
FROM pg_database d LEFT JOIN metadata.holders(%(keys)s) h ON h.writable
WHERE d.datname = current_database()
"""

_HOLD = "SELECT metadata.hold_names(%(exclusive)s)"


def hold_names(session: Session, *, exclusive: bool) -> None:
    """Keep names as they are until the transaction ends; before any row is locked. Exclusive: to take names away."""
    session.rows(_HOLD, {"exclusive": exclusive})


def holders(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """Whom each key names, as one statement; a key that nobody has is not in the answer.

    A thing that is gone keeps the names that nothing else took.
    """
    return {key: entity for key, (entity, _ours) in _looked_up(session, keys).items()}


def alive(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """`holders` without what is gone: writing to these gives no name to anybody, so no names need be held."""
    return {key: entity for key, (entity, is_open) in _looked_up(session, keys, "open").items() if is_open}


def writable(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """`holders` for somebody who writes: a thing that is gone is called back by its own name, not by an old one."""
    return {key: entity for key, (entity, ours) in _looked_up(session, keys).items() if ours}


def owners(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """`holders` for somebody who saw a thing of this very name: those that have it as their own."""
    return {key: entity for key, (entity, own) in _looked_up(session, keys, "own_name").items() if own}


def births(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """What will be born under each key: the first of its name, or the next generation. Hold the names before."""
    digests = _by_digest(keys)
    return _next(session.tenant, digests, session.rows(_HELD, _asking(session.tenant, digests)) if digests else [])


def entities(sessions: Sessions, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """The entity of every key: whom it names, or else what would be born under it; one round trip where all name one.

    Asked again when the answer is lost.
    """
    digests = _by_digest(keys)
    if not digests:
        return {}
    rows = sessions.call(_HOLDERS, _asking(sessions.tenant, digests))
    found = {key: entity for key, (entity, _ours) in _read(sessions.tenant, digests, rows, "writable").items()}
    unknown = {digest: key for digest, key in digests.items() if key not in found}
    if not unknown:
        return found
    return found | _next(sessions.tenant, unknown, sessions.call(_HELD, _asking(sessions.tenant, unknown)))


def named(sessions: Sessions, key: CanonicalKey) -> tuple[Entity, CanonicalKey]:
    """The entity of a key, and what that is called now; in one round trip, so that both are of one moment."""
    rows = sessions.call(_NAMED, {"tenant": sessions.tenant.value, "key": key_digest(key)})
    if not rows:
        return entities(sessions, [key])[key], key
    (row,) = rows
    entity = Entity.from_database(sessions.tenant, key, row["entity_id"], row["birth_sha256"])
    return entity, CanonicalKey.parse(row["qualified_name"])


def standing(sessions: Sessions, keys: Iterable[CanonicalKey]) -> tuple[str, dict[CanonicalKey, Entity]]:
    """Which incarnation of a store this is, and whom keys name for somebody who writes; one round trip."""
    digests = _by_digest(keys)
    rows = sessions.call(_STANDING, _asking(sessions.tenant, digests))
    held = _read(sessions.tenant, digests, [row for row in rows if row["key_sha256"] is not None], "writable")
    return str(rows[0]["incarnation"]), {key: entity for key, (entity, _ours) in held.items()}


def _looked_up(
    session: Session, keys: Iterable[CanonicalKey], fact: str = "writable"
) -> dict[CanonicalKey, tuple[Entity, bool]]:
    digests = _by_digest(keys)
    rows = session.rows(_HOLDERS, _asking(session.tenant, digests)) if digests else []
    return _read(session.tenant, digests, rows, fact)


def _by_digest(keys: Iterable[CanonicalKey]) -> dict[bytes, CanonicalKey]:
    return {key_digest(key): key for key in keys}


def _asking(tenant: TenantId, digests: Mapping[bytes, CanonicalKey]) -> Row:
    return {"tenant": tenant.value, "keys": sorted(digests)}


def _read(
    tenant: TenantId, digests: Mapping[bytes, CanonicalKey], rows: Iterable[Row], fact: str
) -> dict[CanonicalKey, tuple[Entity, bool]]:
    found = {}
    for row in rows:
        key = digests[bytes(row["key_sha256"])]
        entity = Entity.from_database(tenant, key, row["entity_id"], row["birth_sha256"])
        found[key] = entity, row[fact]
    return found


def _next(tenant: TenantId, digests: Mapping[bytes, CanonicalKey], rows: Iterable[Row]) -> dict[CanonicalKey, Entity]:
    times = {bytes(row["key_sha256"]): row["times"] for row in rows}
    return {key: Entity.of_generation(tenant, key, times.get(digest, 0) + 1) for digest, key in digests.items()}
