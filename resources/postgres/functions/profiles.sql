-- Keep what was found of tables, where it differs from what was found last; of how many it did.
CREATE OR REPLACE FUNCTION metadata.record_profiles(p_profiles jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_new bigint;
BEGIN
  INSERT INTO metadata.profile (tenant_id, asset_id, row_count, sampled, columns, actor)
  SELECT v_tenant, p.asset_id, p.row_count, p.sampled, p.columns, current_setting('metadata.actor')
  FROM jsonb_to_recordset(p_profiles) AS p (asset_id uuid, row_count bigint, sampled bigint, columns jsonb)
  LEFT JOIN LATERAL (
    SELECT q.row_count, q.sampled, q.columns FROM metadata.profile q
    WHERE q.tenant_id = v_tenant AND q.asset_id = p.asset_id ORDER BY q.at DESC LIMIT 1) n ON true
  WHERE (p.row_count, p.sampled, p.columns) IS DISTINCT FROM (n.row_count, n.sampled, n.columns)
  ORDER BY p.asset_id;
  GET DIAGNOSTICS v_new = ROW_COUNT;
  RETURN v_new;
END $$;
