"""Health: what is left over or waits for somebody."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from identity.keys import CanonicalKey
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.models import PublishPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredLease:
    """Files of an attempt that never committed: nobody sees them, and nothing needs them."""

    key: CanonicalKey
    partition: str | None
    location: str
    run_id: str
    expired_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverPublished:
    """A dataset that has data but no version: readers find nothing."""

    key: CanonicalKey
    publish_policy: PublishPolicy
    materializations: int
    newest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Data that wait to be published and are the newest of their partition, for long."""

    key: CanonicalKey
    publish_policy: PublishPolicy
    partitions: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """Data that wait for checks which no run is going to make: those that were to are over."""

    key: CanonicalKey
    partitions: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Relied:
    """Where data are that readers are promised: published ones, or ones of a pinned version."""

    key: CanonicalKey
    partition: str | None
    location: str
    materialization_id: UUID


_EXPIRED = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, l.partition_key, l.location, l.run_id, l.expires_at
FROM metadata.staging_lease l
JOIN metadata.asset a ON a.tenant_id = l.tenant_id AND a.asset_id = l.dataset_id
WHERE l.tenant_id = %(tenant)s AND l.expires_at < clock_timestamp()
ORDER BY l.expires_at, l.attempt_id, l.dataset_id, l.partition_key LIMIT %(limit)s
"""

_NEVER_PUBLISHED = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, d.publish_policy,
  count(*) AS materializations, max(m.committed_at) AS newest
FROM metadata.dataset d
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
JOIN metadata.materialization m ON m.tenant_id = d.tenant_id AND m.dataset_id = d.dataset_id
WHERE d.tenant_id = %(tenant)s AND d.published_version = 0 AND a.deleted_at IS NULL
GROUP BY a.qualified_name, d.publish_policy
ORDER BY a.qualified_name LIMIT %(limit)s
"""


_WAITING = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, d.publish_policy, count(*) AS partitions,
  min(m.committed_at) AS oldest
FROM metadata.dataset d
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
JOIN LATERAL (
  SELECT DISTINCT ON (m.partition_key) m.materialization_id, m.committed_at FROM metadata.materialization m
  LEFT JOIN metadata.retraction r ON r.tenant_id = m.tenant_id AND r.materialization_id = m.materialization_id
  LEFT JOIN metadata.condemned x ON x.tenant_id = m.tenant_id AND x.materialization_id = m.materialization_id
  WHERE m.tenant_id = d.tenant_id AND m.dataset_id = d.dataset_id
    AND r.materialization_id IS NULL AND x.materialization_id IS NULL
  ORDER BY m.partition_key, m.fencing_token DESC, m.committed_at DESC, m.materialization_id DESC) m ON true
WHERE d.tenant_id = %(tenant)s AND d.published_version > 0 AND a.deleted_at IS NULL
  AND m.committed_at < clock_timestamp() - %(age)s::interval
  AND NOT EXISTS (
    SELECT 1 FROM metadata.version_partition p
    WHERE p.tenant_id = d.tenant_id AND p.materialization_id = m.materialization_id)
GROUP BY a.qualified_name, d.publish_policy
ORDER BY a.qualified_name LIMIT %(limit)s
"""

_STRANDED = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, count(DISTINCT w.materialization_id) AS partitions,
  min(w.at) AS oldest
FROM metadata.candidate w
JOIN metadata.asset a ON a.tenant_id = w.tenant_id AND a.asset_id = w.dataset_id
WHERE w.tenant_id = %(tenant)s AND a.deleted_at IS NULL
  AND EXISTS (
    SELECT 1 FROM unnest(w.awaited) AS n (name) WHERE NOT EXISTS (
      SELECT 1 FROM metadata.check_result f
      WHERE f.tenant_id = w.tenant_id AND f.materialization_id = w.materialization_id AND f.name = n.name))
  AND NOT EXISTS (
    SELECT 1 FROM metadata.version_partition p
    WHERE p.tenant_id = w.tenant_id AND p.materialization_id = w.materialization_id)
  AND NOT EXISTS (
    SELECT 1 FROM metadata.retraction r
    WHERE r.tenant_id = w.tenant_id AND r.materialization_id = w.materialization_id)
  AND NOT EXISTS (
    SELECT 1 FROM metadata.condemned x
    WHERE x.tenant_id = w.tenant_id AND x.materialization_id = w.materialization_id)
  AND NOT EXISTS (
    SELECT 1 FROM metadata.candidate o
    WHERE o.tenant_id = w.tenant_id AND o.materialization_id = w.materialization_id
      AND NOT metadata.is_over(o.tenant_id, o.run_id, %(age)s::interval))
GROUP BY a.qualified_name
ORDER BY a.qualified_name LIMIT %(limit)s
"""

