"""Releases: versions of several datasets that are published together, under a name."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.metadata.published import published_of
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.version_records import DatasetVersion, Release, Released

_RELEASE = "SELECT * FROM metadata.release(%(name)s, %(fingerprint)s, %(materializations)s, %(reason)s)"

_RELEASES = f"""
SELECT r.release_id, r.name, r.reason, r.actor, r.released_at,
  (SELECT coalesce(jsonb_object_agg({present_key("a.qualified_name")}, v.version), '{{}}') FROM metadata.version v
   JOIN metadata.asset a ON a.tenant_id = v.tenant_id AND a.asset_id = v.dataset_id
   WHERE v.tenant_id = r.tenant_id AND v.release_id = r.release_id) AS versions
FROM metadata.release r WHERE r.tenant_id = %(tenant)s
ORDER BY r.released_at DESC, r.release_id LIMIT %(limit)s
"""

_RELEASED_IN = f"""
SELECT c.materialization_id, c.partition_key FROM metadata.release r
JOIN metadata.version v ON v.tenant_id = r.tenant_id AND v.release_id = r.release_id AND v.dataset_id = {HOLDER}
JOIN metadata.version_partition c ON c.tenant_id = v.tenant_id AND c.dataset_id = v.dataset_id
  AND c.from_version = v.version
WHERE r.tenant_id = %(tenant)s AND r.name = %(name)s
ORDER BY c.partition_key
"""


class NothingToRelease(MetadataError):
    """release {name} needs a name of 1 to 500 bytes and at least one materialization"""

    name: str


@dataclass(frozen=True, slots=True)
class Releases(Noun):
    """Publish several datasets at once."""

    def release(self, name: str, materializations: Collection[UUID], *, reason: str | None = None) -> Released:
        """Publish materializations of several datasets in one transaction: all of them, or none.

        One that a later attempt has overtaken, that was retracted or collected, or that a blocking check refuses,
        refuses all of them with ReleaseRefused, which names it. A name is given once: asked again for the same it is a
        replay, for something else an IdempotencyConflict. Raises UnknownMaterialization, AmbiguousPublish,
        NothingToRelease.
        """
        check_name(name)
        ordered = sorted(set(materializations))
        if not ordered or not 0 < len(name.encode()) <= 500:
            raise NothingToRelease(name=name)
        rows = self.sessions.call(
            _RELEASE,
            {
                "name": name,
                "fingerprint": sha256_of("release", *(one.bytes for one in ordered)),
                "materializations": ordered,
                "reason": scrubbed(reason),
            },
        )
        return Released(
            id=rows[0]["release_id"],
            name=name,
            datasets=tuple(published_of(row) for row in rows),
            replayed=rows[0]["replayed"],
        )

    def released_in(self, name: str, dataset: CanonicalKey | Entity) -> dict[UUID, str | None]:
        """What the release of this name published in a dataset, with the partition of each: nothing, if none did."""
        check_name(name)
        rows = self.sessions.call(_RELEASED_IN, {"tenant": self.tenant.value, "name": name, **asked(dataset)})
        return {row["materialization_id"]: row["partition_key"] or None for row in rows}

    def releases(self, *, limit: int = 50) -> list[Release]:
        """The newest releases."""
        rows = self.sessions.call(_RELEASES, {"tenant": self.tenant.value, "limit": limit})
        return [
            Release(
                id=row["release_id"],
                name=row["name"],
                versions=tuple(
                    DatasetVersion(key=CanonicalKey.parse(key), version=row["versions"][key])
                    for key in sorted(row["versions"])
                ),
                reason=row["reason"],
                actor=row["actor"],
                released_at=row["released_at"],
            )
            for row in rows
        ]
