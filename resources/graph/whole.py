"""The whole graph in memory: circles, connected parts, the longest chain, and what is at its ends.

Over numbers: a thing is its place in the order of references. Names are given to what an answer tells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from resources.models import AssetType, Direction

if TYPE_CHECKING:  # a tenth of a second, which only questions to the whole graph need
    import networkx
    import numpy as np
    import rustworkx
    from numpy.typing import NDArray

Steps = tuple[str, ...]
"""References, in the direction in which data flow."""


@dataclass(frozen=True, eq=False)
class WholeGraph:
    """Every asset that is there or has an edge, and every edge.

    Each asset is told by its reference: its key as text or, where the name of what is gone is another thing's, its id.
    Answers are in the order of these, where nothing else is said. Of what an answer tells nothing is shared.
    """

    references: Sequence[str]
    """In their order, each once."""
    types: Sequence[AssetType]
    pairs: "NDArray[np.int64]"
    """The places of (source, made) among the references, one row for each edge, in the order of these."""
    at: datetime | None = None
    gone: Mapping[str, str] = field(default_factory=dict)
    """Of what is gone, by its reference, the key that it had last."""

    @classmethod
    def of(cls, nodes: Mapping[str, AssetType], edges: Iterable[tuple[str, str]]) -> Self:
        """A graph by names, its edges as (source, made)."""
        import numpy as np

        references = sorted(nodes)
        places = {one: place for place, one in enumerate(references)}
        pairs = sorted({(places[source], places[made]) for source, made in edges})
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(references, [nodes[one] for one in references], table)

    @cached_property
    def nodes(self) -> Mapping[str, AssetType]:
        return dict(zip(self.references, self.types, strict=True))

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Each as `(source, made)`, in the direction in which data flow."""
        called = self.references
        return tuple([(called[source], called[made]) for source, made in self.pairs.tolist()])

    def circles(self) -> list[Steps]:
        """One circle of each knot, a shortest one through its first asset, which is not said again at the end.

        A knot is a set of assets each of which is made from each other one, or from itself.
        """
        return [self._called(self._circle(knot)) for knot in self._knots]

    def parts(self) -> list[Steps]:
        """The connected parts with more than one asset, the largest first: no edge leads from one into another."""
        import rustworkx

        found = [sorted(part) for part in rustworkx.weakly_connected_components(self._graph) if len(part) > 1]
        return [self._called(part) for part in sorted(found, key=lambda part: (-len(part), part[0]))]

    def longest_chain(self) -> Steps:
        """The critical path: the longest chain of assets each of which is made from the one before.

        What is in one knot counts as one step and is crossed the short way, for a circle has no longest way through it.
        """
        import rustworkx

        chain = list(rustworkx.dag_longest_path(self._without_knots))
        if len(chain) < 2:
            return ()
        members = [self._members.get(one, frozenset((one,))) for one in chain]
        crossings = [
            min((a, b) for a in here for b in self._graph.successor_indices(a) if b in there)
            for here, there in pairwise(members)
        ]
        way = [crossings[0][0]]
        for (_from, entry), (leaving, _to) in pairwise(crossings):
            way += self._within(entry, leaving)
        return self._called([*way, crossings[-1][1]])

    def unread(self) -> list[str]:
        """What nothing is made from, though it is made from something: the ends, or what nobody needs."""
        return self._which(self._made & ~self._read)

    def unmade(self) -> list[str]:
        """What is made from nothing that is known, though something is made from it: where data come in."""
        return self._which(self._read & ~self._made)

    def alone(self) -> list[str]:
        """What has no edge at all."""
        return self._which(~(self._read | self._made))

    def reached(self, start: str, direction: Direction) -> frozenset[str]:
        """Everything that `start` is made from ("up") or that is made from it ("down"), itself included, in memory.

        For who asks about many things of one moment. Nothing but itself where the graph does not have it.
        """
        place = self._places.get(start)
        if place is None:
            return frozenset((start,))
        found = self._finds[direction](self._graph, place)
        found.add(place)
        return frozenset(map(self.references.__getitem__, found))

    def networkx(self) -> "networkx.DiGraph[str]":
        """The same as a graph of networkx, for whatever else is asked: communities, centralities. Made anew each time.

        Of 300,000 edges that takes seconds.
        """
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        graph.add_nodes_from(self.references)
        graph.add_edges_from(self.edges)
        return graph

    def _called(self, places: Iterable[int]) -> Steps:
        return tuple(map(self.references.__getitem__, places))

    def _which(self, mask: "NDArray[np.bool_]") -> list[str]:
        return list(self._called(mask.nonzero()[0].tolist()))

    @cached_property
    def _finds(self) -> "Mapping[Direction, Callable[[rustworkx.PyDiGraph[int, None], int], set[int]]]":
        import rustworkx

        return {"down": rustworkx.descendants, "up": rustworkx.ancestors}

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {one: place for place, one in enumerate(self.references)}

    @cached_property
    def _read(self) -> "NDArray[np.bool_]":
        return self._at_end(0)

    @cached_property
    def _made(self) -> "NDArray[np.bool_]":
        return self._at_end(1)

    def _at_end(self, end: int) -> "NDArray[np.bool_]":
        """Which are at this end of an edge that leads to another one."""
        import numpy as np

        mask = np.zeros(len(self.references), dtype=np.bool_)
        mask[self.pairs[self.pairs[:, 0] != self.pairs[:, 1], end]] = True
        return mask

    @cached_property
    def _graph(self) -> "rustworkx.PyDiGraph[int, None]":
        return _directed(len(self.references), self.pairs)

    @cached_property
    def _knots(self) -> list[list[int]]:
        """The knots, each in order."""
        import rustworkx

        loops = self.pairs[self.pairs[:, 0] == self.pairs[:, 1], 0].tolist()
        knots = [sorted(knot) for knot in rustworkx.strongly_connected_components(self._graph) if len(knot) > 1]
        knotted = {one for knot in knots for one in knot}
        return sorted([*knots, *([one] for one in loops if one not in knotted)])

    @cached_property
    def _members(self) -> Mapping[int, frozenset[int]]:
        """The knots by the first of each."""
        return {knot[0]: frozenset(knot) for knot in self._knots}

    @cached_property
    def _without_knots(self) -> "rustworkx.PyDiGraph[int, None]":
        """The same with the first of each knot for all of it: without a circle."""
        import numpy as np

        if not self._knots:
            return self._graph
        first = np.arange(len(self.references))
        for knot in self._knots:
            first[knot] = knot[0]
        pairs = first[self.pairs]
        return _directed(len(first), np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0))

    def _circle(self, knot: Sequence[int]) -> list[int]:
        start, graph = knot[0], self._graph
        nearer: dict[int, int] = {start: start}
        ahead = [start]
        for node in ahead:
            if graph.has_edge(node, start):
                break
            for other in sorted(graph.successor_indices(node)):
                if other not in nearer and other in self._members[start]:
                    nearer[other] = node
                    ahead.append(other)
        way = [node]
        while way[-1] != start:
            way.append(nearer[way[-1]])
        return way[::-1]

    def _within(self, start: int, end: int) -> list[int]:
        """A shortest way; both are in one knot, and so is every way."""
        import rustworkx

        return list(rustworkx.digraph_dijkstra_shortest_paths(self._graph, start, end)[end]) if start != end else [end]


def _directed(count: int, pairs: "NDArray[np.int64]") -> "rustworkx.PyDiGraph[int, None]":
    import rustworkx

    graph: rustworkx.PyDiGraph[int, None] = rustworkx.PyDiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from_no_data(list(zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True)))
    return graph
