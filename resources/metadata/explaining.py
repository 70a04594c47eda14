"""The statements of an explanation: each reads by an index, and a bounded number of rows of whatever there are many."""

from typing import Final

from resources.metadata.invalidations import STALE_ROWS
from resources.metadata.resolution import HOLDER, present_key
from resources.metadata.runs import ATTEMPT, ATTEMPT_STATUS

FIRST: Final = 10
"""How many of many are shown, and how many deliveries of a partition."""

SHOWN: Final = 50
"""How many attempts, checks, pins and stretches of versions are shown."""

STALE_SHOWN: Final = 100
"""How many steps from what is stale up to what somebody named."""

TRIED_SHOWN: Final = 20
"""How many tries are shown."""

TRIES: Final = 500
"""How many of the newest tries of a step that delivered nothing are looked through for those of one partition."""

COUNTED: Final = 1_000
"""How many readers and outputs are counted at most."""

LOOKED: Final = 100_000
"""How many rows are looked at for that, and how many inputs are counted at most."""

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

ATTEMPTS: Final = (
    ATTEMPT
    + "AND j.run_id = %(run)s AND t.step_key = %(step)s ORDER BY a.number DESC, a.lease_epoch DESC LIMIT "
    + str(SHOWN + 1)
)

INPUTS: Final = f"""
WITH looked AS MATERIALIZED (
  SELECT i.*, c.materialization_id AS current_id, c.from_version AS current_version,
    i.input_materialization_id IS NOT NULL
      AND c.materialization_id IS DISTINCT FROM i.input_materialization_id AS changed
  FROM (
    SELECT * FROM metadata.materialization_input o
    WHERE o.tenant_id = %(tenant)s AND o.materialization_id = %(materialization)s LIMIT {LOOKED + 1}) i
  LEFT JOIN metadata.version_partition c ON c.tenant_id = %(tenant)s AND c.dataset_id = i.input_asset_id
    AND c.partition_key = i.input_partition_key AND c.to_version IS NULL
), first AS MATERIALIZED (
  SELECT l.*, a.qualified_name FROM looked l
  JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = l.input_asset_id
  ORDER BY l.changed DESC, a.qualified_name, l.input_partition_key, l.input_asset_id LIMIT {FIRST})
SELECT {present_key("f.qualified_name")} AS qualified_name, f.input_partition_key, f.input_materialization_id,
  f.input_version, f.metadata, f.current_id, f.current_version, r.materialization_id IS NOT NULL AS retracted,
  t.total, t.changed
FROM (SELECT count(*) AS total, count(*) FILTER (WHERE l.changed) AS changed FROM looked l) t
LEFT JOIN first f ON true
LEFT JOIN metadata.retraction r ON r.tenant_id = %(tenant)s AND r.materialization_id = f.input_materialization_id
ORDER BY f.changed DESC, f.qualified_name, f.input_partition_key, f.input_asset_id
"""

_COUNTED = f"""
SELECT f.materialization_id, {_NAME} AS qualified_name, f.partition_key, t.total, t.total > {COUNTED} OR {{0}} AS more
FROM (SELECT count(*) AS total FROM found) t
LEFT JOIN (
  SELECT n.*, b.qualified_name FROM found n
  JOIN metadata.asset b ON b.tenant_id = %(tenant)s AND b.asset_id = n.dataset_id
  ORDER BY b.qualified_name, n.partition_key, n.materialization_id LIMIT {FIRST}) f ON true
LEFT JOIN metadata.asset a ON a.tenant_id = %(tenant)s AND a.asset_id = f.dataset_id
ORDER BY f.qualified_name, f.partition_key, f.materialization_id
"""

OUTPUTS: Final = f"""
WITH found AS MATERIALIZED (
  SELECT m.materialization_id, m.dataset_id, m.partition_key FROM metadata.materialization m
  WHERE m.tenant_id = %(tenant)s AND m.run_id = %(run)s AND m.attempt_id = %(attempt)s
    AND m.materialization_id <> %(materialization)s LIMIT {COUNTED + 1})
""" + _COUNTED.format("false")

