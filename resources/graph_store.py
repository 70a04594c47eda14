"""GraphStore: who depends on whom. It takes entities and nothing else; their records are the metadata store's."""

from collections.abc import Collection
from dataclasses import dataclass

from identity.ids import Entity
from resources.graph.collections import Collections
from resources.graph.edges import EdgeChanges, Link, assert_edges
from resources.graph.identities import Identities
from resources.graph.references import References
from resources.graph.walk import Lineage, walk
from resources.models import Direction


@dataclass(frozen=True, slots=True)
class GraphStore(Identities, References, Collections):
    """The edges, identity nodes and collections of one tenant.

    An id made by hand is refused by the type checker and again at run time.

        graph = GraphStore(Sessions(app_engine(url), tenant_id("default"), "cli"))
        graph.max_depth, graph.loaders: how far a reference is followed, and what loads what is behind it
    """

    def assert_edges(self, links: Collection[Link], *, producer: str, scope: str, complete: bool) -> EdgeChanges:
        """Say which edges a producer sees in its scope; a complete look closes those that it no longer names."""
        with self.sessions.begin() as session:
            return assert_edges(session, links, producer=producer, scope=scope, complete=complete)

    def lineage(self, start: Entity, direction: Direction, *, depth: int | None = None) -> Lineage:
        """What `start` is made from ("up") or what is made from it ("down"), `depth` steps far or to the end."""
        if not isinstance(start, Entity):
            raise TypeError("lineage starts at an Entity; an id or a name is not an entity")
        with self.sessions.begin() as session:
            return walk(session, start, direction, depth=depth)
