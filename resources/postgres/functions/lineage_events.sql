-- Record what lineage events say. Everything adds up to the same rows in whatever order, number and batches it comes:
-- what a run read and wrote is a set that only grows, of a facet the newest word counts (its as_of, then its digest),
-- and runs add up as record_runs has it. A run that another source told before is left to that.
--   p_jobs, p_attempts  as record_runs takes them
--   p_datasets [{run_id, job, role, asset_id, scope}]  what runs read (input) and wrote (output)
--   p_facets   [{about, asset_id, run_id, said_by, name, as_of, sha256, document,
--               columns}]  columns: what a facet of a dataset says of its columns
--   p_links    [{source, target, scope}]  edges that no run told
-- Each output of a run is made from each of its inputs. The run's row is held while that is worked out: who tells the
-- inputs and who tells the outputs cannot miss each other. Answers how many rows of each were written.
CREATE OR REPLACE FUNCTION metadata.record_lineage(
  p_producer text, p_jobs jsonb, p_attempts jsonb, p_datasets jsonb, p_facets jsonb, p_links jsonb
) RETURNS TABLE (runs bigint, datasets bigint, facets bigint, edges bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_told text[];
  v_others text[];
  v_runs bigint;
  v_datasets bigint;
  v_facets bigint;
  v_edges bigint;
BEGIN
  SELECT coalesce(array_agg(DISTINCT n.run_id), '{}') INTO v_told
  FROM jsonb_to_recordset(p_jobs) AS n (run_id text);
  SELECT coalesce(array_agg(j.run_id), '{}') INTO v_others
  FROM metadata.job j WHERE j.tenant_id = v_tenant AND j.run_id = ANY (v_told) AND j.source <> p_producer;
  SELECT r.jobs + r.attempts INTO v_runs FROM metadata.record_runs(
    p_producer,
    (SELECT coalesce(jsonb_agg(n.value), '[]') FROM jsonb_array_elements(p_jobs) n
      WHERE n.value ->> 'run_id' <> ALL (v_others)),
    (SELECT coalesce(jsonb_agg(n.value), '[]') FROM jsonb_array_elements(p_attempts) n
      WHERE n.value ->> 'run_id' <> ALL (v_others)),
    NULL) r;
  PERFORM 1 FROM metadata.job j WHERE j.tenant_id = v_tenant AND j.run_id = ANY (v_told)
  ORDER BY j.run_id FOR NO KEY UPDATE;

  INSERT INTO metadata.run_dataset (tenant_id, run_id, job_asset_id, role, asset_id)
  SELECT DISTINCT v_tenant, n.run_id, n.job, n.role, n.asset_id
  FROM jsonb_to_recordset(p_datasets) AS n (run_id text, job uuid, role text, asset_id uuid)
  ORDER BY n.run_id, n.job, n.role, n.asset_id
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_datasets = ROW_COUNT;

  INSERT INTO metadata.facet AS f (tenant_id, about, asset_id, run_id, said_by, name, as_of, sha256, document, columns)
  SELECT DISTINCT ON (n.about, n.asset_id, n.run_id, n.said_by, n.name)
    v_tenant, n.about, n.asset_id, n.run_id, n.said_by, n.name, n.as_of, decode(n.sha256, 'hex'), n.document,
    nullif(n.columns, 'null')
  FROM jsonb_to_recordset(p_facets) AS n (
    about text, asset_id uuid, run_id text, said_by uuid, name text, as_of timestamptz, sha256 text, document jsonb,
    columns jsonb)
  ORDER BY n.about, n.asset_id, n.run_id, n.said_by, n.name, n.as_of DESC, n.sha256 DESC
  ON CONFLICT ON CONSTRAINT facet_name_key DO UPDATE SET
    as_of = excluded.as_of, sha256 = excluded.sha256, document = excluded.document, columns = excluded.columns,
    updated_at = CASE
      WHEN (excluded.sha256, excluded.columns) IS DISTINCT FROM (f.sha256, f.columns) THEN clock_timestamp()
      ELSE f.updated_at END
  WHERE (excluded.as_of, excluded.sha256) > (f.as_of, f.sha256);
  GET DIAGNOSTICS v_facets = ROW_COUNT;

  WITH links AS (
    SELECT o.asset_id AS source, i.asset_id AS target, n.scope
    FROM (SELECT DISTINCT d.run_id, d.job, d.scope
      FROM jsonb_to_recordset(p_datasets) AS d (run_id text, job uuid, scope text)) n
    JOIN metadata.run_dataset o
      ON o.tenant_id = v_tenant AND o.run_id = n.run_id AND o.job_asset_id = n.job AND o.role = 'output'
    JOIN metadata.run_dataset i
      ON i.tenant_id = v_tenant AND i.run_id = n.run_id AND i.job_asset_id = n.job AND i.role = 'input'
    UNION
    SELECT l.source, l.target, l.scope FROM jsonb_to_recordset(p_links) AS l (source uuid, target uuid, scope text)
  ), again AS (
    UPDATE metadata.relationship r
    SET metadata = r.metadata - 'merge' || jsonb_build_object('asserted_after', r.metadata -> 'merge')
    FROM links l
    WHERE r.tenant_id = v_tenant AND r.source_asset_id = l.source AND r.target_asset_id = l.target
      AND r.type = 'DEPENDS_ON' AND r.producer = p_producer AND r.scope = l.scope AND r.valid_to IS NULL
      AND r.metadata ? 'merge'
  )
  INSERT INTO metadata.relationship (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
  SELECT v_tenant, l.source, l.target, 'DEPENDS_ON', p_producer, l.scope, v_actor
  FROM links l ORDER BY l.source, l.target, l.scope
  ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING;
  GET DIAGNOSTICS v_edges = ROW_COUNT;

  -- What was written about a thing is its description where nobody else gave it one; it is gone where that was taken back.
  UPDATE metadata.asset a SET
    description = w.said,
    metadata = CASE WHEN w.said IS NULL THEN a.metadata - p_producer
      ELSE a.metadata || jsonb_build_object(p_producer, jsonb_build_object('description', w.said)) END,
    version = a.version + 1, updated_at = clock_timestamp()
  FROM (
    SELECT DISTINCT ON (f.asset_id) f.asset_id, CASE
      WHEN f.document -> '_deleted' = 'true' THEN NULL
      WHEN jsonb_typeof(f.document -> 'description') = 'string' THEN nullif(f.document ->> 'description', '') END AS said
    FROM metadata.facet f
    WHERE f.tenant_id = v_tenant AND f.about IN ('job', 'dataset') AND f.name = 'documentation'
      AND f.asset_id IN (SELECT n.asset_id FROM jsonb_to_recordset(p_facets) AS n (asset_id uuid, name text)
        WHERE n.name = 'documentation')
    ORDER BY f.asset_id, f.as_of DESC, f.sha256 DESC) w
  WHERE a.tenant_id = v_tenant AND a.asset_id = w.asset_id
    AND (a.description IS NULL OR a.description = a.metadata -> p_producer ->> 'description')
    AND a.description IS DISTINCT FROM w.said;
  IF v_runs >= 100 THEN
    PERFORM metadata.take_stock(ARRAY['job', 'task', 'task_attempt', 'run_dataset', 'facet', 'relationship']);
  END IF;
  RETURN QUERY SELECT v_runs, v_datasets, v_facets, v_edges;
END $$;

-- Keep events that could not be read, with the reason: once each, however often they come. That one came again and is
-- refused for the same reason is written once a day: it is kept for a time from then on (forget_refused).
--   p_events [{sha256, place, text, characters, error, reason}]
CREATE OR REPLACE FUNCTION metadata.refuse_events(p_events jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_written bigint;
BEGIN
  INSERT INTO metadata.refused_event AS r (tenant_id, sha256, place, text, characters, error, reason)
  SELECT DISTINCT ON (n.sha256)
    v_tenant, decode(n.sha256, 'hex'), n.place, n.text, n.characters, n.error, n.reason
  FROM jsonb_to_recordset(p_events) AS n (
    sha256 text, place text, text text, characters bigint, error text, reason text)
  ORDER BY n.sha256, n.place
  ON CONFLICT (tenant_id, sha256) DO UPDATE SET
    error = excluded.error, reason = excluded.reason, tries = r.tries + 1, last_at = clock_timestamp(),
    accepted_at = NULL
  WHERE r.accepted_at IS NOT NULL OR (r.error, r.reason) <> (excluded.error, excluded.reason)
    OR r.last_at < clock_timestamp() - interval '1 day';
  GET DIAGNOSTICS v_written = ROW_COUNT;
  RETURN v_written;
END $$;

-- What was refused once and is accepted by now; it stays, with when that was.
CREATE OR REPLACE FUNCTION metadata.accept_events(p_sha256 bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_written bigint;
BEGIN
  UPDATE metadata.refused_event r SET accepted_at = clock_timestamp(), tries = r.tries + 1, last_at = clock_timestamp()
  WHERE r.tenant_id = v_tenant AND r.sha256 = ANY (p_sha256) AND r.accepted_at IS NULL;
  GET DIAGNOSTICS v_written = ROW_COUNT;
  RETURN v_written;
END $$;
