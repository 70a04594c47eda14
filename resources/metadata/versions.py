"""Versions: the published state of a dataset, and what a reader finds in it."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from identity.ids import Entity, EntityId, sha256_of
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import HOLDER, asked
from resources.models import UNPARTITIONED, Current, Published, Version

_PUBLISH = "SELECT * FROM metadata.publish(%(key)s, %(fingerprint)s, %(publish_id)s, %(materializations)s)"

_LIST = f"""
SELECT v.version, v.actor, v.published_at,
  (SELECT count(*) FROM metadata.version_partition p
   WHERE p.tenant_id = v.tenant_id AND p.dataset_id = v.dataset_id AND p.from_version = v.version) AS changed,
  s.partitions, s.row_count
FROM metadata.version v
CROSS JOIN LATERAL (
  SELECT count(*) AS partitions, sum(m.row_count)::bigint AS row_count
  FROM metadata.version_partition p
  JOIN metadata.materialization m ON m.tenant_id = p.tenant_id AND m.materialization_id = p.materialization_id
  WHERE p.tenant_id = v.tenant_id AND p.dataset_id = v.dataset_id AND p.from_version <= v.version
    AND (p.to_version IS NULL OR p.to_version > v.version)) s
WHERE v.tenant_id = %(tenant)s AND v.dataset_id = {HOLDER}
ORDER BY v.version DESC LIMIT %(limit)s
"""

_CURRENT = f"""
SELECT d.dataset_id, a.key_sha256 AS birth_sha256, p.partition_key, d.published_version, m.materialization_id,
  m.location, m.manifest_sha256, m.row_count, m.data_version
FROM metadata.dataset d
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
JOIN metadata.version_partition p
  ON p.tenant_id = d.tenant_id AND p.dataset_id = d.dataset_id AND p.to_version IS NULL
JOIN metadata.materialization m ON m.tenant_id = p.tenant_id AND m.materialization_id = p.materialization_id
WHERE d.tenant_id = %(tenant)s AND d.dataset_id = {HOLDER}
  AND (%(partitions)s::text[] IS NULL OR p.partition_key = ANY (%(partitions)s))
ORDER BY p.partition_key
"""


@dataclass(frozen=True, slots=True)
class Versions(Noun):
    """Publish materializations and read what is published."""

    def publish(self, materializations: Collection[UUID], *, key: str | None = None) -> list[Published]:
        """Make the materializations the current ones of their partitions: one new version per dataset that changes.

        One transaction for all of them, one round trip; a reader sees all or nothing. One that a later attempt has
        overtaken is fenced: it stays a fact and replaces nothing. Without a `key` publishing the same set again is a
        replay, so an attempt may ask until it is answered; a replay has the first answer, whatever happened since.
        Raises UnknownMaterialization, IdempotencyConflict, AmbiguousPublish; then nothing was published.
        """
        check_name(key or "")
        ordered = sorted(set(materializations))
        content = sha256_of("publish", *(one.bytes for one in ordered))
        rows = self.sessions.call(
            _PUBLISH,
            {
                "key": key or content.hex(),
                "fingerprint": content,
                "publish_id": UUID(bytes=content[:16]),
                "materializations": ordered,
            },
        )
        return [
            Published(
                dataset=EntityId.from_database(row["dataset_id"]),
                version=row["version"],
                published=tuple(row["published"]),
                fenced=tuple(row["fenced"]),
                replayed=row["replayed"],
            )
            for row in rows
        ]

    def versions(self, dataset: CanonicalKey | Entity, *, limit: int = 50) -> list[Version]:
        """The newest versions of a dataset."""
        parameters = {**asked(dataset), "limit": limit}
        with self.session() as session:
            rows = session.rows(_LIST, {"tenant": session.tenant_value, **parameters})
        return [
            Version(
                number=row["version"],
                partitions_changed=row["changed"],
                partitions=row["partitions"],
                row_count=row["row_count"],
                actor=row["actor"],
                published_at=row["published_at"],
            )
            for row in rows
        ]

    def current(
        self, dataset: CanonicalKey | Entity, partitions: Collection[str | None] | None = None
    ) -> list[Current]:
        """What the published version has, for some partitions or for all, and of which dataset that is.

        One statement, one snapshot: whatever happens to names meanwhile. A partition that was never published is not
        in the answer.
        """
        wanted = None if partitions is None else [partition or UNPARTITIONED for partition in partitions]
        rows = self.sessions.call(
            _CURRENT,
            {"tenant": self.tenant.value, **asked(dataset), "partitions": wanted},
        )
        key = dataset.key if isinstance(dataset, Entity) else dataset
        return [
            Current(
                dataset=Entity.from_database(self.tenant, key, row["dataset_id"], row["birth_sha256"]),
                partition=row["partition_key"] or None,
                version=row["published_version"],
                materialization_id=row["materialization_id"],
                location=row["location"],
                manifest_sha256=row["manifest_sha256"],
                row_count=row["row_count"],
                data_version=row["data_version"],
            )
            for row in rows
        ]
