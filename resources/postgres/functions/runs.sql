-- What a code location is now. Answers the id of this content, and whether it was not the active one before.
CREATE OR REPLACE FUNCTION metadata.activate_dag(p_code_location text, p_content_sha256 bytea, p_metadata jsonb)
RETURNS TABLE (dag_version_id uuid, changed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_version uuid;
  v_active uuid;
  v_now timestamptz;
BEGIN
  INSERT INTO metadata.dag_version (tenant_id, code_location, content_sha256, metadata)
  VALUES (v_tenant, p_code_location, p_content_sha256, p_metadata)
  ON CONFLICT (tenant_id, code_location, content_sha256) DO NOTHING;
  SELECT d.dag_version_id INTO STRICT v_version FROM metadata.dag_version d
  WHERE d.tenant_id = v_tenant AND d.code_location = p_code_location AND d.content_sha256 = p_content_sha256;

  SELECT a.dag_version_id INTO v_active FROM metadata.active_dag a
  WHERE a.tenant_id = v_tenant AND a.code_location = p_code_location AND a.valid_to IS NULL FOR NO KEY UPDATE;
  IF v_active = v_version THEN
    RETURN QUERY SELECT v_version, false;
    RETURN;
  END IF;
  v_now := clock_timestamp();
  UPDATE metadata.active_dag a SET valid_to = v_now
  WHERE a.tenant_id = v_tenant AND a.code_location = p_code_location AND a.valid_to IS NULL;
  INSERT INTO metadata.active_dag (tenant_id, code_location, dag_version_id, valid_from)
  VALUES (v_tenant, p_code_location, v_version, v_now)
  ON CONFLICT (tenant_id, code_location) WHERE valid_to IS NULL DO NOTHING;
  RETURN QUERY SELECT v_version, true;
END $$;

-- A code location is no more. Whether it had an active version.
CREATE OR REPLACE FUNCTION metadata.retire_dag(p_code_location text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE metadata.active_dag a SET valid_to = greatest(clock_timestamp(), a.valid_from)
  WHERE a.tenant_id = metadata.current_tenant() AND a.code_location = p_code_location AND a.valid_to IS NULL;
  RETURN FOUND;
END $$;

-- Record what a source, such as an event log, says about runs and about attempts at their steps.
--   p_jobs     [{run_id, name, code_location, status, as_of, started_at, ended_at, failure_class, failure_reason, tags}]
--   p_attempts [{run_id, step_key, number, status, started_at, ended_at, failure_class, failure_reason}]
--   p_position how far the source was read when this was said, kept in the same transaction
-- Facts add up to the same rows in whatever order, number and batches they come; what says nothing new writes nothing.
-- Of a run the last word of its source counts (as_of; now without it), and after an end only another end. Its name, its
-- code location and its tags are each the last ones that it was told to have: a fact without them says nothing of them.
-- Of an attempt the first start counts, and succeeded before failed before cancelled before lost before running. A run that ended leaves none of its attempts
-- running, but for those that somebody holds a lease of. Answers how many rows of each were written.
-- Every call takes the rows of its runs first, in order: so the end of a run and the start of a step cannot miss each
-- other.
CREATE OR REPLACE FUNCTION metadata.record_runs(p_source text, p_jobs jsonb, p_attempts jsonb, p_position jsonb)
RETURNS TABLE (jobs bigint, attempts bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_worth text[] := ARRAY['running', 'lost', 'cancelled', 'failed', 'succeeded'];
  v_runs text[];
  v_ids uuid[];
  v_versions uuid[];
  v_jobs bigint;
  v_written bigint;
  v_attempts bigint;
BEGIN
  SELECT coalesce(array_agg(DISTINCT f.run_id), '{}') INTO v_runs FROM (
    SELECT j.run_id FROM jsonb_to_recordset(p_jobs) AS j (run_id text)
    UNION ALL SELECT a.run_id FROM jsonb_to_recordset(p_attempts) AS a (run_id text)) f;

  WITH told AS (
    SELECT j.run_id, j.name, j.code_location, j.status, coalesce(j.as_of, clock_timestamp()) AS as_of,
      j.failure_class, j.failure_reason, j.tags, min(j.started_at) OVER (PARTITION BY j.run_id) AS started_at,
      CASE WHEN j.status NOT IN ('queued', 'running')
        THEN coalesce(j.ended_at, j.as_of, clock_timestamp()) END AS ended_at
    FROM jsonb_to_recordset(p_jobs) AS j (
      run_id text, name text, code_location text, status text, as_of timestamptz, started_at timestamptz,
      ended_at timestamptz, failure_class text, failure_reason text, tags jsonb)
    UNION ALL
    SELECT DISTINCT a.run_id, NULL, NULL, 'running', '-infinity'::timestamptz, NULL, NULL, NULL::jsonb,
      NULL::timestamptz, NULL::timestamptz
    FROM jsonb_to_recordset(p_attempts) AS a (run_id text)
  ), chosen AS (
    SELECT DISTINCT ON (t.run_id) t.* FROM told t
    ORDER BY t.run_id, t.ended_at IS NOT NULL DESC, t.as_of DESC, t.status DESC,
      coalesce(t.failure_class, '') DESC, coalesce(t.failure_reason, '') DESC
  ), named AS (
    SELECT DISTINCT ON (t.run_id) t.run_id, t.name, t.as_of FROM told t WHERE t.name IS NOT NULL
    ORDER BY t.run_id, t.as_of DESC, t.name DESC
  ), located AS (
    SELECT DISTINCT ON (t.run_id) t.run_id, t.code_location, t.as_of FROM told t WHERE t.code_location IS NOT NULL
    ORDER BY t.run_id, t.as_of DESC, t.code_location DESC
  ), tagged AS (
    SELECT DISTINCT ON (t.run_id) t.run_id, t.tags, t.as_of FROM told t WHERE t.tags <> '{}'
    ORDER BY t.run_id, t.as_of DESC, t.tags DESC
  )
  INSERT INTO metadata.job AS j
    (tenant_id, run_id, source, status, as_of, started_at, ended_at, failure_class, failure_reason,
     name, name_as_of, code_location, code_location_as_of, tags, tags_as_of)
  SELECT v_tenant, c.run_id, p_source, c.status, c.as_of, c.started_at, c.ended_at, c.failure_class, c.failure_reason,
    n.name, coalesce(n.as_of, '-infinity'), l.code_location, coalesce(l.as_of, '-infinity'),
    coalesce(g.tags, '{}'), coalesce(g.as_of, '-infinity')
  FROM chosen c
  LEFT JOIN named n ON n.run_id = c.run_id
  LEFT JOIN located l ON l.run_id = c.run_id
  LEFT JOIN tagged g ON g.run_id = c.run_id
  ORDER BY c.run_id
  ON CONFLICT (tenant_id, run_id) DO UPDATE SET
    (status, as_of, ended_at, failure_class, failure_reason) = (
      SELECT w.status, w.as_of, w.ended_at, w.failure_class, w.failure_reason
      FROM (VALUES
        (j.status, j.as_of, j.ended_at, j.failure_class, j.failure_reason),
        (excluded.status, excluded.as_of, excluded.ended_at, excluded.failure_class, excluded.failure_reason)
      ) AS w (status, as_of, ended_at, failure_class, failure_reason)
      ORDER BY w.ended_at IS NOT NULL DESC, w.as_of DESC, w.status DESC,
        coalesce(w.failure_class, '') DESC, coalesce(w.failure_reason, '') DESC LIMIT 1),
    (name, name_as_of) = (
      SELECT w.name, w.at FROM (VALUES (j.name, j.name_as_of), (excluded.name, excluded.name_as_of)) AS w (name, at)
      ORDER BY w.at DESC, w.name DESC NULLS LAST LIMIT 1),
    (code_location, code_location_as_of) = (
      SELECT w.code_location, w.at
      FROM (VALUES (j.code_location, j.code_location_as_of), (excluded.code_location, excluded.code_location_as_of))
        AS w (code_location, at)
      ORDER BY w.at DESC, w.code_location DESC NULLS LAST LIMIT 1),
    (tags, tags_as_of) = (
      SELECT w.tags, w.at FROM (VALUES (j.tags, j.tags_as_of), (excluded.tags, excluded.tags_as_of)) AS w (tags, at)
      ORDER BY w.at DESC, w.tags DESC LIMIT 1),
    started_at = least(j.started_at, excluded.started_at), updated_at = clock_timestamp()
  WHERE (excluded.ended_at IS NOT NULL, excluded.as_of, excluded.status,
      coalesce(excluded.failure_class, ''), coalesce(excluded.failure_reason, ''))
    > (j.ended_at IS NOT NULL, j.as_of, j.status, coalesce(j.failure_class, ''), coalesce(j.failure_reason, ''))
    OR (excluded.name_as_of, excluded.name) > (j.name_as_of, j.name)
    OR (excluded.code_location_as_of, excluded.code_location) > (j.code_location_as_of, j.code_location)
    OR (excluded.tags_as_of, excluded.tags) > (j.tags_as_of, j.tags);
  GET DIAGNOSTICS v_jobs = ROW_COUNT;

  -- A start that was told of late, by an older word.
  UPDATE metadata.job j SET started_at = f.started_at, updated_at = clock_timestamp()
  FROM (
    SELECT n.run_id, min(n.started_at) AS started_at
    FROM jsonb_to_recordset(p_jobs) AS n (run_id text, started_at timestamptz) GROUP BY n.run_id) f
  WHERE j.tenant_id = v_tenant AND j.run_id = ANY (v_runs) AND j.run_id = f.run_id
    AND f.started_at IS NOT NULL AND (j.started_at IS NULL OR f.started_at < j.started_at);
  GET DIAGNOSTICS v_written = ROW_COUNT;
  v_jobs := v_jobs + v_written;

  -- The code that was active when the run started, or the first that is known.
  SELECT array_agg(d.job_id), array_agg(d.dag_version_id) INTO v_ids, v_versions FROM (
    SELECT k.job_id, (
      SELECT a.dag_version_id FROM metadata.active_dag a
      WHERE a.tenant_id = v_tenant AND a.code_location = k.code_location
        AND (a.valid_to IS NULL OR a.valid_to > k.started_at)
      ORDER BY a.valid_from LIMIT 1) AS dag_version_id
    FROM metadata.job k WHERE k.tenant_id = v_tenant AND k.run_id = ANY (v_runs)
      AND k.dag_version_id IS NULL AND k.started_at IS NOT NULL) d
  WHERE d.dag_version_id IS NOT NULL;
  IF v_ids IS NOT NULL THEN  -- not joined with itself: without statistics each row would be compared with every one
    UPDATE metadata.job j SET dag_version_id = d.version, updated_at = clock_timestamp()
    FROM unnest(v_ids, v_versions) AS d (id, version) WHERE j.tenant_id = v_tenant AND j.job_id = d.id;
  END IF;

  INSERT INTO metadata.task (tenant_id, job_id, step_key)
  SELECT DISTINCT v_tenant, j.job_id, a.step_key
  FROM jsonb_to_recordset(p_attempts) AS a (run_id text, step_key text)
  JOIN metadata.job j ON j.tenant_id = v_tenant AND j.run_id = ANY (v_runs) AND j.run_id = a.run_id
  ORDER BY 2, 3
  ON CONFLICT (tenant_id, job_id, step_key) DO NOTHING;

  WITH told AS (
    SELECT t.task_id, t.step_key, a.number, a.status, a.ended_at, a.failure_class, a.failure_reason,
      min(a.started_at) OVER (PARTITION BY t.task_id, a.number) AS started_at
    FROM jsonb_to_recordset(p_attempts) AS a (
      run_id text, step_key text, number integer, status text, started_at timestamptz, ended_at timestamptz,
      failure_class text, failure_reason text)
    JOIN metadata.job j ON j.tenant_id = v_tenant AND j.run_id = ANY (v_runs) AND j.run_id = a.run_id
    JOIN metadata.task t ON t.tenant_id = v_tenant AND t.job_id = j.job_id AND t.step_key = a.step_key
  ), chosen AS (
    SELECT DISTINCT ON (t.task_id, t.number) t.* FROM told t
    ORDER BY t.task_id, t.number, array_position(v_worth, t.status) DESC, t.ended_at,
      coalesce(t.failure_class, ''), coalesce(t.failure_reason, '')
  )
  INSERT INTO metadata.task_attempt AS a
    (tenant_id, task_id, step_key, number, status, started_at, ended_at, failure_class, failure_reason)
  SELECT v_tenant, c.task_id, c.step_key, c.number, c.status, c.started_at, c.ended_at, c.failure_class, c.failure_reason
  FROM chosen c ORDER BY c.task_id, c.number
  ON CONFLICT (tenant_id, task_id, number, lease_epoch) DO UPDATE SET
    status = excluded.status, ended_at = excluded.ended_at, failure_class = excluded.failure_class,
    failure_reason = excluded.failure_reason, started_at = least(a.started_at, excluded.started_at),
    updated_at = clock_timestamp()
  WHERE array_position(v_worth, excluded.status) > array_position(v_worth, a.status)
    OR excluded.status = a.status
      AND (excluded.ended_at, coalesce(excluded.failure_class, ''), coalesce(excluded.failure_reason, ''))
        < (a.ended_at, coalesce(a.failure_class, ''), coalesce(a.failure_reason, ''));
  GET DIAGNOSTICS v_attempts = ROW_COUNT;

  UPDATE metadata.task_attempt a SET started_at = f.started_at, updated_at = clock_timestamp()
  FROM (
    SELECT t.task_id, n.number, min(n.started_at) AS started_at
    FROM jsonb_to_recordset(p_attempts) AS n (run_id text, step_key text, number integer, started_at timestamptz)
    JOIN metadata.job j ON j.tenant_id = v_tenant AND j.run_id = ANY (v_runs) AND j.run_id = n.run_id
    JOIN metadata.task t ON t.tenant_id = v_tenant AND t.job_id = j.job_id AND t.step_key = n.step_key
    GROUP BY t.task_id, n.number) f
  WHERE a.tenant_id = v_tenant AND a.task_id = f.task_id AND a.number = f.number AND a.lease_epoch = 0
    AND f.started_at IS NOT NULL AND (a.started_at IS NULL OR f.started_at < a.started_at);
  GET DIAGNOSTICS v_written = ROW_COUNT;
  v_attempts := v_attempts + v_written;

  UPDATE metadata.task_attempt a SET
    status = CASE j.status WHEN 'cancelled' THEN 'cancelled' ELSE 'lost' END,
    failure_class = CASE j.status WHEN 'cancelled' THEN 'RunCancelled' ELSE 'RunLost' END,
    failure_reason = coalesce(j.failure_reason, 'the run ended without a word of this step'),
    ended_at = j.ended_at, updated_at = clock_timestamp()
  FROM metadata.job j JOIN metadata.task t ON t.tenant_id = j.tenant_id AND t.job_id = j.job_id
  WHERE j.tenant_id = v_tenant AND j.run_id = ANY (v_runs) AND j.ended_at IS NOT NULL
    AND a.tenant_id = v_tenant AND a.task_id = t.task_id AND a.lease_epoch = 0 AND a.status = 'running';
  GET DIAGNOSTICS v_written = ROW_COUNT;
  v_attempts := v_attempts + v_written;

  IF p_position IS NOT NULL THEN
    INSERT INTO metadata.mirror_position AS m (tenant_id, source, position) VALUES (v_tenant, p_source, p_position)
    ON CONFLICT (tenant_id, source) DO UPDATE SET position = excluded.position, updated_at = clock_timestamp()
    WHERE m.position <> excluded.position;
  END IF;
  RETURN QUERY SELECT v_jobs, v_attempts;
END $$;
