-- Make materializations the current ones of their partitions: one new version for each dataset that changes, all in one
-- transaction, so readers see all or nothing. Answers one row per dataset: its version, which of the given
-- materializations had been published by then, and which were fenced, because a later attempt had been. The version is
-- the one that this call made, or else the one by which all of them were published or fenced. An answer is made of
-- history up to its version alone, and history only grows: the same call gets the same answer for ever.
-- Lock order: datasets by advisory lock, idempotency, datasets by row. The advisory locks come before the transaction
-- has an id, so that whoever waits for a dataset gets a later id and is told later in the outbox.
-- Errors: MA404 unknown materialization; MA409 key used for another request; MA422 two materializations of one partition.
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
  PERFORM pg_advisory_xact_lock(l.key) FROM (
    SELECT DISTINCT uuid_hash_extended(m.dataset_id, 0) AS key
    FROM metadata.materialization m WHERE m.tenant_id = v_tenant AND m.materialization_id = ANY (p_materializations)
    ORDER BY 1) l;

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
    WITH decided AS (
      SELECT m.dataset_id, m.materialization_id, mine.version AS published_in,
        coalesce(made.version, max(least(mine.version, later.version)) OVER (PARTITION BY m.dataset_id)) AS version
      FROM metadata.materialization m
      LEFT JOIN metadata.version made
        ON made.tenant_id = v_tenant AND made.dataset_id = m.dataset_id AND made.idempotency_key = p_key
      CROSS JOIN LATERAL (
        SELECT min(c.from_version) AS version FROM metadata.version_partition c
        WHERE c.tenant_id = v_tenant AND c.materialization_id = m.materialization_id) mine
      CROSS JOIN LATERAL (
        SELECT min(c.from_version) AS version FROM metadata.version_partition c
        JOIN metadata.materialization o
          ON o.tenant_id = v_tenant AND o.materialization_id = c.materialization_id
        WHERE c.tenant_id = v_tenant AND c.dataset_id = m.dataset_id AND c.partition_key = m.partition_key
          AND o.fencing_token > m.fencing_token AND made.version IS NULL) later
      WHERE m.tenant_id = v_tenant AND m.materialization_id = ANY (p_materializations)
    )
    SELECT d.dataset_id, d.version,
      coalesce(array_agg(d.materialization_id ORDER BY d.materialization_id)
        FILTER (WHERE d.published_in <= d.version), '{}'),
      coalesce(array_agg(d.materialization_id ORDER BY d.materialization_id)
        FILTER (WHERE (d.published_in <= d.version) IS NOT TRUE), '{}'),
      v_replayed
    FROM decided d GROUP BY d.dataset_id, d.version ORDER BY d.dataset_id;
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

    PERFORM metadata.follow_inputs(p_tenant, p_actor, v_dataset, v_winners);

    INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    VALUES (p_tenant, gen_random_uuid(), 'version.published', jsonb_build_object(
      'dataset_id', v_dataset, 'version', v_version, 'materialization_ids', to_jsonb(v_winners)));
  END LOOP;
END $$;

-- The lineage of what a dataset now is: an open edge to each input of the winners, none to an input that no current
-- partition was made from. Mostly nothing changes, and then nothing is written. Only for an edge that the winners do not
-- have are the inputs of other current partitions looked at, and the first one found ends it.
CREATE OR REPLACE FUNCTION metadata.follow_inputs(p_tenant uuid, p_actor text, p_dataset uuid, p_winners uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE metadata.relationship r SET valid_to = clock_timestamp()
  WHERE r.tenant_id = p_tenant AND r.source_asset_id = p_dataset AND r.type = 'DEPENDS_ON'
    AND r.producer = 'materialization' AND r.scope = p_dataset::text AND r.valid_to IS NULL
    AND r.target_asset_id NOT IN (
      SELECT i.input_asset_id FROM metadata.materialization_input i
      WHERE i.tenant_id = p_tenant AND i.materialization_id = ANY (p_winners))
    AND NOT EXISTS (
      SELECT 1 FROM metadata.version_partition c
      JOIN metadata.materialization_input i
        ON i.tenant_id = p_tenant AND i.materialization_id = c.materialization_id
        AND i.input_asset_id = r.target_asset_id
      WHERE c.tenant_id = p_tenant AND c.dataset_id = p_dataset AND c.to_version IS NULL);

  -- Those that a publish closed between the commit of a winner and now.
  INSERT INTO metadata.relationship (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
  SELECT p_tenant, p_dataset, n.input_asset_id, 'DEPENDS_ON', 'materialization', p_dataset::text, p_actor
  FROM (
    SELECT DISTINCT i.input_asset_id FROM metadata.materialization_input i
    WHERE i.tenant_id = p_tenant AND i.materialization_id = ANY (p_winners)) n
  WHERE NOT EXISTS (
    SELECT 1 FROM metadata.relationship r
    WHERE r.tenant_id = p_tenant AND r.source_asset_id = p_dataset AND r.target_asset_id = n.input_asset_id
      AND r.type = 'DEPENDS_ON' AND r.producer = 'materialization' AND r.scope = p_dataset::text
      AND r.valid_to IS NULL)
  ORDER BY n.input_asset_id
  ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING;
END $$;
