-- What is told again and again is kept for a time, by the database's clock. Each call takes away p_limit rows at most
-- (null: all); p_rehearsed, it counts and takes nothing. The audit is told how many went (audit_forget).

-- Of each table the newest profile stays; of the others those stay that are among the last p_keep and younger than
-- p_keep_for. Tables are looked at by id after p_after, p_limit at most. Answers how many profiles went, and after which
-- table to go on; null when that was the last one.
CREATE OR REPLACE FUNCTION metadata.forget_profiles(
  p_keep bigint, p_keep_for interval, p_after uuid, p_limit bigint, p_rehearsed boolean
) RETURNS TABLE (forgotten bigint, last uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_since timestamptz := clock_timestamp() - p_keep_for;
  v_asset uuid;
  v_edge timestamptz;
  v_gone timestamptz[];
  v_looked bigint := 0;
BEGIN
  forgotten := 0;
  last := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
  LOOP
    SELECT p.asset_id, p.at INTO v_asset, v_edge FROM metadata.profile p
    WHERE p.tenant_id = v_tenant AND p.asset_id > last ORDER BY p.asset_id LIMIT 1;
    IF NOT FOUND THEN
      last := NULL;
      EXIT;
    END IF;
    SELECT greatest(least(v_since, n.newest), n.last_kept) INTO v_edge
    FROM (
      SELECT max(k.at) AS newest, CASE WHEN count(*) = p_keep THEN min(k.at) END AS last_kept
      FROM (
        SELECT p.at FROM metadata.profile p WHERE p.tenant_id = v_tenant AND p.asset_id = v_asset
        ORDER BY p.at DESC LIMIT p_keep) k) n;
    v_gone := ARRAY(
      SELECT p.at FROM metadata.profile p
      WHERE p.tenant_id = v_tenant AND p.asset_id = v_asset AND p.at < v_edge
      ORDER BY p.at LIMIT p_limit - forgotten);
    IF NOT p_rehearsed THEN
      DELETE FROM metadata.profile p WHERE p.tenant_id = v_tenant AND p.asset_id = v_asset AND p.at = ANY (v_gone);
    END IF;
    forgotten := forgotten + cardinality(v_gone);
    v_looked := v_looked + 1;
    EXIT WHEN forgotten >= p_limit;  -- there may be more of this table
    last := v_asset;
    EXIT WHEN v_looked >= p_limit;
  END LOOP;
  RETURN NEXT;
END $$;

-- What events said of runs, and of what these read and wrote, longer than p_keep_for ago. What was said of jobs and of
-- datasets stays, and so does that the run was, and what it read and wrote.
CREATE OR REPLACE FUNCTION metadata.forget_facets(p_keep_for interval, p_limit bigint, p_rehearsed boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_since timestamptz := clock_timestamp() - p_keep_for;
  v_gone uuid[];
  v_count bigint;
BEGIN
  v_gone := ARRAY(
    SELECT f.facet_id FROM metadata.facet f
    WHERE f.tenant_id = v_tenant AND f.run_id IS NOT NULL AND f.updated_at < v_since
    ORDER BY f.updated_at, f.facet_id LIMIT p_limit);
  IF p_rehearsed THEN
    RETURN cardinality(v_gone);
  END IF;
  DELETE FROM metadata.facet f
  WHERE f.tenant_id = v_tenant AND f.facet_id = ANY (v_gone) AND f.updated_at < v_since;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

-- Refused events that nobody tried, or that were accepted, longer than p_keep_for ago.
CREATE OR REPLACE FUNCTION metadata.forget_refused(p_keep_for interval, p_limit bigint, p_rehearsed boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_since timestamptz := clock_timestamp() - p_keep_for;
  v_gone uuid[];
  v_count bigint;
BEGIN
  v_gone := ARRAY(
    SELECT r.refused_id FROM metadata.refused_event r
    WHERE r.tenant_id = v_tenant AND r.last_at < v_since
    ORDER BY r.last_at, r.refused_id LIMIT p_limit);
  IF p_rehearsed THEN
    RETURN cardinality(v_gone);
  END IF;
  DELETE FROM metadata.refused_event r
  WHERE r.tenant_id = v_tenant AND r.refused_id = ANY (v_gone) AND r.last_at < v_since;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;
