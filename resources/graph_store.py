"""GraphStore: who depends on whom. It takes entities and nothing else; their records are the metadata store's."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from identity.ids import Entity
from resources.graph.collections import Collections
from resources.graph.column_walk import ColumnLineage, walk_columns
from resources.graph.edges import EdgeChanges, Ends, Link, assert_edges
from resources.graph.given import moment, number
from resources.graph.held import Held
from resources.graph.identities import Identities
from resources.graph.paths import Paths, paths_between
from resources.graph.references import References
from resources.graph.walk import Lineage, Walk, closure, reached, walk
from resources.graph.whole import WholeGraph
from resources.models import Direction


@dataclass(frozen=True, slots=True)
class GraphStore(Identities, References, Collections):
    """The edges, identity nodes and collections of one tenant.

    An id made by hand is refused by the type checker and again at run time.

        graph = GraphStore(Sessions(app_engine(url), tenant_id("default"), "cli"))
        graph.max_depth, graph.loaders: how far a reference is followed, and what loads what is behind it
    """

    _held: Held = field(default_factory=Held, init=False, repr=False, compare=False)

    def assert_edges(self, links: Collection[Link], *, producer: str, scope: str, complete: bool) -> EdgeChanges:
        """Say which edges a producer sees in its scope; a complete look closes those that it no longer names."""
        ends = Ends.of(links)
        with self.sessions.begin() as session:
            return assert_edges(session, ends, producer=producer, scope=scope, complete=complete)

    def lineage(
        self,
        start: Entity,
        direction: Direction,
        *,
        depth: int | None = None,
        at: datetime | None = None,
        limit: int | None = None,
    ) -> Lineage:
        """What `start` is made from ("up") or what is made from it ("down"), `depth` steps far or to the end.

        With a `limit` the nearest things of it, the start among them; `more` says how many there are besides. Of now;
        or as it was at a moment, from the intervals of edges and names. Raises InvalidInput, without a zone too.
        """
        _entities(start)
        if limit is not None:
            number("limit", limit)
        return walk(self.sessions, start, direction, depth=depth, at=moment("at", at), limit=limit)

    def column_lineage(
        self,
        dataset: Entity,
        direction: Direction,
        *,
        column: UUID | None = None,
        depth: int | None = None,
        at: datetime | None = None,
    ) -> ColumnLineage:
        """From which columns those of a dataset are computed ("up"), or which are computed from them ("down").

        Of all its columns, or of the one with this id; `depth` steps far or to the end; of now, or of a moment. Raises
        InvalidInput.
        """
        _entities(dataset)
        with self.sessions.begin() as session:
            return walk_columns(session, dataset, column, direction, depth=depth, at=moment("at", at))

    def reached(
        self, start: Entity, direction: Direction, *, depth: int | None = None, at: datetime | None = None
    ) -> frozenset[UUID]:
        """The ids of all that `lineage` would tell, the start among them: without names, types and edges.

        One round trip without a `depth`. Of a large part it takes a quarter of the time. Raises InvalidInput.
        """
        _entities(start)
        if depth is None:
            return closure(self.sessions, start, direction, at=moment("at", at))
        with self.sessions.begin() as session:
            return frozenset(reached(Walk(session, moment("at", at)), start.id.value, direction, depth))

    def paths(
        self,
        start: Entity,
        end: Entity,
        *,
        every: bool = False,
        limit: int = 20,
        depth: int | None = None,
        at: datetime | None = None,
    ) -> Paths:
        """How `end` is made from `start`: all shortest paths, or every path, `limit` at most, told when it cuts.

        Paths of `depth` steps at most; of now, or of a moment. Empty where none leads from one to the other. Raises
        InvalidInput.
        """
        _entities(start, end)
        number("limit", limit)
        with self.sessions.begin() as session:
            then = moment("at", at)
            return paths_between(session, start, end, every=every, limit=limit, depth=depth, at=then)

    def whole(self, *, at: datetime | None = None) -> WholeGraph:
        """The whole graph in memory, of now or of a moment, for questions that no walk from one asset answers.

        It is held: while no edge, thing or name changes, asking again answers the same one, for a small statement.
        """
        return self._held.graph(self.sessions, moment("at", at))


def _entities(*given: Entity) -> None:
    if not all(isinstance(one, Entity) for one in given):
        raise TypeError("lineage starts at an Entity; an id or a name is not an entity")
