-- A collection found that tables became views, or the like: one event for each, of the shape that `retype` tells.
CREATE OR REPLACE FUNCTION metadata.tell_retyped(p_retyped jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT metadata.current_tenant(), gen_random_uuid(), 'identity.retyped', jsonb_build_object(
    'was', r.key, 'now', r.key, 'type', r.type, 'reason', 'its source says so', 'identity_ids', '[]'::jsonb)
  FROM jsonb_to_recordset(p_retyped) AS r (key text, type text)
$$;
