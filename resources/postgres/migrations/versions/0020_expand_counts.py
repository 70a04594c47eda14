"""Versions say how many partitions and rows they have; attempts that delivered nothing are found by their step."""

from alembic import op

revision = "0020"
down_revision = "0019"

# Each partition counts from the version in which it begins until the one in which it ends; what differs in a version
# is added up along the numbers. Every tenant's rows, and none of them is anybody's change: for these statements the
# owner is not held to a tenant, and what is append-only is completed.
COUNTS = """
ALTER TABLE metadata.version NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER append_only,
  ADD COLUMN partitions bigint,
  ADD COLUMN partitions_changed bigint,
  ADD COLUMN row_count numeric,
  ADD COLUMN partitions_counted bigint;
ALTER TABLE metadata.version_partition NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.materialization NO FORCE ROW LEVEL SECURITY;

WITH change AS (
  SELECT c.tenant_id, c.dataset_id, c.partition_key, x.version, x.weight, m.row_count
  FROM metadata.version_partition c
  JOIN metadata.materialization m ON m.tenant_id = c.tenant_id AND m.materialization_id = c.materialization_id
  CROSS JOIN LATERAL (VALUES (c.from_version, 1), (c.to_version, -1)) AS x (version, weight)
  WHERE x.version IS NOT NULL
), changed AS (
  SELECT tenant_id, dataset_id, version, count(DISTINCT partition_key) AS partitions_changed, sum(weight) AS partitions,
    coalesce(sum(weight * row_count::numeric), 0) AS row_count,
    coalesce(sum(weight) FILTER (WHERE row_count IS NOT NULL), 0) AS counted
  FROM change GROUP BY tenant_id, dataset_id, version
), counted AS (
  SELECT v.tenant_id, v.dataset_id, v.version, coalesce(h.partitions_changed, 0) AS partitions_changed,
    coalesce(sum(h.partitions) OVER upto, 0) AS partitions, coalesce(sum(h.row_count) OVER upto, 0) AS row_count,
    coalesce(sum(h.counted) OVER upto, 0) AS partitions_counted
  FROM metadata.version v LEFT JOIN changed h USING (tenant_id, dataset_id, version)
  WINDOW upto AS (PARTITION BY v.tenant_id, v.dataset_id ORDER BY v.version)
)
UPDATE metadata.version v SET partitions = c.partitions, partitions_changed = c.partitions_changed,
  row_count = c.row_count, partitions_counted = c.partitions_counted
FROM counted c WHERE c.tenant_id = v.tenant_id AND c.dataset_id = v.dataset_id AND c.version = v.version;

ALTER TABLE metadata.version
  ALTER COLUMN partitions SET NOT NULL,
  ALTER COLUMN partitions_changed SET NOT NULL,
  ALTER COLUMN row_count SET NOT NULL,
  ALTER COLUMN partitions_counted SET NOT NULL;
ALTER TABLE metadata.version FORCE ROW LEVEL SECURITY, ENABLE TRIGGER append_only;
ALTER TABLE metadata.version_partition FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.materialization FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN metadata.version.row_count IS 'Of the partitions whose rows are counted';
"""

STEPS = """
ALTER TABLE metadata.task NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.task_attempt NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER audit_update,
  ADD COLUMN step_key text;
UPDATE metadata.task_attempt a SET step_key = t.step_key
FROM metadata.task t WHERE t.tenant_id = a.tenant_id AND t.task_id = a.task_id;
ALTER TABLE metadata.task_attempt ALTER COLUMN step_key SET NOT NULL;
ALTER TABLE metadata.task_attempt FORCE ROW LEVEL SECURITY, ENABLE TRIGGER audit_update;
ALTER TABLE metadata.task FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN metadata.task_attempt.step_key IS 'That of its task';
DROP INDEX metadata.task_step_idx;
CREATE INDEX task_attempt_undelivered_idx ON metadata.task_attempt (tenant_id, step_key, created_at DESC)
  WHERE status <> 'succeeded';
"""

# Found by what delivered it also among the many that one run delivers.
DELIVERED = """
DROP INDEX metadata.materialization_run_idx;
CREATE INDEX materialization_attempt_idx ON metadata.materialization (tenant_id, run_id, attempt_id);
"""


def upgrade() -> None:
    op.execute(COUNTS)
    op.execute(STEPS)
    op.execute(DELIVERED)
    op.execute("DROP FUNCTION IF EXISTS metadata.partitions_changed(uuid, uuid, bigint)")
