"""The statements of an explanation: each reads by an index, and a bounded number of rows of whatever there are many."""

from typing import Final

from resources.metadata.invalidations import STALE_ROWS
from resources.metadata.resolution import HOLDER, present_key
from resources.metadata.runs import ATTEMPT, ATTEMPT_STATUS

FIRST: Final = 10
"""How many of many are shown."""

TRIES: Final = 500
"""How many of the newest tries of a step are looked through for those of one partition."""

COUNTED: Final = 1_000
"""How many are counted at most."""

_NAME = present_key("a.qualified_name")

SUBJECT: Final = f"""
SELECT d.dataset_id, d.publish_policy, d.published_version, {_NAME} AS qualified_name
FROM metadata.dataset d JOIN metadata.asset a ON a.tenant_id = d.tenant_id AND a.asset_id = d.dataset_id
WHERE d.tenant_id = %(tenant)s AND d.dataset_id = """

BY_MATERIALIZATION: Final = (
    SUBJECT
    + """(SELECT m.dataset_id FROM metadata.materialization m
  WHERE m.tenant_id = %(tenant)s AND m.materialization_id = %(materialization)s)"""
)
BY_DATASET: Final = SUBJECT + HOLDER

OF_PARTITION: Final = """
SELECT coalesce((
    SELECT c.materialization_id FROM metadata.version_partition c
    WHERE c.tenant_id = %(tenant)s AND c.dataset_id = %(dataset)s AND c.partition_key = %(partition)s
      AND c.to_version IS NULL), (
    SELECT m.materialization_id FROM metadata.materialization m
    WHERE m.tenant_id = %(tenant)s AND m.dataset_id = %(dataset)s AND m.partition_key = %(partition)s
    ORDER BY m.committed_at DESC, m.materialization_id LIMIT 1)) AS id
"""

STATE: Final = """
SELECT m.attempt_id, r.reason AS retracted_because, r.actor AS retracted_by, r.at AS retracted_at,
  v.version AS retracted_in, x.state AS collected, coalesce(x.collected_at, x.condemned_at) AS collected_at,
  o.fencing_token > m.fencing_token AS fenced,
  j.run_id, j.source, j.name, j.status, j.code_location, j.dag_version_id, g.content_sha256, j.started_at, j.ended_at,
  j.failure_class, j.failure_reason, j.tags
FROM metadata.materialization m
LEFT JOIN metadata.retraction r ON r.tenant_id = m.tenant_id AND r.materialization_id = m.materialization_id
LEFT JOIN metadata.version v ON v.tenant_id = m.tenant_id AND v.dataset_id = m.dataset_id AND v.kind = 'retract'
  AND v.idempotency_key = %(materialization)s::text
LEFT JOIN metadata.condemned x ON x.tenant_id = m.tenant_id AND x.materialization_id = m.materialization_id
LEFT JOIN metadata.version_partition c ON c.tenant_id = m.tenant_id AND c.dataset_id = m.dataset_id
  AND c.partition_key = m.partition_key AND c.to_version IS NULL
LEFT JOIN metadata.materialization o ON o.tenant_id = c.tenant_id AND o.materialization_id = c.materialization_id
LEFT JOIN metadata.job j ON j.tenant_id = m.tenant_id AND j.run_id = m.run_id
LEFT JOIN metadata.dag_version g ON g.tenant_id = j.tenant_id AND g.dag_version_id = j.dag_version_id
WHERE m.tenant_id = %(tenant)s AND m.materialization_id = %(materialization)s
"""

ATTEMPTS: Final = ATTEMPT + "AND j.run_id = %(run)s AND t.step_key = %(step)s ORDER BY a.number, a.lease_epoch"

