-- Ids of an earlier catalog: names of what they meant. A name that leads somewhere already is left alone.
-- p_names: [{key, entity_id}], keys at the endpoint `legacy`, which no thing is born at. Answers whom each key names now,
-- and whether this call said so. Error: MA422 rename_batch, another key.
CREATE OR REPLACE FUNCTION metadata.name_legacy_ids(p_batch uuid, p_reason text, p_names jsonb)
RETURNS TABLE (key text, entity_id uuid, is_new boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_new jsonb;
  v_problem text;
BEGIN
  PERFORM metadata.hold_names(false);
  SELECT min(n.key) INTO v_problem FROM jsonb_to_recordset(p_names) AS n (key text)
  WHERE NOT starts_with(n.key, 'mid1:dataset:legacy:~/~/');
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '% is no id of an earlier catalog', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'rename_batch';
  END IF;

  WITH made AS (
    INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, actor, reason, batch_id)
    SELECT v_tenant, n.key, metadata.name_digest(n.key), n.entity_id, 'legacy', v_actor, p_reason, p_batch
    FROM jsonb_to_recordset(p_names) AS n (key text, entity_id uuid)
    ORDER BY n.key
    ON CONFLICT (tenant_id, key_sha256) WHERE valid_to IS NULL DO NOTHING
    RETURNING alias.key, alias.entity_id
  )
  SELECT coalesce(jsonb_object_agg(m.key, m.entity_id), '{}') INTO v_new FROM made m;

  IF v_new <> '{}' THEN
    INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (v_tenant, p_batch, 'entity.legacy_named',
      jsonb_build_object('batch_id', p_batch, 'actor', v_actor, 'reason', p_reason, 'names', v_new));
  END IF;
  -- A new statement, a new snapshot: what somebody else named meanwhile is seen.
  RETURN QUERY
    SELECT x.key, x.entity_id, v_new ? x.key FROM metadata.alias x
    WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.key_sha256 = ANY (
      ARRAY(SELECT metadata.name_digest(n.key) FROM jsonb_to_recordset(p_names) AS n (key text)));
END $$;
