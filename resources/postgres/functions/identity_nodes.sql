-- Identity nodes: references that stay while what they lead to becomes something else.
-- Whatever changes where a reference leads holds one lock of the tenant, so a circle is never written and the edges that
-- follow are the right ones. Lock order everywhere: names (hold_names), identities (hold_identities), rows.
-- Whatever takes a list plans for the list that it got: a plan for any list scans whole tables for one of thousands.
-- Refusals are answers (`outcome`), not errors: the caller wants the path that goes with them, and nothing was written.

CREATE OR REPLACE FUNCTION metadata.hold_identities() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.hold_names(false);
  PERFORM pg_advisory_xact_lock(uuid_hash_extended(metadata.current_tenant(), 5));
END $$;

-- The way of each reference, itself first, at most p_max_depth nodes far and at most once round a circle. One statement
-- whatever the number and the length of the ways.
CREATE OR REPLACE FUNCTION metadata.identity_trails(p_references text[], p_max_depth integer)
RETURNS TABLE (reference text, path text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  WITH RECURSIVE hop (reference, here, path, ends) AS (
    SELECT r, r, ARRAY[r], false FROM (SELECT DISTINCT unnest(p_references)) AS given (r)
    UNION ALL
    SELECT h.reference, n.target_key, h.path || n.target_key, n.target_key = ANY (h.path)
    FROM hop h JOIN metadata.identity_node n ON n.tenant_id = (SELECT metadata.current_tenant())
      AND n.identity_id = CASE WHEN h.here LIKE 'identity:%' THEN substr(h.here, 10)::uuid END
    WHERE NOT h.ends AND cardinality(h.path) <= p_max_depth
  )
  SELECT DISTINCT ON (h.reference) h.reference, h.path FROM hop h ORDER BY h.reference, cardinality(h.path) DESC
$$;

-- Everything that leads to one of these: themselves, the nodes that target them, the nodes that target those …
CREATE OR REPLACE FUNCTION metadata.references_to(p_references text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  WITH RECURSIVE reached (reference) AS (
    SELECT unnest(p_references)
    UNION
    SELECT 'identity:' || n.identity_id FROM reached l JOIN metadata.identity_node n
      ON n.tenant_id = (SELECT metadata.current_tenant()) AND n.target_key = l.reference
  )
  SELECT coalesce(array_agg(reference), '{}') FROM reached
$$;

-- What is registered under keys, by any name that leads there, and the name that it has now. The digests are made
-- first, once for each key: a planner without statistics would make them anew for each pair of a key and an alias.
CREATE OR REPLACE FUNCTION metadata.assets_named(p_keys text[])
RETURNS TABLE (key text, asset_id uuid, present_key text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  WITH asked AS MATERIALIZED (
    SELECT s.key, s.spelling, s.digest FROM metadata.spellings(ARRAY(SELECT DISTINCT unnest(p_keys))) s
  )
  SELECT DISTINCT ON (k.key) k.key, a.asset_id,
    metadata.present_key(a.qualified_name, (SELECT metadata.endpoint_names()))
  FROM asked k
  JOIN metadata.alias x ON x.tenant_id = (SELECT metadata.current_tenant())
    AND x.key_sha256 = k.digest AND x.valid_to IS NULL
  JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
  ORDER BY k.key, x.kind = 'primary' DESC, k.spelling = k.key DESC, x.key_sha256
$$;

-- The name that the thing has now; a reference that names nothing registered stays as it is.
CREATE OR REPLACE FUNCTION metadata.present_reference(p_reference text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT n.present_key FROM metadata.assets_named(ARRAY[p_reference]) n),
    metadata.present_key(p_reference, (SELECT metadata.endpoint_names())))
$$;

CREATE OR REPLACE FUNCTION metadata.is_unknown_identity(p_reference text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_reference LIKE 'identity:%' AND NOT EXISTS (
    SELECT 1 FROM metadata.identity_node n WHERE n.tenant_id = (SELECT metadata.current_tenant())
      AND n.identity_id = CASE WHEN p_reference LIKE 'identity:%' THEN substr(p_reference, 10)::uuid END)
$$;

CREATE OR REPLACE FUNCTION metadata.tell(p_topic text, p_payload jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  VALUES (metadata.current_tenant(), gen_random_uuid(), p_topic, p_payload)
$$;

-- One node of each target is the one that ensure_identities answers with. Somebody may be making one right now: then
-- the unique index decides.
CREATE OR REPLACE FUNCTION metadata.prefer_one(p_targets text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_target text;
BEGIN
  FOR v_target IN SELECT DISTINCT t FROM unnest(p_targets) AS t ORDER BY t LOOP
    BEGIN
      UPDATE metadata.identity_node n SET preferred = true
      WHERE n.tenant_id = v_tenant
        AND n.identity_id = (
          SELECT o.identity_id FROM metadata.identity_node o
          WHERE o.tenant_id = v_tenant AND o.target_key = v_target ORDER BY o.created_at, o.identity_id LIMIT 1)
        AND NOT EXISTS (
          SELECT 1 FROM metadata.identity_node o
          WHERE o.tenant_id = v_tenant AND o.target_key = v_target AND o.preferred);
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
END $$;

-- Let every node that targets p_was[i] target p_now[i], all at once, so that two names may change places.
CREATE OR REPLACE FUNCTION metadata.move_targets(p_was text[], p_now text[]) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_moved uuid[];
BEGIN
  WITH moved AS (
    UPDATE metadata.identity_node n SET
      target_key = p_now[array_position(p_was, n.target_key)], preferred = false, version = n.version + 1,
      updated_at = clock_timestamp()
    WHERE n.tenant_id = v_tenant AND n.target_key = ANY (p_was)
    RETURNING n.identity_id
  )
  SELECT coalesce(array_agg(identity_id ORDER BY identity_id), '{}') INTO v_moved FROM moved;
  IF cardinality(v_moved) > 0 THEN
    PERFORM metadata.prefer_one(p_was || p_now);
  END IF;
  RETURN v_moved;
END $$;

-- A name came to lead somewhere: at a birth, a rename, a merge or its end. Nodes go along with what they target when it
-- is renamed, and the edges at all of these names are brought in line.
CREATE OR REPLACE FUNCTION metadata.follow_names() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_was text[];
  v_now text[];
  v_moved uuid[];
  v_edges uuid[];
BEGIN
  IF EXISTS (SELECT 1 FROM new_rows n WHERE n.batch_id IS NOT NULL) THEN  -- not for births, which come by the thousand
    SELECT array_agg(o.key ORDER BY o.key), array_agg(n.key ORDER BY o.key) INTO v_was, v_now
    FROM new_rows n
    JOIN metadata.alias o ON o.tenant_id = v_tenant AND o.entity_id = n.entity_id AND o.closed_by = n.batch_id
      AND o.kind = 'primary' AND o.key <> n.key
    WHERE n.kind = 'primary' AND n.valid_to IS NULL AND EXISTS (
      SELECT 1 FROM metadata.identity_node i WHERE i.tenant_id = v_tenant AND i.target_key = o.key);
  END IF;
  IF v_was IS NOT NULL THEN
    PERFORM metadata.hold_identities();
    v_moved := metadata.move_targets(v_was, v_now);
    PERFORM metadata.tell('identity.updated', jsonb_build_object(
      'identity_ids', to_jsonb(v_moved), 'reason', 'renamed', 'was', to_jsonb(v_was), 'now', to_jsonb(v_now)));
  END IF;
  IF EXISTS (SELECT 1 FROM metadata.reference_edge e WHERE e.tenant_id = v_tenant) THEN
    v_edges := metadata.edges_at(metadata.references_to(ARRAY(SELECT n.key FROM new_rows n) || v_was));
    IF cardinality(v_edges) > 0 THEN
      PERFORM metadata.hold_identities();
      PERFORM metadata.resolve_edges(v_edges, 64);
    END IF;
  END IF;
  RETURN NULL;
END $$;

-- A new node, whether or not there are others for its target. Asking again with the same id gets the same node.
CREATE OR REPLACE FUNCTION metadata.create_identity(p_id uuid, p_target text, p_metadata jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_target text; v_same boolean;
BEGIN
  PERFORM metadata.hold_identities();
  SELECT n.target_key = metadata.present_reference(p_target) AND n.metadata = p_metadata INTO v_same
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  IF FOUND THEN
    RETURN CASE WHEN v_same THEN 'done' ELSE 'taken' END;
  END IF;
  IF metadata.is_unknown_identity(p_target) THEN
    RETURN 'no target';
  END IF;
  v_target := metadata.present_reference(p_target);
  INSERT INTO metadata.identity_node (tenant_id, identity_id, target_key, metadata, created_by)
  VALUES (v_tenant, p_id, v_target, p_metadata, current_setting('metadata.actor'));
  PERFORM metadata.prefer_one(ARRAY[v_target]);
  PERFORM metadata.tell('identity.created', jsonb_build_object(
    'identity_id', p_id, 'key', 'identity:' || p_id, 'target_key', v_target));
  RETURN 'done';
END $$;

-- The node for each target: the one that exists, or a new one with the id that is offered. The unique index lets one
-- writer in; the others wait for it and read what it wrote in a statement of their own.
CREATE OR REPLACE FUNCTION metadata.ensure_identities(p_targets text[], p_ids uuid[])
RETURNS TABLE (given text, target_key text, identity_id uuid, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_present text[];
  v_made uuid[];
BEGIN
  PERFORM metadata.hold_names(false);
  SELECT array_agg(coalesce(n.present_key, g.target) ORDER BY g.number) INTO v_present
  FROM unnest(p_targets) WITH ORDINALITY AS g (target, number)
  LEFT JOIN metadata.assets_named(p_targets) n ON n.key = g.target;

  WITH made AS (
    INSERT INTO metadata.identity_node AS i (tenant_id, identity_id, target_key, preferred, created_by)
    SELECT DISTINCT ON (g.target) v_tenant, g.id, g.target, true, current_setting('metadata.actor')
    FROM unnest(v_present, p_ids) AS g (target, id)
    ORDER BY g.target, g.id
    ON CONFLICT (tenant_id, target_key) WHERE preferred DO NOTHING
    RETURNING i.identity_id, i.target_key
  ), told AS (
    INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
    SELECT v_tenant, gen_random_uuid(), 'identity.created', jsonb_build_object(
      'identity_id', m.identity_id, 'key', 'identity:' || m.identity_id, 'target_key', m.target_key)
    FROM made m ORDER BY m.target_key
  )
  SELECT array_agg(m.identity_id) INTO v_made FROM made m;

  RETURN QUERY
    SELECT g.target, p.target, i.identity_id, coalesce(i.identity_id = ANY (v_made), false)
    FROM unnest(p_targets) WITH ORDINALITY AS g (target, number)
    JOIN unnest(v_present) WITH ORDINALITY AS p (target, number) USING (number)
    JOIN metadata.identity_node i ON i.tenant_id = v_tenant AND i.target_key = p.target AND i.preferred
    ORDER BY g.number;
END $$;

-- Let a node lead somewhere else (null: stay), give it other metadata (null: keep). Asked again after it was done, it
-- finds that everything is as asked.
CREATE OR REPLACE FUNCTION metadata.update_identity(
  p_id uuid, p_expected integer, p_target text, p_metadata jsonb, p_max_depth integer,
  OUT outcome text, OUT path text[], OUT at_version integer, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_self text := 'identity:' || p_id;
  v_target text;
  v_was text;
  v_same boolean;
  v_leading text[];
BEGIN
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_identities();
  v_target := metadata.present_reference(p_target);
  SELECT n.target_key, n.version, n.target_key = coalesce(v_target, n.target_key)
      AND n.metadata = coalesce(p_metadata, n.metadata)
  INTO v_was, at_version, v_same
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  outcome := CASE
    WHEN at_version IS NULL THEN 'unknown'
    WHEN v_same AND at_version IN (p_expected, p_expected + 1) THEN 'done'
    WHEN at_version <> p_expected THEN 'changed'
    WHEN metadata.is_unknown_identity(v_target) THEN 'no target' END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  v_leading := metadata.references_to(ARRAY[v_self]);
  IF v_target = ANY (v_leading) THEN
    outcome := 'cycle';
    SELECT v_self || t.path[:array_position(t.path, v_self)] INTO path
    FROM metadata.identity_trails(ARRAY[v_target], cardinality(v_leading)) t;
    RETURN;
  END IF;

  UPDATE metadata.identity_node n SET
    target_key = coalesce(v_target, n.target_key), preferred = n.preferred AND v_target IS NULL,
    metadata = coalesce(p_metadata, n.metadata), version = n.version + 1, updated_at = clock_timestamp()
  WHERE n.tenant_id = v_tenant AND n.identity_id = p_id
  RETURNING n.version INTO at_version;
  PERFORM metadata.prefer_one(ARRAY[v_was, v_target]) WHERE v_target IS NOT NULL;
  PERFORM metadata.tell('identity.updated', jsonb_build_object(
    'identity_id', p_id, 'key', v_self, 'target_key', coalesce(v_target, v_was), 'was', v_was, 'version', at_version));
  SELECT e.opened, e.closed INTO opened, closed FROM metadata.resolve_edges(metadata.edges_at(v_leading), p_max_depth) e;
  outcome := 'done';
END $$;

CREATE OR REPLACE FUNCTION metadata.delete_identity(
  p_id uuid, p_expected integer, p_max_depth integer,
  OUT outcome text, OUT at_version integer, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_self text := 'identity:' || p_id;
  v_was text;
  v_leading text[];
BEGIN
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_identities();
  SELECT n.version, n.target_key INTO at_version, v_was
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  outcome := CASE WHEN at_version IS NULL THEN 'unknown' WHEN at_version <> p_expected THEN 'changed' END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  v_leading := metadata.references_to(ARRAY[v_self]);
  DELETE FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  PERFORM metadata.prefer_one(ARRAY[v_was]);
  PERFORM metadata.tell('identity.deleted', jsonb_build_object('identity_id', p_id, 'key', v_self, 'was', v_was));
  SELECT e.opened, e.closed INTO opened, closed FROM metadata.resolve_edges(metadata.edges_at(v_leading), p_max_depth) e;
  outcome := 'done';
END $$;

-- One thing became another one: every node that targets the old key targets the new one from here on, and what is
-- registered under the new key gets its type. Asked again it finds nothing to do and tells nobody.
CREATE OR REPLACE FUNCTION metadata.retype(
  p_old text, p_new text, p_type text, p_reason text, p_max_depth integer,
  OUT outcome text, OUT path text[], OUT identities uuid[], OUT retyped boolean, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_old text;
  v_new text;
  v_leading text[];
BEGIN
  identities := '{}';
  retyped := false;
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_identities();
  v_old := metadata.present_reference(p_old);
  v_new := metadata.present_reference(p_new);
  IF metadata.is_unknown_identity(v_new) THEN
    outcome := 'no target';
    RETURN;
  END IF;
  v_leading := metadata.references_to(ARRAY[v_old]);
  IF v_new <> v_old THEN
    IF v_new = ANY (v_leading) THEN
      outcome := 'cycle';
      SELECT t.path[:array_position(t.path, v_old)] || v_new INTO path
      FROM metadata.identity_trails(ARRAY[v_new], cardinality(v_leading)) t;
      RETURN;
    END IF;
    identities := metadata.move_targets(ARRAY[v_old], ARRAY[v_new]);
  END IF;
  UPDATE metadata.asset a SET type = p_type, version = a.version + 1, updated_at = clock_timestamp()
  WHERE p_type IS NOT NULL AND a.tenant_id = v_tenant AND a.type <> p_type
    AND a.asset_id IN (SELECT n.asset_id FROM metadata.assets_named(ARRAY[v_new]) n);
  retyped := FOUND;
  IF retyped OR cardinality(identities) > 0 THEN
    PERFORM metadata.tell('identity.retyped', jsonb_build_object(
      'was', v_old, 'now', v_new, 'type', p_type, 'reason', p_reason, 'identity_ids', to_jsonb(identities)));
  END IF;
  IF cardinality(identities) > 0 THEN
    SELECT e.opened, e.closed INTO opened, closed
    FROM metadata.resolve_edges(metadata.edges_at(array_remove(v_leading, v_old)), p_max_depth) e;
  END IF;
  outcome := 'done';
END $$;