INPUTS: Final = f"""
SELECT {_NAME} AS qualified_name, i.input_partition_key, i.input_materialization_id, i.input_version, i.metadata,
  c.materialization_id AS current_id, c.from_version AS current_version, r.materialization_id IS NOT NULL AS retracted
FROM metadata.materialization_input i
JOIN metadata.asset a ON a.tenant_id = i.tenant_id AND a.asset_id = i.input_asset_id
LEFT JOIN metadata.version_partition c ON c.tenant_id = i.tenant_id AND c.dataset_id = i.input_asset_id
  AND c.partition_key = i.input_partition_key AND c.to_version IS NULL
LEFT JOIN metadata.retraction r ON r.tenant_id = i.tenant_id AND r.materialization_id = i.input_materialization_id
WHERE i.tenant_id = %(tenant)s AND i.materialization_id = %(materialization)s
ORDER BY a.qualified_name, i.input_partition_key
"""

OUTPUTS: Final = f"""
WITH found AS MATERIALIZED (
  SELECT m.materialization_id, m.dataset_id, m.partition_key FROM metadata.materialization m
  WHERE m.tenant_id = %(tenant)s AND m.run_id = %(run)s AND m.attempt_id = %(attempt)s
    AND m.materialization_id <> %(materialization)s LIMIT {COUNTED + 1})
SELECT f.materialization_id, {_NAME} AS qualified_name, f.partition_key, count(*) OVER () AS total
FROM found f JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = f.dataset_id
ORDER BY a.qualified_name, f.partition_key, f.materialization_id LIMIT {FIRST}
"""

READERS: Final = f"""
WITH found AS MATERIALIZED (
  SELECT DISTINCT c.materialization_id, c.dataset_id, c.partition_key FROM metadata.materialization_input i
  JOIN metadata.version_partition c ON c.tenant_id = i.tenant_id AND c.materialization_id = i.materialization_id
    AND c.to_version IS NULL
  WHERE i.tenant_id = %(tenant)s AND i.input_materialization_id = %(materialization)s LIMIT {COUNTED + 1})
SELECT f.materialization_id, {_NAME} AS qualified_name, f.partition_key, count(*) OVER () AS total
FROM found f JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = f.dataset_id
ORDER BY a.qualified_name, f.partition_key, f.materialization_id LIMIT {FIRST}
"""

_FACTS = """v{0}.version AS {0}_version, v{0}.kind AS {0}_kind, v{0}.actor AS {0}_actor,
  v{0}.published_at AS {0}_published_at, v{0}.reason AS {0}_reason, v{0}.restored_version AS {0}_restored,
  e{0}.name AS {0}_release"""

HAD: Final = f"""
SELECT {_FACTS.format("since")}, {_FACTS.format("until")}, n.materialization_id AS by
FROM metadata.version_partition c
JOIN metadata.version vsince ON vsince.tenant_id = c.tenant_id AND vsince.dataset_id = c.dataset_id
  AND vsince.version = c.from_version
LEFT JOIN metadata.release esince ON esince.tenant_id = vsince.tenant_id AND esince.release_id = vsince.release_id
LEFT JOIN metadata.version vuntil ON vuntil.tenant_id = c.tenant_id AND vuntil.dataset_id = c.dataset_id
  AND vuntil.version = c.to_version
LEFT JOIN metadata.release euntil ON euntil.tenant_id = vuntil.tenant_id AND euntil.release_id = vuntil.release_id
LEFT JOIN metadata.version_partition n ON n.tenant_id = c.tenant_id AND n.dataset_id = c.dataset_id
  AND n.partition_key = c.partition_key AND n.from_version = c.to_version
WHERE c.tenant_id = %(tenant)s AND c.materialization_id = %(materialization)s
ORDER BY c.from_version DESC LIMIT 50
"""

