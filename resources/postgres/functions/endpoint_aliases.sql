-- An endpoint that nobody had registered has a provisional slug in keys. When it is registered, one row says so, and every
-- key below the one slug and below the other means the same from then on. No asset and no alias is written for it: keys
-- are spelled in all ways before they are looked up, and names are told with the registered slug.

-- A slug, what it stands for, and whatever else stands for that.
CREATE OR REPLACE FUNCTION metadata.slugs_of(p_slug text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_endpoint text := coalesce((
    SELECT e.endpoint FROM metadata.endpoint_alias e
    WHERE e.tenant_id = v_tenant AND e.slug = p_slug AND e.valid_to IS NULL), p_slug);
BEGIN
  RETURN NEXT v_endpoint;
  RETURN QUERY
    SELECT e.slug FROM metadata.endpoint_alias e
    WHERE e.tenant_id = v_tenant AND e.endpoint = v_endpoint AND e.valid_to IS NULL;
END $$;

-- The same key below another endpoint.
CREATE OR REPLACE FUNCTION metadata.key_at(p_key text, p_slug text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'mid1:' || split_part(p_key, ':', 2) || ':' || p_slug
    || substr(p_key, length(split_part(p_key, ':', 2)) + length(split_part(p_key, ':', 3)) + 7)
$$;

-- Every spelling of keys, itself among them, with its digest.
CREATE OR REPLACE FUNCTION metadata.spellings(p_keys text[]) RETURNS TABLE (key text, spelling text, digest bytea)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_slugs text[] := ARRAY(SELECT DISTINCT split_part(k, ':', 3) FROM unnest(p_keys) AS k);
BEGIN
  RETURN QUERY SELECT k, k, metadata.name_digest(k) FROM unnest(p_keys) AS k;
  IF EXISTS (SELECT 1 FROM metadata.endpoint_alias e
             WHERE e.tenant_id = v_tenant AND e.valid_to IS NULL AND e.slug = ANY (v_slugs))
    OR EXISTS (SELECT 1 FROM metadata.endpoint_alias e
               WHERE e.tenant_id = v_tenant AND e.valid_to IS NULL AND e.endpoint = ANY (v_slugs)) THEN
    RETURN QUERY
      SELECT n.key, n.spelling, metadata.name_digest(n.spelling) FROM (
        SELECT k AS key, metadata.key_at(k, s.other) AS spelling
        FROM unnest(p_keys) AS k
        JOIN (SELECT g.slug, o.other FROM unnest(v_slugs) AS g (slug), LATERAL metadata.slugs_of(g.slug) AS o (other)) s
          ON s.slug = split_part(k, ':', 3) AND s.other <> s.slug
        WHERE starts_with(k, 'mid1:')) n;
  END IF;
END $$;

-- The registered endpoints that provisional slugs stand for; null where no slug does. Once for a statement, as
-- (SELECT metadata.endpoint_names()), for `present_key`.
CREATE OR REPLACE FUNCTION metadata.endpoint_names() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_object_agg(e.slug, e.endpoint) FROM metadata.endpoint_alias e
  WHERE e.tenant_id = (SELECT metadata.current_tenant()) AND e.valid_to IS NULL
$$;

-- A key as it is told: below the registered endpoint.
CREATE OR REPLACE FUNCTION metadata.present_key(p_key text, p_names jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_names IS NULL OR NOT p_names ? split_part(p_key, ':', 3) OR NOT starts_with(p_key, 'mid1:') THEN
    RETURN p_key;
  END IF;
  RETURN metadata.key_at(p_key, p_names ->> split_part(p_key, ':', 3));
END $$;

-- A key that leads to a thing: its own name; where it is gone and another thing has that by now, the oldest of the names
-- that still lead to it, an id of an earlier catalog last. Null when no name does.
CREATE OR REPLACE FUNCTION metadata.leading_key(p_entity uuid, p_own text, p_closed_at timestamptz, p_names jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  IF p_closed_at IS NULL THEN
    RETURN metadata.present_key(p_own, p_names);
  END IF;
  RETURN (
    SELECT metadata.present_key(x.key, p_names) FROM metadata.alias x
    WHERE x.tenant_id = v_tenant AND x.entity_id = p_entity AND x.valid_to IS NULL
    ORDER BY x.kind = 'primary' DESC, x.kind = 'legacy', x.valid_from, x.key LIMIT 1);
END $$;

-- Whom keys name. Asked for every thing that is read or written, so it is planned once for each connection, and for the
-- indexes alone, one after the other: a plan made while there are few names is the right one when there are a million.
-- Of several spellings of a key, the one that is a thing's own name comes first, then the key as it was asked. Where no
-- provisional endpoint was ever registered, there is one spelling, and none is made. An alias says what its thing was
-- born under, so of a thing's own name the alias alone is read; `writable`: an old name of what is gone is not.
CREATE OR REPLACE FUNCTION metadata.holders_of(p_keys text[])
RETURNS TABLE (key text, entity_id uuid, birth_sha256 bytea, own_name boolean, writable boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_keys text[];
  v_spellings text[];
  v_digests bytea[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM metadata.endpoint_alias e WHERE e.tenant_id = v_tenant AND e.valid_to IS NULL) THEN
    RETURN QUERY
      SELECT g.key, x.entity_id, x.birth_sha256, x.kind = 'primary',
        CASE WHEN x.kind = 'primary' THEN true ELSE (
          SELECT b.deleted_at IS NULL FROM metadata.asset b
          WHERE b.tenant_id = v_tenant AND b.asset_id = x.entity_id) END
      FROM (SELECT k AS key, sha256(convert_to(k, 'UTF8')) AS digest FROM unnest(p_keys) AS k OFFSET 0) g
      CROSS JOIN LATERAL (
        SELECT y.entity_id, y.kind, y.birth_sha256 FROM metadata.alias y
        WHERE y.tenant_id = v_tenant AND y.valid_to IS NULL AND y.key_sha256 = g.digest LIMIT 1) x;
    RETURN;
  END IF;
  SELECT array_agg(s.key ORDER BY s.digest), array_agg(s.spelling ORDER BY s.digest),
    array_agg(s.digest ORDER BY s.digest)
  INTO v_keys, v_spellings, v_digests FROM metadata.spellings(p_keys) s;
  RETURN QUERY
    SELECT DISTINCT ON (g.key) g.key, x.entity_id, x.birth_sha256, x.kind = 'primary',
      CASE WHEN x.kind = 'primary' THEN true ELSE (
        SELECT b.deleted_at IS NULL FROM metadata.asset b
        WHERE b.tenant_id = v_tenant AND b.asset_id = x.entity_id) END
    FROM unnest(v_keys, v_spellings, v_digests) AS g (key, spelling, digest)
    CROSS JOIN LATERAL (
      SELECT y.entity_id, y.kind, y.birth_sha256 FROM metadata.alias y
      WHERE y.tenant_id = v_tenant AND y.valid_to IS NULL AND y.key_sha256 = g.digest LIMIT 1) x
    ORDER BY g.key, x.kind = 'primary' DESC, g.spelling = g.key DESC, g.digest;
END $$;

-- Moves for `rename_entities`, in the spellings that are stored: what is called so already is left alone there, and a
-- name that something else has is found, whichever slug was written. What nobody is called is below the registered
-- endpoint. Call it with the names held, so that no endpoint is registered meanwhile.
CREATE OR REPLACE FUNCTION metadata.stored_moves(p_moves jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_names jsonb := metadata.endpoint_names();
  v_stored jsonb;
BEGIN
  IF v_names IS NULL THEN
    RETURN p_moves;
  END IF;
  WITH moves AS MATERIALIZED (
    SELECT m.move, m.move ->> 'was' AS was, m.move ->> 'now' AS now FROM jsonb_array_elements(p_moves) AS m (move)
  ), spelled AS MATERIALIZED (
    SELECT s.key, s.spelling, s.digest
    FROM metadata.spellings(ARRAY(SELECT m.was FROM moves m UNION SELECT m.now FROM moves m)) s
  ), stored AS MATERIALIZED (
    SELECT DISTINCT ON (s.key) s.key, s.spelling
    FROM spelled s CROSS JOIN LATERAL (
      SELECT x.kind FROM metadata.alias x
      WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.key_sha256 = s.digest OFFSET 0) x
    ORDER BY s.key, x.kind = 'primary' DESC, s.spelling = s.key DESC, s.spelling
  )
  SELECT jsonb_agg(m.move || jsonb_build_object(
    'was', coalesce(w.spelling, m.was), 'now', coalesce(n.spelling, metadata.present_key(m.now, v_names))))
  INTO v_stored
  FROM moves m LEFT JOIN stored w ON w.key = m.was LEFT JOIN stored n ON n.key = m.now;
  RETURN coalesce(v_stored, '[]');
END $$;

-- What is below a slug and leads somewhere, with whom it leads to, and whom the same key below another slug leads to.
CREATE OR REPLACE FUNCTION metadata.below(p_slug text, p_other text)
RETURNS TABLE (key text, other_key text, entity_id uuid, other_entity_id uuid)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  RETURN QUERY
    WITH found AS MATERIALIZED (
      SELECT x.key, metadata.key_at(x.key, p_other) AS other_key, x.entity_id,
        metadata.name_digest(metadata.key_at(x.key, p_other)) AS digest
      FROM unnest(ARRAY['dataset', 'job', 'dashboard']) AS k (kind)
      JOIN metadata.alias x ON x.tenant_id = v_tenant AND x.valid_to IS NULL
        AND x.key > '' AND x.key >= 'mid1:' || k.kind || ':' || p_slug || ':'
        AND x.key < 'mid1:' || k.kind || ':' || p_slug || ';')
    SELECT f.key, f.other_key, f.entity_id, o.entity_id
    FROM found f
    LEFT JOIN LATERAL (
      SELECT y.entity_id FROM metadata.alias y
      WHERE y.tenant_id = v_tenant AND y.valid_to IS NULL AND y.key_sha256 = f.digest LIMIT 1) o ON true
    ORDER BY f.key;
END $$;

-- A dataset of each source that is there at an endpoint, p_limit at most: one index hit for each, however many datasets
-- it has.
CREATE OR REPLACE FUNCTION metadata.sources_at(p_slug text, p_limit integer) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_start text;
  v_from text;
  v_key text;
  v_found integer := 0;
BEGIN
  FOR v_start IN SELECT 'mid1:dataset:' || s || ':' FROM metadata.slugs_of(p_slug) AS s LOOP
    v_from := v_start;
    WHILE v_found < p_limit LOOP
      SELECT x.key INTO v_key FROM metadata.alias x
      WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL AND x.key > ''
        AND x.key >= v_from AND x.key < rtrim(v_start, ':') || ';' AND x.kind = 'primary' AND EXISTS (
          SELECT 1 FROM metadata.asset a
          WHERE a.tenant_id = v_tenant AND a.asset_id = x.entity_id AND a.deleted_at IS NULL)
      ORDER BY x.key LIMIT 1;
      EXIT WHEN NOT FOUND;
      RETURN NEXT v_key;
      v_found := v_found + 1;
      v_from := v_start || split_part(split_part(v_key, ':', 4), '/', 1) || '0';  -- what follows / in the order of bytes
    END LOOP;
  END LOOP;
END $$;

-- Whether keys are below a slug that nobody registered, and that is no other name of an endpoint yet.
CREATE OR REPLACE FUNCTION metadata.is_provisional(p_slug text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  -- By itself: the rest need not even be planned for what is registered, which is asked by every collection.
  IF EXISTS (SELECT 1 FROM metadata.endpoint e WHERE e.tenant_id = v_tenant AND e.slug = p_slug) THEN
    RETURN false;
  END IF;
  RETURN NOT EXISTS (
      SELECT 1 FROM metadata.endpoint_alias e
      WHERE e.tenant_id = v_tenant AND e.slug = p_slug AND e.valid_to IS NULL)
    AND EXISTS (
      SELECT 1 FROM unnest(ARRAY['dataset', 'job', 'dashboard']) AS k (kind) CROSS JOIN LATERAL (
        SELECT 1 FROM metadata.alias x WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL
          AND x.key > '' AND x.key >= 'mid1:' || k.kind || ':' || p_slug || ':'
          AND x.key < 'mid1:' || k.kind || ':' || p_slug || ';'
        LIMIT 1) f);
END $$;

-- What refers to keys below a slug or an endpoint, when the two become one or part: nodes that target `p_was` target
-- `p_now`, in the same order, and edges between references are led anew. For functions of this owner.
CREATE OR REPLACE FUNCTION metadata.follow_endpoint(
  p_slug text, p_endpoint text, p_was text[], p_now text[], p_reason text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_edges uuid[];
BEGIN
  IF cardinality(p_was) > 0 THEN
    PERFORM metadata.tell_updated(m.ids, m.was, p_reason) FROM metadata.move_targets(p_was, p_now, NULL) m;
  END IF;
  v_edges := metadata.edges_at(metadata.references_to(ARRAY(
    SELECT r.reference FROM metadata.reference_edge e,
      LATERAL (VALUES (e.source_reference), (e.target_reference)) AS r (reference)
    WHERE e.tenant_id = v_tenant AND split_part(r.reference, ':', 3) IN (p_slug, p_endpoint)) || p_was || p_now));
  IF cardinality(v_edges) > 0 THEN
    PERFORM metadata.resolve_edges(v_edges);
  END IF;
END $$;

-- Say that a provisional slug is a registered endpoint. True when that is new. Nothing below either is written; nodes
-- that target what is below the slug, and edges between references, go along.
-- Holds the names. Errors: MA404 endpoint not registered; MA422 endpoint_alias: the slug is registered
-- itself, is another endpoint already, or both have something of the same name that is not one thing.
CREATE OR REPLACE FUNCTION metadata.alias_endpoint(p_id uuid, p_slug text, p_endpoint text, p_reason text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_is text;
  v_problem text;
  v_was text[];
BEGIN
  PERFORM metadata.hold_names(true);
  SELECT e.endpoint INTO v_is FROM metadata.endpoint_alias e
  WHERE e.tenant_id = v_tenant AND e.slug = p_slug AND e.valid_to IS NULL;
  IF v_is = p_endpoint THEN
    RETURN false;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM metadata.endpoint e WHERE e.tenant_id = v_tenant AND e.slug = p_endpoint) THEN
    RAISE EXCEPTION 'endpoint % is not registered', p_endpoint USING ERRCODE = 'MA404', CONSTRAINT = 'endpoint_alias';
  END IF;
  v_problem := CASE
    WHEN v_is IS NOT NULL THEN format('%s is %s already', p_slug, v_is)
    WHEN p_slug = 'legacy' THEN 'legacy is where ids of an earlier catalog are'
    WHEN EXISTS (SELECT 1 FROM metadata.endpoint e WHERE e.tenant_id = v_tenant AND e.slug = p_slug) THEN
      format('%s is a registered endpoint itself', p_slug) END;
  IF v_problem IS NULL THEN
    SELECT format('%s and %s have %s of the same name each, merge them first: %s', p_slug, p_endpoint,
        CASE count(*) WHEN 1 THEN 'a thing' ELSE count(*) || ' things' END,
        string_agg(b.key, ', ' ORDER BY b.key) FILTER (WHERE b.number <= 10))
      INTO v_problem
    FROM (SELECT o.key, row_number() OVER (ORDER BY o.key) AS number
          FROM metadata.slugs_of(p_endpoint) AS s (slug), LATERAL metadata.below(p_slug, s.slug) o
          WHERE o.other_entity_id <> o.entity_id) b
    HAVING count(*) > 0;
  END IF;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'endpoint_alias';
  END IF;

  INSERT INTO metadata.endpoint_alias (tenant_id, endpoint_alias_id, slug, endpoint, actor, reason)
  VALUES (v_tenant, p_id, p_slug, p_endpoint, v_actor, p_reason);

  SELECT array_agg(DISTINCT n.target_key ORDER BY n.target_key) INTO v_was FROM metadata.identity_node n
  WHERE n.tenant_id = v_tenant AND starts_with(n.target_key, 'mid1:') AND split_part(n.target_key, ':', 3) = p_slug;
  PERFORM metadata.follow_endpoint(p_slug, p_endpoint, v_was, ARRAY(
    SELECT metadata.key_at(w.key, p_endpoint) FROM unnest(v_was) WITH ORDINALITY AS w (key, n) ORDER BY w.n),
    'registered');

  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (v_tenant, p_id, 'endpoint.registered_as',
    jsonb_build_object('slug', p_slug, 'endpoint', p_endpoint, 'actor', v_actor, 'reason', p_reason));
  RETURN true;
END $$;

-- Take back that a provisional slug is a registered endpoint: keys below the two are two again. Nothing below either is
-- written: what is called by a key below the slug has that name alone from then on. Nodes that target such a thing below
-- the endpoint target it below the slug. Answers the endpoint that it was; null where it was none.
-- Holds the names.
CREATE OR REPLACE FUNCTION metadata.part_endpoint(p_id uuid, p_slug text, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_is text;
  v_was text[];
  v_now text[];
BEGIN
  PERFORM metadata.hold_names(true);
  UPDATE metadata.endpoint_alias e SET valid_to = greatest(clock_timestamp(), e.valid_from)
  WHERE e.tenant_id = v_tenant AND e.slug = p_slug AND e.valid_to IS NULL
  RETURNING e.endpoint INTO v_is;
  IF v_is IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT array_agg(b.other_key ORDER BY b.key), array_agg(b.key ORDER BY b.key) INTO v_was, v_now
  FROM metadata.below(p_slug, v_is) b WHERE b.other_entity_id IS NULL;
  PERFORM metadata.follow_endpoint(p_slug, v_is, v_was, v_now, 'unregistered');
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (v_tenant, p_id, 'endpoint.unregistered',
    jsonb_build_object('slug', p_slug, 'endpoint', v_is, 'actor', v_actor, 'reason', p_reason));
  RETURN v_is;
END $$;
