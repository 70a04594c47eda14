-- Identity nodes: references that stay while what they lead to becomes something else.
-- Whatever changes where a reference leads holds the names exclusively (hold_names), as a rename does: nothing is born,
-- made or retargeted meanwhile, so a circle is never written and the edges that follow are the right ones. Who makes a
-- node shares the names. Lock order everywhere: collections, names, edges of births (hold_edges), rows.
-- Whatever takes a list plans for the list that it got: a plan for any list scans whole tables for one of thousands.
-- Refusals are answers (`outcome`), not errors: the caller wants the path that goes with them, and nothing was written.

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

-- The same for each of many keys, by any name that it has: one statement however many they are.
CREATE OR REPLACE FUNCTION metadata.leading_to(p_keys text[]) RETURNS TABLE (key text, reference text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  WITH RECURSIVE reached (key, reference) AS (
    SELECT k.key, r.reference
    FROM (SELECT DISTINCT unnest(p_keys)) AS k (key)
    LEFT JOIN metadata.assets_named(p_keys) a ON a.key = k.key
    CROSS JOIN LATERAL (VALUES (k.key), (a.present_key)) AS r (reference)
    WHERE r.reference IS NOT NULL
    UNION
    SELECT l.key, 'identity:' || n.identity_id FROM reached l JOIN metadata.identity_node n
      ON n.tenant_id = (SELECT metadata.current_tenant()) AND n.target_key = l.reference
  )
  SELECT l.key, l.reference FROM reached l
$$;

-- What is registered under keys, by any name that leads there, and the name that it has now; of a thing that is gone and
-- whose name another thing has, a name that still leads to it. The digests are made
-- first, once for each key: a planner without statistics would make them anew for each pair of a key and an alias.
CREATE OR REPLACE FUNCTION metadata.assets_named(p_keys text[])
RETURNS TABLE (key text, asset_id uuid, present_key text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  WITH asked AS MATERIALIZED (
    SELECT s.key, s.spelling, s.digest FROM metadata.spellings(ARRAY(SELECT DISTINCT unnest(p_keys))) s
  )
  SELECT DISTINCT ON (k.key) k.key, a.asset_id,
    metadata.leading_key(a.asset_id, a.qualified_name, a.deleted_at, (SELECT metadata.endpoint_names()))
  FROM asked k
  JOIN metadata.alias x ON x.tenant_id = (SELECT metadata.current_tenant())
    AND x.key_sha256 = k.digest AND x.valid_to IS NULL
  JOIN metadata.asset a ON a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id
  ORDER BY k.key, x.kind = 'primary' DESC, k.spelling = k.key DESC, x.key_sha256
$$;

-- The name that the thing has now, never one that another thing has; a reference that names nothing registered stays as it is.
CREATE OR REPLACE FUNCTION metadata.present_reference(p_reference text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT n.present_key FROM metadata.assets_named(ARRAY[p_reference]) n),
    metadata.present_key(p_reference, (SELECT metadata.endpoint_names())))
$$;

-- One of these references that names a node which does not exist; null when there is none.
CREATE OR REPLACE FUNCTION metadata.unknown_identity(p_references text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  SELECT min(g.r) FROM unnest(p_references) AS g (r)
  WHERE g.r LIKE 'identity:%' AND NOT EXISTS (
    SELECT 1 FROM metadata.identity_node n WHERE n.tenant_id = (SELECT metadata.current_tenant())
      AND n.identity_id = CASE WHEN g.r LIKE 'identity:%' THEN substr(g.r, 10)::uuid END)
$$;

CREATE OR REPLACE FUNCTION metadata.tell(p_topic text, p_payload jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  VALUES (metadata.current_tenant(), gen_random_uuid(), p_topic, p_payload)
$$;

-- A new node, whether or not there are others for its target. Asking again with the same id gets the same node. Edges
-- to a node of this id that was deleted follow the new one.
CREATE OR REPLACE FUNCTION metadata.create_identity(p_id uuid, p_target text, p_metadata jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_self text := 'identity:' || p_id;
  v_edges uuid[] := metadata.edges_at(metadata.references_to(ARRAY[v_self]));
  v_target text;
  v_same boolean;
BEGIN
  PERFORM metadata.hold_names(cardinality(v_edges) > 0);
  v_edges := metadata.edges_at(metadata.references_to(ARRAY[v_self]));  -- nobody adds one from here on
  IF cardinality(v_edges) > 0 THEN
    PERFORM metadata.hold_names(true);
  END IF;
  v_target := metadata.present_reference(p_target);
  SELECT n.target_key = v_target AND n.metadata = p_metadata INTO v_same
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  IF FOUND THEN
    RETURN CASE WHEN v_same THEN 'done' ELSE 'taken' END;
  END IF;
  IF metadata.unknown_identity(ARRAY[v_target]) IS NOT NULL THEN
    RETURN 'no target';
  END IF;
  INSERT INTO metadata.identity_node (tenant_id, identity_id, target_key, metadata, preferred, created_by)
  VALUES (v_tenant, p_id, v_target, p_metadata, true, current_setting('metadata.actor')) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN  -- another one is preferred, or somebody makes the very same one
    INSERT INTO metadata.identity_node (tenant_id, identity_id, target_key, metadata, created_by)
    VALUES (v_tenant, p_id, v_target, p_metadata, current_setting('metadata.actor')) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      RETURN metadata.create_identity(p_id, p_target, p_metadata);
    END IF;
  END IF;
  PERFORM metadata.tell('identity.created', jsonb_build_object(
    'identity_id', p_id, 'key', v_self, 'target_key', v_target));
  IF cardinality(v_edges) > 0 THEN
    PERFORM metadata.resolve_edges(v_edges);
  END IF;
  RETURN 'done';
END $$;

-- The node for each target: the one that exists, or a new one with the id that is offered. The unique index lets one
-- writer in; the others wait for it and read what it wrote in a statement of their own. New ones are written in the
-- order of their targets, so that two who ask for many never wait for one another.
CREATE OR REPLACE FUNCTION metadata.ensure_identities(p_targets text[], p_ids uuid[])
RETURNS TABLE (given text, identity_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_present text[];
  v_names jsonb;
BEGIN
  PERFORM metadata.hold_names(false);
  v_names := metadata.endpoint_names();
  SELECT array_agg(coalesce(n.present_key, metadata.present_key(g.target, v_names)) ORDER BY g.number) INTO v_present
  FROM unnest(p_targets) WITH ORDINALITY AS g (target, number)
  LEFT JOIN metadata.assets_named(p_targets) n ON n.key = g.target;

  WITH made AS (
    INSERT INTO metadata.identity_node AS i (tenant_id, identity_id, target_key, preferred, created_by)
    SELECT DISTINCT ON (g.target) v_tenant, g.id, g.target, true, current_setting('metadata.actor')
    FROM unnest(v_present, p_ids) AS g (target, id)
    ORDER BY g.target, g.id
    ON CONFLICT (tenant_id, target_key) WHERE preferred DO NOTHING
    RETURNING i.identity_id, i.target_key
  )
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT v_tenant, gen_random_uuid(), 'identity.created', jsonb_build_object(
    'identity_id', m.identity_id, 'key', 'identity:' || m.identity_id, 'target_key', m.target_key)
  FROM made m ORDER BY m.target_key;

  RETURN QUERY
    SELECT g.target, i.identity_id
    FROM unnest(p_targets, v_present) WITH ORDINALITY AS g (target, present, number)
    JOIN metadata.identity_node i ON i.tenant_id = v_tenant AND i.target_key = g.present AND i.preferred
    ORDER BY g.number;
END $$;

-- Let a node lead somewhere else (null: stay), give it other metadata (null: keep). Asked again after it was done, it
-- finds that everything is as asked. Edges are only looked at when it leads somewhere else.
CREATE OR REPLACE FUNCTION metadata.update_identity(
  p_id uuid, p_expected integer, p_target text, p_metadata jsonb,
  OUT outcome text, OUT path text[], OUT at_version integer, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_self text := 'identity:' || p_id;
  v_target text;
  v_was text;
  v_same boolean;
  v_moves boolean;
  v_leading text[];
BEGIN
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_names(p_target IS NOT NULL);
  v_target := metadata.present_reference(p_target);
  SELECT n.target_key, n.version, n.target_key = coalesce(v_target, n.target_key)
      AND n.metadata = coalesce(p_metadata, n.metadata), n.target_key <> coalesce(v_target, n.target_key)
  INTO v_was, at_version, v_same, v_moves
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id FOR NO KEY UPDATE;
  outcome := CASE
    WHEN at_version IS NULL THEN 'unknown'
    WHEN v_same AND at_version IN (p_expected, p_expected + 1) THEN 'done'
    WHEN at_version <> p_expected THEN 'changed'
    WHEN metadata.unknown_identity(ARRAY[v_target]) IS NOT NULL THEN 'no target' END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  IF v_moves THEN
    v_leading := metadata.references_to(ARRAY[v_self]);
    IF v_target = ANY (v_leading) THEN
      outcome := 'cycle';
      SELECT v_self || t.path[:array_position(t.path, v_self)] INTO path
      FROM metadata.identity_trails(ARRAY[v_target], cardinality(v_leading)) t;
      RETURN;
    END IF;
  END IF;

  UPDATE metadata.identity_node n SET
    target_key = coalesce(v_target, n.target_key), preferred = n.preferred AND NOT v_moves,
    metadata = coalesce(p_metadata, n.metadata), merged_in = CASE WHEN v_moves THEN '{}' ELSE n.merged_in END,
    version = n.version + 1, updated_at = clock_timestamp()
  WHERE n.tenant_id = v_tenant AND n.identity_id = p_id
  RETURNING n.version INTO at_version;
  IF v_moves THEN
    PERFORM metadata.prefer_one(ARRAY[v_was, v_target]);
    SELECT e.opened, e.closed INTO opened, closed FROM metadata.resolve_edges(metadata.edges_at(v_leading)) e;
  END IF;
  PERFORM metadata.tell_updated(ARRAY[p_id], ARRAY[v_was], CASE WHEN v_moves THEN 'retargeted' ELSE 'described' END);
  outcome := 'done';
END $$;

CREATE OR REPLACE FUNCTION metadata.delete_identity(
  p_id uuid, p_expected integer, OUT outcome text, OUT at_version integer, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_self text := 'identity:' || p_id;
  v_was text;
BEGIN
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_names(true);
  SELECT n.version, n.target_key INTO at_version, v_was
  FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id FOR UPDATE;
  outcome := CASE WHEN at_version IS NULL THEN 'unknown' WHEN at_version <> p_expected THEN 'changed' END;
  IF outcome IS NOT NULL THEN
    RETURN;
  END IF;
  DELETE FROM metadata.identity_node n WHERE n.tenant_id = v_tenant AND n.identity_id = p_id;
  PERFORM metadata.prefer_one(ARRAY[v_was]);
  PERFORM metadata.tell('identity.deleted', jsonb_build_object('identity_id', p_id, 'key', v_self, 'was', v_was));
  SELECT e.opened, e.closed INTO opened, closed
  FROM metadata.resolve_edges(metadata.edges_at(metadata.references_to(ARRAY[v_self]))) e;
  outcome := 'done';
END $$;

-- One thing became another one: every node that targets the old key targets the new one from here on, and what is
-- registered under the new key gets its type. Asked again it finds nothing to do and tells nobody. Both are keys: a node
-- leads nowhere but through them, so this closes no circle.
CREATE OR REPLACE FUNCTION metadata.retype(
  p_old text, p_new text, p_type text, p_reason text,
  OUT outcome text, OUT identities uuid[], OUT retyped boolean, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_old text;
  v_new text;
  v_thing uuid;
BEGIN
  identities := '{}';
  retyped := false;
  opened := 0;
  closed := 0;
  PERFORM metadata.hold_names(true);
  v_old := metadata.present_reference(p_old);
  v_new := metadata.present_reference(p_new);
  SELECT n.asset_id INTO v_thing FROM metadata.assets_named(ARRAY[v_new]) n;
  IF p_type IS NOT NULL AND v_thing IS NULL THEN
    outcome := 'no thing';
    RETURN;
  END IF;
  UPDATE metadata.asset a SET type = p_type, version = a.version + 1, updated_at = clock_timestamp()
  WHERE p_type IS NOT NULL AND a.tenant_id = v_tenant AND a.asset_id = v_thing AND a.type <> p_type;
  retyped := FOUND;
  IF v_new <> v_old THEN
    SELECT m.ids INTO identities FROM metadata.move_targets(ARRAY[v_old], ARRAY[v_new], NULL) m;
  END IF;
  IF retyped OR cardinality(identities) > 0 THEN
    PERFORM metadata.tell('identity.retyped', jsonb_build_object(
      'was', v_old, 'now', v_new, 'type', p_type, 'reason', p_reason, 'identity_ids', to_jsonb(identities)));
  END IF;
  IF cardinality(identities) > 0 THEN
    SELECT e.opened, e.closed INTO opened, closed
    FROM metadata.resolve_edges(metadata.edges_at(metadata.references_to(metadata.identity_keys(identities)))) e;
  END IF;
  outcome := 'done';
END $$;