# From the materialization upwards to what somebody named, for each of the newest invalidations.
STALE: Final = (
    """
WITH RECURSIVE newest AS (
  SELECT i.invalidation_id, i.materialization_id, i.cause_id FROM metadata.invalidation i
  WHERE i.tenant_id = %(tenant)s AND i.materialization_id = %(materialization)s
    AND EXISTS (SELECT 1 FROM metadata.version_partition c WHERE c.tenant_id = %(tenant)s
      AND c.materialization_id = %(materialization)s AND c.to_version IS NULL)
  ORDER BY i.at DESC, i.invalidation_id LIMIT 10
), steps AS (
  SELECT n.invalidation_id, n.materialization_id, n.cause_id, 0 AS step FROM newest n
  UNION
  SELECT i.invalidation_id, i.materialization_id, i.cause_id, s.step + 1 FROM steps s
  JOIN metadata.invalidation i ON i.tenant_id = %(tenant)s AND i.invalidation_id = s.invalidation_id
    AND i.materialization_id = s.cause_id
  WHERE s.step < 100
)
"""
    + STALE_ROWS
    + """
JOIN steps s ON s.invalidation_id = i.invalidation_id AND s.materialization_id = i.materialization_id
WHERE i.tenant_id = %(tenant)s
ORDER BY i.at DESC, i.invalidation_id, s.step, i.materialization_id LIMIT 100
"""
)

_PIN = """p.name, i.version, CASE WHEN p.removed_at IS NOT NULL THEN 'removed'
  WHEN p.expires_at <= now() THEN 'expired' ELSE 'open' END AS state, p.created_by, p.expires_at, p.reason"""

PINS: Final = f"""
SELECT {_PIN} FROM metadata.version_partition c
JOIN metadata.pin_item i ON i.tenant_id = c.tenant_id AND i.dataset_id = c.dataset_id AND i.version >= c.from_version
  AND i.version < coalesce(c.to_version, 9223372036854775807)
JOIN metadata.pin p ON p.tenant_id = i.tenant_id AND p.pin_id = i.pin_id AND p.removed_at IS NULL
WHERE c.tenant_id = %(tenant)s AND c.materialization_id = %(materialization)s
ORDER BY p.name LIMIT 50
"""

PINS_OF_VERSION: Final = f"""
SELECT {_PIN} FROM metadata.pin_item i
JOIN metadata.pin p ON p.tenant_id = i.tenant_id AND p.pin_id = i.pin_id AND p.removed_at IS NULL
WHERE i.tenant_id = %(tenant)s AND i.dataset_id = %(dataset)s AND i.version = %(version)s
ORDER BY p.name LIMIT 50
"""

DELIVERIES: Final = f"""
SELECT m.materialization_id, m.run_id, m.committed_at, p.published_in, coalesce(p.current, false) AS current,
  EXISTS (SELECT 1 FROM metadata.retraction r
    WHERE r.tenant_id = m.tenant_id AND r.materialization_id = m.materialization_id) AS retracted,
  ARRAY(
    SELECT l.name FROM (
      SELECT DISTINCT ON (k.name) k.name, k.blocking AND NOT k.passed AND k.severity = 'ERROR' AS refuses
      FROM metadata.check_result k
      WHERE k.tenant_id = m.tenant_id AND k.materialization_id = m.materialization_id
      ORDER BY k.name, k.evaluation DESC, k.at DESC, k.run_id) l
    WHERE l.refuses ORDER BY l.name) AS failed
FROM (
  SELECT * FROM metadata.materialization o
  WHERE o.tenant_id = %(tenant)s AND o.dataset_id = %(dataset)s AND o.partition_key = %(partition)s
  ORDER BY o.committed_at DESC, o.materialization_id LIMIT {FIRST}) m
LEFT JOIN LATERAL (
  SELECT min(c.from_version) AS published_in, bool_or(c.to_version IS NULL) AS current
  FROM metadata.version_partition c
  WHERE c.tenant_id = m.tenant_id AND c.materialization_id = m.materialization_id) p ON true
ORDER BY m.committed_at DESC, m.materialization_id
"""

