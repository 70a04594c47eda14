"""Things of one endpoint that are called otherwise: moved away from it, or known by another endpoint too."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from identity.keys import CanonicalKey, key_text
from resources.metadata.resolution import present_key
from resources.postgres.session import Row, Session

# By the digests of names, in every spelling, one after the other: of an array, each name of the tenant would be
# compared with every element. What was moved away since this endpoint saw it is not another endpoint's. An own name is
# met when the thing was named before anybody registered the endpoint.
_MET = f"""
SELECT {present_key("x.key")} AS key, a.asset_id, {present_key("a.qualified_name")} AS name,
  a.metadata ->> 'object' AS object, a.deleted_at IS NULL AS open, x.kind = 'primary' AS own
FROM metadata.spellings(%(keys)s) s
CROSS JOIN LATERAL (
  SELECT y.key, y.kind, y.entity_id FROM metadata.alias y
  WHERE y.tenant_id = %(tenant)s AND y.valid_to IS NULL AND y.key_sha256 = s.digest LIMIT 1) x
CROSS JOIN LATERAL (
  SELECT * FROM metadata.asset b WHERE b.tenant_id = %(tenant)s AND b.asset_id = x.entity_id LIMIT 1) a
WHERE (x.kind <> 'primary' OR a.endpoint_id IS NULL) AND a.endpoint_id IS DISTINCT FROM %(endpoint)s
  AND a.metadata ->> 'moved_from' IS DISTINCT FROM %(slug)s
ORDER BY x.key
"""

# What this endpoint saw, and somebody merged into another one's: found by the source's own id, whatever it is called.
_MERGED = f"""
WITH RECURSIVE way (object, winner) AS (
  SELECT l.metadata ->> 'object', l.metadata -> 'merged' ->> 'into' FROM metadata.asset l
  WHERE l.tenant_id = %(tenant)s AND l.metadata ? 'merged' AND l.endpoint_id = %(endpoint)s
    AND l.metadata ->> 'object' = ANY (%(objects)s)
  UNION
  SELECT w.object, m.metadata -> 'merged' ->> 'into'
  FROM way w JOIN metadata.asset m ON m.tenant_id = %(tenant)s AND m.asset_id = w.winner::uuid
  WHERE m.metadata ? 'merged'
)
SELECT w.object, a.asset_id, {present_key("a.qualified_name")} AS name, a.deleted_at IS NULL AS open
FROM way w JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = w.winner::uuid
WHERE NOT a.metadata ? 'merged' AND a.metadata ->> 'object' = w.object AND a.endpoint_id IS DISTINCT FROM %(endpoint)s
ORDER BY w.object, a.asset_id
"""

# A statement of its own: the few that it is about have an index.
_MOVED = """
SELECT a.asset_id FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.metadata ? 'moved_from' AND a.metadata ->> 'moved_from' = %(slug)s
ORDER BY a.asset_id
"""


@dataclass(frozen=True, slots=True)
class Met:
    """What the name `key` leads to, whether it is that one's own name, and which object that is in its source."""

    key: CanonicalKey
    id: UUID
    name: CanonicalKey
    object: str | None
    open: bool
    own: bool

    def is_elsewhere(self, place: str | None) -> bool:
        """Whether another endpoint has it, from this database of this server."""
        return self.open and not self.own and self.object is not None and self.object.rpartition("/")[0] == place


def met(session: Session, endpoint: Row, keys: Collection[CanonicalKey]) -> list[Met]:
    """What of these names leads to something that is not of this endpoint yet.

    `endpoint` are the tenant, the endpoint's id and its slug.
    """
    if not keys:
        return []
    rows = session.rows(_MET, {**endpoint, "keys": sorted(map(key_text, keys))})
    return [
        Met(
            key=CanonicalKey.parse(row["key"]),
            id=row["asset_id"],
            name=CanonicalKey.parse(row["name"]),
            object=row["object"],
            open=row["open"],
            own=row["own"],
        )
        for row in rows
    ]


def merged(session: Session, endpoint: Row, objects: Mapping[CanonicalKey, str | None]) -> list[Met]:
    """What of these seen objects this endpoint knew, and was merged into what another endpoint has as the same one."""
    seen = {one: key for key, one in objects.items() if one is not None}
    rows = session.rows(_MERGED, {**endpoint, "objects": sorted(seen)}) if seen else []
    return [
        Met(
            key=seen[row["object"]],
            id=row["asset_id"],
            name=CanonicalKey.parse(row["name"]),
            object=row["object"],
            open=row["open"],
            own=False,
        )
        for row in rows
    ]


def moved(session: Session, endpoint: Row) -> list[UUID]:
    """What this endpoint saw before somebody moved it elsewhere."""
    return [row["asset_id"] for row in session.rows(_MOVED, endpoint)]
