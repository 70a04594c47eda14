"""Walks over columns: from which columns one is computed (up), and which are computed from it (down)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey, ColumnKey
from resources.graph.walk import Walk
from resources.models import Direction
from resources.postgres.session import Session

_COLUMNS: Final[Mapping[Direction, Mapping[str, str]]] = {
    "up": {"here": "source_field_id", "there": "target_field_id"},
    "down": {"here": "target_field_id", "there": "source_field_id"},
}

# As of a moment, those that were known and not gone; of what had none then, those of now, as with names.
_START = """
SELECT f.field_id AS id, {was} AS was FROM metadata.schema_field f
WHERE f.tenant_id = %(tenant)s AND f.asset_id = %(asset)s AND ({was} OR f.deleted_at IS NULL)
"""
_OPEN = {"was": "f.deleted_at IS NULL"}
_THEN = {"was": "(f.created_at <= %(at)s AND (f.deleted_at IS NULL OR f.deleted_at > %(at)s))"}

_CLOSURE = """
WITH RECURSIVE reached (id) AS (
  SELECT unnest(%(start)s::uuid[])
  UNION
  SELECT r.{there} FROM reached JOIN metadata.column_edge r
    ON r.tenant_id = %(tenant)s AND r.{here} = reached.id AND {valid}
)
SELECT id FROM reached
"""

_FRONTIER = """
SELECT DISTINCT r.{there} AS id FROM metadata.column_edge r
WHERE r.tenant_id = %(tenant)s AND r.{here} = ANY (%(frontier)s) AND {valid} AND r.{there} <> ALL (%(seen)s)
"""

_NAMES = """
SELECT f.field_id, f.name, metadata.present_key({name}, (SELECT metadata.endpoint_names())) AS qualified_name
FROM metadata.schema_field f JOIN metadata.asset a ON a.tenant_id = f.tenant_id AND a.asset_id = f.asset_id
WHERE f.tenant_id = %(tenant)s AND f.field_id = ANY (%(ids)s)
"""

_EDGES = """
SELECT DISTINCT r.source_field_id AS source, r.target_field_id AS target FROM unnest(%(ids)s::uuid[]) AS one (id)
JOIN metadata.column_edge r ON r.tenant_id = %(tenant)s AND r.source_field_id = one.id
WHERE {valid} AND (r.target_field_id IN (SELECT unnest(%(ids)s::uuid[]))) IS TRUE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLineage:
    """The columns around those of a dataset, or around one: every edge between them, as (source, target).

    `source` is computed from `target`. Of now; or of the moment `at`, by the names that datasets had then and columns
    have now. A dataset of which no column is known has none.
    """

    dataset: CanonicalKey
    start: tuple[ColumnKey, ...]
    direction: Direction
    nodes: frozenset[ColumnKey]
    edges: tuple[tuple[ColumnKey, ColumnKey], ...]
    at: datetime | None = None

    def steps(self) -> dict[ColumnKey, int]:
        """How many steps each column is away from the nearest start; without the starts."""
        there: dict[ColumnKey, list[ColumnKey]] = {}
        for source, target in self.edges:
            near, far = (source, target) if self.direction == "up" else (target, source)
            there.setdefault(near, []).append(far)
        found = dict.fromkeys(self.start, 0)
        ahead = list(self.start)
        for one in ahead:
            for other in there.get(one, ()):
                if other not in found:
                    found[other] = found[one] + 1
                    ahead.append(other)
        return {column: steps for column, steps in found.items() if steps}


def walk_columns(
    session: Session,
    dataset: Entity,
    column: UUID | None,
    direction: Direction,
    *,
    depth: int | None,
    at: datetime | None,
) -> ColumnLineage:
    """What is reached from one column of a dataset, or from all that it has, up to `depth` steps or to the end.

    Statements: 4 without a bound, `depth` + 3 with one, whatever the size of the answer.
    """
    asked = Walk(session, at)
    start = _columns_of(asked, dataset) if column is None else {column}
    ids = _reached(asked, start, direction, depth)
    names = {
        row["field_id"]: ColumnKey(CanonicalKey.parse(row["qualified_name"]), row["name"])
        for row in asked.rows(_NAMES, ids=sorted(ids))
    }
    pairs = {(names[row["source"]], names[row["target"]]) for row in asked.rows(_EDGES, ids=sorted(ids))}
    begin = tuple(sorted(names[one] for one in start))
    return ColumnLineage(
        dataset=begin[0].dataset if begin else dataset.key,
        start=begin,
        direction=direction,
        nodes=frozenset(names.values()),
        edges=tuple(sorted(pairs)),
        at=at,
    )


def _columns_of(asked: Walk, dataset: Entity) -> set[UUID]:
    rows = asked.rows(_START, _OPEN if asked.at is None else _THEN, asset=dataset.id.value)
    return {row["id"] for row in rows if row["was"]} or {row["id"] for row in rows}


def _reached(asked: Walk, start: set[UUID], direction: Direction, depth: int | None) -> Collection[UUID]:
    if depth is None:
        return {row["id"] for row in asked.rows(_CLOSURE, _COLUMNS[direction], start=sorted(start))}
    seen = frontier = start
    for _level in range(depth):
        rows = asked.rows(_FRONTIER, _COLUMNS[direction], frontier=sorted(frontier), seen=sorted(seen))
        frontier = {row["id"] for row in rows}
        if not frontier:
            break
        seen = seen | frontier
    return seen
