"""Edges between columns: from which columns of other datasets one is computed, who says so, and from when to when."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from identity.keys import check_name
from resources.graph.edges import EdgeChanges
from resources.postgres.session import Session


@dataclass(frozen=True, slots=True)
class ColumnLink:
    """The stored column `source` is computed from the stored column `target`; `scope` is where a producer says so."""

    source: UUID
    target: UUID
    scope: str

    def __post_init__(self) -> None:
        check_name(self.scope)


_OPEN = """
INSERT INTO metadata.column_edge (tenant_id, source_field_id, target_field_id, producer, scope, created_by)
SELECT %(tenant)s, e.source, e.target, %(producer)s, e.scope, %(actor)s
FROM unnest(%(sources)s::uuid[], %(targets)s::uuid[], %(scopes)s::text[]) AS e (source, target, scope)
ORDER BY e.source, e.target, e.scope
ON CONFLICT (tenant_id, source_field_id, target_field_id, producer, scope) WHERE valid_to IS NULL DO NOTHING
"""

_CLOSE = """
UPDATE metadata.column_edge r SET valid_to = clock_timestamp()
FROM metadata.schema_field f
WHERE f.tenant_id = %(tenant)s AND (%(assets)s::uuid[] IS NULL OR f.asset_id = ANY (%(assets)s))
  AND r.tenant_id = %(tenant)s AND r.source_field_id = f.field_id AND r.producer = %(producer)s AND r.valid_to IS NULL
  AND (%(scope)s::text IS NULL OR r.scope = %(scope)s)
  AND NOT EXISTS (
    SELECT 1 FROM unnest(%(sources)s::uuid[], %(targets)s::uuid[], %(scopes)s::text[]) AS e (source, target, scope)
    WHERE e.source = r.source_field_id AND e.target = r.target_field_id AND e.scope = r.scope)
"""


def assert_column_edges(
    session: Session,
    links: Collection[ColumnLink],
    *,
    producer: str,
    of: Collection[UUID] | None,
    scope: str | None = None,
) -> EdgeChanges:
    """Say from which columns those of the assets `of`, or of all, are computed, as a producer sees it; two statements.

    Open edges of this producer from columns of these assets that are not named are closed: all of them, or those of
    one scope. Edges that are open already stay untouched.
    """
    check_name(producer)
    ordered = sorted(set(links), key=lambda link: (link.source, link.target, link.scope))
    parameters = {
        "tenant": session.tenant_value,
        "actor": session.actor,
        "producer": producer,
        "scope": scope,
        "assets": None if of is None else sorted(of),
        "sources": [link.source for link in ordered],
        "targets": [link.target for link in ordered],
        "scopes": [link.scope for link in ordered],
    }
    closed = session.count(_CLOSE, parameters) if of is None or of else 0
    return EdgeChanges(opened=session.count(_OPEN, parameters) if ordered else 0, closed=closed)
