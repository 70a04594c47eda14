"""Invalidations: partitions that somebody said are no longer good, what was made from them, and why."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Final

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from identity.keys import CanonicalKey, check_name, short_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.models import UNPARTITIONED
from resources.postgres.refusals import UnknownVersion
from resources.postgres.session import Row
from resources.version_records import Invalidated, Stale

MOST_MARKED: Final = 1_000_000
"""How many materializations one invalidation marks at most."""

_INVALIDATE = """
SELECT * FROM metadata.invalidate(%(key)s, %(fingerprint)s, %(dataset)s, %(name)s, %(partitions)s, %(reason)s,
  %(downstream)s, %(limit)s)
"""

_MADE_FROM = f"""
SELECT DISTINCT {present_key("a.qualified_name")} AS qualified_name FROM metadata.relationship r
JOIN metadata.dataset d ON d.tenant_id = r.tenant_id AND d.dataset_id = r.source_asset_id
JOIN metadata.asset a ON a.tenant_id = r.tenant_id AND a.asset_id = r.source_asset_id
WHERE r.tenant_id = %(tenant)s AND r.target_asset_id = %(asset)s AND r.type = 'DEPENDS_ON' AND r.valid_to IS NULL
ORDER BY qualified_name LIMIT 10
"""

STALE_ROWS: Final = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, i.partition_key, i.materialization_id, i.invalidation_id,
  i.cause_id, i.reason, i.actor, i.at
FROM metadata.invalidation i
JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.dataset_id
"""

_OF_ONE = (
    STALE_ROWS
    + """
WHERE i.tenant_id = %(tenant)s AND i.invalidation_id = %(id)s AND i.was_current
ORDER BY i.cause_id IS NOT NULL, a.qualified_name, i.partition_key, i.materialization_id
"""
)

_IS_CURRENT = """
  EXISTS (
    SELECT 1 FROM metadata.version_partition c
    WHERE c.tenant_id = i.tenant_id AND c.materialization_id = i.materialization_id AND c.to_version IS NULL)
"""

_STALE = (
    STALE_ROWS
    + f"""
WHERE i.tenant_id = %(tenant)s AND {_IS_CURRENT}
  AND (i.dataset_id = {HOLDER} OR (%(id)s::uuid IS NULL AND %(key)s::text IS NULL))
  AND NOT EXISTS (
    SELECT 1 FROM metadata.invalidation later
    WHERE later.tenant_id = i.tenant_id AND later.materialization_id = i.materialization_id
      AND (later.at, later.invalidation_id) > (i.at, i.invalidation_id))
ORDER BY a.qualified_name, i.partition_key, i.materialization_id LIMIT %(limit)s
"""
)

# From the partition upwards: each step is what it was made from, up to what somebody named.
_WHY = (
    f"""
WITH RECURSIVE steps AS (
  SELECT i.invalidation_id, i.materialization_id, i.cause_id, 0 AS step FROM metadata.invalidation i
  WHERE i.tenant_id = %(tenant)s AND i.dataset_id = {HOLDER} AND i.partition_key = %(partition)s AND {_IS_CURRENT}
  UNION
  SELECT i.invalidation_id, i.materialization_id, i.cause_id, s.step + 1 FROM steps s
  JOIN metadata.invalidation i ON i.tenant_id = %(tenant)s AND i.invalidation_id = s.invalidation_id
    AND i.materialization_id = s.cause_id
  WHERE s.step < 1000
)
"""
    + STALE_ROWS
    + """
JOIN steps s ON s.invalidation_id = i.invalidation_id AND s.materialization_id = i.materialization_id
WHERE i.tenant_id = %(tenant)s
ORDER BY i.at DESC, i.invalidation_id, s.step, i.materialization_id
"""
)


class SourceNotVersioned(MetadataError):
    """{dataset} is a source: its data are not ours and have no versions; nothing was changed: \
invalidate what was made from it: {made}"""

    dataset: str
    made: str
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Invalidations(Noun):
    """Mark partitions as stale, and tell which are and why."""

    def invalidate(
        self,
        dataset: CanonicalKey,
        partitions: Collection[str | None] | None = None,
        *,
        reason: str,
        downstream: bool = True,
        key: str | None = None,
        limit: int = MOST_MARKED,
    ) -> Invalidated:
        """Say that what these partitions (None: all) have now is no longer good, so that it is made anew.

        With `downstream` the same is said of everything that was made from it, as it was really read, also of what
        is committed later and had read it. One statement.
        A partition stays stale until another materialization is published there; until then it is read as before. A
        partition in which nothing is published is left out. With a `key` the same request may be sent again and is
        answered the same. Raises SourceNotVersioned for a table that datasets are made from and that is none itself,
        UnknownVersion for another that is no dataset, InvalidationTooLarge, IdempotencyConflict.
        """
        check_name(key or "")
        wanted = None if partitions is None else sorted({one or UNPARTITIONED for one in partitions})
        for partition in wanted or ():
            check_name(partition)
        entity = self.entity(dataset)
        named = [] if wanted is None else [f"p{one}" for one in wanted]
        asked = ("all" if wanted is None else "some", str(downstream), *named)
        request = {
            "key": key or str(uuid.uuid4()),  # without a key it is a request of its own
            "fingerprint": sha256_of("invalidate", entity.id.value.bytes, *asked),
            "dataset": entity.id.value,
            "name": short_name(dataset),
            "partitions": wanted,
            "reason": scrubbed(reason),
            "downstream": downstream,
            "limit": limit,
        }
        try:
            row, rows = self.sessions.call_and_look(
                _INVALIDATE,
                request,
                _OF_ONE,
                lambda made: {"tenant": self.tenant.value, "id": made["invalidation_id"]},
            )
        except UnknownVersion:
            self._refuse_source(entity)
            raise
        return Invalidated(id=row["invalidation_id"], stale=tuple(map(stale_of, rows)), replayed=row["replayed"])

    def _refuse_source(self, entity: Entity) -> None:
        """Raise SourceNotVersioned with the names of the first ten datasets made from it, where there are any."""
        rows = self.sessions.call(_MADE_FROM, {"tenant": self.tenant.value, "asset": entity.id.value})
        made = ", ".join(short_name(CanonicalKey.parse(row["qualified_name"])) for row in rows)
        if made:
            raise SourceNotVersioned(dataset=short_name(entity.key), made=made) from None

    def stale(self, dataset: CanonicalKey | Entity | None = None, *, limit: int = 1000) -> list[Stale]:
        """The stale partitions of a dataset, or of all, by key and partition; each with its newest invalidation."""
        which = {"id": None, "key": None} if dataset is None else asked(dataset)
        rows = self.sessions.call(_STALE, {"tenant": self.tenant.value, "limit": limit, **which})
        return [stale_of(row) for row in rows]

    def why_stale(self, dataset: CanonicalKey | Entity, partition: str | None = None) -> list[Stale]:
        """Why a partition is stale: for each invalidation, the newest first, the way up from the partition itself
        through what it was made from to what somebody named. Empty when it is not.
        """
        check_name(partition or "")
        parameters = {**asked(dataset), "partition": partition or UNPARTITIONED}
        return [stale_of(row) for row in self.sessions.call(_WHY, {"tenant": self.tenant.value, **parameters})]


def stale_of(row: Row) -> Stale:
    return Stale(
        key=CanonicalKey.parse(row["qualified_name"]),
        partition=row["partition_key"] or None,
        materialization_id=row["materialization_id"],
        invalidation_id=row["invalidation_id"],
        cause=row["cause_id"],
        reason=row["reason"],
        actor=row["actor"],
        at=row["at"],
    )
