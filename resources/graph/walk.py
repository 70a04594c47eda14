"""Walks: what an asset is made from (up), and what is made from it (down)."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.models import AssetType, Direction, Edge
from resources.postgres.session import Session

# A closure without a bound: UNION drops nodes that were met before, so a cycle ends. Depth is not carried along,
# because with it a node would be walked again for every depth at which it is met.
_CLOSURE = """
WITH RECURSIVE reached (id) AS (
  SELECT %(start)s::uuid
  UNION
  SELECT r.{there} FROM reached JOIN metadata.relationship r
    ON r.tenant_id = %(tenant)s AND r.{here} = reached.id AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL
)
SELECT id FROM reached
"""

_FRONTIER = """
SELECT DISTINCT r.{there} AS id FROM metadata.relationship r
WHERE r.tenant_id = %(tenant)s AND r.{here} = ANY (%(frontier)s) AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL
  AND r.{there} <> ALL (%(seen)s)
"""

_NODES = """
SELECT a.asset_id, metadata.present_key(a.qualified_name, (SELECT metadata.endpoint_names())) AS qualified_name, a.type
FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(ids)s) ORDER BY a.qualified_name
"""

_EDGES = """
SELECT DISTINCT r.source_asset_id, r.target_asset_id FROM metadata.relationship r
WHERE r.tenant_id = %(tenant)s AND r.source_asset_id = ANY (%(ids)s) AND r.target_asset_id = ANY (%(ids)s)
  AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL
"""

_COLUMNS: dict[Direction, dict[str, str]] = {
    "up": {"here": "source_asset_id", "there": "target_asset_id"},
    "down": {"here": "target_asset_id", "there": "source_asset_id"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A part of the graph around `start`: its nodes by present key with their types, every open edge between them."""

    start: CanonicalKey
    direction: Direction
    nodes: dict[CanonicalKey, AssetType]
    edges: tuple[Edge, ...]


def walk(session: Session, start: Entity, direction: Direction, *, depth: int | None) -> Lineage:
    """What is reached from `start` over open edges, up to `depth` steps or to the end.

    Statements: 3 without a bound, `depth` + 2 with one, whatever the size of the answer.
    """
    ids = _bounded(session, start, direction, depth) if depth is not None else _closure(session, start, direction)
    parameters = {"tenant": session.tenant_value, "ids": sorted(ids)}
    nodes = session.rows(_NODES, parameters)
    names = {row["asset_id"]: row["qualified_name"] for row in nodes}
    keys = {name: CanonicalKey.parse(name) for name in names.values()}
    # Sorted by the keys' text, which is at hand: a key would write itself anew for every comparison.
    pairs = sorted(
        (names[row["source_asset_id"]], names[row["target_asset_id"]]) for row in session.rows(_EDGES, parameters)
    )
    return Lineage(
        start=keys.get(names.get(start.id.value, ""), start.key),
        direction=direction,
        nodes={keys[row["qualified_name"]]: AssetType(row["type"]) for row in nodes},
        edges=tuple(Edge(keys[source], keys[target]) for source, target in pairs),
    )


def _closure(session: Session, start: Entity, direction: Direction) -> Collection[UUID]:
    statement = _CLOSURE.format(**_COLUMNS[direction])
    rows = session.rows(statement, {"tenant": session.tenant_value, "start": start.id.value})
    return {row["id"] for row in rows}


def _bounded(session: Session, start: Entity, direction: Direction, depth: int) -> Collection[UUID]:
    statement = _FRONTIER.format(**_COLUMNS[direction])
    seen = {start.id.value}
    frontier = seen
    for _level in range(depth):
        rows = session.rows(
            statement, {"tenant": session.tenant_value, "frontier": sorted(frontier), "seen": sorted(seen)}
        )
        frontier = {row["id"] for row in rows}
        if not frontier:
            break
        seen = seen | frontier
    return seen