# One by one, because most of those that read something much read are current: a thousand of them are soon found.
_READ = """SELECT o.materialization_id FROM metadata.materialization_input o
  WHERE o.tenant_id = %(tenant)s AND o.input_materialization_id = %(materialization)s"""
READERS: Final = f"""
WITH current AS MATERIALIZED (
  SELECT c.* FROM ({_READ} LIMIT {LOOKED}) i CROSS JOIN LATERAL (
    SELECT o.materialization_id, o.dataset_id, o.partition_key FROM metadata.version_partition o
    WHERE o.tenant_id = %(tenant)s AND o.materialization_id = i.materialization_id AND o.to_version IS NULL LIMIT 1) c
  LIMIT {COUNTED + 1}
), found AS MATERIALIZED (SELECT DISTINCT * FROM current)
""" + _COUNTED.format(f"EXISTS (SELECT 1 FROM ({_READ} OFFSET {LOOKED} LIMIT 1) beyond)")

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
ORDER BY c.from_version DESC LIMIT {SHOWN + 1}
"""

# From the materialization upwards to what somebody named, for each of the newest invalidations.
STALE: Final = (
    """
WITH RECURSIVE newest AS (
  SELECT i.invalidation_id, i.materialization_id, i.cause_id FROM metadata.invalidation i
  WHERE i.tenant_id = %(tenant)s AND i.materialization_id = %(materialization)s
    AND EXISTS (SELECT 1 FROM metadata.version_partition c WHERE c.tenant_id = %(tenant)s
      AND c.materialization_id = %(materialization)s AND c.to_version IS NULL)
  ORDER BY i.at DESC, i.invalidation_id LIMIT 11
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
    + f"""
JOIN steps s ON s.invalidation_id = i.invalidation_id AND s.materialization_id = i.materialization_id
WHERE i.tenant_id = %(tenant)s
ORDER BY i.at DESC, i.invalidation_id, s.step, i.materialization_id LIMIT {STALE_SHOWN + 1}
"""
)

CHECKS: Final = f"""
SELECT coalesce((
    SELECT c.awaited FROM metadata.candidate c
    WHERE c.tenant_id = %(tenant)s AND c.materialization_id = %(materialization)s
    ORDER BY c.at DESC, c.run_id LIMIT 1), '{{}}') AS awaited,
  r.*
FROM (SELECT 1) one LEFT JOIN (
  SELECT DISTINCT ON (k.name) k.* FROM metadata.check_result k
  WHERE k.tenant_id = %(tenant)s AND k.materialization_id = %(materialization)s
  ORDER BY k.name, k.evaluation DESC, k.at DESC, k.run_id LIMIT {SHOWN + 1}) r ON true
ORDER BY r.name
"""

# What a rollback would bring back ended since then, and only what is not current can be retracted or collected.
BACK: Final = """
SELECT v AS version, EXISTS (
    SELECT 1 FROM metadata.version_partition h
    WHERE h.tenant_id = %(tenant)s AND h.dataset_id = %(dataset)s AND h.partition_key = %(partition)s
      AND h.from_version <= v AND (h.to_version IS NULL OR h.to_version > v)) AS has_partition,
  (SELECT format('%%s of partition %%s', c.materialization_id, c.partition_key) FROM metadata.version_partition c
    JOIN metadata.retraction r ON r.tenant_id = %(tenant)s AND r.materialization_id = c.materialization_id
    WHERE c.tenant_id = %(tenant)s AND c.dataset_id = %(dataset)s AND c.to_version > v AND c.from_version <= v
    LIMIT 1) AS retracted,
  (SELECT format('%%s of partition %%s', c.materialization_id, c.partition_key) FROM metadata.version_partition c
    JOIN metadata.condemned x ON x.tenant_id = %(tenant)s AND x.materialization_id = c.materialization_id
    WHERE c.tenant_id = %(tenant)s AND c.dataset_id = %(dataset)s AND c.to_version > v AND c.from_version <= v
    LIMIT 1) AS collected
FROM unnest(%(versions)s::bigint[]) AS v ORDER BY v
"""

