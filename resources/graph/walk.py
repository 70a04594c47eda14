"""Walks: what an asset is made from (up), and what is made from it (down)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.models import AssetType, Direction, Edge
from resources.postgres.session import Row, Session

# A closure without a bound: UNION drops nodes that were met before, so a cycle ends. Depth is not carried along,
# because with it a node would be walked again for every depth at which it is met.
_CLOSURE = """
WITH RECURSIVE reached (id) AS (
  SELECT %(start)s::uuid
  UNION
  SELECT r.{there} FROM reached JOIN metadata.relationship r
    ON r.tenant_id = %(tenant)s AND r.{here} = reached.id AND r.type = 'DEPENDS_ON' AND {valid}
)
SELECT id FROM reached
"""

_FRONTIER = """
SELECT DISTINCT r.{there} AS id FROM metadata.relationship r
WHERE r.tenant_id = %(tenant)s AND r.{here} = ANY (%(frontier)s) AND r.type = 'DEPENDS_ON' AND {valid}
  AND r.{there} <> ALL (%(seen)s)
"""

OPEN: Final = "r.valid_to IS NULL"
THEN: Final = "r.valid_from <= %(at)s AND (r.valid_to IS NULL OR r.valid_to > %(at)s)"

# An asset's own name has an interval as edges have; what has none for then is told by the name that it has now.
_NAME_THEN = """coalesce((
    SELECT x.key FROM metadata.alias x
    WHERE x.tenant_id = a.tenant_id AND x.entity_id = a.asset_id AND x.kind = 'primary'
      AND x.valid_from <= %(at)s AND (x.valid_to IS NULL OR x.valid_to > %(at)s)
    ORDER BY x.valid_from DESC, x.key LIMIT 1), a.qualified_name)"""

NODES: Final = """
SELECT a.asset_id, a.type, metadata.present_key({name}, (SELECT metadata.endpoint_names())) AS qualified_name
FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s
"""

_OF_IDS = NODES + "AND a.asset_id = ANY (%(ids)s) ORDER BY qualified_name, a.asset_id"

# Joined, and with a subquery that stays one and is hashed. An array of many ids as a condition is gone through for
# every row once a bitmap has too many pages to remember their rows: a minute for 40,000 ids.
_EDGES = """
SELECT DISTINCT r.source_asset_id, r.target_asset_id FROM unnest(%(ids)s::uuid[]) AS one (id)
JOIN metadata.relationship r ON r.tenant_id = %(tenant)s AND r.source_asset_id = one.id
WHERE r.type = 'DEPENDS_ON' AND {valid} AND (r.target_asset_id IN (SELECT unnest(%(ids)s::uuid[]))) IS TRUE
"""

NO_COLUMNS: Final[Mapping[str, str]] = {}
COLUMNS: Final[Mapping[Direction, Mapping[str, str]]] = {
    "up": {"here": "source_asset_id", "there": "target_asset_id"},
    "down": {"here": "target_asset_id", "there": "source_asset_id"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A part of the graph around `start`: its nodes with their types, every edge between them.

    Of now, by present keys; or of the moment `at`, by the keys that the nodes had then.
    """

    start: CanonicalKey
    direction: Direction
    nodes: dict[CanonicalKey, AssetType]
    edges: tuple[Edge, ...]
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """Questions to the graph in one transaction: as it is now, or as it was at a moment."""

    session: Session
    at: datetime | None = None

    def rows(self, statement: str, columns: Mapping[str, str] = NO_COLUMNS, **parameters: object) -> list[Row]:
        """A statement's rows; it says `{valid}` for: an edge of the moment, `{name}` for: an asset's key then."""
        now = self.at is None
        words = {"valid": OPEN if now else THEN, "name": "a.qualified_name" if now else _NAME_THEN, **columns}
        given = {"tenant": self.session.tenant_value, "at": self.at, **parameters}
        return self.session.rows(statement.format(**words), given)

    def nodes(self, ids: Collection[UUID]) -> dict[UUID, tuple[CanonicalKey, AssetType]]:
        """The keys and types of assets, in the order of their keys; one statement."""
        found = self.rows(_OF_IDS, ids=sorted(ids))
        return {row["asset_id"]: (CanonicalKey.parse(row["qualified_name"]), AssetType(row["type"])) for row in found}

    def edges(self, ids: Collection[UUID]) -> list[tuple[UUID, UUID]]:
        """Every edge between these assets, as (source, target): source is made from target; one statement."""
        found = self.rows(_EDGES, ids=sorted(ids))
        return [(row["source_asset_id"], row["target_asset_id"]) for row in found]


def walk(session: Session, start: Entity, direction: Direction, *, depth: int | None, at: datetime | None) -> Lineage:
    """What is reached from `start` over the edges of now or of a moment, up to `depth` steps or to the end.

    Statements: 3 without a bound, `depth` + 2 with one, whatever the size of the answer.
    """
    asked = Walk(session, at)
    ids = reached(asked, start.id.value, direction, depth)
    nodes = asked.nodes(ids)
    names = {identifier: str(key) for identifier, (key, _kind) in nodes.items()}
    keys = {names[identifier]: key for identifier, (key, _kind) in nodes.items()}
    # Sorted by the keys' text, which is at hand: a key would write itself anew for every comparison.
    pairs = sorted({(names[source], names[target]) for source, target in asked.edges(ids)})
    return Lineage(
        start=keys.get(names.get(start.id.value, ""), start.key),
        direction=direction,
        nodes=dict(nodes.values()),
        edges=tuple(Edge(keys[source], keys[target]) for source, target in pairs),
        at=at,
    )


def reached(asked: Walk, start: UUID, direction: Direction, depth: int | None) -> Collection[UUID]:
    """The assets that are reached, the start among them."""
    if depth is None:
        return {row["id"] for row in asked.rows(_CLOSURE, COLUMNS[direction], start=start)}
    seen = {start}
    frontier = seen
    for _level in range(depth):
        rows = asked.rows(_FRONTIER, COLUMNS[direction], frontier=sorted(frontier), seen=sorted(seen))
        frontier = {row["id"] for row in rows}
        if not frontier:
            break
        seen = seen | frontier
    return seen
