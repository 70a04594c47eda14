-- What nodes and reference edges do when names change hands: at a birth, a rename, a merge and its end.

-- Births and old ids share the names, so they go on side by side. Those that find edges wait here for one another: each
-- looks at its edges when the ones before it are committed.
CREATE OR REPLACE FUNCTION metadata.hold_edges() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(uuid_hash_extended(metadata.current_tenant(), 5))
$$;

CREATE OR REPLACE FUNCTION metadata.identity_keys(p_ids uuid[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY(SELECT 'identity:' || i FROM unnest(p_ids) AS i)
$$;

-- One event for each node that changed. `was` is its target before.
CREATE OR REPLACE FUNCTION metadata.tell_updated(p_ids uuid[], p_was text[], p_reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT n.tenant_id, gen_random_uuid(), 'identity.updated', jsonb_build_object(
    'identity_id', n.identity_id, 'key', 'identity:' || n.identity_id, 'was', m.was, 'target_key', n.target_key,
    'version', n.version, 'reason', p_reason)
  FROM unnest(p_ids, p_was) AS m (id, was)
  JOIN metadata.identity_node n ON n.tenant_id = (SELECT metadata.current_tenant()) AND n.identity_id = m.id
  ORDER BY n.identity_id
$$;

-- One node of each target is the one that ensure_identities answers with: the oldest, where there is none. Who makes
-- one while an old id is named is waited for, and then it is that one.
CREATE OR REPLACE FUNCTION metadata.prefer_one(p_targets text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  LOOP
    BEGIN
      UPDATE metadata.identity_node n SET preferred = true
      FROM (
        SELECT DISTINCT ON (o.target_key) o.identity_id, bool_or(o.preferred) OVER (PARTITION BY o.target_key) AS done
        FROM metadata.identity_node o WHERE o.tenant_id = v_tenant AND o.target_key = ANY (p_targets)
        ORDER BY o.target_key, o.created_at, o.identity_id) AS first
      WHERE n.tenant_id = v_tenant AND n.identity_id = first.identity_id AND NOT first.done;
      EXIT;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
END $$;

-- Let every node that targets p_was[i] target p_now[i], all at once, so that two names may change places: which those
-- are, and what each targeted. A merge is noted with them.
CREATE OR REPLACE FUNCTION metadata.move_targets(
  p_was text[], p_now text[], p_merge uuid, OUT ids uuid[], OUT was text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  WITH moved AS (
    UPDATE metadata.identity_node n SET
      target_key = m.now, preferred = false, version = n.version + 1, updated_at = clock_timestamp(),
      merged_in = CASE WHEN p_merge IS NULL THEN n.merged_in ELSE n.merged_in || p_merge END
    FROM unnest(p_was, p_now) AS m (was, now)
    WHERE n.tenant_id = v_tenant AND n.target_key = m.was
    RETURNING n.identity_id, m.was
  )
  SELECT coalesce(array_agg(m.identity_id ORDER BY m.identity_id), '{}'), array_agg(m.was ORDER BY m.identity_id)
  INTO ids, was FROM moved m;
  IF cardinality(ids) > 0 THEN
    PERFORM metadata.prefer_one(p_was || p_now);
  END IF;
END $$;

-- Take a merge back for the nodes that went along with it: those that lead to the winner still lead to the loser again.
-- Call it before the names come back, with the names held.
CREATE OR REPLACE FUNCTION metadata.part_identities(p_merge uuid, p_winner uuid, p_loser uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_was text; v_now text; v_ids uuid[];
BEGIN
  SELECT metadata.present_key(w.qualified_name, e.names), metadata.present_key(l.qualified_name, e.names)
  INTO v_was, v_now
  FROM metadata.asset w JOIN metadata.asset l ON l.tenant_id = v_tenant AND l.asset_id = p_loser
    CROSS JOIN (SELECT metadata.endpoint_names() AS names) e
  WHERE w.tenant_id = v_tenant AND w.asset_id = p_winner;
  WITH moved AS (
    UPDATE metadata.identity_node n SET
      target_key = v_now, preferred = false, version = n.version + 1, updated_at = clock_timestamp(),
      merged_in = array_remove(n.merged_in, p_merge)
    WHERE n.tenant_id = v_tenant AND n.target_key = v_was AND p_merge = ANY (n.merged_in)
    RETURNING n.identity_id
  )
  SELECT array_agg(m.identity_id) INTO v_ids FROM moved m;
  IF v_ids IS NOT NULL THEN
    PERFORM metadata.prefer_one(ARRAY[v_was, v_now]);
    PERFORM metadata.tell_updated(v_ids, array_fill(v_was, ARRAY[cardinality(v_ids)]), 'unmerged');
  END IF;
END $$;

-- Names came to lead somewhere. Nodes stay with what they target: they go along when it is renamed or merged. Where it
-- is gone and another thing has its name now, they lead to that one, and it is told. The edges at all of these names
-- are brought in line. Nodes target keys below registered endpoints, and names are told so (present_key); the ends of
-- edges are kept as given, in any spelling. OFFSET 0: each name is looked up by an index; a join of two large tables
-- without statistics may go through all of one for each row of the other.
CREATE OR REPLACE FUNCTION metadata.follow_names() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_was text[];
  v_now text[];
  v_merge uuid;
  v_heirs uuid[];
  v_heirs_of text[];
  v_moved uuid[];
  v_from text[];
  v_edges uuid[];
  v_names jsonb := metadata.endpoint_names();
BEGIN
  PERFORM metadata.hold_names(false);  -- whoever writes assets past the store
  IF EXISTS (SELECT 1 FROM metadata.identity_node i WHERE i.tenant_id = v_tenant) THEN
    IF EXISTS (SELECT 1 FROM new_rows n WHERE n.batch_id IS NOT NULL) THEN  -- births have none
      WITH moves AS MATERIALIZED (
        SELECT metadata.present_key(o.key, v_names) AS was, metadata.present_key(n.key, v_names) AS now,
          NULL::uuid AS merge  -- renamed; a name that a merge's end gives back is not
        FROM new_rows n CROSS JOIN LATERAL (
          SELECT o.key FROM metadata.alias o
          WHERE o.tenant_id = v_tenant AND o.entity_id = n.entity_id AND o.closed_by = n.batch_id AND o.kind = 'primary'
            AND o.key <> n.key OFFSET 0) o
        WHERE n.kind = 'primary' AND NOT EXISTS (
          SELECT 1 FROM metadata.alias b WHERE b.tenant_id = v_tenant AND b.entity_id = n.entity_id
            AND b.batch_id IS NOT DISTINCT FROM n.batch_id  -- not for the index of batches: this one may be large
            AND b.kind = 'primary' AND b.valid_to IS NOT NULL OFFSET 0)
        UNION ALL
        SELECT metadata.present_key(n.key, v_names), metadata.present_key(a.qualified_name, v_names), (
          SELECT n.batch_id WHERE EXISTS (
            SELECT 1 FROM metadata.alias o WHERE o.tenant_id = v_tenant AND o.key_sha256 = n.key_sha256
              AND o.closed_by = n.batch_id AND o.entity_id <> n.entity_id))
        FROM new_rows n CROSS JOIN LATERAL (
          SELECT a.qualified_name FROM metadata.asset a
          WHERE a.tenant_id = v_tenant AND a.asset_id = n.entity_id OFFSET 0) a
        WHERE n.kind <> 'primary' AND n.key <> a.qualified_name
      ), each AS (
        SELECT DISTINCT ON (m.was) m.was, m.now, m.merge FROM moves m
        WHERE m.was <> m.now AND EXISTS (SELECT 1 FROM metadata.identity_node i WHERE i.tenant_id = v_tenant AND i.target_key = m.was
                      OFFSET 0)
        ORDER BY m.was, m.merge
      )
      SELECT array_agg(e.was ORDER BY e.was), array_agg(e.now ORDER BY e.was), (array_agg(e.merge ORDER BY e.was))[1]
      INTO v_was, v_now, v_merge FROM each e;
    END IF;
    WITH named AS MATERIALIZED (
      SELECT n.*, metadata.present_key(n.key, v_names) AS present FROM new_rows n WHERE n.kind = 'primary'
    )
    SELECT array_agg(i.identity_id), array_agg(i.target_key) INTO v_heirs, v_heirs_of
    FROM named n CROSS JOIN LATERAL (
      SELECT i.identity_id, i.target_key FROM metadata.identity_node i
      WHERE i.tenant_id = v_tenant AND i.target_key = n.present OFFSET 0) i
    WHERE n.present <> ALL (coalesce(v_was, '{}')) AND (
      SELECT o.entity_id <> n.entity_id AND (o.kind = 'primary' OR NOT EXISTS (  -- or led to what has no name of its own
        SELECT 1 FROM metadata.alias p
        WHERE p.tenant_id = v_tenant AND p.entity_id = o.entity_id AND p.valid_to IS NULL AND p.kind = 'primary'))
      FROM metadata.alias o
      WHERE o.tenant_id = v_tenant AND o.alias_id <> n.alias_id
        AND o.key_sha256 = ANY (ARRAY(SELECT s.digest FROM metadata.spellings(ARRAY[n.key]) s))
      ORDER BY o.valid_from DESC LIMIT 1);
  END IF;
  IF v_was IS NOT NULL THEN
    PERFORM metadata.hold_edges();
    SELECT m.ids, m.was INTO v_moved, v_from FROM metadata.move_targets(v_was, v_now, v_merge) m;
    PERFORM metadata.tell_updated(v_moved, v_from, CASE WHEN v_merge IS NULL THEN 'renamed' ELSE 'merged' END);
  END IF;
  IF v_heirs IS NOT NULL THEN
    PERFORM metadata.tell_updated(v_heirs, v_heirs_of, 'recreated');
  END IF;
  IF EXISTS (SELECT 1 FROM metadata.reference_edge e WHERE e.tenant_id = v_tenant) THEN
    v_edges := metadata.edges_at(metadata.references_to(ARRAY(
      SELECT s.spelling FROM metadata.spellings(ARRAY(SELECT n.key FROM new_rows n)) s)
      || metadata.identity_keys(v_moved)));
    IF cardinality(v_edges) > 0 THEN
      PERFORM metadata.hold_edges();
      PERFORM metadata.resolve_edges(v_edges);
    END IF;
  END IF;
  RETURN NULL;
END $$;
