"""The whole graph as it was read, held for as long as nothing of it changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from resources.graph.walk import NODES, TYPES, Walk
from resources.graph.whole import WholeGraph
from resources.postgres.incarnation import INCARNATION
from resources.postgres.session import Session, Sessions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KNOWN = NODES.replace("a.asset_id,", "a.asset_id, {is_there} AS is_there,")

# One row: what there is, and the ids of the edges' ends, sixteen bytes each. What is read of a scan comes in one order.
# Finding their places takes the server longer than sending and sorting them.
_WHOLE = f"""
SELECT {INCARNATION} AS store, pg_current_snapshot()::text AS seen,
  count(*) AS count, string_agg(uuid_send(n.asset_id), '') AS ids,
  string_agg(n.qualified_name, E'\\n') AS names, string_agg(n.type, E'\\n') AS types,
  string_agg((n.is_there::integer + 2 * (n.closed_at IS NOT NULL)::integer + 4 * n.name_taken::integer)::text, '')
    AS states,
  (SELECT string_agg(uuid_send(r.target_asset_id) || uuid_send(r.source_asset_id), '')
   FROM metadata.relationship r WHERE r.tenant_id = %(tenant)s AND r.type = 'DEPENDS_ON' AND {{valid}}) AS edges
FROM ({_KNOWN}) n
"""
_THERE, _GONE, _TAKEN = 1, 2, 4

# Numbers of transactions mean something in one store only. A restored one may have rows of numbers yet to come.
_UNCHANGED = f"""
SELECT {INCARNATION} = %(store)s AND NOT EXISTS (
  SELECT FROM metadata.graph_change g
  WHERE g.tenant_id = %(tenant)s AND g.xid >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
    AND g.xid < pg_snapshot_xmax(pg_current_snapshot())
    AND NOT pg_visible_in_snapshot(g.xid, %(seen)s::pg_snapshot)) AS unchanged
"""


@dataclass(frozen=True, slots=True)
class Read:
    """A graph, and the store and its snapshot that it was read in."""

    graph: WholeGraph
    store: str
    seen: str


@dataclass(slots=True)
class Held:
    """The graph of now and that of the moment last asked about, as they were last read. Two threads may read both."""

    now: Read | None = None
    then: Read | None = None

    def graph(self, sessions: Sessions, at: datetime | None) -> WholeGraph:
        """The graph of now or of a moment: read anew when an edge, a thing or a name changed since, in whatever way.

        One small statement where none did, and one large one else.
        """
        read = self.now if at is None else self.then
        if read is not None and read.graph.at == at and _unchanged(sessions, read):
            return read.graph
        with sessions.begin() as session:
            read = load(session, at=at)
        if at is None:
            self.now = read
        else:
            self.then = read
        return read.graph


def _unchanged(sessions: Sessions, read: Read) -> bool:
    (row,) = sessions.call(_UNCHANGED, {"tenant": sessions.tenant.value, "store": read.store, "seen": read.seen})
    return bool(row["unchanged"])


def load(session: Session, *, at: datetime | None) -> Read:
    """The graph of now or of a moment; one statement."""
    import numpy as np

    (row,) = Walk(session, at).rows(_WHOLE, planned_anew=True, binary=True)
    if not row["count"]:
        return Read(WholeGraph([], [], np.empty((0, 2), dtype=np.int64), at), row["store"], row["seen"])
    ids = _numbers(row["ids"])
    ends = places_of(ids, _numbers(row["edges"] or b"")).reshape(-1, 2)
    states = np.frombuffer(row["states"].encode(), dtype=np.uint8) - ord("0")
    known = (states & _THERE).astype(np.bool_)
    known[ends] = True
    gone = ((states & _GONE) > 0) & known
    names: list[str] = row["names"].split("\n")
    references = list(names)
    for place in _nameless(names, known, gone, (states & _TAKEN) > 0):
        references[place] = str(UUID(bytes=row["ids"][16 * place : 16 * place + 16]))
    types: list[str] = row["types"].split("\n")
    ordered = sorted(known.nonzero()[0].tolist(), key=references.__getitem__)
    rank = np.zeros(len(ids), dtype=np.int64)
    rank[ordered] = np.arange(len(ordered))
    graph = WholeGraph(
        references=[references[place] for place in ordered],
        types=[TYPES[types[place]] for place in ordered],
        pairs=_each_once(rank[ends], len(ordered)),
        at=at,
        gone={references[place]: names[place] for place in gone.nonzero()[0].tolist()},
    )
    return Read(graph, row["store"], row["seen"])


def _nameless(
    names: Sequence[str], known: "NDArray[np.bool_]", gone: "NDArray[np.bool_]", taken: "NDArray[np.bool_]"
) -> Iterator[int]:
    """The places of what no name leads to: of several with one name it is one's that is there, if any is."""
    yield from (known & taken).nonzero()[0].tolist()
    having: dict[str, int] = {}
    for some in (known & ~taken & ~gone, known & ~taken & gone):
        for place in some.nonzero()[0].tolist():
            if having.setdefault(names[place], place) != place:
                yield place


def _numbers(sent: bytes) -> "NDArray[Any]":
    """Ids as pairs of numbers."""
    import numpy as np

    return np.frombuffer(sent, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def places_of(ids: "NDArray[Any]", asked: "NDArray[Any]") -> "NDArray[np.int64]":
    """Where in `ids` each of the asked is; all of them are there."""
    import numpy as np

    order = np.lexsort((ids[:, 1], ids[:, 0]))
    high = ids[order, 0]
    if len(high) < 2 or bool((high[1:] != high[:-1]).all()):  # so half of each tells them apart
        return order[np.searchsorted(high, asked[:, 0])]
    places = {(first, second): place for place, (first, second) in enumerate(ids.tolist())}
    return np.array([places[first, second] for first, second in asked.tolist()], dtype=np.int64)


def _each_once(pairs: "NDArray[np.int64]", count: int) -> "NDArray[np.int64]":
    """Pairs of places below `count`, each once, in order."""
    import numpy as np

    numbers = np.sort(pairs[:, 0] * count + pairs[:, 1])
    once = np.ones(len(numbers), dtype=np.bool_)
    once[1:] = numbers[1:] != numbers[:-1]
    return np.stack(np.divmod(numbers[once], count), axis=1)
