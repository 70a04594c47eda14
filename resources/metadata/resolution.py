"""Whom keys name: the only way from a key to the id of a stored thing."""

from collections.abc import Iterable, Mapping
from typing import Final

from identity.ids import Entity, TenantId, key_digest
from identity.keys import CanonicalKey, key_text
from resources.postgres.incarnation import INCARNATION
from resources.postgres.session import BOUND, Row, Session, Sessions

# A subquery, because row-level security lets no bare coalesce() into an index's condition: it might tell what it sees.
HOLDER: Final = """(SELECT coalesce(%(id)s::uuid,
  (SELECT h.entity_id FROM metadata.holders_of(ARRAY[%(key)s::text]) AS h)))"""
"""The id of what is `asked`, as a part of a statement: one index hit, no round trip of its own."""

_HOLDERS = "SELECT * FROM metadata.holders_of(%(keys)s)"
_HOLDERS_ALIVE = """
SELECT h.key, h.entity_id, h.birth_sha256, a.deleted_at IS NULL AS open
FROM metadata.holders_of(%(keys)s) h CROSS JOIN LATERAL (
  SELECT b.deleted_at FROM metadata.asset b
  WHERE b.tenant_id = %(tenant)s AND b.asset_id = h.entity_id LIMIT 1) a
"""
_BOUND_HOLDERS = BOUND + "metadata.holders_of(CASE WHEN b THEN %(keys)s::text[] END) AS found"

_PRESENT = """
SELECT k AS key, metadata.present_key(k, (SELECT metadata.endpoint_names())) AS present
FROM unnest(%(keys)s::text[]) AS k
"""

# Whatever had the key had an alias for it: so many generations are taken at most.
_HELD = """
SELECT x.key_sha256, count(DISTINCT x.entity_id) AS times FROM metadata.alias x
WHERE x.tenant_id = %(tenant)s AND x.key_sha256 = ANY (%(keys)s) GROUP BY x.key_sha256
"""

# The same holder as for somebody who writes: what is gone is not called back by an old name.
_NAMED = """
SELECT h.entity_id, h.birth_sha256,
  metadata.present_key(a.qualified_name, (SELECT metadata.endpoint_names())) AS present
FROM metadata.holders_of(ARRAY[%(key)s::text]) h
JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = h.entity_id
WHERE h.writable
"""

_STANDING = f"""
SELECT o.incarnation, h.*
FROM (SELECT {INCARNATION} AS incarnation) o LEFT JOIN metadata.holders_of(%(keys)s) h ON h.writable
"""

_HOLD = "SELECT metadata.hold_names(%(exclusive)s)"


def present_key(column: str) -> str:
    """A column of a statement that has keys, as they are told: below the registered endpoint."""
    return f"metadata.present_key({column}, (SELECT metadata.endpoint_names()))"


def asked(thing: CanonicalKey | Entity) -> Row:
    """What HOLDER needs: a key leads to its holder, an entity is itself, whoever has its name by now."""
    if isinstance(thing, Entity):
        return {"id": thing.id.value, "key": None}
    return {"id": None, "key": key_text(thing)}


def leading_key(asset: str) -> str:
    """A key that leads to the asset of a statement, whoever has its own name by now; null where none does."""
    return (
        f"metadata.leading_key({asset}.asset_id, {asset}.qualified_name, {asset}.deleted_at, "
        "(SELECT metadata.endpoint_names()))"
    )


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
    found = _looked_up(session, keys, "open", _HOLDERS_ALIVE)
    return {key: entity for key, (entity, is_open) in found.items() if is_open}


