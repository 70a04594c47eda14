"""Versions: the published state of a dataset, what a reader finds in it, and the way back."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.ids import Entity, TenantId, sha256_of
from identity.keys import CanonicalKey, check_name, short_name
from resources.metadata.noun import Noun
from resources.metadata.published import current_in, publish_request, published_of
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.models import UNPARTITIONED, Current, Published, Version
from resources.postgres.session import BOUND, Row
from resources.version_records import At, Ended, Retraction, RolledBack

VERSION_AT: Final = (
    f"metadata.version_at(%(name)s, {HOLDER}, %(at_version)s::bigint, %(at_pin)s::text, %(at_moment)s::timestamptz)"
)
"""The number of the version that `key` is read at, as a part of the statement that reads: see `at_parameters`."""

_PUBLISH = (
    BOUND
    + """metadata.publish(
  CASE WHEN b THEN %(key)s::text END, %(fingerprint)s, %(publish_id)s, %(materializations)s) AS found
"""
)

_PUBLISH_AT = (
    BOUND
    + """metadata.publish_at(
  CASE WHEN b THEN %(key)s::text END, %(fingerprint)s, %(publish_id)s, %(materializations)s, %(expected)s) AS found
"""
)

_ROLL_BACK = """
SELECT * FROM metadata.roll_back(%(key)s, %(fingerprint)s, %(dataset)s, %(name)s, %(to)s, %(expected)s, %(reason)s)
"""

_RETRACT = f"""
SELECT r.*, {present_key("a.qualified_name")} AS qualified_name, m.partition_key, m.materialization_id
FROM metadata.retract(%(id)s, %(reason)s) r
LEFT JOIN metadata.materialization m ON m.tenant_id = %(tenant)s AND m.materialization_id = %(id)s
LEFT JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
"""

_RETRACTIONS = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, m.partition_key, m.materialization_id, v.version, r.reason,
  r.actor, r.at
FROM metadata.retraction r
JOIN metadata.materialization m ON m.tenant_id = r.tenant_id AND m.materialization_id = r.materialization_id
JOIN metadata.asset a ON a.tenant_id = m.tenant_id AND a.asset_id = m.dataset_id
LEFT JOIN metadata.version v ON v.tenant_id = m.tenant_id AND v.dataset_id = m.dataset_id AND v.kind = 'retract'
  AND v.idempotency_key = m.materialization_id::text
WHERE r.tenant_id = %(tenant)s AND m.tenant_id = %(tenant)s AND m.dataset_id = {HOLDER}
ORDER BY r.at DESC, r.materialization_id LIMIT %(limit)s
"""

_ENDED = """
SELECT p.materialization_id, p.from_version, p.to_version, v.kind
FROM (
  SELECT DISTINCT ON (c.materialization_id) c.* FROM metadata.version_partition c
  WHERE c.tenant_id = %(tenant)s AND c.materialization_id = ANY (%(materializations)s)
  ORDER BY c.materialization_id, c.from_version DESC) p
JOIN metadata.version v ON v.tenant_id = p.tenant_id AND v.dataset_id = p.dataset_id AND v.version = p.to_version
ORDER BY p.materialization_id
"""

_LIST = f"""
SELECT v.version, v.actor, v.published_at, v.kind, v.reason, v.restored_version, r.name AS release,
  v.partitions_changed, v.partitions, CASE WHEN v.partitions_counted > 0 THEN v.row_count END AS row_count
FROM metadata.version v
LEFT JOIN metadata.release r ON r.tenant_id = v.tenant_id AND r.release_id = v.release_id
WHERE v.tenant_id = %(tenant)s AND v.dataset_id = {HOLDER}
  AND (%(until)s::bigint IS NULL OR v.version <= %(until)s)
ORDER BY v.version DESC LIMIT %(limit)s
"""

_CURRENT = f"""
SELECT d.dataset_id, a.key_sha256 AS birth_sha256, p.partition_key, d.published_version AS version,
  m.materialization_id, m.location, m.manifest_sha256, m.row_count, m.data_version
FROM metadata.dataset d
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
JOIN metadata.version_partition p
  ON p.tenant_id = d.tenant_id AND p.dataset_id = d.dataset_id AND p.to_version IS NULL
JOIN metadata.materialization m ON m.tenant_id = p.tenant_id AND m.materialization_id = p.materialization_id
WHERE d.tenant_id = %(tenant)s AND d.dataset_id = {HOLDER}
  AND (%(partitions)s::text[] IS NULL OR p.partition_key = ANY (%(partitions)s))
ORDER BY p.partition_key
"""

