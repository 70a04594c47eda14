"""Walks: what an asset is made from (up), and what is made from it (down)."""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.models import AssetType, Direction, Edge
from resources.postgres.session import Row, Session, Sessions

# A closure without a bound: UNION drops nodes that were met before, so a cycle ends. Depth is not carried along,
# because with it a node would be walked again for every depth at which it is met. The nearest are found first.
_REACHED = """
WITH RECURSIVE reached (id) AS (
  SELECT unnest(%(starts)s::uuid[])
  UNION
  SELECT r.{there} FROM reached JOIN metadata.relationship r
    ON r.tenant_id = %(tenant)s AND r.{here} = reached.id AND r.type = 'DEPENDS_ON' AND {valid}
)"""
_CLOSURE = _REACHED + " SELECT array_agg(id) AS ids FROM reached"

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

# What is gone keeps its name until another thing takes it; what has neither that name then nor now has lost it.
_GONE_THEN = "CASE WHEN a.deleted_at <= %(at)s THEN a.deleted_at END"
_IS_THERE_THEN = "a.created_at <= %(at)s AND (a.deleted_at IS NULL OR a.deleted_at > %(at)s)"
_HAS_A_NAME = """EXISTS (
    SELECT 1 FROM metadata.alias x
    WHERE x.tenant_id = a.tenant_id AND x.entity_id = a.asset_id AND x.kind = 'primary' AND {named})"""
_NAMED_THEN = "(x.valid_to IS NULL OR x.valid_from <= %(at)s AND x.valid_to > %(at)s)"

# Where no endpoint has another name, keys are told as they are: asking for each takes longer than finding it.
NODES: Final = """
SELECT a.asset_id, a.type, CASE WHEN (SELECT metadata.endpoint_names()) IS NULL THEN {name}
    ELSE metadata.present_key({name}, (SELECT metadata.endpoint_names())) END AS qualified_name,
  {gone} AS closed_at, a.deleted_at IS NOT NULL AND NOT {has_a_name} AS name_taken
FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s
"""

# What is told of things, and every edge between them. One row: of many rows most time goes into making each of them a
# value. No key has a line break in it. An edge is two places, the one that is made first, in eight bytes.
_PART = f"""
, near AS MATERIALIZED (
  SELECT id FROM reached LIMIT %(limit)s
), n AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY m.qualified_name COLLATE "C", m.asset_id)::integer AS place, m.*
  FROM near JOIN ({NODES}) m ON m.asset_id = near.id
)
SELECT (SELECT count(*) FROM reached) AS count, array_agg(n.asset_id ORDER BY n.place) AS ids,
  string_agg(n.qualified_name, E'\\n' ORDER BY n.place) AS names, string_agg(n.type, E'\\n' ORDER BY n.place) AS types,
  array_agg(n.place) FILTER (WHERE n.closed_at IS NOT NULL OR n.name_taken) AS gone,
  array_agg(n.closed_at) FILTER (WHERE n.closed_at IS NOT NULL OR n.name_taken) AS closed,
  array_agg(n.name_taken) FILTER (WHERE n.closed_at IS NOT NULL OR n.name_taken) AS taken,
  (SELECT string_agg(int4send(made.place) || int4send(source.place), '')
   FROM n {{near}} JOIN metadata.relationship r ON r.tenant_id = %(tenant)s AND r.{{here}} = {{near}}.asset_id
     AND r.type = 'DEPENDS_ON' AND {{valid}}
   JOIN n {{far}} ON {{far}}.asset_id = r.{{there}}) AS edges
FROM n
"""
_AROUND = _REACHED + _PART
_AMONG = "WITH reached (id) AS (SELECT unnest(%(ids)s::uuid[]))" + _PART

# Every edge between some, as a part tells it.
_EDGES = """
SELECT string_agg(int4send(s.place::integer) || int4send(t.place::integer), '') AS edges
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS s (id, place)
JOIN metadata.relationship r ON r.tenant_id = %(tenant)s AND r.source_asset_id = s.id
  AND r.type = 'DEPENDS_ON' AND {valid}
JOIN unnest(%(ids)s::uuid[]) WITH ORDINALITY AS t (id, place) ON t.id = r.target_asset_id
"""

