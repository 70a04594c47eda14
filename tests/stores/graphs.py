"""Graphs of datasets by name."""

import itertools
from collections.abc import Sequence

from store_inputs import Lake

from resources.graph.edges import EdgeChanges, Link
from resources.graph_store import GraphStore

_scopes = itertools.count()


class Graph:
    """Edges between datasets of one endpoint, by name: "a<b" says that a is made from b."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.store = lake, GraphStore(lake.store.sessions)
        self.scope = f"scope {next(_scopes)}"

    def links(self, edges: Sequence[str]) -> list[Link]:
        pairs = [tuple(map(self.lake.key, edge.split("<"))) for edge in edges]
        found = self.lake.store.entities({key for pair in pairs for key in pair})
        return [Link(found[source], found[target]) for source, target in pairs]

    def told(self, *edges: str, producer: str = "mirror", scope: str = "", complete: bool = True) -> EdgeChanges:
        self.lake.assets(*{name for edge in edges for name in edge.split("<")})
        links = self.links(edges)
        return self.store.assert_edges(links, producer=producer, scope=scope or self.scope, complete=complete)

    def edges(self, start: str, direction: str = "up", depth: int | None = None) -> set[str]:
        found = self.store.lineage(self.lake.entity(start), direction, depth=depth)
        assert list(found.edges) == sorted(set(found.edges))
        return {f"{edge.source.table}<{edge.target.table}" for edge in found.edges}

    def nodes(self, start: str, direction: str = "up", depth: int | None = None) -> set[str]:
        return {key.table for key in self.store.lineage(self.lake.entity(start), direction, depth=depth).nodes}