# The version is kept whatever is found in it, so that asking for one that is not there is always told.
_AS_OF = f"""
WITH wanted AS MATERIALIZED (SELECT {HOLDER} AS dataset_id, {VERSION_AT} AS version)
SELECT w.dataset_id, a.key_sha256 AS birth_sha256, p.partition_key, w.version,
  m.materialization_id, m.location, m.manifest_sha256, m.row_count, m.data_version
FROM wanted w
LEFT JOIN metadata.version_partition p
  ON p.tenant_id = %(tenant)s AND p.dataset_id = w.dataset_id AND p.from_version <= w.version
  AND (p.to_version IS NULL OR p.to_version > w.version)
  AND (%(partitions)s::text[] IS NULL OR p.partition_key = ANY (%(partitions)s))
LEFT JOIN metadata.materialization m ON m.tenant_id = p.tenant_id AND m.materialization_id = p.materialization_id
LEFT JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = w.dataset_id
ORDER BY p.partition_key
"""


class MomentWithoutZone(MetadataError):
    """{moment} could be any of several moments; say its time zone, as in {moment}+00:00"""

    moment: str


def at_parameters(dataset: CanonicalKey | Entity, at: At) -> Row:
    """The parameters of `VERSION_AT`. Raises MomentWithoutZone; TypeError for anything that is no `At`."""
    if isinstance(at, bool) or not (at is None or isinstance(at, int | str | datetime)):
        raise TypeError(f"a version is read by number, name of a pin or moment, not by a {type(at).__name__}")
    if isinstance(at, datetime) and at.utcoffset() is None:
        raise MomentWithoutZone(moment=at.isoformat())
    if isinstance(at, str):
        check_name(at)
    return {
        **asked(dataset),
        "name": short_name(dataset.key if isinstance(dataset, Entity) else dataset),
        "at_version": at if isinstance(at, int) else None,
        "at_pin": at if isinstance(at, str) else None,
        "at_moment": at if isinstance(at, datetime) else None,
    }


