-- Make the partitions of a dataset equal those of an earlier version: one new version more. A partition that differs is
-- replaced, one that was born since is closed, and nothing is written for any other. The present version is named, so
-- nobody undoes what he did not see.
-- Lock order: dataset by advisory lock, idempotency, dataset by row.
-- Errors: MA409 key used for another request, or (expected_version) another version is the present one; MA404 version:
-- no such dataset or version; MA422 rollback: it is that version already; MA422 unusable: it has something retracted or
-- collected.
CREATE OR REPLACE FUNCTION metadata.roll_back(
  p_key text, p_fingerprint bytea, p_dataset uuid, p_name text, p_to bigint, p_expected bigint, p_reason text
) RETURNS TABLE (version bigint, partitions_changed bigint, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_present bigint;
  v_replayed boolean;
  v_ended text[];
  v_winners uuid[];
BEGIN
  PERFORM pg_advisory_xact_lock(uuid_hash_extended(p_dataset, 0));
  v_replayed := metadata.is_replay('rollback', p_key, p_fingerprint, p_dataset);
  IF NOT v_replayed THEN
    SELECT d.published_version INTO v_present FROM metadata.dataset d
    WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset FOR NO KEY UPDATE;
    IF v_present IS NULL THEN
      RAISE EXCEPTION 'there is no dataset %', p_name USING ERRCODE = 'MA404', CONSTRAINT = 'version';
    ELSIF v_present <> p_expected THEN
      RAISE EXCEPTION '% is at version %, not %', p_name, v_present, p_expected
        USING ERRCODE = 'MA409', CONSTRAINT = 'expected_version';
    ELSIF p_to NOT BETWEEN 1 AND v_present THEN
      RAISE EXCEPTION '% has no version %, its versions are 1 to %', p_name, p_to, v_present
        USING ERRCODE = 'MA404', CONSTRAINT = 'version';
    ELSIF p_to = v_present THEN
      RAISE EXCEPTION '% is at version % already', p_name, p_to USING ERRCODE = 'MA422', CONSTRAINT = 'rollback';
    END IF;

    -- What ended since then, and what began since then: nothing else can differ.
    WITH was AS (
      SELECT c.partition_key, c.materialization_id FROM metadata.version_partition c
      WHERE c.tenant_id = v_tenant AND c.dataset_id = p_dataset AND c.to_version > p_to AND c.from_version <= p_to
    ), present AS (
      SELECT c.partition_key, c.materialization_id FROM metadata.version_partition c
      WHERE c.tenant_id = v_tenant AND c.dataset_id = p_dataset AND c.from_version > p_to AND c.to_version IS NULL
    )
    SELECT coalesce(array_agg(p.partition_key) FILTER (WHERE p.partition_key IS NOT NULL), '{}'),
      coalesce(array_agg(w.materialization_id) FILTER (WHERE w.materialization_id IS NOT NULL), '{}')
    INTO v_ended, v_winners
    FROM was w FULL JOIN present p ON p.partition_key = w.partition_key
    WHERE p.materialization_id IS DISTINCT FROM w.materialization_id;

    PERFORM metadata.refuse_unusable(v_tenant, v_winners, false);
    PERFORM metadata.make_version(v_tenant, p_dataset, v_present + 1, 'rollback', p_key, NULL, p_reason, p_to, NULL, v_ended,
      v_winners);
  END IF;

  RETURN QUERY
    SELECT v.version, v.partitions_changed, v_replayed
    FROM metadata.version v
    WHERE v.tenant_id = v_tenant AND v.dataset_id = p_dataset AND v.kind = 'rollback' AND v.idempotency_key = p_key;
END $$;

-- Say for ever that a materialization is bad. Where it is current its dataset gets a version without it: the partition
-- is absent, and nothing older takes its place by itself. Said again, the first answer is the answer.
-- Lock order: dataset by advisory lock, dataset by row.
-- Errors: MA404 unknown materialization.
CREATE OR REPLACE FUNCTION metadata.retract(p_materialization uuid, p_reason text)
RETURNS TABLE (dataset_id uuid, version bigint, reason text, actor text, at timestamptz, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_dataset uuid;
  v_partition text;
  v_version bigint;
  v_replayed boolean;
BEGIN
  PERFORM metadata.hold_versions(v_tenant, ARRAY[p_materialization]);
  SELECT m.dataset_id, m.partition_key INTO v_dataset, v_partition
  FROM metadata.materialization m WHERE m.tenant_id = v_tenant AND m.materialization_id = p_materialization;
  IF v_dataset IS NULL THEN
    RAISE EXCEPTION 'there is no materialization %', p_materialization
      USING ERRCODE = 'MA404', CONSTRAINT = 'retraction';
  END IF;
  SELECT d.published_version + 1 INTO v_version FROM metadata.dataset d
  WHERE d.tenant_id = v_tenant AND d.dataset_id = v_dataset FOR NO KEY UPDATE;

  INSERT INTO metadata.retraction (tenant_id, materialization_id, reason, actor)
  VALUES (v_tenant, p_materialization, p_reason, current_setting('metadata.actor'))
  ON CONFLICT (tenant_id, materialization_id) DO NOTHING;
  v_replayed := NOT FOUND;

  IF NOT v_replayed THEN
    PERFORM metadata.tell('materialization.retracted', jsonb_build_object(
      'dataset_id', v_dataset, 'partition_key', v_partition, 'materialization_id', p_materialization));
    IF EXISTS (
      SELECT 1 FROM metadata.version_partition c
      WHERE c.tenant_id = v_tenant AND c.materialization_id = p_materialization AND c.to_version IS NULL) THEN
      PERFORM metadata.make_version(v_tenant, v_dataset, v_version, 'retract', p_materialization::text, NULL, p_reason, NULL,
        NULL, ARRAY[v_partition], '{}');
    END IF;
  END IF;

  RETURN QUERY
    SELECT v_dataset, v.version, r.reason, r.actor, r.at, v_replayed FROM metadata.retraction r
    LEFT JOIN metadata.version v ON v.tenant_id = v_tenant AND v.dataset_id = v_dataset AND v.kind = 'retract'
      AND v.idempotency_key = p_materialization::text
    WHERE r.tenant_id = v_tenant AND r.materialization_id = p_materialization;
END $$;
