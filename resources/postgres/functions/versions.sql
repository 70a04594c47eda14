-- Make materializations the current ones of their partitions: one new version for each dataset that changes, all in one
-- transaction, so readers see all or nothing. Answers one row per dataset: its version after this call, which of the
-- given materializations were fenced (a later attempt is published already) and whether the call is a replay.
-- Lock order: idempotency, then datasets by id. Errors: MA404 unknown materialization; MA409 key used for another
-- request; MA422 two materializations of one partition.
CREATE OR REPLACE FUNCTION metadata.publish(
  p_key text, p_fingerprint bytea, p_publish_id uuid, p_materializations uuid[]
) RETURNS TABLE (dataset_id uuid, version bigint, published uuid[], fenced uuid[], replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_replayed boolean := false;
  v_fingerprint bytea;
BEGIN
  INSERT INTO metadata.idempotency (tenant_id, op, key, fingerprint, result_id)
  VALUES (v_tenant, 'publish', p_key, p_fingerprint, p_publish_id)
  ON CONFLICT (tenant_id, op, key) DO NOTHING;
  IF NOT FOUND THEN
    SELECT k.fingerprint INTO v_fingerprint
    FROM metadata.idempotency k WHERE k.tenant_id = v_tenant AND k.op = 'publish' AND k.key = p_key;
    IF v_fingerprint IS DISTINCT FROM p_fingerprint THEN
      RAISE EXCEPTION 'idempotency key % was used for another request', p_key USING ERRCODE = 'MA409', DETAIL = p_key;
    END IF;
    v_replayed := true;
  ELSE
    PERFORM metadata.replace_partitions(v_tenant, v_actor, p_key, p_materializations);
  END IF;

  RETURN QUERY
    SELECT m.dataset_id,
      coalesce(v.version, d.published_version),
      coalesce(array_agg(m.materialization_id ORDER BY m.materialization_id)
        FILTER (WHERE p.materialization_id IS NOT NULL), '{}'),
      coalesce(array_agg(m.materialization_id ORDER BY m.materialization_id)
        FILTER (WHERE p.materialization_id IS NULL), '{}'),
      v_replayed
    FROM metadata.materialization m
    JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = m.dataset_id
    LEFT JOIN metadata.version v
      ON v.tenant_id = v_tenant AND v.dataset_id = m.dataset_id AND v.idempotency_key = p_key
    LEFT JOIN LATERAL (
      SELECT vp.materialization_id FROM metadata.version_partition vp
      WHERE vp.tenant_id = v_tenant AND vp.materialization_id = m.materialization_id
        AND vp.from_version <= coalesce(v.version, d.published_version)
        AND (vp.to_version IS NULL OR vp.to_version > coalesce(v.version, d.published_version))
      LIMIT 1
    ) p ON true
    WHERE m.tenant_id = v_tenant AND m.materialization_id = ANY (p_materializations)
    GROUP BY m.dataset_id, v.version, d.published_version
    ORDER BY m.dataset_id;
END $$;

-- The effect of one publish, for functions of this owner only. Nothing replaces what a later attempt published, and what
-- is current already is left alone, so a dataset without a winner keeps its version.
CREATE OR REPLACE FUNCTION metadata.replace_partitions(
  p_tenant uuid, p_actor text, p_key text, p_materializations uuid[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_found bigint;
  v_partitions bigint;
  v_dataset uuid;
  v_version bigint;
  v_winners uuid[];
BEGIN
  SELECT count(*), count(DISTINCT (m.dataset_id, m.partition_key)) INTO v_found, v_partitions
  FROM metadata.materialization m WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations);
  IF v_found <> cardinality(p_materializations) THEN
    RAISE EXCEPTION '% of % materializations are unknown', cardinality(p_materializations) - v_found,
      cardinality(p_materializations) USING ERRCODE = 'MA404';
  END IF;
  IF v_partitions <> v_found THEN
    RAISE EXCEPTION 'two materializations of one partition cannot be published together' USING ERRCODE = 'MA422';
  END IF;

  PERFORM 1 FROM metadata.dataset d
  WHERE d.tenant_id = p_tenant AND d.dataset_id IN (
    SELECT m.dataset_id FROM metadata.materialization m
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations))
  ORDER BY d.dataset_id FOR NO KEY UPDATE;

  -- New statements, new snapshots: from here on nobody else can move these datasets.
  FOR v_dataset, v_version, v_winners IN
    SELECT m.dataset_id, d.published_version + 1, array_agg(m.materialization_id)
    FROM metadata.materialization m
    JOIN metadata.dataset d ON d.tenant_id = p_tenant AND d.dataset_id = m.dataset_id
    LEFT JOIN metadata.version_partition c ON c.tenant_id = p_tenant AND c.dataset_id = m.dataset_id
      AND c.partition_key = m.partition_key AND c.to_version IS NULL
    LEFT JOIN metadata.materialization o ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
      AND (o.materialization_id IS NULL
           OR (o.materialization_id <> m.materialization_id AND o.fencing_token <= m.fencing_token))
    GROUP BY m.dataset_id, d.published_version
    ORDER BY m.dataset_id
  LOOP
    INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor)
    VALUES (p_tenant, v_dataset, v_version, p_key, p_actor);

    UPDATE metadata.version_partition c SET to_version = v_version
    FROM metadata.materialization m
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (v_winners)
      AND c.tenant_id = p_tenant AND c.dataset_id = v_dataset AND c.partition_key = m.partition_key
      AND c.to_version IS NULL;

    INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, materialization_id)
    SELECT p_tenant, v_dataset, m.partition_key, v_version, m.materialization_id
    FROM metadata.materialization m WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (v_winners);

    UPDATE metadata.dataset d SET published_version = v_version, updated_at = clock_timestamp()
    WHERE d.tenant_id = p_tenant AND d.dataset_id = v_dataset;

    INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    VALUES (p_tenant, gen_random_uuid(), 'version.published', jsonb_build_object(
      'dataset_id', v_dataset, 'version', v_version, 'materialization_ids', to_jsonb(v_winners)));
  END LOOP;
END $$;