@dataclass(frozen=True, slots=True)
class Versions(Noun):
    """Publish materializations, read what is published or was, and go back."""

    def publish(self, materializations: Collection[UUID], *, key: str | None = None) -> list[Published]:
        """Make the materializations the current ones of their partitions: one new version per dataset that changes.

        One transaction for all of them, one round trip; a reader sees all or nothing. One that a later attempt has
        overtaken is fenced: it stays a fact and replaces nothing. Without a `key` publishing the same set again is a
        replay, so an attempt may ask until it is answered; a replay has the first answer, whatever happened since.
        Raises UnknownMaterialization, IdempotencyConflict, AmbiguousPublish, UnusableMaterialization for what was
        retracted or collected; then nothing was published.
        """
        check_name(key or "")
        rows = self.sessions.call(_PUBLISH, {**self.sessions.binding, **publish_request(materializations, key)})
        return [published_of(row) for row in rows]

    def publish_at(self, materializations: Collection[UUID], *, expected: int) -> list[Published]:
        """`publish` of what one dataset gets, if it is at the version `expected`, 0 for none yet; raises NotAtVersion.

        So what was found out about it beside that version still holds when readers get it.
        """
        said = {**publish_request(materializations), "expected": expected}
        return [published_of(row) for row in self.sessions.call(_PUBLISH_AT, {**self.sessions.binding, **said})]

    def rollback(
        self, dataset: CanonicalKey, *, to: int, expected: int, reason: str | None = None, key: str | None = None
    ) -> RolledBack:
        """Append a version whose partitions equal those of version `to`. Nothing of what was published is lost.

        `expected` is the version that the caller sees as the present one: when there is another one, NotAtVersion is
        raised and nothing happens. Writes rows only for partitions that differ. Asked again it is a replay, with a
        `key` or without. Raises UnknownVersion, RollbackRefused when it is there already, UnusableMaterialization when
        the version has something that was retracted or collected, IdempotencyConflict.
        """
        check_name(key or "")
        entity = self.entity(dataset)
        content = sha256_of("rollback", entity.id.value.bytes, str(to), str(expected))
        (row,) = self.sessions.call(
            _ROLL_BACK,
            {
                "key": key or content.hex(),
                "fingerprint": content,
                "dataset": entity.id.value,
                "name": short_name(dataset),
                "to": to,
                "expected": expected,
                "reason": scrubbed(reason),
            },
        )
        return RolledBack(
            dataset=entity.id,
            version=row["version"],
            restored=to,
            partitions_changed=row["partitions_changed"],
            replayed=row["replayed"],
        )

    def retract(self, materialization: UUID, *, reason: str) -> Retraction:
        """Say for ever that a materialization is bad: it is never published again, and no rollback brings it back.

        Where it is current the dataset gets a version in which the partition is absent: what was there before is not
        put in its place, publish that if it is good. Pins that have it keep it. Said again, the first one stands.
        Raises NothingToRetract.
        """
        parameters = {"tenant": self.tenant.value, "id": materialization, "reason": scrubbed(reason)}
        (row,) = self.sessions.call(_RETRACT, parameters)
        return _retraction(row)

    def retractions(self, dataset: CanonicalKey | Entity, *, limit: int = 100) -> list[Retraction]:
        """The newest retractions of a dataset."""
        parameters = {"tenant": self.tenant.value, **asked(dataset), "limit": limit}
        return [_retraction(row) for row in self.sessions.call(_RETRACTIONS, parameters)]

    def ended(self, materializations: Collection[UUID]) -> dict[UUID, Ended]:
        """Which of these were published and are not current any more, and what became of each the last time."""
        parameters = {"tenant": self.tenant.value, "materializations": list(materializations)}
        return {
            row["materialization_id"]: Ended(began=row["from_version"], ended=row["to_version"], by=row["kind"])
            for row in self.sessions.call(_ENDED, parameters)
        }

    def versions(self, dataset: CanonicalKey | Entity, *, until: int | None = None, limit: int = 50) -> list[Version]:
        """The newest versions of a dataset, or the newest up to the version `until`; counted when they were made."""
        parameters = {**asked(dataset), "until": until, "limit": limit}
        with self.session() as session:
            rows = session.rows(_LIST, {"tenant": session.tenant_value, **parameters})
        return [
            Version(
                number=row["version"],
                partitions_changed=row["partitions_changed"],
                partitions=row["partitions"],
                row_count=None if row["row_count"] is None else int(row["row_count"]),
                actor=row["actor"],
                published_at=row["published_at"],
                kind=row["kind"],
                reason=row["reason"],
                restored=row["restored_version"],
                release=row["release"],
            )
            for row in rows
        ]

    def version_at(self, dataset: CanonicalKey | Entity, at: At = None) -> int:
        """The number of the version that `at` means: see `current`. 0 where nothing was published yet."""
        (row,) = self.sessions.call(f"SELECT {VERSION_AT} AS version", at_parameters(dataset, at))
        number: int = row["version"]
        return number

    def current(
        self, dataset: CanonicalKey | Entity, partitions: Collection[str | None] | None = None, *, at: At = None
    ) -> list[Current]:
        """What the published version has, for some partitions or for all, and of which dataset that is.

        With `at` what another version has: by its number, by the name of a pin, or the one that was published at a
        moment. One statement, one snapshot: whatever happens to names, pins and versions meanwhile. A partition that
        the version does not have is not in the answer. Raises UnknownVersion, UnknownPin, MomentWithoutZone.
        """
        rows = self.sessions.call(*current_asked(self.tenant, dataset, partitions, at))
        return current_in(self.tenant, dataset, rows)


def current_asked(
    tenant: TenantId, dataset: CanonicalKey | Entity, partitions: Collection[str | None] | None, at: At = None
) -> tuple[str, Row]:
    """The statement of `current` and its parameters."""
    wanted = None if partitions is None else [partition or UNPARTITIONED for partition in partitions]
    parameters = {"tenant": tenant.value, "partitions": wanted, **at_parameters(dataset, at)}
    return (_CURRENT if at is None else _AS_OF), parameters


def _retraction(row: Row) -> Retraction:
    return Retraction(
        materialization_id=row["materialization_id"],
        key=CanonicalKey.parse(row["qualified_name"]),
        partition=row["partition_key"] or None,
        version=row["version"],
        reason=row["reason"],
        actor=row["actor"],
        at=row["at"],
    )
