-- Say that the current materializations of some partitions (null: of all) are no longer good, and with p_downstream all
-- that was made from them, as it was really read: through every tool and any number of steps, each materialization once.
-- Also those that are not current, so that going back to one shows it stale; was_current tells which were. A partition
-- is stale while what is marked is its current materialization. Nothing is taken from readers.
-- Commits that read something wait meanwhile: each of them is either seen here, or sees what is marked and inherits it.
-- Answers the partitions that became stale, those asked for first.
-- Errors: MA409 key used for another request; MA404 version: no such dataset; MA422 invalidation: more than p_limit.
CREATE OR REPLACE FUNCTION metadata.invalidate(
  p_key text, p_fingerprint bytea, p_dataset uuid, p_name text, p_partitions text[], p_reason text,
  p_downstream boolean, p_limit bigint
) RETURNS TABLE (invalidation_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_id uuid := gen_random_uuid();
  v_now timestamptz := clock_timestamp();
  v_marked bigint;
BEGIN
  IF metadata.is_replay('invalidate', p_key, p_fingerprint, v_id) THEN
    RETURN QUERY SELECT k.result_id, true FROM metadata.idempotency k
      WHERE k.tenant_id = v_tenant AND k.op = 'invalidate' AND k.key = p_key;
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM metadata.dataset d WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset) THEN
    RAISE EXCEPTION 'there is no dataset %', p_name USING ERRCODE = 'MA404', CONSTRAINT = 'version';
  END IF;

  PERFORM pg_advisory_xact_lock(uuid_hash_extended(v_tenant, 18));  -- and in a new statement the look
  WITH RECURSIVE asked AS MATERIALIZED (
    SELECT c.materialization_id FROM metadata.version_partition c
    WHERE c.tenant_id = v_tenant AND c.dataset_id = p_dataset AND c.to_version IS NULL
      AND (p_partitions IS NULL OR c.partition_key = ANY (p_partitions))
  ), made (materialization_id) AS (
    SELECT a.materialization_id FROM asked a
    UNION
    SELECT i.materialization_id FROM made o
    JOIN metadata.materialization_input i
      ON i.tenant_id = v_tenant AND i.input_materialization_id = o.materialization_id
    WHERE p_downstream
  ), marked AS MATERIALIZED (
    SELECT o.materialization_id FROM made o LIMIT p_limit + 1
  ), causes AS (
    SELECT DISTINCT ON (i.materialization_id) i.materialization_id, i.input_materialization_id
    FROM marked o
    JOIN metadata.materialization_input i
      ON i.tenant_id = v_tenant AND i.input_materialization_id = o.materialization_id
    WHERE p_downstream
    ORDER BY i.materialization_id, i.input_materialization_id
  )
  INSERT INTO metadata.invalidation (tenant_id, invalidation_id, materialization_id, dataset_id, partition_key, cause_id,
    was_current, reason, actor, at, downstream)
  SELECT v_tenant, v_id, m.materialization_id, m.dataset_id, m.partition_key,
    CASE WHEN a.materialization_id IS NULL THEN w.input_materialization_id END,
    EXISTS (
      SELECT 1 FROM metadata.version_partition c
      WHERE c.tenant_id = v_tenant AND c.materialization_id = m.materialization_id AND c.to_version IS NULL),
    p_reason, current_setting('metadata.actor'), v_now, p_downstream
  FROM marked o
  JOIN metadata.materialization m ON m.tenant_id = v_tenant AND m.materialization_id = o.materialization_id
  LEFT JOIN asked a ON a.materialization_id = m.materialization_id
  LEFT JOIN causes w ON w.materialization_id = m.materialization_id;
  GET DIAGNOSTICS v_marked = ROW_COUNT;
  IF v_marked > p_limit THEN
    RAISE EXCEPTION 'more than % materializations were made from that', p_limit
      USING ERRCODE = 'MA422', CONSTRAINT = 'invalidation';
  END IF;

  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT v_tenant, gen_random_uuid(), 'partition.invalidated', jsonb_build_object(
    'dataset_id', i.dataset_id, 'invalidation_id', v_id, 'reason', p_reason,
    'partitions', jsonb_agg(i.partition_key ORDER BY i.partition_key))
  FROM metadata.invalidation i
  WHERE i.tenant_id = v_tenant AND i.invalidation_id = v_id AND i.was_current
  GROUP BY i.dataset_id ORDER BY i.dataset_id;
  RETURN QUERY SELECT v_id, false;
END $$;

-- What is committed and had read something stale is stale from the beginning, by the same invalidation: a run that was on
-- its way does not make old mistakes new again.
CREATE OR REPLACE FUNCTION metadata.inherit_staleness() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
BEGIN
  IF NOT EXISTS (SELECT 1 FROM new_rows n WHERE n.input_materialization_id IS NOT NULL) THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(v_tenant, 18));
  WITH RECURSIVE inherited (invalidation_id, materialization_id, cause_id) AS (
    SELECT i.invalidation_id, n.materialization_id, n.input_materialization_id
    FROM new_rows n
    JOIN metadata.invalidation i ON i.tenant_id = v_tenant AND i.materialization_id = n.input_materialization_id
    WHERE i.downstream
    UNION
    SELECT o.invalidation_id, n.materialization_id, n.input_materialization_id
    FROM inherited o JOIN new_rows n ON n.input_materialization_id = o.materialization_id
  )
  INSERT INTO metadata.invalidation (tenant_id, invalidation_id, materialization_id, dataset_id, partition_key, cause_id,
    was_current, reason, actor, at, downstream)
  SELECT DISTINCT ON (o.invalidation_id, o.materialization_id) v_tenant, o.invalidation_id, o.materialization_id,
    m.dataset_id, m.partition_key, o.cause_id, false, i.reason, i.actor, i.at, true
  FROM inherited o
  JOIN metadata.materialization m ON m.tenant_id = v_tenant AND m.materialization_id = o.materialization_id
  JOIN LATERAL (
    SELECT x.reason, x.actor, x.at FROM metadata.invalidation x
    WHERE x.tenant_id = v_tenant AND x.invalidation_id = o.invalidation_id LIMIT 1) i ON true
  ORDER BY o.invalidation_id, o.materialization_id, o.cause_id
  ON CONFLICT (tenant_id, invalidation_id, materialization_id) DO NOTHING;
  RETURN NULL;
END $$;
