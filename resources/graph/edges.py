"""Edges: who says that one asset depends on another, and from when to when."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import check_name
from resources.postgres.session import Session
from resources.postgres.statistics import MANY, take_stock

FOLLOWING = "reference"


class ReservedProducer(MetadataError):
    """edges of the producer {producer} follow from reference edges; give yours another producer"""

    producer: str


@dataclass(frozen=True, slots=True)
class Link:
    """`source` depends on `target`. Both are entities; nothing else is accepted, neither here nor in the database."""

    source: Entity
    target: Entity

    def __post_init__(self) -> None:
        if not isinstance(self.source, Entity) or not isinstance(self.target, Entity):
            raise TypeError("a Link joins two Entity values; an id or a name is not an entity")


@dataclass(frozen=True, slots=True)
class EdgeChanges:
    """How many edges an assertion opened and closed."""

    opened: int
    closed: int


_MADE = """
INSERT INTO metadata.relationship (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
SELECT %(tenant)s, e.source, e.target, 'DEPENDS_ON', %(producer)s, %(scope)s, %(actor)s
FROM unnest(%(sources)s::uuid[], %(targets)s::uuid[]) AS e (source, target)
"""
_UNLESS_OPEN = """
ORDER BY e.source, e.target
ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING
"""
_OPEN = _MADE + _UNLESS_OPEN

# Joined first: to meet a conflict for each edge of a large scope, nearly all of them open, takes several times as long.
_OPEN_OTHERS = (
    _MADE
    + """
WHERE NOT EXISTS (
  SELECT 1 FROM metadata.relationship r
  WHERE r.tenant_id = %(tenant)s AND r.producer = %(producer)s AND r.scope = %(scope)s AND r.valid_to IS NULL
    AND r.type = 'DEPENDS_ON' AND r.source_asset_id = e.source AND r.target_asset_id = e.target)
"""
    + _UNLESS_OPEN
)

# Two complete looks at one scope follow one another: the later one sees what the earlier one closed.
_HOLD_SCOPE = """
SELECT pg_advisory_xact_lock(
  hashtextextended(concat_ws(chr(31), %(tenant)s::text, %(producer)s::text, %(scope)s::text), 6))
"""

# An edge that a merge brought is the winner's own from when it is asserted again: taking the merge back leaves it.
_SAID_AGAIN = """
UPDATE metadata.relationship r
SET metadata = r.metadata - 'merge' || jsonb_build_object('asserted_after', r.metadata -> 'merge')
FROM unnest(%(sources)s::uuid[], %(targets)s::uuid[]) AS e (source, target)
WHERE r.tenant_id = %(tenant)s AND r.source_asset_id = e.source AND r.target_asset_id = e.target
  AND r.type = 'DEPENDS_ON' AND r.producer = %(producer)s AND r.scope = %(scope)s AND r.valid_to IS NULL
  AND r.metadata ? 'merge'
"""

_CLOSE = """
UPDATE metadata.relationship r SET valid_to = clock_timestamp()
WHERE r.tenant_id = %(tenant)s AND r.producer = %(producer)s AND r.scope = %(scope)s AND r.valid_to IS NULL
  AND r.type = 'DEPENDS_ON'
  AND NOT EXISTS (
    SELECT 1 FROM unnest(%(sources)s::uuid[], %(targets)s::uuid[]) AS e (source, target)
    WHERE e.source = r.source_asset_id AND e.target = r.target_asset_id)
"""


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of many links, made before a transaction begins: nobody waits for them in one."""

    sources: list[UUID]
    targets: list[UUID]

    @classmethod
    def of(cls, links: Collection[Link]) -> "Ends":
        pairs = list({(link.source.id.value, link.target.id.value) for link in links})
        return cls([source for source, _target in pairs], [target for _source, target in pairs])


def assert_edges(
    session: Session, links: Collection[Link] | Ends, *, producer: str, scope: str, complete: bool
) -> EdgeChanges:
    """Say which edges a producer sees in its scope, in four statements however many they are.

    Edges that are open already stay untouched. A complete look closes the open edges of this producer and scope that
    it does not name; a partial one closes nothing. Assets of both ends must exist. Raises ReservedProducer.
    """
    if producer == FOLLOWING:
        raise ReservedProducer(producer=producer)
    check_name(producer)
    check_name(scope)
    ends = links if isinstance(links, Ends) else Ends.of(links)
    parameters = {
        "tenant": session.tenant_value,
        "actor": session.actor,
        "producer": producer,
        "scope": scope,
        "sources": ends.sources,
        "targets": ends.targets,
    }
    closed = 0
    if complete:
        session.rows(_HOLD_SCOPE, parameters)
        closed = session.count(_CLOSE, parameters)
    opened = session.count(_OPEN_OTHERS if complete else _OPEN, parameters)
    if opened >= MANY:
        take_stock(session, "relationship")
    if opened < len(ends.sources):
        session.count(_SAID_AGAIN, parameters)
    return EdgeChanges(opened=opened, closed=closed)
