"""Health: what is left over or waits for somebody."""

from dataclasses import dataclass
from datetime import datetime

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
