"""Impact: what breaks if a thing goes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey
from identity.nodes import parse_reference
from resources.graph.given import number
from resources.graph.walk import Walk, reached
from resources.impacts import Affected, Collected, Held, Impact, Listed, Reader
from resources.metadata.assets import UnknownKey
from resources.metadata.noun import Noun
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.models import AssetType
from resources.postgres.session import Row, Session

LOOKED: Final = 100_000
"""How many partitions of direct readers, and how many that are made from those, are looked at."""

NAMES: Final = 1_000
"""Of how many of the nearest things the collections are looked up."""

_SUBJECT = f"SELECT {HOLDER} AS id"

_FACTS = f"""
SELECT a.asset_id, {present_key("a.qualified_name")} AS qualified_name, a.type, d.published_version, v.published_at,
  v.partitions
FROM metadata.asset a
LEFT JOIN metadata.dataset d ON d.tenant_id = a.tenant_id AND d.dataset_id = a.asset_id
LEFT JOIN metadata.version v ON v.tenant_id = d.tenant_id AND v.dataset_id = d.dataset_id
  AND v.version = d.published_version
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(ids)s)
"""

# What reads the thing is what is one edge away; what it read is found by its own materializations.
_READ = f"""
SELECT c.dataset_id, c.partition_key, c.materialization_id FROM metadata.version_partition c
JOIN metadata.materialization_input i ON i.tenant_id = c.tenant_id AND i.materialization_id = c.materialization_id
  AND i.input_asset_id = %(thing)s
WHERE c.tenant_id = %(tenant)s AND c.dataset_id = ANY (%(near)s) AND c.to_version IS NULL LIMIT {LOOKED + 1}
"""

_READERS = f"""
WITH looked AS MATERIALIZED ({_READ})
SELECT g.*, j.name AS job FROM (
  SELECT DISTINCT ON (l.dataset_id) {present_key("a.qualified_name")} AS qualified_name, m.committed_at, m.run_id,
    count(*) OVER (PARTITION BY l.dataset_id) AS partitions, count(*) OVER () AS looked
  FROM (SELECT DISTINCT * FROM looked) l
  JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.materialization_id = l.materialization_id
  JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = l.dataset_id
  ORDER BY l.dataset_id, m.committed_at DESC, m.materialization_id) g
LEFT JOIN metadata.job j ON j.tenant_id = %(tenant)s AND j.run_id = g.run_id
ORDER BY g.committed_at DESC, g.qualified_name LIMIT %(limit)s
"""

_PARTITIONS = f"""
WITH RECURSIVE looked AS MATERIALIZED ({_READ}), made (materialization_id) AS (
  SELECT l.materialization_id FROM looked l
  UNION
  SELECT i.materialization_id FROM made o
  JOIN metadata.materialization_input i
    ON i.tenant_id = %(tenant)s AND i.input_materialization_id = o.materialization_id
), bounded AS MATERIALIZED (SELECT o.materialization_id FROM made o LIMIT {LOOKED + 1})
SELECT c.dataset_id, count(*) AS partitions, (SELECT count(*) FROM bounded) AS looked
FROM bounded b CROSS JOIN LATERAL (
  SELECT o.dataset_id FROM metadata.version_partition o
  WHERE o.tenant_id = %(tenant)s AND o.materialization_id = b.materialization_id AND o.to_version IS NULL) c
GROUP BY c.dataset_id
"""

_PINS = f"""
SELECT p.name, i.version, p.created_by AS by, p.created_at AS at, {present_key("a.qualified_name")} AS qualified_name,
  CASE WHEN p.expires_at <= now() THEN 'expired' ELSE 'open' END AS state
FROM metadata.pin_item i
JOIN metadata.pin p ON p.tenant_id = i.tenant_id AND p.pin_id = i.pin_id AND p.removed_at IS NULL
JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.dataset_id
WHERE i.tenant_id = %(tenant)s AND i.dataset_id = ANY (%(ids)s)
ORDER BY p.name, a.qualified_name LIMIT %(limit)s
"""

_RELEASES = f"""
SELECT r.name, v.version, r.actor AS by, r.released_at AS at, {present_key("a.qualified_name")} AS qualified_name,
  NULL AS state
