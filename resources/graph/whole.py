"""The whole graph in memory: circles, connected parts, the longest chain, and what is at its ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from resources.graph.walk import NODES, TYPES, Walk, places
from resources.models import AssetType, Direction
from resources.postgres.session import Session

if TYPE_CHECKING:  # a fifth of a second, which only questions to the whole graph need
    import networkx

_KNOWN = NODES.replace("a.asset_id,", "a.asset_id, {is_there} AS is_there,")

# One row: what there is as arrays, and the edges as pairs of places in them, four bytes each.
_WHOLE = f"""
WITH a AS MATERIALIZED (
  SELECT row_number() OVER () AS place, n.* FROM ({_KNOWN}) n
), e AS MATERIALIZED (
  SELECT DISTINCT r.source_asset_id AS made, r.target_asset_id AS source FROM metadata.relationship r
  WHERE r.tenant_id = %(tenant)s AND r.type = 'DEPENDS_ON' AND {{valid}}
)
SELECT array_agg(a.asset_id::text ORDER BY a.place) AS ids, array_agg(a.type ORDER BY a.place) AS types,
  array_agg(a.qualified_name ORDER BY a.place) AS names, array_agg(a.closed_at IS NOT NULL ORDER BY a.place) AS gone,
  array_agg(a.name_taken ORDER BY a.place) AS taken, array_agg(a.is_there ORDER BY a.place) AS there,
  (SELECT string_agg(int4send(s.place::integer) || int4send(t.place::integer), '')
   FROM e JOIN a s ON s.asset_id = e.made JOIN a t ON t.asset_id = e.source) AS edges
FROM a
"""

Steps = tuple[str, ...]
"""References, in the direction in which data flow."""


@dataclass(frozen=True)
class WholeGraph:
    """Every asset that is there or has an edge, and every edge: `(source, made)`, in the direction in which data flow.

    Each is told by its reference: its key as text or, where the name of what is gone is another thing's, its id.
    Answers are in the order of these, where nothing else is said.
    """

    nodes: Mapping[str, AssetType]
    edges: tuple[tuple[str, str], ...]
    at: datetime | None = None
    gone: Mapping[str, str] = field(default_factory=dict)
    """Of what is gone, by its reference, the key that it had last."""

    def circles(self) -> list[Steps]:
        """One circle of each knot, a shortest one through its first asset, which is not said again at the end.

        A knot is a set of assets each of which is made from each other one, or from itself.
        """
        return [self._circle(knot) for knot in self._knots if len(knot) > 1 or self._graph.has_edge(knot[0], knot[0])]

    def parts(self) -> list[Steps]:
        """The connected parts with more than one asset, the largest first: no edge leads from one into another."""
        import networkx

        found = [tuple(sorted(part)) for part in networkx.weakly_connected_components(self._graph) if len(part) > 1]
        return sorted(found, key=lambda part: (-len(part), part))

    def longest_chain(self) -> Steps:
        """The critical path: the longest chain of assets each of which is made from the one before.

        What is in one knot counts as one step and is crossed the short way, for a circle has no longest way through it.
        """
        import networkx

        knots: networkx.DiGraph[int] = networkx.condensation(self._graph, scc=self._knots)
        chain: list[int] = networkx.dag_longest_path(knots, weight="")
        if len(chain) < 2:
            return ()
        members = [set(self._knots[number]) for number in chain]
        crossings = [
            min((a, b) for a in here for b in self._graph.successors(a) if b in there)
            for here, there in pairwise(members)
        ]
        way: list[str] = [crossings[0][0]]
        for (_from, entry), (leaving, _to) in pairwise(crossings):
            way += self._within(entry, leaving)
        return (*way, crossings[-1][1])

    def unread(self) -> list[str]:
        """What nothing is made from, though it is made from something: the ends, or what nobody needs."""
        read, made = self._read, self._made
        return [key for key in self.nodes if key in made and key not in read]

    def unmade(self) -> list[str]:
        """What is made from nothing that is known, though something is made from it: where data come in."""
        read, made = self._read, self._made
        return [key for key in self.nodes if key in read and key not in made]

    def alone(self) -> list[str]:
        """What has no edge at all."""
        joined = self._read | self._made
        return [key for key in self.nodes if key not in joined]

    def reached(self, start: str, direction: Direction) -> frozenset[str]:
        """Everything that `start` is made from ("up") or that is made from it ("down"), itself included, in memory.

        For who asks about many things of one moment. Nothing but itself where the graph does not have it.
        """
        ways = self._ways[direction]
        seen, ahead = {start}, [start]
        while ahead:
            for other in ways.get(ahead.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    ahead.append(other)
        return frozenset(seen)

    @cached_property
    def _ways(self) -> Mapping[Direction, Mapping[str, list[str]]]:
        down: dict[str, list[str]] = {}
        up: dict[str, list[str]] = {}
        for source, made in self.edges:
            down.setdefault(source, []).append(made)
            up.setdefault(made, []).append(source)
        return {"down": down, "up": up}

    @cached_property
    def _read(self) -> set[str]:
        return {source for source, made in self.edges if source != made}

    @cached_property
    def _made(self) -> set[str]:
        return {made for source, made in self.edges if source != made}

    @cached_property
    def _graph(self) -> "networkx.DiGraph[str]":
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.edges)
        return graph

    @cached_property
    def _knots(self) -> list[Steps]:
        """All assets, each in the set of those that it is made from and that are made from it."""
        import networkx

        return sorted(tuple(sorted(knot)) for knot in networkx.strongly_connected_components(self._graph))

    def _circle(self, knot: Steps) -> Steps:
        start = knot[0]
        if self._graph.has_edge(start, start):
            return (start,)
        import networkx

        nearer: dict[str, str] = {}
        for node, before in networkx.bfs_predecessors(self._graph.subgraph(knot), start):
            nearer[node] = before
            if self._graph.has_edge(node, start):
                break
        way = [node]
        while way[-1] != start:
            way.append(nearer[way[-1]])
        return tuple(reversed(way))

    def _within(self, start: str, end: str) -> Steps:
        import networkx

        return tuple(networkx.shortest_path(self._graph, start, end))


def load(session: Session, *, at: datetime | None) -> WholeGraph:
    """The graph of now or of a moment; one statement."""
    (row,) = Walk(session, at).rows(_WHOLE, planned_anew=True)
    names: list[str] = row["names"] or []
    taken, gone, there = row["taken"] or [], row["gone"] or [], row["there"] or []
    pairs = [(source - 1, made - 1) for made, source in places(row["edges"])]
    joined = {place for pair in pairs for place in pair}
    known = [place for place in range(len(names)) if there[place] or place in joined]
    having: dict[str, int] = {}
    for place in sorted(known, key=lambda place: bool(gone[place])):  # what is there has its name before what is gone
        if not taken[place]:
            having.setdefault(names[place], place)
    references = {p: names[p] if having.get(names[p]) == p else row["ids"][p] for p in known}
    ordered = sorted(known, key=references.__getitem__)
    rank = {place: number for number, place in enumerate(ordered)}
    texts = [references[place] for place in ordered]
    return WholeGraph(
        nodes={references[place]: TYPES[row["types"][place]] for place in ordered},
        edges=tuple((texts[a], texts[b]) for a, b in sorted((rank[a], rank[b]) for a, b in pairs)),
        at=at,
        gone={references[place]: names[place] for place in ordered if gone[place]},
    )
