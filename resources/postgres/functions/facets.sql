-- Searching facets. Behind row-level security an index is asked only for what cannot leak, and that a document contains
-- something is not among it. So each facet has words: digests of its parts, which are compared for being equal. A word finds
-- candidates; whether they are hits, the document itself says.

-- The digest of a part: of the name alone (path ''), of a path and a value, or (path null) of there being more parts than
-- have a word. Paths leave out the places in lists, as a path of JSON does in its lax mode.
CREATE OR REPLACE FUNCTION metadata.facet_word(p_of text, p_name text, p_path text, p_value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT hashtextextended(p_of || E'\x1f' || p_name || coalesce(E'\x1e' || p_path, '') || coalesce(
    E'\x1e' || jsonb_typeof(p_value) || CASE jsonb_typeof(p_value)
      WHEN 'number' THEN trim_scale((p_value #>> '{}')::numeric)::text ELSE coalesce(p_value #>> '{}', '') END, ''), 0)
$$;

-- The words of a facet, for the asset and for the run that have it: its name, and up to 256 values with their paths. What
-- begins with _ is OpenLineage's own, and has none.
CREATE OR REPLACE FUNCTION metadata.facet_words(p_asset uuid, p_run text, p_name text, p_document jsonb)
RETURNS TABLE (word bigint, subject text)
LANGUAGE sql IMMUTABLE AS $$
  WITH RECURSIVE parts (path, node) AS (
    SELECT '', p_document
    UNION ALL
    SELECT c.path, c.node FROM parts p CROSS JOIN LATERAL (
      SELECT p.path || E'\x1f' || o.key, o.value FROM jsonb_each(
        CASE WHEN jsonb_typeof(p.node) = 'object' THEN p.node ELSE '{}' END) o
      WHERE p.path <> '' OR NOT starts_with(o.key, '_')
      UNION ALL
      SELECT p.path, l.value FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(p.node) = 'array' THEN p.node ELSE '[]' END) l) c (path, node)
  ), said AS (
    SELECT l.path, l.node, row_number() OVER () AS number FROM (
      SELECT p.path, p.node FROM parts p
      WHERE p.path <> '' AND jsonb_typeof(p.node) NOT IN ('object', 'array') LIMIT 257) l
  )
  SELECT DISTINCT metadata.facet_word(s.kind, p_name, w.path, w.value), s.id
  FROM (VALUES ('asset', p_asset::text), ('run', p_run)) AS s (kind, id)
  CROSS JOIN (
    SELECT '' AS path, NULL::jsonb AS value
    UNION ALL SELECT t.path, t.node FROM said t WHERE t.number <= 256
    UNION ALL SELECT NULL, NULL FROM said t WHERE t.number = 257) w
  WHERE s.id IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION metadata.write_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO metadata.facet_word (tenant_id, word, subject, facet_id)
  SELECT n.tenant_id, w.word, w.subject, n.facet_id
  FROM new_rows n CROSS JOIN LATERAL metadata.facet_words(n.asset_id, n.run_id, n.name, n.document) w
  ORDER BY n.tenant_id, w.word, w.subject, n.facet_id
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;

-- For functions of this owner only: take these words out, each looked up by the index. A join would be planned as a look at
-- all words there are as soon as there are a thousand to take out.
CREATE OR REPLACE FUNCTION metadata.take_out_words(
  p_tenants uuid[], p_words bigint[], p_subjects text[], p_facets uuid[]
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
  DELETE FROM metadata.facet_word d
  USING unnest(p_tenants, p_words, p_subjects, p_facets) AS w (tenant_id, word, subject, facet_id)
  WHERE d.tenant_id = w.tenant_id AND d.word = w.word AND d.subject = w.subject AND d.facet_id = w.facet_id
$$;

CREATE OR REPLACE FUNCTION metadata.forget_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.take_out_words(
    array_agg(o.tenant_id), array_agg(w.word), array_agg(w.subject), array_agg(o.facet_id))
  FROM old_rows o CROSS JOIN LATERAL metadata.facet_words(o.asset_id, o.run_id, o.name, o.document) w;
  RETURN NULL;
END $$;

-- Most often only the moment of a facet is another one: then its words are the same.
CREATE OR REPLACE FUNCTION metadata.rewrite_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenants uuid[];
  v_words bigint[];
  v_subjects text[];
  v_facets uuid[];
BEGIN
  IF NOT EXISTS (
    SELECT FROM old_rows o JOIN new_rows n ON n.tenant_id = o.tenant_id AND n.facet_id = o.facet_id
    WHERE (o.sha256, o.asset_id, o.run_id, o.name) IS DISTINCT FROM (n.sha256, n.asset_id, n.run_id, n.name))
  THEN
    RETURN NULL;
  END IF;
  WITH changed AS (
    SELECT o.tenant_id, o.facet_id, o.asset_id AS old_asset, o.run_id AS old_run, o.name AS old_name,
      o.document AS old_document, n.asset_id, n.run_id, n.name, n.document
    FROM old_rows o JOIN new_rows n ON n.tenant_id = o.tenant_id AND n.facet_id = o.facet_id
    WHERE (o.sha256, o.asset_id, o.run_id, o.name) IS DISTINCT FROM (n.sha256, n.asset_id, n.run_id, n.name)
  ), was AS (
    SELECT c.tenant_id, w.word, w.subject, c.facet_id
    FROM changed c CROSS JOIN LATERAL metadata.facet_words(c.old_asset, c.old_run, c.old_name, c.old_document) w
  ), now AS (
    SELECT c.tenant_id, w.word, w.subject, c.facet_id
    FROM changed c CROSS JOIN LATERAL metadata.facet_words(c.asset_id, c.run_id, c.name, c.document) w
  ), come AS (
    INSERT INTO metadata.facet_word (tenant_id, word, subject, facet_id)
    SELECT * FROM (SELECT * FROM now EXCEPT SELECT * FROM was) w ORDER BY w.tenant_id, w.word, w.subject, w.facet_id
    ON CONFLICT DO NOTHING
  )
  SELECT array_agg(w.tenant_id), array_agg(w.word), array_agg(w.subject), array_agg(w.facet_id)
  INTO v_tenants, v_words, v_subjects, v_facets
  FROM (SELECT * FROM was EXCEPT SELECT * FROM now) w;
  PERFORM metadata.take_out_words(v_tenants, v_words, v_subjects, v_facets);
  RETURN NULL;
END $$;

-- The assets or the runs that have all of these facets, by id, after p_after, p_limit of them.
--   p_of      asset or run
--   p_wanted  [{name, path, value}]  a path of texts; without a value: that there is something at the path; with a value
--             and no path: that value wherever in the facet
-- Whoever has the rarest of the words is looked at in the order of ids, some at a time, until there are enough.
CREATE OR REPLACE FUNCTION metadata.subjects_with(p_of text, p_wanted jsonb, p_after text, p_limit integer)
RETURNS TABLE (subject text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_one jsonb;
  v_path text[];
  v_word bigint;
  v_more bigint;
  v_count integer;
  v_least integer;
  v_rarest bigint[];
  v_words bigint[] := '{}';
  v_others bigint[] := '{}';
  v_names text[] := '{}';
  v_ways jsonpath[] := '{}';
  v_values jsonb[] := '{}';
  v_after text COLLATE "C" := p_after;
  v_some text[];
  v_next integer := greatest(p_limit, 50);
  v_left integer := p_limit;
BEGIN
  FOR v_one IN SELECT w.value FROM jsonb_array_elements(p_wanted) w LOOP
    v_path := ARRAY(SELECT jsonb_array_elements_text(v_one -> 'path'));
    IF v_one ? 'value' AND v_path <> '{}' AND NOT starts_with(v_path[1], '_') THEN
      v_word := metadata.facet_word(
        p_of, v_one ->> 'name', E'\x1f' || array_to_string(v_path, E'\x1f'), v_one -> 'value');
      v_more := metadata.facet_word(p_of, v_one ->> 'name', NULL, NULL);
    ELSE
      v_word := metadata.facet_word(p_of, v_one ->> 'name', '', NULL);
      v_more := NULL;
    END IF;
    v_words := v_words || v_word;
    v_others := v_others || v_more;
    v_names := v_names || (v_one ->> 'name');
    v_ways := v_ways || (CASE WHEN v_path = '{}' AND v_one ? 'value' THEN 'lax $.**' ELSE 'lax $' || coalesce(
      (SELECT string_agg('.' || to_json(p.part), '' ORDER BY p.place)
        FROM unnest(v_path) WITH ORDINALITY p (part, place)), '') END
      || CASE WHEN v_one ? 'value' THEN ' ? (@ == $value)' ELSE '' END)::jsonpath;
    v_values := v_values || jsonb_build_object('value', v_one -> 'value');
    SELECT count(*) INTO v_count FROM (
      SELECT FROM unnest(ARRAY[v_word, v_more]) AS g (word)
      JOIN metadata.facet_word w ON w.tenant_id = v_tenant AND w.word = g.word AND w.subject > v_after LIMIT 500) n;
    IF v_least IS NULL OR v_count < v_least THEN
      v_least := v_count;
      v_rarest := ARRAY[v_word, v_more];
    END IF;
  END LOOP;

  WHILE v_left > 0 LOOP
    v_some := ARRAY(
      SELECT DISTINCT l.subject FROM unnest(v_rarest) AS g (word) CROSS JOIN LATERAL (
        SELECT DISTINCT w.subject FROM metadata.facet_word w
        WHERE w.tenant_id = v_tenant AND w.word = g.word AND w.subject > v_after
        ORDER BY w.subject LIMIT v_next) l
      ORDER BY l.subject LIMIT v_next);
    RETURN QUERY
      SELECT c.subject FROM unnest(v_some) WITH ORDINALITY AS c (subject, place)
      WHERE NOT EXISTS (
        SELECT FROM unnest(v_words, v_others, v_names, v_ways, v_values) AS k (word, other, name, way, value)
        WHERE NOT EXISTS (
          SELECT FROM metadata.facet_word w
          JOIN metadata.facet f ON f.tenant_id = v_tenant AND f.facet_id = w.facet_id
          WHERE w.tenant_id = v_tenant AND w.word = ANY (ARRAY[k.word, k.other]) AND w.subject = c.subject
            AND f.name = k.name AND jsonb_path_exists(f.document, k.way, k.value) OFFSET 0))
      ORDER BY c.place LIMIT v_left;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_left := v_left - v_count;
    EXIT WHEN cardinality(v_some) < v_next;
    v_after := v_some[v_next];
    v_next := least(2 * v_next, 2000);
  END LOOP;
END $$;
