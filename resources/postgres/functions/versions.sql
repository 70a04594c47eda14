-- Make materializations the current ones of their partitions: one new version for each dataset that changes, all in one
-- transaction, so readers see all or nothing. Answers as metadata.published_by. History only grows: the same call gets
-- the same answer for ever.
-- Lock order: datasets by advisory lock, idempotency, datasets by row. The advisory locks come before the transaction
-- has an id, so that whoever waits for a dataset gets a later id and is told later in the outbox.
-- Planned once, as all that it calls: a plan for each length of the array costs more than it saves.
-- Errors: MA404 unknown materialization; MA409 key used for another request; MA422 two materializations of one
-- partition; MA422 unusable: retracted, or collected.
CREATE OR REPLACE FUNCTION metadata.publish(
  p_key text, p_fingerprint bytea, p_publish_id uuid, p_materializations uuid[]
) RETURNS TABLE (dataset_id uuid, version bigint, published uuid[], fenced uuid[], replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_replayed boolean;
BEGIN
  PERFORM metadata.hold_versions(v_tenant, p_materializations);
  v_replayed := metadata.is_replay('publish', p_key, p_fingerprint, p_publish_id);
  IF NOT v_replayed THEN
    PERFORM metadata.make_current(v_tenant, p_key, p_materializations, NULL, NULL, true);
  END IF;
  RETURN QUERY SELECT a.*, v_replayed FROM metadata.published_by(v_tenant, p_key, p_materializations) a;
END $$;

-- metadata.publish of what one dataset gets, as long as that is at the version that the caller has compared it with.
-- Errors: those, and MA409 expected_version: it is at another one. Asked again it is a replay, whatever is there by then.
CREATE OR REPLACE FUNCTION metadata.publish_at(
  p_key text, p_fingerprint bytea, p_publish_id uuid, p_materializations uuid[], p_expected bigint
) RETURNS TABLE (dataset_id uuid, version bigint, published uuid[], fenced uuid[], replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_present bigint;
BEGIN
  PERFORM metadata.hold_versions(v_tenant, p_materializations);
  IF NOT EXISTS (
    SELECT 1 FROM metadata.idempotency i WHERE i.tenant_id = v_tenant AND i.op = 'publish' AND i.key = p_key) THEN
    SELECT d.published_version INTO v_present
    FROM metadata.materialization m
    JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = m.dataset_id
    WHERE m.tenant_id = v_tenant AND m.materialization_id = ANY (p_materializations)
      AND d.published_version <> p_expected LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'what is to be published is at version %, not %', v_present, p_expected
        USING ERRCODE = 'MA409', CONSTRAINT = 'expected_version';
    END IF;
  END IF;
  RETURN QUERY SELECT p.* FROM metadata.publish(p_key, p_fingerprint, p_publish_id, p_materializations) p;
END $$;

-- Record what one attempt produced and publish it in the same transaction: metadata.commit_materializations, and then
-- metadata.publish with p_key of all that was recorded. So both happen or neither does, and nobody sees the one without
-- the other. Where any of it was recorded before, nothing is published: the caller looks at what is there first. Then
-- `version` is null; else it is told with each row, and whether a later attempt has fenced it.
-- Datasets are locked first, as everywhere, although the commit by itself needs none.
-- Errors: those of both.
CREATE OR REPLACE FUNCTION metadata.commit_and_publish(
  p_attempt uuid, p_run_id text, p_step_key text, p_retry_number integer, p_fencing_token bigint,
  p_items jsonb, p_inputs jsonb, p_key text, p_fingerprint bytea, p_publish_id uuid
) RETURNS TABLE (
  idempotency_key text, materialization_id uuid, replayed boolean, attempt_id uuid, location text, data_version text,
  manifest_sha256 bytea, row_count bigint, byte_count bigint, dataset_id uuid, version bigint, is_fenced boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(l.key) FROM (
    SELECT DISTINCT uuid_hash_extended(i.dataset_id, 0) AS key
    FROM jsonb_to_recordset(p_items) AS i (dataset_id uuid) ORDER BY 1) l;
  RETURN QUERY
    WITH recorded AS MATERIALIZED (
      SELECT c.* FROM metadata.commit_materializations(
        p_attempt, p_run_id, p_step_key, p_retry_number, p_fencing_token, p_items, p_inputs) c
    ), published AS MATERIALIZED (
      SELECT p.dataset_id, p.version, p.fenced
      FROM (SELECT array_agg(r.materialization_id ORDER BY r.materialization_id) AS ids FROM recorded r
            HAVING NOT bool_or(r.replayed)) f
      CROSS JOIN LATERAL metadata.publish(p_key, p_fingerprint, p_publish_id, f.ids) p
    )
    SELECT r.*, p.dataset_id, p.version, coalesce(r.materialization_id = ANY (p.fenced), false)
    FROM recorded r
    JOIN jsonb_to_recordset(p_items) AS i (idempotency_key text, dataset_id uuid)
      ON i.idempotency_key = r.idempotency_key
    LEFT JOIN published p ON p.dataset_id = i.dataset_id;
END $$;

-- metadata.publish asked by a person, who says why: whatever waits, and whatever policy the dataset has. What a blocking check
-- refused is published only despite its checks.
-- Answers what readers get by it: the version that was made, or else the present one; `published` is what it has of
-- these materializations, `fenced` what something later has overtaken.
-- Errors: as metadata.publish, and MA422 failed_checks.
CREATE OR REPLACE FUNCTION metadata.publish_by_hand(
  p_key text, p_fingerprint bytea, p_publish_id uuid, p_materializations uuid[], p_reason text, p_despite_checks boolean
) RETURNS TABLE (dataset_id uuid, version bigint, published uuid[], fenced uuid[], replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_replayed boolean;
BEGIN
  PERFORM metadata.hold_versions(v_tenant, p_materializations);
  v_replayed := metadata.is_replay('publish', p_key, p_fingerprint, p_publish_id);
  IF NOT v_replayed THEN
    IF NOT p_despite_checks THEN
      PERFORM metadata.refuse_failed(v_tenant, p_materializations, 'failed_checks');
    END IF;
    PERFORM metadata.make_current(v_tenant, p_key, p_materializations, p_reason, NULL, false);
  END IF;
  RETURN QUERY
    WITH told AS (
      SELECT m.dataset_id, m.materialization_id, coalesce(made.version, d.published_version) AS version, EXISTS (
        SELECT 1 FROM metadata.version_partition c
        WHERE c.tenant_id = v_tenant AND c.materialization_id = m.materialization_id
          AND c.from_version <= coalesce(made.version, d.published_version)
          AND (c.to_version IS NULL OR c.to_version > coalesce(made.version, d.published_version))) AS held
      FROM metadata.materialization m
      JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = m.dataset_id
      LEFT JOIN metadata.version made ON made.tenant_id = v_tenant AND made.dataset_id = m.dataset_id
        AND made.kind = 'publish' AND made.idempotency_key = p_key
      WHERE m.tenant_id = v_tenant AND m.materialization_id = ANY (p_materializations))
    SELECT t.dataset_id, t.version,
      coalesce(array_agg(t.materialization_id ORDER BY t.materialization_id) FILTER (WHERE t.held), '{}'),
      coalesce(array_agg(t.materialization_id ORDER BY t.materialization_id) FILTER (WHERE NOT t.held), '{}'),
      v_replayed
    FROM told t GROUP BY t.dataset_id, t.version ORDER BY t.dataset_id;
END $$;

-- Keep everybody else from making versions of the datasets of these materializations, until the transaction ends.
CREATE OR REPLACE FUNCTION metadata.hold_versions(p_tenant uuid, p_materializations uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(l.key) FROM (
    SELECT DISTINCT uuid_hash_extended(m.dataset_id, 0) AS key
    FROM metadata.materialization m WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
    ORDER BY 1) l;
END $$;

-- One row per dataset: its version, which of the given materializations had been published by then, and which were
-- fenced, because a later attempt had been. The version is the one that was made with this key, or else the one by which
-- all of them were published or fenced. Made of history up to that version alone.
CREATE OR REPLACE FUNCTION metadata.published_by(p_tenant uuid, p_key text, p_materializations uuid[])
RETURNS TABLE (dataset_id uuid, version bigint, published uuid[], fenced uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH decided AS (
      SELECT m.dataset_id, m.materialization_id, mine.version AS published_in,
        coalesce(made.version, max(least(mine.version, later.version)) OVER (PARTITION BY m.dataset_id)) AS version
      FROM metadata.materialization m
      LEFT JOIN metadata.version made
        ON made.tenant_id = p_tenant AND made.dataset_id = m.dataset_id AND made.kind = 'publish'
        AND made.idempotency_key = p_key
      CROSS JOIN LATERAL (
        SELECT min(c.from_version) AS version FROM metadata.version_partition c
        WHERE c.tenant_id = p_tenant AND c.materialization_id = m.materialization_id) mine
      CROSS JOIN LATERAL (
        SELECT min(c.from_version) AS version FROM metadata.version_partition c
        JOIN metadata.materialization o
          ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
        WHERE c.tenant_id = p_tenant AND c.dataset_id = m.dataset_id AND c.partition_key = m.partition_key
          AND o.fencing_token > m.fencing_token AND made.version IS NULL) later
      WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
    )
    SELECT d.dataset_id, d.version,
      coalesce(array_agg(d.materialization_id ORDER BY d.materialization_id)
        FILTER (WHERE d.published_in <= d.version), '{}'),
      coalesce(array_agg(d.materialization_id ORDER BY d.materialization_id)
        FILTER (WHERE (d.published_in <= d.version) IS NOT TRUE), '{}')
    FROM decided d GROUP BY d.dataset_id, d.version ORDER BY d.dataset_id;
END $$;

-- The effect of one publish or release, for functions of this owner only. Nothing replaces what a later attempt
-- published: a release is refused for it. Where a retraction left a partition absent, nothing earlier than that comes
-- back by itself (p_automatic); a person may want it. What is current already is left alone, so a dataset without a
-- winner keeps its version.
CREATE OR REPLACE FUNCTION metadata.make_current(
  p_tenant uuid, p_key text, p_materializations uuid[], p_reason text, p_release uuid, p_automatic boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_found bigint;
  v_partitions bigint;
  v_fenced text;
  v_at timestamptz;
  v_change record;
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

  -- New statements, new snapshots: from here on nobody else can move these datasets. One moment for all of them: who
  -- reads as of a moment sees all of it or nothing. Never before what they have, though the clock be set back.
  SELECT greatest(clock_timestamp(), max((
    SELECT v.published_at FROM metadata.version v
    WHERE v.tenant_id = p_tenant AND v.dataset_id = d.dataset_id AND v.version = d.published_version))) INTO v_at
  FROM metadata.dataset d
  WHERE d.tenant_id = p_tenant AND d.dataset_id IN (
    SELECT m.dataset_id FROM metadata.materialization m
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations));
  PERFORM metadata.refuse_unusable(p_tenant, p_materializations, p_release IS NOT NULL);
  IF p_release IS NOT NULL THEN
    PERFORM metadata.refuse_failed(p_tenant, p_materializations, 'release');
    v_fenced := metadata.told(p_tenant, ARRAY(
      SELECT m.materialization_id FROM metadata.materialization m
      JOIN metadata.version_partition c ON c.tenant_id = p_tenant AND c.dataset_id = m.dataset_id
        AND c.partition_key = m.partition_key AND c.to_version IS NULL
      JOIN metadata.materialization o ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
      WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
        AND o.fencing_token > m.fencing_token));
    IF v_fenced IS NOT NULL THEN
      RAISE EXCEPTION 'a later attempt than % is published', v_fenced
        USING ERRCODE = 'MA422', CONSTRAINT = 'release';
    END IF;
  END IF;

  FOR v_change IN
    SELECT m.dataset_id, d.published_version + 1 AS version, array_agg(m.materialization_id) AS winners,
      array_agg(m.partition_key) AS partitions
    FROM metadata.materialization m
    JOIN metadata.dataset d ON d.tenant_id = p_tenant AND d.dataset_id = m.dataset_id
    LEFT JOIN metadata.version_partition c ON c.tenant_id = p_tenant AND c.dataset_id = m.dataset_id
      AND c.partition_key = m.partition_key AND c.to_version IS NULL
    LEFT JOIN metadata.materialization o ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
      AND ((o.materialization_id IS NULL AND NOT (p_automatic
              AND metadata.is_below_retracted(p_tenant, m.dataset_id, m.partition_key, m.fencing_token)))
           OR (o.materialization_id <> m.materialization_id AND o.fencing_token <= m.fencing_token))
    GROUP BY m.dataset_id, d.published_version
    ORDER BY m.dataset_id
  LOOP
    PERFORM metadata.make_version(p_tenant, v_change.dataset_id, v_change.version, 'publish', p_key, v_at, p_reason, NULL,
      p_release, v_change.partitions, v_change.winners);
  END LOOP;
END $$;

-- What to call some materializations in an error: dataset, partition and id, at most five of them; null for none.
CREATE OR REPLACE FUNCTION metadata.told(p_tenant uuid, p_materializations uuid[]) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(format('materialization %s of %s%s', n.materialization_id,
      metadata.dataset_name(p_tenant, n.dataset_id), nullif(' partition ' || n.partition_key, ' partition ')), ', '
      ORDER BY n.partition_key, n.materialization_id)
    || CASE WHEN cardinality(p_materializations) > 5
         THEN format(' and %s more', cardinality(p_materializations) - 5) ELSE '' END
  FROM (
    SELECT m.materialization_id, m.dataset_id, m.partition_key FROM metadata.materialization m
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_materializations)
    ORDER BY m.partition_key, m.materialization_id LIMIT 5) n
$$;

-- The key that a dataset has now.
CREATE OR REPLACE FUNCTION metadata.dataset_name(p_tenant uuid, p_dataset uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT metadata.present_key(a.qualified_name, metadata.endpoint_names()) FROM metadata.asset a
  WHERE a.tenant_id = p_tenant AND a.asset_id = p_dataset
$$;

-- The lineage of what a dataset now is: an open edge to each input of the winners, none to an input that no current
-- partition was made from. Mostly nothing changes, and then it is only looked. Only for an edge that the winners do not
-- have are the inputs of other current partitions looked at, and the first one found ends it.
CREATE OR REPLACE FUNCTION metadata.follow_inputs(p_tenant uuid, p_actor text, p_dataset uuid, p_winners uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (
    SELECT 1 FROM metadata.relationship r
    WHERE r.tenant_id = p_tenant AND r.source_asset_id = p_dataset AND r.type = 'DEPENDS_ON'
      AND r.producer = 'materialization' AND r.scope = p_dataset::text AND r.valid_to IS NULL
      AND r.target_asset_id NOT IN (
        SELECT i.input_asset_id FROM metadata.materialization_input i
        WHERE i.tenant_id = p_tenant AND i.materialization_id = ANY (p_winners))) THEN
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
  END IF;

  -- Those that a publish closed between the commit of a winner and now.
  IF EXISTS (
    SELECT 1 FROM metadata.materialization_input i
    WHERE i.tenant_id = p_tenant AND i.materialization_id = ANY (p_winners) AND NOT EXISTS (
      SELECT 1 FROM metadata.relationship r
      WHERE r.tenant_id = p_tenant AND r.source_asset_id = p_dataset AND r.target_asset_id = i.input_asset_id
        AND r.type = 'DEPENDS_ON' AND r.producer = 'materialization' AND r.scope = p_dataset::text
        AND r.valid_to IS NULL)) THEN
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
  END IF;
END $$;
