"""Edges between references: kept as given, with resolved edges that follow wherever the references lead."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

from identity.nodes import Reference, UnknownIdentity, parse_reference, reference_text
from resources.graph.edges import EdgeChanges
from resources.graph.given import choice
from resources.graph.noun import GraphNoun

EdgeType = Literal["DEPENDS_ON", "CONTAINS", "PRODUCES", "USES", "RELATED_TO"]


@dataclass(frozen=True, slots=True, order=True)
class ReferenceEdge:
    """`source` depends on (or contains, …) `target`, whatever the two lead to."""

    source: Reference
    target: Reference

    def __post_init__(self) -> None:
        reference_text(self.source)
        reference_text(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEdge:
    """An edge as given. `resolved`: both ends lead to registered things, so an edge of the graph follows it.

    What is gone is still registered: its edges stay, as its lineage does, until another thing has its name.
    """

    edge: ReferenceEdge
    type: EdgeType
    resolved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedEdges:
    """How many edges were forgotten, and how many edges of the graph that closed."""

    removed: int
    closed: int


_ADD = "SELECT * FROM metadata.add_reference_edges(%(sources)s, %(targets)s, %(type)s)"
_REMOVE = "SELECT * FROM metadata.remove_reference_edges(%(sources)s, %(targets)s, %(type)s)"
_REFRESH = "SELECT * FROM metadata.refresh_reference_edges()"
_LIST = """
SELECT e.source_reference, e.target_reference, e.type, EXISTS (
    SELECT 1 FROM metadata.relationship r WHERE r.tenant_id = e.tenant_id AND r.producer = 'reference'
      AND r.scope = e.edge_id::text AND r.valid_to IS NULL) AS resolved
FROM metadata.reference_edge e
WHERE e.tenant_id = %(tenant)s AND (%(reference)s::text IS NULL OR e.edge_id = ANY (
    metadata.edges_at(ARRAY(SELECT n.name FROM metadata.names_of(ARRAY[%(reference)s::text]) n))))
ORDER BY e.source_reference, e.target_reference, e.type
"""


@dataclass(frozen=True, slots=True)
class References(GraphNoun):
    """Edges whose ends are references. Each change is one transaction and may be repeated."""

    def add_reference_edges(
        self, edges: Collection[ReferenceEdge], *, edge_type: EdgeType = "DEPENDS_ON"
    ) -> EdgeChanges:
        """Keep edges as given, each once; which resolved edges that opened. Raises UnknownIdentity, InvalidInput.

        An end that leads nowhere yet is kept, too: its edge opens when something is registered there.
        """
        (row,) = self.sessions.call(_ADD, _given(edges, edge_type))
        if row["outcome"] == "no target":
            raise UnknownIdentity(reference=row["unknown"])
        return EdgeChanges(opened=row["opened"], closed=row["closed"])

    def remove_reference_edges(
        self, edges: Collection[ReferenceEdge], *, edge_type: EdgeType = "DEPENDS_ON"
    ) -> RemovedEdges:
        """Forget edges; their resolved edges are closed. Raises InvalidInput.

        A key stands for every name that its thing has, so an edge is found by whichever of them it was given.
        """
        (row,) = self.sessions.call(_REMOVE, _given(edges, edge_type))
        return RemovedEdges(removed=row["removed"], closed=row["closed"])

    def reference_edges(self, reference: Reference | None = None) -> list[StoredEdge]:
        """The edges as given, all or those at one reference, by whichever name of its thing they were given."""
        text = None if reference is None else reference_text(reference)
        rows = self.sessions.call(_LIST, {"tenant": self.sessions.tenant.value, "reference": text})
        return [
            StoredEdge(
                edge=ReferenceEdge(parse_reference(row["source_reference"]), parse_reference(row["target_reference"])),
                type=row["type"],
                resolved=row["resolved"],
            )
            for row in rows
        ]

    def refresh_reference_edges(self) -> EdgeChanges:
        """Bring all resolved edges in line with where their references lead now; changes nothing when they are."""
        (row,) = self.sessions.call(_REFRESH, {})
        return EdgeChanges(opened=row["opened"], closed=row["closed"])


def _given(edges: Collection[ReferenceEdge], edge_type: EdgeType) -> dict[str, Any]:
    if not all(isinstance(edge, ReferenceEdge) for edge in edges):
        raise TypeError("an edge between references is a ReferenceEdge")
    ordered = sorted({(str(edge.source), str(edge.target)) for edge in edges})
    return {
        "sources": [source for source, _target in ordered],
        "targets": [target for _source, target in ordered],
        "type": choice("edge_type", edge_type, get_args(EdgeType)),
    }
