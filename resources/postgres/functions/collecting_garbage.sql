-- Whose files may go, and when. What is decided here is committed before the first file is touched, so whoever comes
-- later (a commit, a publish, a rollback, a pin) sees the decision; a crash leaves it for the next collection to finish.
-- Only the database's clock counts.

-- Attempts whose time is up before they committed, and those whose delivery had been committed by another attempt: from
-- now on neither can commit (MA423), so their files are nobody's. A commit that holds the lease right now wins.
-- Answers these, and what earlier collections did not finish, after p_after in the order of locations.
CREATE OR REPLACE FUNCTION metadata.reap_staging(p_after text, p_limit integer)
RETURNS TABLE (location text, run_id text, redelivered boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
BEGIN
  UPDATE metadata.staging_lease l SET state = 'reaping'
  FROM (
    SELECT o.attempt_id, o.dataset_id, o.partition_key FROM metadata.staging_lease o
    WHERE o.tenant_id = v_tenant AND o.state = 'open' AND o.location > p_after
      AND (o.expires_at < clock_timestamp() OR metadata.was_redelivered(v_tenant, o.location))
    ORDER BY o.location LIMIT p_limit FOR UPDATE SKIP LOCKED) g
  WHERE l.tenant_id = v_tenant AND l.attempt_id = g.attempt_id AND l.dataset_id = g.dataset_id
    AND l.partition_key = g.partition_key;

  RETURN QUERY SELECT u.location, u.run_id, u.redelivered FROM metadata.unneeded(v_tenant, p_after, p_limit) u;
END $$;

-- What reap_staging would answer if it changed nothing.
CREATE OR REPLACE FUNCTION metadata.reapable_staging(p_after text, p_limit integer)
RETURNS TABLE (location text, run_id text, redelivered boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM (
    SELECT o.location, o.run_id, metadata.was_redelivered(o.tenant_id, o.location) FROM metadata.staging_lease o
    WHERE o.tenant_id = metadata.current_tenant() AND o.state = 'open' AND o.location > p_after
      AND (o.expires_at < clock_timestamp() OR metadata.was_redelivered(o.tenant_id, o.location))
    UNION ALL
    SELECT u.location, u.run_id, u.redelivered FROM metadata.unneeded(metadata.current_tenant(), p_after, p_limit) u) g
  ORDER BY 1 LIMIT p_limit
$$;

-- For functions of this owner only: leases that are being reaped, and redeliveries whose files nobody discarded yet,
-- once the lease of that attempt is gone.
CREATE OR REPLACE FUNCTION metadata.unneeded(p_tenant uuid, p_after text, p_limit integer)
RETURNS TABLE (location text, run_id text, redelivered boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT * FROM (
    SELECT l.location, l.run_id, metadata.was_redelivered(p_tenant, l.location) FROM metadata.staging_lease l
    WHERE l.tenant_id = p_tenant AND l.state = 'reaping' AND l.location > p_after
    UNION
    SELECT r.location, r.run_id, true FROM metadata.redelivery r
    WHERE r.tenant_id = p_tenant AND r.location > p_after AND metadata.was_redelivered(p_tenant, r.location)
      AND NOT EXISTS (
        SELECT 1 FROM metadata.discarded d WHERE d.tenant_id = p_tenant AND d.location = r.location)
      AND NOT EXISTS (
        SELECT 1 FROM metadata.staging_lease l WHERE l.tenant_id = p_tenant AND l.location = r.location)) u
  ORDER BY 1 LIMIT p_limit
$$;

-- Whether these files were delivered after another attempt had committed the same, and are no materialization's.
CREATE OR REPLACE FUNCTION metadata.was_redelivered(p_tenant uuid, p_location text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT 1 FROM metadata.redelivery r
    JOIN metadata.materialization m ON m.tenant_id = p_tenant AND m.materialization_id = r.materialization_id
    WHERE r.tenant_id = p_tenant AND r.location = p_location AND m.location IS DISTINCT FROM r.location
      AND m.attempt_id <> r.attempt_id)
    AND NOT EXISTS (
      SELECT 1 FROM metadata.materialization o WHERE o.tenant_id = p_tenant AND o.location = p_location)
$$;

-- The files at these locations are gone: forget the leases that were being reaped, and remember of redeliveries that
-- theirs are. Answers how many locations that were.
CREATE OR REPLACE FUNCTION metadata.forget_staging(p_locations text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_gone text[];
  v_discarded text[];
BEGIN
  WITH gone AS (
    DELETE FROM metadata.staging_lease l
    WHERE l.tenant_id = v_tenant AND l.location = ANY (p_locations) AND l.state = 'reaping' RETURNING l.location)
  SELECT coalesce(array_agg(location), '{}') INTO v_gone FROM gone;
  WITH discarded AS (
    INSERT INTO metadata.discarded (tenant_id, location, actor)
    SELECT DISTINCT v_tenant, r.location, current_setting('metadata.actor') FROM metadata.redelivery r
    WHERE r.tenant_id = v_tenant AND r.location = ANY (p_locations) AND metadata.was_redelivered(v_tenant, r.location)
    ORDER BY 2 ON CONFLICT (tenant_id, location) DO NOTHING RETURNING location)
  SELECT coalesce(array_agg(location), '{}') INTO v_discarded FROM discarded;
  RETURN (SELECT count(DISTINCT l) FROM unnest(v_gone || v_discarded) AS l);
END $$;

-- Is any of the versions from p_from until before p_to (null: for ever) named by a pin that still holds?
CREATE OR REPLACE FUNCTION metadata.is_pinned(p_tenant uuid, p_dataset uuid, p_from bigint, p_to bigint)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT 1 FROM metadata.pin_item i
    JOIN metadata.pin p ON p.tenant_id = p_tenant AND p.pin_id = i.pin_id
    WHERE i.tenant_id = p_tenant AND i.dataset_id = p_dataset AND i.version >= p_from
      AND (p_to IS NULL OR i.version < p_to) AND p.removed_at IS NULL
      AND (p.expires_at IS NULL OR p.expires_at > clock_timestamp()))
$$;

-- Is this run over, and has it been for longer than this? Over are a run that ended, as its source told, and one whose
-- attempts hold leases, of which at least one was lost and none is alive. A run that nobody told of is not. Moments are
-- those at which this database heard of it.
CREATE OR REPLACE FUNCTION metadata.is_over(p_tenant uuid, p_run_id text, p_for interval) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT 1 FROM metadata.job j
    WHERE j.tenant_id = p_tenant AND j.run_id = p_run_id AND CASE
      WHEN j.ended_at IS NOT NULL THEN j.updated_at < clock_timestamp() - p_for
      ELSE (
        SELECT coalesce(bool_or(a.status = 'lost' OR l.expires_at < clock_timestamp())
          AND bool_and(CASE a.status WHEN 'running' THEN l.expires_at ELSE a.updated_at END
            < clock_timestamp() - p_for), false)
          AND NOT coalesce(bool_or(a.status = 'running' AND l.attempt_id IS NULL), false)
        FROM metadata.task t
        JOIN metadata.task_attempt a ON a.tenant_id = p_tenant AND a.task_id = t.task_id
        LEFT JOIN metadata.attempt_lease l ON l.tenant_id = p_tenant AND l.attempt_id = a.attempt_id
        WHERE t.tenant_id = p_tenant AND t.job_id = j.job_id) END)
$$;

-- For functions of this owner only: those of some materializations of a dataset whose files nobody can ask for any more.
-- That is what is not current, in no pin's version, in none of the last p_keep_versions versions and was replaced longer
-- than p_keep_for ago; and what was committed longer than that ago, was never published and is overtaken: something
-- usable of its partition, or what is current there, is of a later attempt. Never what still waits for a check of a run
-- that is not over, or has not been for that long.
-- Whoever acts on it holds the dataset's row and asks in a new statement: then nobody else can move the dataset.
CREATE OR REPLACE FUNCTION metadata.garbage_among(
  p_tenant uuid, p_dataset uuid, p_keep_versions bigint, p_keep_for interval, p_materializations uuid[]
) RETURNS TABLE (materialization_id uuid, location text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT m.materialization_id, m.location
  FROM metadata.dataset d
  JOIN metadata.materialization m ON m.tenant_id = p_tenant AND m.dataset_id = d.dataset_id
    AND m.materialization_id = ANY (p_materializations)
  CROSS JOIN LATERAL (
    SELECT count(*) AS times, bool_or(c.to_version IS NULL) AS is_current, max(c.to_version) AS replaced_in
    FROM metadata.version_partition c
    WHERE c.tenant_id = p_tenant AND c.materialization_id = m.materialization_id) p
  WHERE d.tenant_id = p_tenant AND d.dataset_id = p_dataset AND m.location IS NOT NULL
    AND m.committed_at < clock_timestamp() - p_keep_for
    AND NOT EXISTS (
      SELECT 1 FROM metadata.condemned x WHERE x.tenant_id = p_tenant AND x.materialization_id = m.materialization_id)
    AND CASE WHEN p.times = 0 THEN EXISTS (
        SELECT 1 FROM metadata.materialization n
        LEFT JOIN metadata.retraction r ON r.tenant_id = p_tenant AND r.materialization_id = n.materialization_id
        LEFT JOIN metadata.condemned x ON x.tenant_id = p_tenant AND x.materialization_id = n.materialization_id
        WHERE n.tenant_id = p_tenant AND n.dataset_id = p_dataset AND n.partition_key = m.partition_key
          AND n.fencing_token > m.fencing_token AND r.materialization_id IS NULL AND x.materialization_id IS NULL)
        AND NOT EXISTS (
          SELECT 1 FROM metadata.candidate w CROSS JOIN unnest(w.awaited) AS a (name)
          WHERE w.tenant_id = p_tenant AND w.materialization_id = m.materialization_id AND NOT EXISTS (
            SELECT 1 FROM metadata.check_result f
            WHERE f.tenant_id = p_tenant AND f.materialization_id = m.materialization_id AND f.name = a.name)
            AND NOT metadata.is_over(p_tenant, w.run_id, p_keep_for))
      ELSE NOT p.is_current AND p.replaced_in <= d.published_version - p_keep_versions + 1
        AND EXISTS (
          SELECT 1 FROM metadata.version v
          WHERE v.tenant_id = p_tenant AND v.dataset_id = p_dataset AND v.version = p.replaced_in
            AND v.published_at < clock_timestamp() - p_keep_for)
        AND NOT EXISTS (
          SELECT 1 FROM metadata.version_partition c
          WHERE c.tenant_id = p_tenant AND c.materialization_id = m.materialization_id
            AND metadata.is_pinned(p_tenant, p_dataset, c.from_version, c.to_version)) END
$$;

-- Errors: MA422 condemned, for a retention that keeps less than the present version.
CREATE OR REPLACE FUNCTION metadata.refuse_retention(p_keep_versions bigint, p_keep_for interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_keep_versions < 1 OR p_keep_for < interval '0' THEN
    RAISE EXCEPTION 'at least the present version is kept, and for no negative time'
      USING ERRCODE = 'MA422', CONSTRAINT = 'condemned';
  END IF;
END $$;

-- Look at the next p_limit materializations of a dataset, in the order in which they were committed, after the given one
-- (null: from the first). Answers one row: how far that got (null: there are no more), and what of it is garbage now.
-- Takes no lock: what somebody asks for before it is condemned is found by the second look, which condemn_garbage takes.
CREATE OR REPLACE FUNCTION metadata.look_for_garbage(
  p_dataset uuid, p_keep_versions bigint, p_keep_for interval, p_after_at timestamptz, p_after_id uuid, p_limit integer
) RETURNS TABLE (seen_at timestamptz, seen_id uuid, materialization_ids uuid[], locations text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_at timestamptz := coalesce(p_after_at, '-infinity');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
  v_seen uuid[];
BEGIN
  PERFORM metadata.refuse_retention(p_keep_versions, p_keep_for);
  SELECT array_agg(s.materialization_id ORDER BY s.committed_at, s.materialization_id), max(s.committed_at)
  INTO v_seen, seen_at
  FROM (
    SELECT m.committed_at, m.materialization_id FROM metadata.materialization m
    WHERE m.tenant_id = v_tenant AND m.dataset_id = p_dataset AND m.committed_at >= v_at
      AND (m.committed_at, m.materialization_id) > (v_at, v_id) AND m.committed_at < clock_timestamp() - p_keep_for
    ORDER BY m.committed_at, m.materialization_id LIMIT p_limit) s;
  seen_id := v_seen[cardinality(v_seen)];
  SELECT coalesce(array_agg(g.materialization_id ORDER BY g.materialization_id), '{}'),
    coalesce(array_agg(g.location ORDER BY g.materialization_id), '{}')
  INTO materialization_ids, locations
  FROM metadata.garbage_among(v_tenant, p_dataset, p_keep_versions, p_keep_for, v_seen) g;
  RETURN NEXT;
END $$;

-- Condemn those of these materializations of a dataset that are garbage: from now on nobody publishes, rolls back to or
-- pins them. Answers which. First the dataset's row, as publish, rollback and pin take it, and in a NEW statement the
-- look: in one statement a pin or a publish that was waited for would not be seen.
CREATE OR REPLACE FUNCTION metadata.condemn_garbage(
  p_dataset uuid, p_keep_versions bigint, p_keep_for interval, p_materializations uuid[]
) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_condemned uuid[];
BEGIN
  PERFORM metadata.refuse_retention(p_keep_versions, p_keep_for);
  PERFORM 1 FROM metadata.dataset d WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset FOR NO KEY UPDATE;

  WITH new AS (
    INSERT INTO metadata.condemned (tenant_id, materialization_id)
    SELECT v_tenant, g.materialization_id
    FROM metadata.garbage_among(v_tenant, p_dataset, p_keep_versions, p_keep_for, p_materializations) g
    ORDER BY g.materialization_id
    ON CONFLICT (tenant_id, materialization_id) DO NOTHING RETURNING materialization_id)
  SELECT coalesce(array_agg(n.materialization_id), '{}') INTO v_condemned FROM new n;
  RETURN v_condemned;
END $$;

-- The files of these condemned materializations are gone. Answers how many that is news of.
CREATE OR REPLACE FUNCTION metadata.mark_collected(p_materializations uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_collected bigint;
BEGIN
  UPDATE metadata.condemned c SET state = 'collected', collected_at = clock_timestamp()
  WHERE c.tenant_id = metadata.current_tenant() AND c.materialization_id = ANY (p_materializations)
    AND c.state = 'condemned';
  GET DIAGNOSTICS v_collected = ROW_COUNT;
  RETURN v_collected;
END $$;

-- Refuse what is condemned or collected (MA422), and name it. `unusable` tells it earlier, and in its own words.
CREATE OR REPLACE FUNCTION metadata.refuse_condemned(p_tenant uuid, p_materializations uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_first text;
  v_count bigint;
BEGIN
  SELECT min(x.materialization_id::text), count(*) INTO v_first, v_count FROM metadata.condemned x
  WHERE x.tenant_id = p_tenant AND x.materialization_id = ANY (p_materializations);
  IF v_count > 0 THEN
    RAISE EXCEPTION 'the data of materialization % were collected as garbage, or are about to be%', v_first,
      CASE WHEN v_count > 1 THEN format(' (and of %s more)', v_count - 1) ELSE '' END
      USING ERRCODE = 'MA422', CONSTRAINT = 'condemned';
  END IF;
END $$;

-- No version gets what is condemned, whichever function makes it.
CREATE OR REPLACE FUNCTION metadata.refuse_condemned_partitions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.refuse_condemned(
    metadata.current_tenant(), ARRAY(SELECT n.materialization_id FROM new_rows n));
  RETURN NULL;
END $$;