TYPES: Final[Mapping[str, AssetType]] = {str(one): one for one in AssetType}
NO_COLUMNS: Final[Mapping[str, str]] = {}
COLUMNS: Final[Mapping[Direction, Mapping[str, str]]] = {
    "up": {"here": "source_asset_id", "there": "target_asset_id", "near": "made", "far": "source"},
    "down": {"here": "target_asset_id", "there": "source_asset_id", "near": "source", "far": "made"},
}


@dataclass(frozen=True, slots=True)
class Node:
    """A thing in an answer: which one it is, and the name that it has, or had last.

    `closed_at`: since when it is gone. `name_taken`: its name is another thing's, so only its id leads to it.
    """

    id: UUID
    text: str
    """Its key as text: many are read, and few are shown."""
    type: AssetType
    closed_at: datetime | None = None
    name_taken: bool = False

    @property
    def key(self) -> CanonicalKey:
        return CanonicalKey.parse(self.text)

    @property
    def reference(self) -> str:
        """What leads to it: its key; its id where the name is another thing's. No two things of an answer share one."""
        return str(self.id) if self.name_taken else self.text


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """A part of the graph around a start: its things by their ids, every edge between them.

    `pairs` are (made, source): made is made from source. Of now, by present names; or of the moment `at`, by the names
    that things had then. Both are in the order of names. `more`: how many more things are reached than a limit let in.
    """

    start: CanonicalKey
    start_id: UUID
    direction: Direction
    things: Mapping[UUID, Node]
    pairs: tuple[tuple[UUID, UUID], ...]
    at: datetime | None = None
    more: int = 0

    @cached_property
    def nodes(self) -> dict[CanonicalKey, AssetType]:
        """The things that their names lead to, with their types. What is gone, and lost its name, has none here."""
        return {self._keys[node.id]: node.type for node in self.things.values() if not node.name_taken}

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge between `nodes`."""
        keys = self._keys
        return tuple(Edge(keys[made], keys[source]) for made, source in self.pairs if made in keys and source in keys)

    @cached_property
    def _keys(self) -> dict[UUID, CanonicalKey]:
        return {node.id: node.key for node in self.things.values() if not node.name_taken}


@dataclass(frozen=True, slots=True)
class Walk:
    """Questions to the graph in one transaction: as it is now, or as it was at a moment."""

    session: Session
    at: datetime | None = None

    def rows(
        self,
        statement: str,
        columns: Mapping[str, str] = NO_COLUMNS,
        *,
        planned_anew: bool = False,
        binary: bool = False,
        **parameters: object,
    ) -> list[Row]:
        """A statement's rows; it says `{valid}` for: an edge of the moment, `{name}` for: an asset's key then.

        `{gone}`: since when an asset was gone then; `{has_a_name}`: whether its name led to it; `{is_there}`: whether
        it was known and not gone.
        """
        given = {"tenant": self.session.tenant_value, "at": self.at, **parameters}
        return self.session.rows(worded(statement, self.at, columns), given, planned_anew=planned_anew, binary=binary)

    def part(self, ids: Sequence[UUID], direction: Direction, limit: int | None = None) -> Row:
        """What `things_of` and `pairs_of` understand, of these assets or the first of them; one statement."""
        (row,) = self.rows(_AMONG, COLUMNS[direction], planned_anew=True, ids=ids, limit=limit)
        return row

    def nodes(self, ids: Collection[UUID]) -> dict[UUID, Node]:
        """What these assets are, in the order of their names; one statement."""
        return things_of(self.part(sorted(ids), "up"))

    def edges(self, ids: Collection[UUID]) -> list[tuple[UUID, UUID]]:
        """Every edge between these assets, as (made, source), in the order of the ids on either side; one statement."""
        ordered = list(ids)
        (row,) = self.rows(_EDGES, planned_anew=True, ids=ordered)
        return list(pairs_of({**row, "ids": ordered}))


def things_of(part: Row) -> dict[UUID, Node]:
    """What a statement told about things, in the order of their names: by its columns, the n-th of each is the n-th's.

    `gone` has the places, counted from 1, of those that `closed` and `taken` are of.
    """
    ids: list[UUID] = part["ids"] or []
    if not ids:
        return {}
    names, types = part["names"].split("\n"), part["types"].split("\n")
    nodes = [Node(one, name, TYPES[kind]) for one, name, kind in zip(ids, names, types, strict=True)]
    for place, closed_at, taken in zip(*(part[name] or () for name in ("gone", "closed", "taken")), strict=True):
        nodes[place - 1] = replace(nodes[place - 1], closed_at=closed_at, name_taken=taken)
    if part["gone"]:
        nodes = told_apart(nodes)
    return dict(zip(ids, nodes, strict=True))


def pairs_of(part: Row) -> tuple[tuple[UUID, UUID], ...]:
    """The edges that a statement told between things, each once, in the order of these on either side."""
    ids: list[UUID] = part["ids"] or []
    sent: bytes = part["edges"] or b""
    edges = sorted(set(struct.unpack(f"!{len(sent) // 8}Q", sent)))  # two places as one number, which sorts as they do
    return tuple([(ids[(edge >> 32) - 1], ids[(edge & 0xFFFFFFFF) - 1]) for edge in edges])


def walk(
    sessions: Sessions,
    start: Entity,
    direction: Direction,
    *,
    depth: int | None,
    at: datetime | None,
    limit: int | None = None,
) -> Lineage:
    """What is reached from `start` over the edges of now or of a moment, up to `depth` steps or to the end.

    With a limit the nearest of it, the start first. One round trip without a bound; with one, `depth` + 1 statements.
    """
    if depth is None:
        statement = worded(_AROUND, at, COLUMNS[direction])
        given = {"tenant": sessions.tenant.value, "at": at, "starts": [start.id.value], "limit": limit}
        (part,) = sessions.call(statement, given)
    else:
        with sessions.begin() as session:
            asked = Walk(session, at)
            part = asked.part(reached(asked, start.id.value, direction, depth), direction, limit)
    things = things_of(part)
    return Lineage(
        start=things[start.id.value].key if start.id.value in things else start.key,
        start_id=start.id.value,
        direction=direction,
        things=things,
        pairs=pairs_of(part),
        at=at,
        more=0 if limit is None else max(part["count"] - limit, 0),
    )


def worded(statement: str, at: datetime | None, columns: Mapping[str, str] = NO_COLUMNS) -> str:
    """A statement for now or for a moment; see `Walk.rows`."""
    now = at is None
    return statement.format(
        valid=OPEN if now else THEN,
        name="a.qualified_name" if now else _NAME_THEN,
        gone="a.deleted_at" if now else _GONE_THEN,
        has_a_name=_HAS_A_NAME.format(named="x.valid_to IS NULL" if now else _NAMED_THEN),
        is_there="a.deleted_at IS NULL" if now else _IS_THERE_THEN,
        **columns,
    )


def closure(sessions: Sessions, start: Entity, direction: Direction, *, at: datetime | None) -> frozenset[UUID]:
    """The ids of everything that is reached, the start among them; one round trip."""
    given = {"tenant": sessions.tenant.value, "at": at, "starts": [start.id.value]}
    (row,) = sessions.call(worded(_CLOSURE, at, COLUMNS[direction]), given)
    return frozenset(row["ids"])


def told_apart(nodes: Iterable[Node]) -> list[Node]:
    """The same things; of several with one name, one at most has it: what is there before what is gone."""
    found = list(nodes)
    having: dict[str, Node] = {}
    for node in found:
        other = having.get(node.text)
        if not node.name_taken and (other is None or (other.closed_at is not None and node.closed_at is None)):
            having[node.text] = node
    return [node if node.name_taken or having[node.text] is node else replace(node, name_taken=True) for node in found]


def reached(
    asked: Walk, start: UUID, direction: Direction, depth: int | None, *, also: Collection[UUID] = ()
) -> list[UUID]:
    """The assets that are reached from the start, and from others, all of these among them; the nearest first."""
    seen = dict.fromkeys((start, *also))
    if depth is None:
        (row,) = asked.rows(_CLOSURE, COLUMNS[direction], starts=list(seen))
        return list(row["ids"])
    frontier = list(seen)
    for _level in range(depth):
        rows = asked.rows(_FRONTIER, COLUMNS[direction], frontier=frontier, seen=list(seen))
        frontier = [row["id"] for row in rows]
        if not frontier:
            break
        seen.update(dict.fromkeys(frontier))
    return list(seen)