# Along the index of locations, one look-up each, so that a batch costs what it has; a name is made once for a dataset.
_RELIED = f"""
WITH batch AS MATERIALIZED (
  SELECT o.dataset_id, o.partition_key, o.location, o.materialization_id FROM metadata.materialization o
  CROSS JOIN LATERAL (
    SELECT 1 FROM metadata.version_partition p
    WHERE p.tenant_id = %(tenant)s AND p.materialization_id = o.materialization_id
      AND (p.to_version IS NULL OR metadata.is_pinned(p.tenant_id, p.dataset_id, p.from_version, p.to_version))
    LIMIT 1) relied
  WHERE o.tenant_id = %(tenant)s AND o.location IS NOT NULL AND o.location > %(after)s
  ORDER BY o.location LIMIT %(limit)s
), named AS MATERIALIZED (
  SELECT a.asset_id, {present_key("a.qualified_name")} AS qualified_name FROM metadata.asset a
  WHERE a.tenant_id = %(tenant)s AND a.asset_id IN (SELECT b.dataset_id FROM batch b))
SELECT n.qualified_name, b.partition_key, b.location, b.materialization_id
FROM batch b JOIN named n ON n.asset_id = b.dataset_id ORDER BY b.location
"""

_CONDEMNED = """
SELECT count(*) AS count, min(condemned_at) AS since FROM metadata.condemned
WHERE tenant_id = %(tenant)s AND state = 'condemned'
"""

_ON_RECORD = """
SELECT l.location FROM metadata.staging_lease l
WHERE l.tenant_id = %(tenant)s AND l.location = ANY (%(locations)s)
UNION SELECT r.location FROM metadata.redelivery r
WHERE r.tenant_id = %(tenant)s AND r.location = ANY (%(locations)s)
UNION SELECT m.location FROM metadata.materialization m
WHERE m.tenant_id = %(tenant)s AND m.dataset_id = ANY (%(datasets)s::text[]::uuid[])
  AND m.location = ANY (%(locations)s)
"""

_OWN = """
SELECT dataset_id::text FROM metadata.dataset
WHERE tenant_id = %(tenant)s AND dataset_id = ANY (%(datasets)s::text[]::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Health(Noun):
    """Look for what a person should know about; changes nothing."""

    def expired_leases(self, *, limit: int = 1000) -> list[ExpiredLease]:
        """Attempts that ended without a commit and whose time is up, the oldest first."""
        with self.session() as session:
            rows = session.rows(_EXPIRED, {"tenant": session.tenant_value, "limit": limit})
        return [
            ExpiredLease(
                key=CanonicalKey.parse(row["qualified_name"]),
                partition=row["partition_key"] or None,
                location=row["location"],
                run_id=row["run_id"],
                expired_at=row["expires_at"],
            )
            for row in rows
        ]

    def never_published(self, *, limit: int = 1000) -> list[NeverPublished]:
        """Datasets with materializations and no version, by key."""
        with self.session() as session:
            rows = session.rows(_NEVER_PUBLISHED, {"tenant": session.tenant_value, "limit": limit})
        return [
            NeverPublished(
                key=CanonicalKey.parse(row["qualified_name"]),
                publish_policy=row["publish_policy"],
                materializations=row["materializations"],
                newest=row["newest"],
            )
            for row in rows
        ]

    def waiting(self, *, age: timedelta, limit: int = 1000) -> list[Waiting]:
        """Datasets that have a version, and newer data that nobody published for longer than `age`, by key."""
        with self.session() as session:
            rows = session.rows(_WAITING, {"tenant": session.tenant_value, "age": age, "limit": limit})
        return [
            Waiting(
                key=CanonicalKey.parse(row["qualified_name"]),
                publish_policy=row["publish_policy"],
                partitions=row["partitions"],
                oldest=row["oldest"],
            )
            for row in rows
        ]

    def stranded(self, *, age: timedelta, limit: int = 1000) -> list[Stranded]:
        """Datasets with data that wait for checks of runs that all are over, and have been for longer than `age`."""
        rows = self.sessions.call(_STRANDED, {"tenant": self.tenant.value, "age": age, "limit": limit})
        return [
            Stranded(key=CanonicalKey.parse(row["qualified_name"]), partitions=row["partitions"], oldest=row["oldest"])
            for row in rows
        ]

    def relied(self, *, batch: int = 1000) -> Iterator[Relied]:
        """All data that are published, or pinned, in the order of their locations."""
        after, keys = "", dict[str, CanonicalKey]()
        while rows := self.sessions.call(_RELIED, {"tenant": self.tenant.value, "after": after, "limit": batch}):
            after = rows[-1]["location"]
            for row in rows:
                name = row["qualified_name"]
                if name not in keys:
                    keys[name] = CanonicalKey.parse(name)
                yield Relied(
                    key=keys[name],
                    partition=row["partition_key"] or None,
                    location=row["location"],
                    materialization_id=row["materialization_id"],
                )

    def condemned(self) -> tuple[int, datetime | None]:
        """How many materializations are condemned and not collected, and since when the first of them is."""
        (row,) = self.sessions.call(_CONDEMNED, {"tenant": self.tenant.value})
        return row["count"], row["since"]

    def own_datasets(self, datasets: Collection[str]) -> set[str]:
        """Those of the ids, as text, that are datasets of this tenant."""
        rows = self.sessions.call(_OWN, {"tenant": self.tenant.value, "datasets": list(datasets)})
        return {row["dataset_id"] for row in rows}

    def on_record(self, datasets: Collection[str], locations: Collection[str]) -> set[str]:
        """Those of the locations, all of these datasets, that a lease, a materialization or a redelivery names."""
        parameters = {"tenant": self.tenant.value, "datasets": list(datasets), "locations": list(locations)}
        return {row["location"] for row in self.sessions.call(_ON_RECORD, parameters)}
