-- Where columns come from, as producers say it by names, and the edges that follow.

-- Keep what a producer says of the columns of the assets p_assets, or of all (null), in one scope or in all of its own
-- (null): what it said there before and does not say now is forgotten. Edges follow with `settle_column_edges`.
--   p_words [{asset_id, name, origin_key, origin_name, origin_asset_id, scope, sha256}]  sha256 in hex, of all texts
-- Answers the assets of what is new or not said any more, and what has the names of the origins.
CREATE OR REPLACE FUNCTION metadata.say_of_columns(p_producer text, p_scope text, p_assets uuid[], p_words jsonb)
RETURNS TABLE (asset_id uuid, origin_asset_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
BEGIN
  RETURN QUERY
    WITH words AS MATERIALIZED (
      SELECT n.asset_id, n.name, n.origin_key, n.origin_name, n.origin_asset_id, n.scope, decode(n.sha256, 'hex') AS sha256
      FROM jsonb_to_recordset(p_words) AS n (
        asset_id uuid, name text, origin_key text, origin_name text, origin_asset_id uuid, scope text, sha256 text)
    ), gone AS (
      DELETE FROM metadata.column_word w
      WHERE w.tenant_id = v_tenant AND w.producer = p_producer AND (p_scope IS NULL OR w.scope = p_scope)
        AND (p_assets IS NULL OR w.asset_id = ANY (p_assets))
        AND NOT EXISTS (SELECT 1 FROM words n WHERE n.asset_id = w.asset_id AND n.sha256 = w.sha256)
      RETURNING w.asset_id, w.origin_asset_id
    ), said AS (
      INSERT INTO metadata.column_word AS w
        (tenant_id, asset_id, name, origin_key, origin_name, origin_asset_id, producer, scope, sha256)
      SELECT v_tenant, n.asset_id, n.name, n.origin_key, n.origin_name, n.origin_asset_id, p_producer, n.scope, n.sha256
      FROM words n
      WHERE NOT EXISTS (
        SELECT 1 FROM metadata.column_word k
        WHERE k.tenant_id = v_tenant AND k.asset_id = n.asset_id AND k.sha256 = n.sha256
          AND k.origin_asset_id IS NOT DISTINCT FROM n.origin_asset_id) -- a row that stays is not even locked
      ORDER BY n.asset_id, n.sha256
      ON CONFLICT (tenant_id, asset_id, sha256) DO UPDATE SET
        origin_asset_id = excluded.origin_asset_id, updated_at = clock_timestamp()
      WHERE w.origin_asset_id IS DISTINCT FROM excluded.origin_asset_id
      RETURNING w.asset_id, w.origin_asset_id
    )
    SELECT * FROM gone UNION SELECT * FROM said;
END $$;

-- What was declared about a column of a thing is meant for whatever has the thing's name by now.
CREATE OR REPLACE FUNCTION metadata.inherit_column_words(p_old uuid[], p_new uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE metadata.column_word w SET origin_asset_id = h.new, updated_at = clock_timestamp()
  FROM unnest(p_old, p_new) AS h (old, new)
  WHERE w.tenant_id = metadata.current_tenant() AND w.origin_asset_id = h.old;
END $$;

-- Let the edges of columns be what is said of them: of the assets p_said, of which the words changed, and of p_columns, of
-- which the columns or the names did, with those that lead to p_columns. Edges join the columns that have these names
-- now; an old name leads to the column that had it until another one has it.
-- They are held with what their columns come from, and p_origins, from which those of p_said came before; in the order of
-- ids. What is computed from p_columns is not: whoever says something of that holds p_columns.
CREATE OR REPLACE FUNCTION metadata.settle_column_edges(p_said uuid[], p_origins uuid[], p_columns uuid[])
RETURNS TABLE (opened bigint, closed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_own uuid[] := p_said || p_columns;
  v_held uuid[] := '{}';
  v_missing uuid[];
  v_sources uuid[];
  v_targets uuid[];
  v_producers text[];
  v_scopes text[];
  v_opened bigint;
  v_closed bigint;
BEGIN
  LOOP
    v_missing := ARRAY(
      SELECT unnest(v_own || p_origins)
      UNION
      SELECT w.origin_asset_id FROM metadata.column_word w
      WHERE w.tenant_id = v_tenant AND w.asset_id = ANY (v_own) AND w.origin_asset_id IS NOT NULL
      EXCEPT
      SELECT unnest(v_held));
    EXIT WHEN v_missing = '{}';
    PERFORM 1 FROM metadata.asset a WHERE a.tenant_id = v_tenant AND a.asset_id = ANY (v_missing)
    ORDER BY a.asset_id FOR NO KEY UPDATE;
    v_held := v_held || v_missing;
  END LOOP;
  -- What was spoken of before anything had its name, by all spellings of the names that lead to these assets.
  UPDATE metadata.column_word w SET origin_asset_id = h.entity_id, updated_at = clock_timestamp()
  FROM metadata.holders_of(ARRAY(
    SELECT DISTINCT o.origin_key FROM metadata.spellings(ARRAY(
      SELECT x.key FROM metadata.alias x
      WHERE x.tenant_id = v_tenant AND x.entity_id = ANY (p_columns) AND x.valid_to IS NULL)) s
    JOIN metadata.column_word o
      ON o.tenant_id = v_tenant AND o.origin_key = s.spelling AND o.origin_asset_id IS NULL)) h
  WHERE w.tenant_id = v_tenant AND w.origin_key = h.key AND w.origin_asset_id IS NULL AND h.writable;

  WITH told AS MATERIALIZED (
    SELECT w.asset_id, w.name, w.origin_asset_id, w.origin_name, w.producer, w.scope FROM metadata.column_word w
    WHERE w.tenant_id = v_tenant AND w.asset_id = ANY (v_own) AND w.origin_asset_id IS NOT NULL
    UNION
    SELECT w.asset_id, w.name, w.origin_asset_id, w.origin_name, w.producer, w.scope FROM metadata.column_word w
    WHERE w.tenant_id = v_tenant AND w.origin_asset_id = ANY (p_columns)
  ), called AS MATERIALIZED (
    SELECT DISTINCT ON (f.asset_id, n.name) f.asset_id, n.name, f.field_id
    FROM metadata.schema_field f CROSS JOIN LATERAL unnest(f.name || f.former_names) AS n (name)
    WHERE f.tenant_id = v_tenant AND f.deleted_at IS NULL AND f.asset_id = ANY (ARRAY(
      SELECT a.asset_id FROM (SELECT t.asset_id FROM told t UNION SELECT t.origin_asset_id FROM told t) n
      JOIN metadata.asset a ON a.tenant_id = v_tenant AND a.asset_id = n.asset_id
      WHERE NOT a.metadata ? 'merged')) -- its columns are the other one's now
    ORDER BY f.asset_id, n.name, n.name = f.name DESC, f.updated_at DESC, f.field_id
  ), meant AS (
    SELECT DISTINCT s.field_id AS source, t.field_id AS target, w.producer, w.scope
    FROM told w
    JOIN called s ON s.asset_id = w.asset_id AND s.name = w.name
    JOIN called t ON t.asset_id = w.origin_asset_id AND t.name = w.origin_name
  )
  SELECT array_agg(m.source), array_agg(m.target), array_agg(m.producer), array_agg(m.scope)
  INTO v_sources, v_targets, v_producers, v_scopes FROM meant m;

  WITH concerned AS MATERIALIZED (
    SELECT e.column_edge_id FROM metadata.schema_field f
    JOIN metadata.column_edge e ON e.tenant_id = f.tenant_id AND e.source_field_id = f.field_id AND e.valid_to IS NULL
    WHERE f.tenant_id = v_tenant AND f.asset_id = ANY (v_own)
    UNION
    SELECT e.column_edge_id FROM metadata.schema_field f
    JOIN metadata.column_edge e ON e.tenant_id = f.tenant_id AND e.target_field_id = f.field_id AND e.valid_to IS NULL
    WHERE f.tenant_id = v_tenant AND f.asset_id = ANY (p_columns)
  )
  UPDATE metadata.column_edge r SET valid_to = greatest(clock_timestamp(), r.valid_from)
  FROM concerned c
  WHERE r.tenant_id = v_tenant AND r.column_edge_id = c.column_edge_id AND r.valid_to IS NULL
    AND NOT EXISTS (
      SELECT 1 FROM unnest(v_sources, v_targets, v_producers, v_scopes) AS m (source, target, producer, scope)
      WHERE m.source = r.source_field_id AND m.target = r.target_field_id
        AND m.producer = r.producer AND m.scope = r.scope);
  GET DIAGNOSTICS v_closed = ROW_COUNT;

  INSERT INTO metadata.column_edge (tenant_id, source_field_id, target_field_id, producer, scope, created_by)
  SELECT v_tenant, m.source, m.target, m.producer, m.scope, current_setting('metadata.actor')
  FROM unnest(v_sources, v_targets, v_producers, v_scopes) AS m (source, target, producer, scope)
  ORDER BY m.source, m.target, m.producer, m.scope
  ON CONFLICT (tenant_id, source_field_id, target_field_id, producer, scope) WHERE valid_to IS NULL DO NOTHING;
  GET DIAGNOSTICS v_opened = ROW_COUNT;
  RETURN QUERY SELECT v_opened, v_closed;
END $$;
