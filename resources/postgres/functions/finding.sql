-- Finding things by what people write: by an end of a name, or by what is near one. Every condition of a look-up is a
-- plain comparison of a column, for behind row-level security an index is only asked for what cannot leak, and every
-- range ends after `p_limit` rows: what it costs does not grow with the number of names.

-- The names from p_from to before p_to, of those ranges together. A range may be held to one source, and to the endpoints
-- of one system. `own`: the thing's own name; `present_key`: that name, whosever it is by now; `leading_key`: a key that
-- leads to the thing; `closed_at`: when it went.
CREATE OR REPLACE FUNCTION metadata.names_within(
  p_from text[], p_to text[], p_sources text[], p_systems text[], p_limit integer
) RETURNS TABLE (
  range integer, key text, own boolean, present_key text, closed_at timestamptz,
  entity_id uuid, birth_sha256 bytea, leading_key text
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE v_tenant uuid := metadata.current_tenant(); v_names jsonb := metadata.endpoint_names();
BEGIN
  RETURN QUERY
    SELECT n.range, n.key, n.kind = 'primary',
      metadata.present_key(a.qualified_name, v_names), a.deleted_at, n.entity_id, n.birth_sha256,
      metadata.leading_key(n.entity_id, a.qualified_name, a.deleted_at, v_names)
    FROM (
      SELECT g.number::integer AS range, f.key, f.kind, f.entity_id, f.birth_sha256
      FROM unnest(p_from, p_to, p_sources, p_systems) WITH ORDINALITY AS g (lower, upper, source, system, number)
      CROSS JOIN LATERAL (
        SELECT x.key, x.kind, x.entity_id, x.birth_sha256 FROM metadata.alias x
        WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.ending > ''
          AND x.ending >= g.lower AND x.ending < g.upper
          AND (g.source IS NULL OR split_part(x.ending, '/', 4) = g.source)
          AND (g.system IS NULL OR EXISTS (
            SELECT 1 FROM metadata.endpoint e
            WHERE e.tenant_id = v_tenant AND e.system = g.system AND e.slug = coalesce(
              v_names ->> split_part(x.ending, '/', 3), split_part(x.ending, '/', 3))))
        ORDER BY x.ending LIMIT p_limit) f) n
    CROSS JOIN LATERAL (
      SELECT b.qualified_name, b.deleted_at FROM metadata.asset b
      WHERE b.tenant_id = v_tenant AND b.asset_id = n.entity_id LIMIT 1) a;
END $$;

-- The names around these endings and around these keys, p_limit on either side of each, of what is there.
CREATE OR REPLACE FUNCTION metadata.names_around(p_endings text[], p_keys text[], p_limit integer)
RETURNS TABLE (key text, present_key text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  RETURN QUERY
    SELECT DISTINCT n.key, metadata.present_key(a.qualified_name, (SELECT metadata.endpoint_names()))
    FROM (
      SELECT f.key, f.entity_id FROM unnest(p_endings) AS g (here) CROSS JOIN LATERAL (
        SELECT x.key, x.entity_id FROM metadata.alias x
        WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.ending > '' AND x.ending >= g.here
        ORDER BY x.ending LIMIT p_limit) f
      UNION ALL
      SELECT f.key, f.entity_id FROM unnest(p_endings) AS g (here) CROSS JOIN LATERAL (
        SELECT x.key, x.entity_id FROM metadata.alias x
        WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.ending > '' AND x.ending < g.here
        ORDER BY x.ending DESC LIMIT p_limit) f
      UNION ALL
      SELECT f.key, f.entity_id FROM unnest(p_keys) AS g (here) CROSS JOIN LATERAL (
        SELECT x.key, x.entity_id FROM metadata.alias x
        WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.key > '' AND x.key >= g.here
        ORDER BY x.key LIMIT p_limit) f
      UNION ALL
      SELECT f.key, f.entity_id FROM unnest(p_keys) AS g (here) CROSS JOIN LATERAL (
        SELECT x.key, x.entity_id FROM metadata.alias x
        WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.key > '' AND x.key < g.here
        ORDER BY x.key DESC LIMIT p_limit) f) n
    CROSS JOIN LATERAL (
      SELECT b.qualified_name, b.deleted_at FROM metadata.asset b
      WHERE b.tenant_id = v_tenant AND b.asset_id = n.entity_id LIMIT 1) a
    WHERE a.deleted_at IS NULL
    ORDER BY 1;
END $$;