_PIN = """p.name, i.version, CASE WHEN p.removed_at IS NOT NULL THEN 'removed'
  WHEN p.expires_at <= now() THEN 'expired' ELSE 'open' END AS state, p.created_by, p.expires_at, p.reason"""

PINS: Final = f"""
SELECT {_PIN} FROM metadata.version_partition c
JOIN metadata.pin_item i ON i.tenant_id = c.tenant_id AND i.dataset_id = c.dataset_id AND i.version >= c.from_version
  AND i.version < coalesce(c.to_version, 9223372036854775807)
JOIN metadata.pin p ON p.tenant_id = i.tenant_id AND p.pin_id = i.pin_id AND p.removed_at IS NULL
WHERE c.tenant_id = %(tenant)s AND c.materialization_id = %(materialization)s
ORDER BY p.name LIMIT {SHOWN + 1}
"""

PINS_OF_VERSION: Final = f"""
SELECT {_PIN} FROM metadata.pin_item i
JOIN metadata.pin p ON p.tenant_id = i.tenant_id AND p.pin_id = i.pin_id AND p.removed_at IS NULL
WHERE i.tenant_id = %(tenant)s AND i.dataset_id = %(dataset)s AND i.version = %(version)s
ORDER BY p.name LIMIT {SHOWN + 1}
"""

DELIVERIES: Final = f"""
SELECT m.materialization_id, m.run_id, m.committed_at, p.published_in, coalesce(p.current, false) AS current,
  EXISTS (SELECT 1 FROM metadata.retraction r
    WHERE r.tenant_id = m.tenant_id AND r.materialization_id = m.materialization_id) AS retracted,
  EXISTS (SELECT 1 FROM metadata.condemned x
    WHERE x.tenant_id = m.tenant_id AND x.materialization_id = m.materialization_id) AS collected,
  m.fencing_token,
  ARRAY(
    SELECT a.name FROM (
      SELECT unnest(c.awaited) AS name FROM (
        SELECT k.awaited FROM metadata.candidate k
        WHERE k.tenant_id = m.tenant_id AND k.materialization_id = m.materialization_id
        ORDER BY k.at DESC, k.run_id LIMIT 1) c) a
    WHERE NOT EXISTS (
      SELECT 1 FROM metadata.check_result k
      WHERE k.tenant_id = m.tenant_id AND k.materialization_id = m.materialization_id AND k.name = a.name)
    ORDER BY a.name) AS waiting,
  ARRAY(
    SELECT l.name FROM (
      SELECT DISTINCT ON (k.name) k.name, k.blocking AND NOT k.passed AND k.severity = 'ERROR' AS refuses
      FROM metadata.check_result k
      WHERE k.tenant_id = m.tenant_id AND k.materialization_id = m.materialization_id
      ORDER BY k.name, k.evaluation DESC, k.at DESC, k.run_id) l
    WHERE l.refuses ORDER BY l.name) AS failed,
  EXISTS (SELECT 1 FROM metadata.version_partition c
    JOIN metadata.materialization o ON o.tenant_id = c.tenant_id AND o.materialization_id = c.materialization_id
    WHERE c.tenant_id = m.tenant_id AND c.dataset_id = m.dataset_id AND c.partition_key = m.partition_key
      AND c.to_version IS NULL AND o.fencing_token > m.fencing_token) AS fenced
FROM (
  SELECT * FROM metadata.materialization o
  WHERE o.tenant_id = %(tenant)s AND o.dataset_id = %(dataset)s AND o.partition_key = %(partition)s
  ORDER BY o.committed_at DESC, o.materialization_id LIMIT {FIRST + 1}) m
LEFT JOIN LATERAL (
  SELECT min(c.from_version) AS published_in, bool_or(c.to_version IS NULL) AS current
  FROM metadata.version_partition c
  WHERE c.tenant_id = m.tenant_id AND c.materialization_id = m.materialization_id) p ON true
ORDER BY m.committed_at DESC, m.materialization_id
"""

