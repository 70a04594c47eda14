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
"""How many partitions and materializations of direct readers are looked at, and how many that are made from those."""

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

# What read the thing has an edge to it, or had one: a commit says so. Which of its materializations did, these tell. A
# row is a partition or a materialization, however many partitions of the thing it read.
_READ_IT = """EXISTS (
    SELECT 1 FROM metadata.materialization_input i
    WHERE i.tenant_id = %(tenant)s AND i.materialization_id = {one}.materialization_id
      AND i.input_asset_id = %(thing)s)"""

_NEAR = """near AS MATERIALIZED (
  SELECT DISTINCT r.source_asset_id AS dataset_id FROM metadata.relationship r
  WHERE r.tenant_id = %(tenant)s AND r.target_asset_id = %(thing)s AND r.type = 'DEPENDS_ON'
    AND r.producer = 'materialization'
)"""

_CURRENT = f"""current AS MATERIALIZED (
  SELECT c.dataset_id, c.partition_key, c.materialization_id FROM near n
  JOIN metadata.version_partition c
    ON c.tenant_id = %(tenant)s AND c.dataset_id = n.dataset_id AND c.to_version IS NULL
  WHERE {_READ_IT.format(one="c")} LIMIT %(within)s::bigint + 1
)"""

_READERS = f"""
WITH {_NEAR}, {_CURRENT}
SELECT g.*, j.name AS job FROM (
  SELECT DISTINCT ON (l.dataset_id) {present_key("a.qualified_name")} AS qualified_name, m.committed_at, m.run_id,
    count(*) OVER (PARTITION BY l.dataset_id) AS partitions, count(*) OVER () AS looked
  FROM current l
  JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.materialization_id = l.materialization_id
  JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = l.dataset_id
  ORDER BY l.dataset_id, m.committed_at DESC, m.materialization_id) g
LEFT JOIN metadata.job j ON j.tenant_id = %(tenant)s AND j.run_id = g.run_id
ORDER BY g.committed_at DESC, g.qualified_name LIMIT %(limit)s
"""

# From whatever read it, also what readers do not get any more: something that they do get was made from that.
_MADE = f"""
WITH RECURSIVE {_NEAR}, {_CURRENT}, read AS MATERIALIZED (
  SELECT m.materialization_id FROM near n
  JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.dataset_id = n.dataset_id
  WHERE {_READ_IT.format(one="m")} LIMIT %(within)s::bigint + 1
), made (materialization_id) AS (
  (SELECT l.materialization_id FROM current l UNION SELECT d.materialization_id FROM read d)
  UNION
  SELECT i.materialization_id FROM made o
  JOIN metadata.materialization_input i
    ON i.tenant_id = %(tenant)s AND i.input_materialization_id = o.materialization_id
), bounded AS MATERIALIZED (SELECT o.materialization_id FROM made o LIMIT %(within)s::bigint * 2 + 1)
"""

_PARTITIONS = f"""
{_MADE}
SELECT g.dataset_id, g.partitions, (SELECT count(*) FROM current) > %(within)s
  OR (SELECT count(*) FROM read) > %(within)s OR (SELECT count(*) FROM bounded) > %(within)s * 2 AS more
FROM (VALUES (0)) AS always (one) LEFT JOIN (
  SELECT c.dataset_id, count(*) AS partitions
  FROM bounded b CROSS JOIN LATERAL (
    SELECT o.dataset_id FROM metadata.version_partition o
    WHERE o.tenant_id = %(tenant)s AND o.materialization_id = b.materialization_id AND o.to_version IS NULL) c
  GROUP BY c.dataset_id) g ON true
"""

_WAYS = f"""
{_MADE}
SELECT DISTINCT m.dataset_id AS made, i.input_asset_id AS source
FROM bounded b
JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.materialization_id = b.materialization_id
JOIN metadata.materialization_input i ON i.tenant_id = %(tenant)s AND i.materialization_id = b.materialization_id
WHERE i.input_asset_id = %(thing)s OR i.input_materialization_id IN (SELECT o.materialization_id FROM bounded o)
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

    def impact(self, thing: CanonicalKey | Entity, *, limit: int = 100, within: int = LOOKED) -> Impact:
        """What is made from a thing now, who reads it, and which pins, releases and collections have any of that.

        Made from it is what an open edge leads to, and what readers get now that was really made from it, whether an
        edge says so or not. Of one moment, in ten statements at most, however much there is; `limit` of each kind, of
        `within` partitions of readers, and it is told where there is more. Releases are those that what is published
        now came with. Raises UnknownKey, InvalidInput.
        """
        number("limit", limit)
        number("within", within)
        with self.sessions.begin(snapshot=True) as session:
            return _Looked(session, limit, within).impact(thing)


@dataclass
class _Looked:
    session: Session
    limit: int
    within: int
    cut: list[Listed] = field(default_factory=list)

    def impact(self, thing: CanonicalKey | Entity) -> Impact:
        start = self._start(thing)
        given = {"thing": start, "within": self.within}
        rows = self._rows(_PARTITIONS, **given)
        if rows[0]["more"]:
            self.cut.append("partitions")
        made_of = {row["dataset_id"]: row for row in rows if row["dataset_id"] not in (None, start)}
        steps = self._steps(start, made_of, given)
        ids = sorted(steps)
        rows = sorted(self._rows(_FACTS, ids=ids), key=lambda row: (steps[row["asset_id"]], row["qualified_name"]))
        affected = [_affected(row, steps[row["asset_id"]], made_of.get(row["asset_id"])) for row in rows]
        if len(affected) > self.limit + 1:
            self.cut.append("made")
        return Impact(
            thing=affected[0],
            made=tuple(affected[1 : self.limit + 1]),
            count=len(affected) - 1,
            readers=tuple(self._readers(given)),
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

    def _steps(self, start: UUID, made: Collection[UUID], given: Mapping[str, object]) -> dict[UUID, int]:
        """How many steps everything is away that an edge leads to, or that was really made from it."""
        asked_ = Walk(self.session)
        ids = {*reached(asked_, start, "down", None, also=made)}
        edges = asked_.edges(ids)
        steps = _distances(edges, start)
        if ids - steps.keys():
            edges += [(row["made"], row["source"]) for row in self._rows(_WAYS, **given)]
            steps = _distances(edges, start)
        farthest = max(steps.values()) + 1  # what was found through more than is looked at
        return {one: steps.get(one, farthest) for one in ids}

    def _readers(self, given: Mapping[str, object]) -> Iterable[Reader]:
        rows = self._some("readers", _READERS, **given)
        if rows and rows[0]["looked"] > self.within and "readers" not in self.cut:
            self.cut.append("readers")
        return map(_reader, rows)

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


def _distances(edges: Collection[tuple[UUID, UUID]], start: UUID) -> dict[UUID, int]:
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
