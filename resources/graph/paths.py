"""Paths: how one asset is made from another, step by step."""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count, pairwise
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.graph.walk import COLUMNS, Lineage, Walk, reached
from resources.models import AssetType, Direction, Edge
from resources.postgres.session import Session

LOOKED: Final = 100_000
"""How many beginnings of paths are looked at, at most, when all paths are asked for."""

_STEP = """
SELECT DISTINCT r.{here} AS near, r.{there} AS far FROM metadata.relationship r
WHERE r.tenant_id = %(tenant)s AND r.{here} = ANY (%(frontier)s) AND r.type = 'DEPENDS_ON' AND {valid}
  AND r.{there} <> ALL (%(seen)s)
"""

Ways = Mapping[UUID, Collection[UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """How `end` is made from `start`: every path as the ids on it, in the direction in which data flow.

    The shorter ones come first; no path visits a thing twice. Empty where nothing leads from one to the other. `part`
    has what is on them, and the edges that they go along.
    """

    part: Lineage
    end: CanonicalKey
    ways: tuple[tuple[UUID, ...], ...]
    more: bool
    """There are more, or may be: the limit cut the answer."""

    @property
    def start(self) -> CanonicalKey:
        return self.part.start

    @property
    def paths(self) -> tuple[tuple[CanonicalKey, ...], ...]:
        """The ways by names: of what is gone the last one, which may be another thing's by now."""
        return tuple(tuple(self.part.things[each].key for each in way) for way in self.ways)

    @property
    def nodes(self) -> Mapping[CanonicalKey, AssetType]:
        return self.part.nodes

    @property
    def edges(self) -> tuple[Edge, ...]:
        return self.part.edges

    @property
    def steps(self) -> int:
        """How many steps the shortest path has."""
        return min((len(way) - 1 for way in self.ways), default=0)


def paths_between(
    session: Session,
    start: Entity,
    end: Entity,
    *,
    every: bool,
    limit: int,
    depth: int | None,
    at: datetime | None,
) -> Paths:
    """The shortest paths, or every one, of `depth` steps at most; of now or of a moment.

    Walks from both ends. Statements: one for each step of the shortest path and one for the names. For every path:
    4; with a bound, up to two for each of its steps.
    """
    asked = Walk(session, at)
    ways = (_every if every else _shortest)(asked, start.id.value, end.id.value, depth)
    found, more = told(ways, start.id.value, end.id.value, limit=limit, depth=depth)
    ids = {start.id.value, end.id.value, *(each for path in found for each in path)}
    nodes = asked.nodes(ids)
    places = {identifier: place for place, identifier in enumerate(nodes)}
    pairs = {(made, source) for path in found for source, made in pairwise(path)}
    part = Lineage(
        start=nodes[start.id.value].key if start.id.value in nodes else start.key,
        start_id=start.id.value,
        direction="down",
        things=nodes,
        pairs=tuple(sorted(pairs, key=lambda pair: (places[pair[0]], places[pair[1]]))),
        at=at,
    )
    return Paths(
        part=part,
        end=nodes[end.id.value].key if end.id.value in nodes else end.key,
        ways=tuple(found),
        more=more,
    )


def told(
    ways: Ways, start: UUID, end: UUID, *, limit: int, depth: int | None = None
) -> tuple[list[tuple[UUID, ...]], bool]:
    """The first paths over ways, the shorter ones first, each node once in a path; and whether there may be more."""
    rest = _distances(ways, end)
    if start not in rest:
        return [], False
    found: list[tuple[UUID, ...]] = []
    turns = count()
    heap: list[tuple[int, int, int, tuple[UUID, ...]]] = [(rest[start], 0, next(turns), (start,))]
    looked = 0
    while heap:
        length, _deep, _turn, path = heapq.heappop(heap)
        if depth is not None and length > depth:
            break
        if path[-1] == end:
            if len(found) == limit:
                return found, True
            found.append(path)
            continue
        looked += 1
        if looked > LOOKED:
            return found, True
        for node in sorted(ways.get(path[-1], ())):
            if node in rest and node not in path:
                heapq.heappush(heap, (len(path) + rest[node], -len(path), next(turns), (*path, node)))
    return found, False


def _distances(ways: Ways, end: UUID) -> dict[UUID, int]:
    """How many steps it is to the end from wherever it is reached."""
    back: dict[UUID, list[UUID]] = {}
    for here, others in ways.items():
        for there in others:
            back.setdefault(there, []).append(here)
    rest = {end: 0}
    reachable = deque([end])
    while reachable:
        there = reachable.popleft()
        for here in back.get(there, ()):
            if here not in rest:
                rest[here] = rest[there] + 1
                reachable.append(here)
    return rest


def _every(asked: Walk, start: UUID, end: UUID, depth: int | None) -> Ways:
    """All ways between what is made from the start and what the end is made from."""
    between = set(reached(asked, start, "down", depth)) & set(reached(asked, end, "up", depth))
    return _by_beginning((source, made) for made, source in asked.edges(between)) if between else {}


def _shortest(asked: Walk, start: UUID, end: UUID, depth: int | None) -> Ways:
    """The ways that lie on shortest paths, found by going on from whichever end has less before it."""
    if start == end:
        return {}
    seen: dict[Direction, set[UUID]] = {"down": {start}, "up": {end}}
    frontier: dict[Direction, set[UUID]] = {"down": {start}, "up": {end}}
    nearer: dict[Direction, dict[UUID, list[UUID]]] = {"down": {}, "up": {}}
    steps = 0
    met: set[UUID] = set()
    while frontier["down"] and frontier["up"] and not met and (depth is None or steps < depth):
        here: Direction = "down" if len(frontier["down"]) <= len(frontier["up"]) else "up"
        rows = asked.rows(_STEP, COLUMNS[here], frontier=sorted(frontier[here]), seen=sorted(seen[here]))
        for row in rows:
            nearer[here].setdefault(row["far"], []).append(row["near"])
        frontier[here] = {row["far"] for row in rows}
        seen[here] |= frontier[here]
        met = frontier[here] & seen["up" if here == "down" else "down"]
        steps += 1
    before = set(_back(nearer["down"], met))
    after = {(far, near) for near, far in _back(nearer["up"], met)}
    return _by_beginning(before | after)


def _back(nearer: Ways, frontier: Collection[UUID]) -> Iterable[tuple[UUID, UUID]]:
    """Every step (nearer, farther) by which the frontier was reached."""
    seen = set(frontier)
    while frontier:
        steps = [(near, far) for far in frontier for near in nearer.get(far, ())]
        yield from steps
        frontier = {near for near, _far in steps} - seen
        seen |= frontier


def _by_beginning(steps: Iterable[tuple[UUID, UUID]]) -> Ways:
    ways: dict[UUID, list[UUID]] = {}
    for here, there in steps:
        ways.setdefault(here, []).append(there)
    return ways
