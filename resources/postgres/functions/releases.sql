-- Publish materializations of several datasets under one name, all or none: one that could not become current refuses
-- all of them. Answers as metadata.published_by, and which release it is.
-- Lock order: as metadata.publish.
-- Errors: as metadata.publish, and MA422 release: one was overtaken by a later attempt, retracted, collected,
-- or refused by a blocking check.
CREATE OR REPLACE FUNCTION metadata.release(
  p_name text, p_fingerprint bytea, p_materializations uuid[], p_reason text
) RETURNS TABLE (release_id uuid, dataset_id uuid, version bigint, published uuid[], fenced uuid[], replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_release uuid := gen_random_uuid();
  v_replayed boolean;
BEGIN
  PERFORM metadata.hold_versions(v_tenant, p_materializations);
  v_replayed := metadata.is_replay('release', p_name, p_fingerprint, v_release);
  IF v_replayed THEN
    SELECT r.release_id INTO v_release FROM metadata.release r WHERE r.tenant_id = v_tenant AND r.name = p_name;
  ELSE
    INSERT INTO metadata.release (tenant_id, release_id, name, reason, actor)
    VALUES (v_tenant, v_release, p_name, p_reason, current_setting('metadata.actor'));
    PERFORM metadata.make_current(v_tenant, 'release ' || v_release, p_materializations, p_reason, v_release);
  END IF;
  RETURN QUERY SELECT v_release, a.*, v_replayed
    FROM metadata.published_by(v_tenant, 'release ' || v_release, p_materializations) a;
END $$;