# The step is known from what it delivered before, or is given. A run names its partition by a tag, or names a range.
_TAG = "j.tags ->> 'dagster/partition'"
_LOW, _HIGH = "j.tags ->> 'dagster/asset_partition_range_start'", "j.tags ->> 'dagster/asset_partition_range_end'"
TRIED: Final = f"""
WITH steps AS (
  SELECT n.step_key FROM (
    SELECT m.step_key FROM metadata.materialization m WHERE m.tenant_id = %(tenant)s AND m.dataset_id = %(dataset)s
    ORDER BY m.committed_at DESC LIMIT 20) n
  UNION SELECT unnest(%(steps)s::text[])
), tasks AS (
  SELECT t.* FROM steps s CROSS JOIN LATERAL (
    SELECT k.task_id, k.job_id, k.step_key FROM metadata.task k
    WHERE k.tenant_id = %(tenant)s AND k.step_key = s.step_key AND k.created_at > %(since)s::timestamptz - interval '7d'
    ORDER BY k.created_at DESC LIMIT {TRIES}) t
), tried AS (
  SELECT a.attempt_id, j.run_id, t.step_key, a.number, {ATTEMPT_STATUS} AS status, a.lease_owner, a.lease_epoch,
    l.heartbeat_at, l.expires_at, a.started_at, a.ended_at, a.failure_class, a.failure_reason,
    coalesce({_TAG}, {_LOW} || '...' || ({_HIGH})) AS partition, j.name AS job, j.status AS run_status,
    nullif(concat_ws(': ', j.failure_class, j.failure_reason), '') AS run_failure,
    coalesce(a.ended_at, l.expires_at, a.started_at, a.created_at) AS at
  FROM tasks t
  JOIN metadata.job j ON j.tenant_id = %(tenant)s AND j.job_id = t.job_id
  JOIN metadata.task_attempt a ON a.tenant_id = %(tenant)s AND a.task_id = t.task_id
  LEFT JOIN metadata.attempt_lease l ON l.tenant_id = a.tenant_id AND l.attempt_id = a.attempt_id
  WHERE (j.run_id, t.step_key) IS DISTINCT FROM (%(run)s::text, %(step)s::text)
    AND (%(every)s OR {_TAG} = %(partition)s OR (%(partition)s BETWEEN {_LOW} AND {_HIGH})
      OR ({_TAG} IS NULL AND {_LOW} IS NULL)))
SELECT s.step_key AS step, f.* FROM steps s LEFT JOIN tried f
  ON f.step_key = s.step_key AND f.status <> 'succeeded' AND f.at > %(since)s
ORDER BY f.at DESC NULLS LAST, f.attempt_id, s.step_key LIMIT 20
"""

_VERSION = _FACTS.format("since")
VERSION: Final = f"""
SELECT {_VERSION}, vsince.partitions_changed AS changed
FROM metadata.version vsince
LEFT JOIN metadata.release esince ON esince.tenant_id = vsince.tenant_id AND esince.release_id = vsince.release_id
WHERE vsince.tenant_id = %(tenant)s AND vsince.dataset_id = %(dataset)s AND vsince.version = %(version)s
"""

CHANGED: Final = f"""
WITH changed AS (
  (SELECT c.partition_key FROM metadata.version_partition c
   WHERE c.tenant_id = %(tenant)s AND c.dataset_id = %(dataset)s AND c.from_version = %(version)s
   ORDER BY c.partition_key LIMIT {FIRST})
  UNION
  (SELECT c.partition_key FROM metadata.version_partition c
   WHERE c.tenant_id = %(tenant)s AND c.dataset_id = %(dataset)s AND c.to_version = %(version)s
   ORDER BY c.partition_key LIMIT {FIRST}))
SELECT k.partition_key, n.materialization_id AS now, b.materialization_id AS before FROM changed k
LEFT JOIN metadata.version_partition n ON n.tenant_id = %(tenant)s AND n.dataset_id = %(dataset)s
  AND n.partition_key = k.partition_key AND n.from_version = %(version)s
LEFT JOIN metadata.version_partition b ON b.tenant_id = %(tenant)s AND b.dataset_id = %(dataset)s
  AND b.partition_key = k.partition_key AND b.to_version = %(version)s
ORDER BY k.partition_key LIMIT {FIRST}
"""
