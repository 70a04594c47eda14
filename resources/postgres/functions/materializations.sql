-- Record what one attempt produced: each (dataset, partition) exactly once per idempotency key, all in one transaction.
--   p_items  [{idempotency_key, fingerprint (hex), materialization_id, dataset_id, partition_key, intent, code_version,
--              location, manifest_sha256 (hex), row_count, byte_count, data_version, metadata}]
--   p_inputs [{materialization_id, asset_id, partition_key, input_materialization_id, input_version, metadata}]
-- Answers one row per item. Needs READ COMMITTED: the claim waits for a concurrent first attempt, and the SEPARATE
-- statement after it has a new snapshot in which that attempt's row is visible.
-- Existing rows are looked up by arrays of keys, never by a join with p_items: the planner takes that for a hundred rows
-- and would rather read a whole table. Planned once: a plan for each length of these arrays costs more than it saves.
-- An array is never looked through for each item, either: planned once, that is each with each.
-- Errors: MA409 the key was used for another request; MA423 the staging lease of something with a location is gone, so
-- the files may be too; MA422 metadata_size: more than 64 KiB of metadata (DETAIL: size, limit, key of the dataset).
CREATE OR REPLACE FUNCTION metadata.commit_materializations(
  p_attempt uuid, p_run_id text, p_step_key text, p_retry_number integer, p_fencing_token bigint,
  p_items jsonb, p_inputs jsonb
) RETURNS TABLE (
  idempotency_key text, materialization_id uuid, replayed boolean, attempt_id uuid, location text, data_version text,
  manifest_sha256 bytea, row_count bigint, byte_count bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_token bigint := coalesce(p_fencing_token, nextval('metadata.fencing_token'));
  v_keys text[] := ARRAY(SELECT i.idempotency_key FROM jsonb_to_recordset(p_items) AS i (idempotency_key text));
  v_fresh text[];
  v_items jsonb := p_items;  -- the fresh ones
  v_conflict text;
  v_leases bigint;
  v_limit CONSTANT integer := 65536;
  v_large record;
BEGIN
  -- Claim: sorted by key, so that overlapping batches never deadlock.
  WITH claimed AS (
    INSERT INTO metadata.idempotency (tenant_id, op, key, fingerprint, result_id)
    SELECT v_tenant, 'commit', i.idempotency_key, decode(i.fingerprint, 'hex'), i.materialization_id
    FROM jsonb_to_recordset(p_items) AS i (idempotency_key text, fingerprint text, materialization_id uuid)
    ORDER BY i.idempotency_key
    ON CONFLICT (tenant_id, op, key) DO NOTHING
    RETURNING key
  )
  SELECT coalesce(array_agg(key), '{}') INTO v_fresh FROM claimed;

  -- Was a key that somebody else holds meant for the same request?
  IF cardinality(v_fresh) < cardinality(v_keys) THEN
    SELECT min(i.idempotency_key) INTO v_conflict
    FROM jsonb_to_recordset(p_items) AS i (idempotency_key text, fingerprint text)
    LEFT JOIN (
      SELECT k.key, k.fingerprint FROM metadata.idempotency k
      WHERE k.tenant_id = v_tenant AND k.op = 'commit' AND k.key = ANY (v_keys)) k ON k.key = i.idempotency_key
    WHERE i.idempotency_key NOT IN (SELECT unnest(v_fresh))
      AND k.fingerprint IS DISTINCT FROM decode(i.fingerprint, 'hex');
    IF v_conflict IS NOT NULL THEN
      RAISE EXCEPTION 'idempotency key % was used for another request', v_conflict
        USING ERRCODE = 'MA409', DETAIL = v_conflict;
    END IF;
    v_items := (
      SELECT jsonb_agg(i) FROM jsonb_array_elements(p_items) AS i
      WHERE i ->> 'idempotency_key' IN (SELECT unnest(v_fresh)));
  END IF;

  IF cardinality(v_fresh) > 0 THEN
    -- The fence against garbage collection: it may own these paths by now.
    SELECT count(*) INTO v_leases FROM jsonb_to_recordset(v_items) AS i (idempotency_key text, location text)
    WHERE i.location IS NOT NULL;
    IF v_leases > 0 THEN
      WITH released AS (
        DELETE FROM metadata.staging_lease l
        USING jsonb_to_recordset(v_items) AS i (idempotency_key text, dataset_id uuid, partition_key text, location text)
        WHERE l.tenant_id = v_tenant AND l.attempt_id = p_attempt AND l.state = 'open' AND l.dataset_id = i.dataset_id
          AND l.partition_key = i.partition_key AND l.location = i.location
        RETURNING 1
      )
      SELECT v_leases - count(*) INTO v_leases FROM released;
      IF v_leases <> 0 THEN
        RAISE EXCEPTION 'attempt % no longer holds its staging lease', p_attempt USING ERRCODE = 'MA423';
      END IF;
    END IF;

    INSERT INTO metadata.materialization
      (tenant_id, materialization_id, dataset_id, partition_key, idempotency_key, intent, attempt_id, run_id, step_key,
       retry_number, fencing_token, code_version, location, manifest_sha256, row_count, byte_count, data_version,
       metadata, actor)
    SELECT v_tenant, i.materialization_id, i.dataset_id, i.partition_key, i.idempotency_key, i.intent, p_attempt,
      p_run_id, p_step_key, p_retry_number, v_token, i.code_version, i.location, decode(i.manifest_sha256, 'hex'),
      i.row_count, i.byte_count, i.data_version, coalesce(i.metadata, '{}'), v_actor
    FROM jsonb_to_recordset(v_items) AS i (
      idempotency_key text, materialization_id uuid, dataset_id uuid, partition_key text, intent text,
      code_version text, location text, manifest_sha256 text, row_count bigint, byte_count bigint, data_version text,
      metadata jsonb);

    INSERT INTO metadata.materialization_input
      (tenant_id, materialization_id, input_asset_id, input_partition_key, input_materialization_id, input_version,
       metadata)
    SELECT v_tenant, n.materialization_id, n.asset_id, n.partition_key, n.input_materialization_id, n.input_version,
      coalesce(n.metadata, '{}')
    FROM jsonb_to_recordset(p_inputs) AS n (
      materialization_id uuid, asset_id uuid, partition_key text, input_materialization_id uuid, input_version bigint,
      metadata jsonb)
    JOIN jsonb_to_recordset(v_items) AS i (idempotency_key text, materialization_id uuid)
      ON i.materialization_id = n.materialization_id;

    SELECT octet_length(m.metadata::text) AS size, m.dataset_id INTO v_large FROM metadata.materialization m
    WHERE m.tenant_id = v_tenant AND m.idempotency_key = ANY (v_fresh) AND octet_length(m.metadata::text) > v_limit
    ORDER BY m.idempotency_key LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'the metadata of a materialization is too large' USING ERRCODE = 'MA422',
        CONSTRAINT = 'metadata_size',
        DETAIL = concat_ws(' ', v_large.size, v_limit, metadata.dataset_name(v_tenant, v_large.dataset_id));
    END IF;

    -- What materializations are found by. Longer keys do not fit into an index.
    INSERT INTO metadata.metadata_key (tenant_id, key, committed_at, materialization_id, value_sha256)
    SELECT v_tenant, e.key, m.committed_at, m.materialization_id, metadata.name_digest(e.value::text)
    FROM metadata.materialization m CROSS JOIN LATERAL jsonb_each(m.metadata) e
    WHERE m.tenant_id = v_tenant AND m.idempotency_key = ANY (v_fresh) AND octet_length(e.key) <= 500
    ORDER BY e.key, m.materialization_id;

    -- What was really read is lineage too; one open edge per pair of datasets, however many materializations.
    IF EXISTS (
      SELECT 1 FROM jsonb_to_recordset(p_inputs) AS n (materialization_id uuid, asset_id uuid)
      JOIN jsonb_to_recordset(v_items) AS i (idempotency_key text, materialization_id uuid, dataset_id uuid)
        ON i.materialization_id = n.materialization_id
      WHERE NOT EXISTS (
        SELECT 1 FROM metadata.relationship r
        WHERE r.tenant_id = v_tenant AND r.source_asset_id = i.dataset_id AND r.target_asset_id = n.asset_id
          AND r.type = 'DEPENDS_ON' AND r.producer = 'materialization' AND r.scope = i.dataset_id::text
          AND r.valid_to IS NULL)) THEN
      INSERT INTO metadata.relationship
        (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
      SELECT DISTINCT v_tenant, i.dataset_id, n.asset_id, 'DEPENDS_ON', 'materialization', i.dataset_id::text, v_actor
      FROM jsonb_to_recordset(p_inputs) AS n (materialization_id uuid, asset_id uuid)
      JOIN jsonb_to_recordset(v_items) AS i (idempotency_key text, materialization_id uuid, dataset_id uuid)
        ON i.materialization_id = n.materialization_id
      ORDER BY 2, 3
      ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL
      DO NOTHING;
    END IF;

    INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    SELECT v_tenant, i.materialization_id, 'materialization.committed', jsonb_build_object(
      'dataset_id', i.dataset_id, 'partition_key', i.partition_key, 'materialization_id', i.materialization_id)
    FROM jsonb_to_recordset(v_items) AS i (
      idempotency_key text, materialization_id uuid, dataset_id uuid, partition_key text);
  END IF;

  -- The first commit stands. Another attempt that delivers the same intent is noted, with what it wrote.
  IF cardinality(v_fresh) < cardinality(v_keys) THEN
    INSERT INTO metadata.redelivery
      (tenant_id, materialization_id, attempt_id, run_id, step_key, location, manifest_sha256, same_data, actor)
    SELECT v_tenant, m.materialization_id, p_attempt, p_run_id, p_step_key, i.location,
      decode(i.manifest_sha256, 'hex'), m.data_version IS NOT DISTINCT FROM i.data_version, v_actor
    FROM jsonb_to_recordset(p_items) AS i (
      idempotency_key text, location text, manifest_sha256 text, data_version text)
    JOIN metadata.materialization m
      ON m.tenant_id = v_tenant AND m.idempotency_key = ANY (v_keys) AND m.idempotency_key = i.idempotency_key
    WHERE i.idempotency_key NOT IN (SELECT unnest(v_fresh)) AND m.attempt_id <> p_attempt
    ORDER BY m.materialization_id
    ON CONFLICT (tenant_id, materialization_id, attempt_id) DO NOTHING;
  END IF;

  RETURN QUERY
    SELECT m.idempotency_key, m.materialization_id,
      cardinality(v_fresh) < cardinality(v_keys) AND m.idempotency_key NOT IN (SELECT unnest(v_fresh)),
      m.attempt_id, m.location, m.data_version, m.manifest_sha256, m.row_count, m.byte_count
    FROM metadata.materialization m WHERE m.tenant_id = v_tenant AND m.idempotency_key = ANY (v_keys)
    ORDER BY m.idempotency_key;
END $$;
