-- A number that only grows. An attempt takes it when its step starts: the later start wins at publishing,
-- however late the earlier one finishes.
CREATE OR REPLACE FUNCTION metadata.next_fencing_token() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT nextval('metadata.fencing_token')
$$;

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