# The step is known from what it delivered before, or is given. A run names its partition by a tag, or names a range.
# Attempts that succeeded are not looked at: an index has the others, by step. A step that did not succeed may have
# delivered all the same: then it is a delivery. What was tried after the next version is told of that one.
_TAG = "j.tags ->> 'dagster/partition'"
_LOW, _HIGH = "j.tags ->> 'dagster/asset_partition_range_start'", "j.tags ->> 'dagster/asset_partition_range_end'"
TRIED: Final = f"""
WITH steps AS MATERIALIZED (
  SELECT n.step_key FROM (
    SELECT m.step_key FROM metadata.materialization m WHERE m.tenant_id = %(tenant)s AND m.dataset_id = %(dataset)s
    ORDER BY m.committed_at DESC LIMIT 20) n
  UNION SELECT unnest(%(steps)s::text[])
), moments AS MATERIALIZED (
  SELECT coalesce((
    SELECT n.published_at FROM metadata.version n
    WHERE n.tenant_id = %(tenant)s AND n.dataset_id = %(dataset)s AND n.version = %(version)s::bigint + 1),
    %(until)s::timestamptz, 'infinity') AS until
), undelivered AS MATERIALIZED (
  SELECT t.job_id, a.* FROM steps s CROSS JOIN moments b CROSS JOIN LATERAL (
    SELECT * FROM metadata.task_attempt o
    WHERE o.tenant_id = %(tenant)s AND o.step_key = s.step_key AND o.status <> 'succeeded'
      AND o.created_at > %(since)s::timestamptz - interval '7d' AND o.created_at < b.until + interval '7d'
    ORDER BY o.created_at DESC LIMIT {TRIES + 1}) a
  CROSS JOIN LATERAL (SELECT * FROM metadata.task o WHERE o.tenant_id = %(tenant)s AND o.task_id = a.task_id LIMIT 1) t
), tried AS MATERIALIZED (
  SELECT a.attempt_id, j.run_id, a.step_key, a.number, {ATTEMPT_STATUS} AS status, a.lease_owner, a.lease_epoch,
    l.heartbeat_at, l.expires_at, a.started_at, a.ended_at, a.failure_class, a.failure_reason,
    coalesce({_TAG}, {_LOW} || '...' || ({_HIGH})) AS partition, j.name AS job, j.status AS run_status,
    nullif(concat_ws(': ', j.failure_class, j.failure_reason), '') AS run_failure,
    coalesce(a.ended_at, l.expires_at, a.started_at, a.created_at) AS at
  FROM undelivered a
  CROSS JOIN LATERAL (SELECT * FROM metadata.job o WHERE o.tenant_id = %(tenant)s AND o.job_id = a.job_id LIMIT 1) j
  LEFT JOIN LATERAL (
    SELECT * FROM metadata.attempt_lease o
    WHERE o.tenant_id = %(tenant)s AND o.attempt_id = a.attempt_id LIMIT 1) l ON true
  WHERE NOT EXISTS (
      SELECT 1 FROM metadata.materialization o
      WHERE o.tenant_id = %(tenant)s AND o.run_id = j.run_id AND o.step_key = a.step_key
        AND o.dataset_id = %(dataset)s AND (%(every)s OR o.partition_key = %(partition)s))
    AND NOT EXISTS (
      SELECT 1 FROM metadata.redelivery r
      JOIN metadata.materialization o ON o.tenant_id = %(tenant)s AND o.materialization_id = r.materialization_id
      WHERE r.tenant_id = %(tenant)s AND r.run_id = j.run_id AND r.step_key = a.step_key
        AND o.dataset_id = %(dataset)s AND (%(every)s OR o.partition_key = %(partition)s))
    AND (%(every)s OR {_TAG} = %(partition)s OR (%(partition)s BETWEEN {_LOW} AND {_HIGH})
      OR ({_TAG} IS NULL AND {_LOW} IS NULL)))
SELECT s.step_key AS step, (SELECT count(*) FROM undelivered u WHERE u.step_key = s.step_key) AS looked_at, f.*
FROM steps s CROSS JOIN moments b
LEFT JOIN tried f ON f.step_key = s.step_key AND f.at > %(since)s AND f.at <= b.until
ORDER BY f.at DESC NULLS LAST, f.attempt_id, s.step_key LIMIT {TRIED_SHOWN + 1}
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
