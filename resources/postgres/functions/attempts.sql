-- A number that only grows. An attempt takes it when its step starts: the later start wins at publishing,
-- however late the earlier one finishes.
CREATE OR REPLACE FUNCTION metadata.next_fencing_token() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT nextval('metadata.fencing_token')
$$;

-- How a step begins: its fencing token, and only then whom keys name and what is published of its inputs, in one look.
-- What it reads are pairs: the key of a dataset and one of its partitions. Answers a row for each key that names something
-- and one for each such partition that is published (with materialization_id); one row with the token alone where there
-- is neither. Found by index, pair by pair, whatever the statistics say: row-level security estimates badly.
CREATE OR REPLACE FUNCTION metadata.begin_step(p_keys text[], p_read_keys text[], p_read_partitions text[])
RETURNS TABLE (
  token bigint, key text, entity_id uuid, birth_sha256 bytea, writable boolean, partition_key text, version bigint,
  materialization_id uuid, location text, manifest_sha256 bytea, row_count bigint, data_version text
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_token bigint := metadata.next_fencing_token();
BEGIN
  RETURN QUERY
    WITH named AS MATERIALIZED (SELECT h.* FROM metadata.holders_of(p_keys) h)
    SELECT v_token, n.key, n.entity_id, n.birth_sha256, n.writable, c.partition_key, c.version, c.materialization_id,
      c.location, c.manifest_sha256, c.row_count, c.data_version
    FROM (VALUES (1)) AS one LEFT JOIN named n ON true LEFT JOIN LATERAL (
      SELECT NULL::text AS partition_key, NULL::bigint AS version, NULL::uuid AS materialization_id,
        NULL::text AS location, NULL::bytea AS manifest_sha256, NULL::bigint AS row_count, NULL::text AS data_version
      UNION ALL
      SELECT p.partition_key, d.published_version, m.materialization_id, m.location, m.manifest_sha256, m.row_count,
        m.data_version
      FROM unnest(p_read_keys, p_read_partitions) AS r (key, partition_key)
      JOIN metadata.version_partition p ON p.tenant_id = v_tenant AND p.dataset_id = n.entity_id
        AND p.partition_key = r.partition_key AND p.to_version IS NULL
      JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = p.dataset_id
      JOIN metadata.materialization m ON m.tenant_id = v_tenant AND m.materialization_id = p.materialization_id
      WHERE r.key = n.key) c ON true
    ORDER BY n.key, c.partition_key NULLS FIRST;
END $$;

-- Register where an attempt is about to write, before its first byte. p_leases: [{dataset_id, partition_key, location}].
-- The same attempt asking again (its answer was lost) gets the same lease.
CREATE OR REPLACE FUNCTION metadata.open_staging(
  p_attempt uuid, p_leases jsonb, p_run_id text, p_step_key text, p_ttl interval
) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_expires timestamptz;
BEGIN
  INSERT INTO metadata.staging_lease
    (tenant_id, attempt_id, dataset_id, partition_key, location, run_id, step_key, expires_at)
  SELECT v_tenant, p_attempt, l.dataset_id, l.partition_key, l.location, p_run_id, p_step_key, clock_timestamp() + p_ttl
  FROM jsonb_to_recordset(p_leases) AS l (dataset_id uuid, partition_key text, location text)
  ORDER BY l.dataset_id, l.partition_key
  ON CONFLICT (tenant_id, attempt_id, dataset_id, partition_key) DO NOTHING;
  SELECT min(expires_at) INTO v_expires
  FROM metadata.staging_lease WHERE tenant_id = v_tenant AND attempt_id = p_attempt AND state = 'open';
  RETURN v_expires;
END $$;
