-- What checks found, beside what they examined. p_results: [{materialization_id, name, run_id, evaluation, passed,
-- blocking, severity, description, metadata}]. The same evaluation told again changes nothing. Answers how many are new.
-- Errors: 23503 a materialization is unknown.
CREATE OR REPLACE FUNCTION metadata.record_checks(p_results jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_new bigint;
BEGIN
  INSERT INTO metadata.check_result
    (tenant_id, materialization_id, name, run_id, evaluation, passed, blocking, severity, description, metadata, actor)
  SELECT v_tenant, r.materialization_id, r.name, r.run_id, r.evaluation, r.passed, r.blocking, r.severity,
    r.description, coalesce(r.metadata, '{}'), v_actor
  FROM jsonb_to_recordset(p_results) AS r (
    materialization_id uuid, name text, run_id text, evaluation bigint, passed boolean, blocking boolean,
    severity text, description text, metadata jsonb)
  ORDER BY r.materialization_id, r.name, r.run_id, r.evaluation
  ON CONFLICT (tenant_id, materialization_id, name, run_id, evaluation) DO NOTHING;
  GET DIAGNOSTICS v_new = ROW_COUNT;
  RETURN v_new;
END $$;

-- Let what a run delivered be looked at by checks. p_awaited: the blocking ones that publish it, null where none does.
-- p_complete: these are all that there are; else those are added that an earlier run knew. The first answer for a
-- partition of a run stands: a run delivers it once, however often it tries.
CREATE OR REPLACE FUNCTION metadata.await_checks(
  p_run_id text, p_materializations uuid[], p_awaited text[], p_complete boolean
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO metadata.candidate (tenant_id, run_id, dataset_id, partition_key, materialization_id, awaited, actor)
  SELECT m.tenant_id, p_run_id, m.dataset_id, m.partition_key, m.materialization_id,
    CASE WHEN p_complete OR p_awaited IS NULL THEN p_awaited ELSE ARRAY(
      SELECT unnest(p_awaited) UNION SELECT unnest(before.awaited) ORDER BY 1) END,
    current_setting('metadata.actor')
  FROM metadata.materialization m
  LEFT JOIN LATERAL (
    SELECT c.awaited FROM metadata.candidate c
    WHERE c.tenant_id = m.tenant_id AND c.materialization_id = m.materialization_id
    ORDER BY c.at DESC, c.run_id LIMIT 1) before ON true
  WHERE m.tenant_id = metadata.current_tenant() AND m.materialization_id = ANY (p_materializations)
  ORDER BY m.dataset_id, m.partition_key
  ON CONFLICT (tenant_id, run_id, dataset_id, partition_key) DO NOTHING
$$;

-- What the checks of a run examine of a dataset: what the run delivered or, where it delivered nothing, the newest
-- committed data of each partition that were never published, are fit to be, and that nothing published or retracted
-- has overtaken or, where there are none, what is published. All checks of a run examine the same, however late they
-- look, and what they found is recorded with that. No row where there is nothing of the kind.
CREATE OR REPLACE FUNCTION metadata.examine(
  p_run_id text, p_dataset uuid, p_partitions text[], p_awaited text[], p_complete boolean
) RETURNS TABLE (partition_key text, materialization_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_examined uuid[];
BEGIN
  PERFORM pg_advisory_xact_lock(uuid_hash_extended(p_dataset, 15));
  IF NOT EXISTS (
    SELECT 1 FROM metadata.candidate c
    WHERE c.tenant_id = v_tenant AND c.run_id = p_run_id AND c.dataset_id = p_dataset) THEN
    v_examined := ARRAY(
      SELECT n.materialization_id FROM metadata.newest_unpublished(v_tenant, p_dataset, p_partitions, true) n);
    IF cardinality(v_examined) = 0 THEN
      v_examined := ARRAY(
        SELECT c.materialization_id FROM metadata.version_partition c
        WHERE c.tenant_id = v_tenant AND c.dataset_id = p_dataset AND c.to_version IS NULL
          AND (p_partitions IS NULL OR c.partition_key = ANY (p_partitions)));
    END IF;
    PERFORM metadata.await_checks(p_run_id, v_examined, p_awaited, p_complete);
  END IF;
  RETURN QUERY
    SELECT c.partition_key, c.materialization_id FROM metadata.candidate c
    WHERE c.tenant_id = v_tenant AND c.run_id = p_run_id AND c.dataset_id = p_dataset
      AND (p_partitions IS NULL OR c.partition_key = ANY (p_partitions))
    ORDER BY c.partition_key;
END $$;

-- Record what checks found and publish what has passed by that: of the candidates of each run and dataset all or none,
-- exactly once, whoever asks and however often. What was published before stays as it is, and what was retracted or
-- collected does not count, unless that is all: then `refused` says so of what has passed.
--   p_evaluations [{run_id, dataset_id, partition_key, target_run_id, name, evaluation, passed, blocking, severity,
--                   description, metadata}]
-- An evaluation is about what its run examines or delivered and, where that is nothing, about what the target run did;
-- about one partition of it where it names one. p_runs: further runs to look at.
-- Answers a row for each run and dataset with candidates. `settled`: this call published it.
-- A check lets pass what it passed, or failed with severity WARN; the latest evaluation counts.
-- Lock order: datasets by advisory lock, then as in `publish`, dataset by dataset.
CREATE OR REPLACE FUNCTION metadata.settle_checks(p_evaluations jsonb, p_runs text[]) RETURNS TABLE (
  run_id text, dataset_id uuid, version bigint, published uuid[], fenced uuid[], settled boolean, failed text[],
  waiting text[], refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_results jsonb;
  v_runs text[];
  v_datasets uuid[];
  v_members uuid[];
  v_open uuid[];
BEGIN
  WITH told AS (
    SELECT e.*, (
      SELECT min(r.run_id) FROM (
        SELECT 1 AS rank, c.run_id FROM metadata.candidate c
        WHERE c.tenant_id = v_tenant AND c.run_id = e.run_id AND c.dataset_id = e.dataset_id
        UNION ALL SELECT 1, m.run_id FROM metadata.materialization m
        WHERE m.tenant_id = v_tenant AND m.run_id = e.run_id AND m.dataset_id = e.dataset_id) r) AS own
    FROM jsonb_to_recordset(p_evaluations) AS e (
      run_id text, dataset_id uuid, partition_key text, target_run_id text, name text, evaluation bigint,
      passed boolean, blocking boolean, severity text, description text, metadata jsonb)
  ), about AS (
    SELECT t.*, coalesce(t.own, t.target_run_id) AS of_run FROM told t
  ), matched AS (
    SELECT a.*, x.materialization_id
    FROM about a CROSS JOIN LATERAL (
      SELECT c.materialization_id, c.partition_key AS part FROM metadata.candidate c
      WHERE c.tenant_id = v_tenant AND c.run_id = a.of_run AND c.dataset_id = a.dataset_id
      UNION
      SELECT m.materialization_id, m.partition_key FROM metadata.materialization m
      WHERE m.tenant_id = v_tenant AND m.run_id = a.of_run AND m.dataset_id = a.dataset_id) x
    WHERE a.partition_key IS NULL OR a.partition_key = x.part
  )
  SELECT coalesce(jsonb_agg(to_jsonb(matched)), '[]'), coalesce(array_agg(DISTINCT matched.of_run), '{}') || p_runs,
    coalesce(array_agg(DISTINCT matched.dataset_id), '{}')
  INTO v_results, v_runs, v_datasets FROM matched;

  SELECT coalesce(array_agg(DISTINCT c.dataset_id), '{}') || v_datasets INTO v_datasets
  FROM metadata.candidate c WHERE c.tenant_id = v_tenant AND c.run_id = ANY (v_runs);
  PERFORM pg_advisory_xact_lock(l.key) FROM (
    SELECT DISTINCT uuid_hash_extended(d, 0) AS key FROM unnest(v_datasets) AS d ORDER BY 1) l;

  PERFORM metadata.record_checks(v_results);

  -- New statements: whoever held these datasets has committed, and nobody else moves them now.
  FOR run_id, dataset_id, v_members, v_open, failed, waiting IN
    WITH verdict AS (
      SELECT c.run_id, c.dataset_id, c.materialization_id, a.name, r.fine, EXISTS (
        SELECT 1 FROM metadata.version_partition p
        WHERE p.tenant_id = v_tenant AND p.materialization_id = c.materialization_id) AS seen,
        b.materialization_id IS NULL AND x.materialization_id IS NULL AS usable
      FROM metadata.candidate c
      LEFT JOIN metadata.retraction b ON b.tenant_id = v_tenant AND b.materialization_id = c.materialization_id
      LEFT JOIN metadata.condemned x ON x.tenant_id = v_tenant AND x.materialization_id = c.materialization_id
      CROSS JOIN unnest(c.awaited) AS a (name) LEFT JOIN LATERAL (
        SELECT f.passed OR f.severity = 'WARN' AS fine FROM metadata.check_result f
        WHERE f.tenant_id = v_tenant AND f.materialization_id = c.materialization_id AND f.name = a.name
        ORDER BY f.evaluation DESC, f.at DESC, f.run_id LIMIT 1) r ON true
      WHERE c.tenant_id = v_tenant AND c.run_id = ANY (v_runs) AND c.dataset_id = ANY (v_datasets)
    ), counting AS (
      SELECT w.*, w.usable OR NOT bool_or(w.usable) OVER (PARTITION BY w.run_id, w.dataset_id) AS counts FROM verdict w
    )
    SELECT v.run_id, v.dataset_id, array_agg(DISTINCT v.materialization_id) FILTER (WHERE v.seen),
      coalesce(array_agg(DISTINCT v.materialization_id) FILTER (WHERE NOT v.seen AND v.usable),
        CASE WHEN NOT bool_or(v.seen) THEN array_agg(DISTINCT v.materialization_id) END, '{}'),
      coalesce(array_agg(DISTINCT v.name) FILTER (WHERE NOT v.fine AND v.counts), '{}'),
      coalesce(array_agg(DISTINCT v.name) FILTER (WHERE v.fine IS NULL AND v.counts), '{}')
    FROM counting v GROUP BY v.run_id, v.dataset_id ORDER BY v.dataset_id, v.run_id
  LOOP
    version := NULL; published := '{}'; fenced := '{}'; settled := false; refused := NULL;
    IF cardinality(failed) = 0 AND cardinality(waiting) = 0 AND cardinality(v_open) > 0 THEN
      BEGIN
        SELECT p.version, p.published, p.fenced, NOT p.replayed AND cardinality(p.published) > 0
        INTO version, published, fenced, settled
        FROM metadata.publish(format('checks/%s/%s/%s', dataset_id, run_id,
            encode(metadata.name_digest(v_open::text), 'hex')),
          uuid_send(dataset_id) || uuid_send(dataset_id), gen_random_uuid(), v_open) p;
      EXCEPTION WHEN SQLSTATE 'MA404' OR SQLSTATE 'MA422' THEN
        refused := SQLERRM;
      END;
    ELSIF cardinality(v_open) = 0 THEN
      published := v_members;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
