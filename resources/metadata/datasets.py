"""Datasets: assets that we materialize and publish."""

from collections.abc import Iterable
from dataclasses import dataclass

from identity.keys import CanonicalKey
from resources.metadata.assets import registered, said_by_callers
from resources.metadata.noun import Noun
from resources.metadata.resolution import present_key
from resources.models import Asset, AssetType, DatasetSummary, PublishPolicy
from resources.postgres.session import Session

# What is there as given is kept out of the conflict: a conflict locks its row, and a publish may hold it for long.
_REGISTER = """
INSERT INTO metadata.dataset (tenant_id, dataset_id, publish_policy)
SELECT %(tenant)s, d.dataset_id, d.policy
FROM unnest(%(ids)s::uuid[], %(policies)s::text[]) AS d (dataset_id, policy)
WHERE NOT EXISTS (
  SELECT 1 FROM metadata.dataset k
  WHERE k.tenant_id = %(tenant)s AND k.dataset_id = d.dataset_id AND k.publish_policy = d.policy)
ORDER BY d.dataset_id
ON CONFLICT (tenant_id, dataset_id) DO UPDATE SET
  publish_policy = excluded.publish_policy, updated_at = clock_timestamp()
WHERE dataset.publish_policy <> excluded.publish_policy
"""

_LIST = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name, a.type, d.publish_policy, d.published_version,
  coalesce(m.materializations, 0) AS materializations, coalesce(p.partitions, 0) AS partitions,
  coalesce(p.row_count, (a.metadata ->> 'row_estimate')::bigint) AS row_count,
  greatest(a.updated_at, d.updated_at) AS updated_at
FROM metadata.asset a
LEFT JOIN metadata.dataset d ON d.tenant_id = a.tenant_id AND d.dataset_id = a.asset_id
LEFT JOIN (
  SELECT dataset_id, count(*) AS materializations FROM metadata.materialization
  WHERE tenant_id = %(tenant)s GROUP BY dataset_id) m ON m.dataset_id = a.asset_id
LEFT JOIN (
  SELECT vp.dataset_id, count(*) AS partitions, sum(mm.row_count)::bigint AS row_count
  FROM metadata.version_partition vp
  JOIN metadata.materialization mm ON mm.tenant_id = vp.tenant_id AND mm.materialization_id = vp.materialization_id
  WHERE vp.tenant_id = %(tenant)s AND vp.to_version IS NULL GROUP BY vp.dataset_id) p ON p.dataset_id = a.asset_id
WHERE a.tenant_id = %(tenant)s AND a.deleted_at IS NULL AND (d.dataset_id IS NOT NULL OR %(collected)s)
ORDER BY a.qualified_name
"""


@dataclass(frozen=True, slots=True)
class Datasets(Noun):
    """Register and list datasets."""

    def register_datasets(self, datasets: Iterable[tuple[Asset, PublishPolicy]]) -> int:
        """Make sure that the datasets exist with these policies; how many rows that wrote. As `register_assets`."""
        wanted = [(said_by_callers(asset), policy) for asset, policy in datasets]
        if not wanted:
            return 0

        def work(session: Session) -> int:
            written, entities = registered(session, [asset for asset, _policy in wanted])
            return written + session.count(
                _REGISTER,
                {
                    "tenant": session.tenant_value,
                    "ids": [entities[asset.key].id.value for asset, _policy in wanted],
                    "policies": [policy for _asset, policy in wanted],
                },
            )

        return self.sessions.perform(work)

    def datasets(self, *, collected: bool = False) -> list[DatasetSummary]:
        """All datasets that we materialize, by key; with `collected` the tables of the sources too."""
        with self.session() as session:
            rows = session.rows(_LIST, {"tenant": session.tenant_value, "collected": collected})
        return [
            DatasetSummary(
                key=CanonicalKey.parse(row["qualified_name"]),
                type=AssetType(row["type"]),
                publish_policy=row["publish_policy"],
                published_version=row["published_version"],
                materializations=row["materializations"],
                partitions=row["partitions"],
                row_count=row["row_count"],
                updated_at=row["updated_at"],
            )
            for row in rows
        ]
