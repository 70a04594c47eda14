"""What the control plane says about data in databases: the other end of soft references."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from identity.errors import MetadataError
from identity.ids import EntityId
from identity.keys import CanonicalKey, check_name
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.models import UNPARTITIONED

_LEASED = """
SELECT FROM metadata.staging_lease l
WHERE l.tenant_id = %(tenant)s AND l.attempt_id = %(attempt)s AND l.dataset_id = %(dataset)s
  AND l.partition_key = %(partition)s AND l.location = %(location)s AND l.state = 'open'
  AND l.expires_at > clock_timestamp()
"""

_AHEAD_OF = f"""
SELECT d.dataset_id, {present_key("a.qualified_name")} AS qualified_name, d.published_version, m.*,
  ARRAY(SELECT v.idempotency_key FROM metadata.version v
        WHERE v.tenant_id = d.tenant_id AND v.dataset_id = d.dataset_id
          AND v.version > k.version AND v.version <= d.published_version ORDER BY v.version) AS publishes
FROM unnest(%(datasets)s::uuid[], %(versions)s::bigint[]) AS k (dataset_id, version)
JOIN metadata.dataset d ON d.tenant_id = %(tenant)s AND d.dataset_id = k.dataset_id
JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(p.partition_key ORDER BY p.partition_key), '{{}}') AS partitions,
    coalesce(array_agg(o.materialization_id ORDER BY p.partition_key), '{{}}') AS materializations,
    coalesce(array_agg(o.location ORDER BY p.partition_key), '{{}}') AS locations
  FROM metadata.version_partition p
  JOIN metadata.materialization o ON o.tenant_id = p.tenant_id AND o.materialization_id = p.materialization_id
  WHERE p.tenant_id = d.tenant_id AND p.dataset_id = d.dataset_id AND p.to_version IS NULL) m
WHERE d.published_version > k.version
ORDER BY d.dataset_id
"""

_VERSIONS = f"""
SELECT d.dataset_id, {present_key("a.qualified_name")} AS qualified_name, d.published_version
FROM metadata.dataset d JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
WHERE d.tenant_id = %(tenant)s AND d.dataset_id = ANY (%(datasets)s)
"""

_COMMITTED = """
SELECT m.materialization_id, m.location FROM metadata.materialization m
WHERE m.tenant_id = %(tenant)s AND m.materialization_id = ANY (%(materializations)s)
"""

_OPEN = """
SELECT DISTINCT l.attempt_id FROM metadata.staging_lease l
WHERE l.tenant_id = %(tenant)s AND l.attempt_id = ANY (%(attempts)s) AND l.expires_at > clock_timestamp()
"""

_LOCATED = """
SELECT m.location FROM metadata.materialization m
WHERE m.tenant_id = %(tenant)s AND starts_with(m.location, %(prefix)s) AND NOT EXISTS (
  SELECT 1 FROM metadata.condemned c WHERE c.tenant_id = m.tenant_id AND c.materialization_id = m.materialization_id)
ORDER BY m.location
"""

_LATELY = """
SELECT m.location FROM metadata.materialization m
WHERE m.tenant_id = %(tenant)s AND starts_with(m.location, %(prefix)s) AND NOT EXISTS (
  SELECT 1 FROM metadata.condemned c WHERE c.tenant_id = m.tenant_id AND c.materialization_id = m.materialization_id)
ORDER BY m.committed_at DESC, m.materialization_id LIMIT %(limit)s
"""


class ReferenceDangles(MetadataError):
    """{location} was not written: the control plane has no open lease there for dataset {dataset}, attempt {attempt}; \
run the step again"""

    location: str
    dataset: str
    attempt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPartition:
    """What a published version has for one partition."""

    partition: str | None
    materialization_id: UUID
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDataset:
    """The published version of a dataset, whole. `publishes` names what made it and the versions on the way to it:
    datasets that share one were published together."""

    dataset: EntityId
    key: CanonicalKey
    version: int
    partitions: tuple[PublishedPartition, ...]
    publishes: frozenset[str]


@dataclass(frozen=True, slots=True)
class DataPlaneReferences(Noun):
    """Answers whoever keeps our ids in another database, where no foreign key reaches."""

    def check_lease(self, dataset: EntityId, partition: str | None, attempt: UUID, location: str) -> None:
        """The tenant, the dataset and the attempt exist and may write there now; else ReferenceDangles."""
        check_name(location)
        check_name(partition or "")
        with self.session() as session:
            found = session.count(
                _LEASED,
                {
                    "tenant": session.tenant_value,
                    "attempt": attempt,
                    "dataset": dataset.value,
                    "partition": partition or UNPARTITIONED,
                    "location": location,
                },
            )
        if not found:
            raise ReferenceDangles(location=location, dataset=str(dataset), attempt=str(attempt))

    def published_after(self, versions: Mapping[UUID, int]) -> list[PublishedDataset]:
        """Those of the datasets whose published version is newer than the given one, in the order of their ids.

        One snapshot: versions that were published together are both in the answer, or none is.
        """
        parameters = {"datasets": list(versions), "versions": list(versions.values())}
        with self.session() as session:
            rows = session.rows(_AHEAD_OF, {"tenant": session.tenant_value, **parameters})
        return [
            PublishedDataset(
                dataset=EntityId.from_database(row["dataset_id"]),
                key=CanonicalKey.parse(row["qualified_name"]),
                version=row["published_version"],
                partitions=tuple(
                    PublishedPartition(partition=partition or None, materialization_id=one, location=location or "")
                    for partition, one, location in zip(
                        row["partitions"], row["materializations"], row["locations"], strict=True
                    )
                ),
                publishes=frozenset(row["publishes"]),
            )
            for row in rows
        ]

    def published_versions(self, datasets: Collection[UUID]) -> dict[UUID, tuple[CanonicalKey, int]]:
        """The present key and the published version of those datasets that are known."""
        with self.session() as session:
            rows = session.rows(_VERSIONS, {"tenant": session.tenant_value, "datasets": list(datasets)})
        return {
            row["dataset_id"]: (CanonicalKey.parse(row["qualified_name"]), row["published_version"]) for row in rows
        }

    def committed_at(self, materializations: Collection[UUID]) -> dict[UUID, str | None]:
        """Where the data of those materializations are that are known."""
        with self.session() as session:
            rows = session.rows(
                _COMMITTED, {"tenant": session.tenant_value, "materializations": list(materializations)}
            )
        return {row["materialization_id"]: row["location"] for row in rows}

    def leased_now(self, attempts: Collection[UUID]) -> set[UUID]:
        """Those of the attempts that may be writing now."""
        with self.session() as session:
            rows = session.rows(_OPEN, {"tenant": session.tenant_value, "attempts": list(attempts)})
        return {row["attempt_id"] for row in rows}

    def located_on(self, endpoint: str) -> list[str]:
        """Every location on an endpoint that a materialization has and that no collection took away."""
        check_name(endpoint)
        with self.session() as session:
            rows = session.rows(_LOCATED, {"tenant": session.tenant_value, "prefix": f"{endpoint}:"})
        return [row["location"] for row in rows]

    def located_lately(self, endpoint: str, *, limit: int = 100) -> list[str]:
        """The locations on an endpoint that were committed last and that no collection took away, the newest first."""
        check_name(endpoint)
        parameters = {"tenant": self.tenant.value, "prefix": f"{endpoint}:", "limit": limit}
        return [row["location"] for row in self.sessions.call(_LATELY, parameters)]