def writable(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """`holders` for somebody who writes: a thing that is gone is called back by its own name, not by an old one."""
    return {key: entity for key, (entity, ours) in _looked_up(session, keys).items() if ours}


def owners(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """`holders` for somebody who saw a thing of this very name: those that have it as their own."""
    return {key: entity for key, (entity, own) in _looked_up(session, keys, "own_name").items() if own}


def births(session: Session, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """What will be born under each key: the first of its name, or the next generation. Hold the names before.

    An entity's own key is the one to write: below the registered endpoint, where the given one is provisional.
    """
    texts = _by_text(keys)
    if not texts:
        return {}
    born = _registered(texts, session.rows(_PRESENT, {"keys": sorted(texts)}))
    return _next(session.tenant, born, session.rows(_HELD, _held(session.tenant, born)))


def entities(sessions: Sessions, keys: Iterable[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """The entity of every key: whom it names, or else what would be born under it; one round trip where all name one.

    Asked again when the answer is lost.
    """
    texts = _by_text(keys)
    if not texts:
        return {}
    rows = sessions.call(_BOUND_HOLDERS, {**sessions.binding, "keys": sorted(texts)})
    found = {key: entity for key, (entity, _ours) in _read(sessions.tenant, texts, rows, "writable").items()}
    unknown = {text: key for text, key in texts.items() if key not in found}
    if not unknown:
        return found
    born = _registered(unknown, sessions.call(_PRESENT, {"keys": sorted(unknown)}))
    held = sessions.call(_HELD, _held(sessions.tenant, born))
    if held:  # perhaps only since it was looked
        rows = sessions.call(_BOUND_HOLDERS, {**sessions.binding, "keys": sorted(unknown)})
        found |= {
            key: entity for key, (entity, ours) in _read(sessions.tenant, unknown, rows, "writable").items() if ours
        }
    return _next(sessions.tenant, born, held) | found


def named(sessions: Sessions, key: CanonicalKey) -> tuple[Entity, CanonicalKey]:
    """The entity of a key, and what that is called now; in one round trip, so that both are of one moment."""
    rows = sessions.call(_NAMED, {"tenant": sessions.tenant.value, "key": key_text(key)})
    if not rows:
        return entities(sessions, [key])[key], key
    (row,) = rows
    entity = Entity.from_database(sessions.tenant, key, row["entity_id"], row["birth_sha256"])
    return entity, CanonicalKey.parse(row["present"])


def standing(sessions: Sessions, keys: Iterable[CanonicalKey]) -> tuple[str, dict[CanonicalKey, Entity]]:
    """Which incarnation of a store this is, and whom keys name for somebody who writes; one round trip."""
    texts = _by_text(keys)
    rows = sessions.call(_STANDING, {"tenant": sessions.tenant.value, "keys": sorted(texts)})
    held = _read(sessions.tenant, texts, [row for row in rows if row["key"] is not None], "writable")
    return str(rows[0]["incarnation"]), {key: entity for key, (entity, _ours) in held.items()}


def _looked_up(
    session: Session, keys: Iterable[CanonicalKey], fact: str = "writable", statement: str = _HOLDERS
) -> dict[CanonicalKey, tuple[Entity, bool]]:
    texts = _by_text(keys)
    rows = session.rows(statement, {"tenant": session.tenant_value, "keys": sorted(texts)}) if texts else []
    return _read(session.tenant, texts, rows, fact)


def _by_text(keys: Iterable[CanonicalKey]) -> dict[str, CanonicalKey]:
    return {key_text(key): key for key in keys}


def _read(
    tenant: TenantId, texts: Mapping[str, CanonicalKey], rows: Iterable[Row], fact: str
) -> dict[CanonicalKey, tuple[Entity, bool]]:
    found = {}
    for row in rows:
        key = texts[row["key"]]
        entity = Entity.from_database(tenant, key, row["entity_id"], row["birth_sha256"])
        found[key] = entity, row[fact]
    return found


def _registered(texts: Mapping[str, CanonicalKey], rows: Iterable[Row]) -> dict[CanonicalKey, CanonicalKey]:
    """The key that each key is told as."""
    return {
        key: key if row["present"] == row["key"] else CanonicalKey.parse(row["present"])
        for row in rows
        for key in (texts[row["key"]],)
    }


def _held(tenant: TenantId, born: Mapping[CanonicalKey, CanonicalKey]) -> Row:
    return {"tenant": tenant.value, "keys": sorted({key_digest(key) for key in born.values()})}


def _next(
    tenant: TenantId, born: Mapping[CanonicalKey, CanonicalKey], rows: Iterable[Row]
) -> dict[CanonicalKey, Entity]:
    times = {bytes(row["key_sha256"]): row["times"] for row in rows}
    return {asked: Entity.of_generation(tenant, key, times.get(key_digest(key), 0) + 1) for asked, key in born.items()}