FROM metadata.dataset d
JOIN metadata.version v ON v.tenant_id = d.tenant_id AND v.dataset_id = d.dataset_id AND v.version = d.published_version
JOIN metadata.release r ON r.tenant_id = v.tenant_id AND r.release_id = v.release_id
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
WHERE d.tenant_id = %(tenant)s AND d.dataset_id = ANY (%(ids)s)
ORDER BY r.released_at DESC, r.name, a.qualified_name LIMIT %(limit)s
"""

_COLLECTIONS = """
SELECT c.slug, c.name, i.reference, l.key AS qualified_name FROM metadata.leading_to(%(keys)s) l
JOIN metadata.collection_item i ON i.tenant_id = %(tenant)s AND i.reference = l.reference
JOIN metadata.collection c ON c.tenant_id = i.tenant_id AND c.collection_id = i.collection_id
ORDER BY c.slug, l.key, i.reference LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Impacts(Noun):
    """What needs a thing."""

    def impact(self, thing: CanonicalKey | Entity, *, limit: int = 100) -> Impact:
        """What is made from a thing now, who reads it, and which pins, releases and collections have any of that.

        Of one moment, in nine statements, however much there is; `limit` of each kind, and it is told where there is
        more. Releases are those that what is published now came with. Raises UnknownKey, InvalidInput.
        """
        number("limit", limit)
        with self.sessions.begin(snapshot=True) as session:
            return _Looked(session, limit).impact(thing)


@dataclass
class _Looked:
    session: Session
    limit: int
    cut: list[Listed] = field(default_factory=list)

    def impact(self, thing: CanonicalKey | Entity) -> Impact:
        start = self._start(thing)
        asked_ = Walk(self.session)
        steps = _steps(asked_.edges(reached(asked_, start, "down", None)), start)
        ids = sorted(steps)
        given = {"thing": start, "near": [each for each in ids if steps[each] == 1]}
        made_of = {row["dataset_id"]: row for row in self._rows(_PARTITIONS, **given)}
        if any(row["looked"] > LOOKED for row in made_of.values()):
            self.cut.append("partitions")
        rows = sorted(self._rows(_FACTS, ids=ids), key=lambda row: (steps[row["asset_id"]], row["qualified_name"]))
        affected = [_affected(row, steps[row["asset_id"]], made_of.get(row["asset_id"])) for row in rows]
        if len(affected) > self.limit + 1:
            self.cut.append("made")
        return Impact(
            thing=affected[0],
            made=tuple(affected[1 : self.limit + 1]),
            count=len(affected) - 1,
            readers=tuple(_reader(row) for row in self._some("readers", _READERS, **given)),
            pins=tuple(_held(row) for row in self._some("pins", _PINS, ids=ids)),
            releases=tuple(_held(row) for row in self._some("releases", _RELEASES, ids=ids)),
            collections=tuple(self._collections([row["qualified_name"] for row in rows])),
            cut=tuple(self.cut),
        )

    def _start(self, thing: CanonicalKey | Entity) -> UUID:
        (row,) = self._rows(_SUBJECT, **asked(thing))
        if row["id"] is None:
            raise UnknownKey(name=str(thing), hint="nothing has this key")
        found: UUID = row["id"]
        return found

    def _collections(self, keys: list[str]) -> Iterable[Collected]:
        rows = self._some("collections", _COLLECTIONS, keys=keys[:NAMES])
        if len(keys) > NAMES and "collections" not in self.cut:
            self.cut.append("collections")
        for row in rows:
            yield Collected(
                slug=row["slug"],
                name=row["name"],
                reference=parse_reference(row["reference"]),
                key=CanonicalKey.parse(row["qualified_name"]),
            )

    def _some(self, what: Listed, statement: str, **parameters: object) -> list[Row]:
        rows = self._rows(statement, limit=self.limit + 1, **parameters)
        if len(rows) > self.limit:
            self.cut.append(what)
        return rows[: self.limit]

    def _rows(self, statement: str, **parameters: object) -> list[Row]:
        return self.session.rows(statement, {"tenant": self.session.tenant_value, **parameters})


def _steps(edges: Collection[tuple[UUID, UUID]], start: UUID) -> dict[UUID, int]:
    """How many edges everything is away, by the shortest way."""
    made: dict[UUID, list[UUID]] = {}
    for one, source in edges:
        made.setdefault(source, []).append(one)
    steps = {start: 0}
    frontier = [start]
    while frontier:
        reached_ = {one for source in frontier for one in made.get(source, ())} - steps.keys()
        steps |= dict.fromkeys(reached_, steps[frontier[0]] + 1)
        frontier = list(reached_)
    return steps


def _affected(row: Row, steps: int, made: Mapping[str, int] | None) -> Affected:
    return Affected(
        key=CanonicalKey.parse(row["qualified_name"]),
        type=AssetType(row["type"]),
        steps=steps,
        version=row["published_version"],
        published_at=row["published_at"],
        partitions=row["partitions"],
        partitions_made=made["partitions"] if made else 0,
    )


def _reader(row: Row) -> Reader:
    return Reader(
        key=CanonicalKey.parse(row["qualified_name"]),
        partitions=row["partitions"],
        read_at=row["committed_at"],
        run_id=row["run_id"],
        job=row["job"],
    )


def _held(row: Row) -> Held:
    return Held(
        name=row["name"],
        key=CanonicalKey.parse(row["qualified_name"]),
        version=row["version"],
        by=row["by"],
        at=row["at"],
        state=row["state"],
    )
