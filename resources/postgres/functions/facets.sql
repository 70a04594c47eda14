-- Searching facets. Behind row-level security an index is asked only for what cannot leak, and that a document contains
-- something is not among it. So each facet has words: digests of its parts, which are compared for being equal. They are as
-- long as ids are, so what has a word has that part; the document is asked only for what has no word.

-- The digest of a part of a facet: '' is the name alone, '.a.b=1' a path and a value, as part_of writes it, and '+' that there
-- are more parts than have a word.
CREATE OR REPLACE FUNCTION metadata.word_of(p_of text, p_name text, p_part text) RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT encode(substring(sha256(convert_to(p_of || to_json(p_name) || p_part, 'UTF8')) FOR 16), 'hex')::uuid
$$;

-- No two of them are written alike: names and texts are quoted, and a number has one form.
CREATE OR REPLACE FUNCTION metadata.part_of(p_path text, p_value jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT p_path || '=' || CASE jsonb_typeof(p_value)
    WHEN 'number' THEN trim_scale(p_value::numeric)::text ELSE p_value::text END
$$;

-- The words of a facet, for the asset and for the run that have it, some more than once: its name, and up to 256 values with
-- their paths. Paths leave out the places in lists, as a path of JSON does in its lax mode: one list is looked into below a
-- name, and two for a value. What begins with _ is OpenLineage's own, and has none.
CREATE OR REPLACE FUNCTION metadata.words_of(p_asset uuid, p_run text, p_name text, p_document jsonb)
RETURNS TABLE (word uuid, subject text)
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE parts (path, lists, node) AS (
    SELECT '.' || to_json(o.key), 0, o.value FROM jsonb_each(p_document) o WHERE NOT starts_with(o.key, '_')
    UNION ALL
    SELECT c.path, c.lists, c.node FROM parts p CROSS JOIN LATERAL (
      SELECT p.path || '.' || to_json(o.key), 0, o.value
      FROM jsonb_each(CASE WHEN jsonb_typeof(p.node) = 'object' AND p.lists < 2 THEN p.node ELSE '{}' END) o
      UNION ALL
      SELECT p.path, p.lists + 1, l.value
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p.node) = 'array' AND p.lists < 2 THEN p.node ELSE '[]' END) l
    ) c (path, lists, node)
    WHERE jsonb_typeof(p.node) IN ('object', 'array')
  ), said AS (
    SELECT l.path, l.node, row_number() OVER () AS number FROM (
      SELECT p.path, p.node FROM parts p WHERE jsonb_typeof(p.node) NOT IN ('object', 'array') LIMIT 257) l
  )
  SELECT metadata.word_of(s.kind, p_name, w.part), s.id
  FROM (VALUES ('asset', p_asset::text), ('run', p_run)) AS s (kind, id)
  CROSS JOIN (
    SELECT '' AS part
    UNION ALL
    SELECT CASE WHEN t.number > 256 THEN '+' ELSE metadata.part_of(t.path, t.node) END FROM said t) w
  WHERE s.id IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION metadata.write_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO metadata.facet_word (tenant_id, word, subject, facet_id)
  SELECT DISTINCT n.tenant_id, w.word, w.subject, n.facet_id
  FROM new_rows n CROSS JOIN LATERAL metadata.words_of(n.asset_id, n.run_id, n.name, n.document) w
  ORDER BY n.tenant_id, w.word, w.subject, n.facet_id;
  RETURN NULL;
END $$;

-- For functions of this owner only: take these words out, each looked up by the index. A join would be planned as a look at
-- all words there are as soon as there are a thousand to take out.
CREATE OR REPLACE FUNCTION metadata.take_out_words(
  p_tenants uuid[], p_words uuid[], p_subjects text[], p_facets uuid[]
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_nestloop = on AS $$
  DELETE FROM metadata.facet_word d
  USING unnest(p_tenants, p_words, p_subjects, p_facets) AS w (tenant_id, word, subject, facet_id)
  WHERE d.tenant_id = w.tenant_id AND d.word = w.word AND d.subject = w.subject AND d.facet_id = w.facet_id
$$;

CREATE OR REPLACE FUNCTION metadata.forget_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.take_out_words(
    array_agg(o.tenant_id), array_agg(w.word), array_agg(w.subject), array_agg(o.facet_id))
  FROM old_rows o CROSS JOIN LATERAL metadata.words_of(o.asset_id, o.run_id, o.name, o.document) w;
  RETURN NULL;
END $$;

-- Most often only the moment of a facet is another one: then its words are the same. A plan that was made when nothing had
-- changed serves for thousands of changed rows, so what each row was is never looked for by going through all of them.
CREATE OR REPLACE FUNCTION metadata.rewrite_facet_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
  v_tenants uuid[];
  v_words uuid[];
  v_subjects text[];
  v_facets uuid[];
BEGIN
  IF NOT EXISTS (
    SELECT FROM old_rows o JOIN new_rows n ON n.tenant_id = o.tenant_id AND n.facet_id = o.facet_id
    WHERE (o.asset_id, o.run_id, o.name, o.document) IS DISTINCT FROM (n.asset_id, n.run_id, n.name, n.document))
  THEN
    RETURN NULL;
  END IF;
  WITH changed AS (
    SELECT o.tenant_id, o.facet_id, o.asset_id AS old_asset, o.run_id AS old_run, o.name AS old_name,
      o.document AS old_document, n.asset_id, n.run_id, n.name, n.document
    FROM old_rows o JOIN new_rows n ON n.tenant_id = o.tenant_id AND n.facet_id = o.facet_id
    WHERE (o.asset_id, o.run_id, o.name, o.document) IS DISTINCT FROM (n.asset_id, n.run_id, n.name, n.document)
  ), was AS (
    SELECT c.tenant_id, w.word, w.subject, c.facet_id
    FROM changed c CROSS JOIN LATERAL metadata.words_of(c.old_asset, c.old_run, c.old_name, c.old_document) w
  ), now AS (
    SELECT c.tenant_id, w.word, w.subject, c.facet_id
    FROM changed c CROSS JOIN LATERAL metadata.words_of(c.asset_id, c.run_id, c.name, c.document) w
  ), come AS (
    INSERT INTO metadata.facet_word (tenant_id, word, subject, facet_id)
    SELECT * FROM (SELECT * FROM now EXCEPT SELECT * FROM was) w ORDER BY w.tenant_id, w.word, w.subject, w.facet_id
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
-- In steps. The next subjects of each word are looked up, as many of each; those of the word that leads furthest are the
-- candidates, for every hit so far is among them. Who of them has the other words is asked for all of them at once, as the
-- entries of an index are read in their order; one after the other where a word has many entries of each: those of a
-- dataset that many runs read. Last come the documents, for what no word says.
CREATE OR REPLACE FUNCTION metadata.subjects_with(p_of text, p_wanted jsonb, p_after text, p_limit integer)
RETURNS TABLE (subject text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_count integer := jsonb_array_length(p_wanted);
  v_one jsonb;
  v_path text;
  v_way jsonpath;
  v_word uuid;
  v_more uuid;
  v_words uuid[] := '{}';
  v_others uuid[] := '{}';
  v_ways jsonpath[] := '{}';
  v_values jsonb[] := '{}';
  v_after text COLLATE "C" := p_after;
  v_last text COLLATE "C";
  v_end text COLLATE "C";
  v_block text[];
  v_some text[];
  v_first integer;
  v_most integer;
  v_next integer := least(greatest(2 * p_limit, 100), 2000);
  v_left integer := p_limit;
BEGIN
  FOR v_one IN SELECT w.value FROM jsonb_array_elements(p_wanted) w LOOP
    v_path := coalesce((SELECT string_agg('.' || to_json(p.part), '' ORDER BY p.place)
      FROM jsonb_array_elements_text(v_one -> 'path') WITH ORDINALITY p (part, place)), '');
    v_more := NULL;
    v_way := NULL;
    IF v_one ? 'value' AND v_path <> '' AND NOT starts_with(v_path, '."_') THEN
      v_word := metadata.word_of(p_of, v_one ->> 'name', metadata.part_of(v_path, v_one -> 'value'));
      SELECT w.word INTO v_more FROM metadata.facet_word w
      WHERE w.tenant_id = v_tenant AND w.word = metadata.word_of(p_of, v_one ->> 'name', '+') LIMIT 1;
      IF v_more IS NOT NULL THEN
        v_way := 'lax $' || v_path || ' ? (@ == $value)';
      END IF;
    ELSE
      v_word := metadata.word_of(p_of, v_one ->> 'name', '');
      IF v_one ? 'value' THEN
        v_way := 'lax $' || coalesce(nullif(v_path, ''), '.**') || ' ? (@ == $value)';
      ELSIF v_path <> '' THEN
        v_way := 'lax $' || v_path;
      END IF;
    END IF;
    v_words := v_words || v_word;
    v_others := v_others || v_more;
    v_ways := v_ways || v_way;
    v_values := v_values || jsonb_build_object('value', v_one -> 'value');
  END LOOP;

  WHILE v_left > 0 AND v_count > 0 LOOP
    v_some := NULL;
    FOR i IN 1 .. v_count LOOP
      v_block := ARRAY(
        SELECT DISTINCT l.subject FROM unnest(ARRAY[v_words[i], v_others[i]]) AS g (word) CROSS JOIN LATERAL (
          SELECT DISTINCT w.subject FROM metadata.facet_word w
          WHERE w.tenant_id = v_tenant AND w.word = g.word AND w.subject > v_after
          ORDER BY w.subject LIMIT v_next) l
        ORDER BY l.subject LIMIT v_next);
      v_last := v_block[v_next];  -- null where there are no more
      IF v_some IS NULL OR v_last > v_end OR v_last IS NULL
        AND (v_end IS NOT NULL OR cardinality(v_block) < cardinality(v_some))
      THEN
        v_some := v_block;
        v_end := v_last;
        v_first := i;
      END IF;
    END LOOP;

    FOR i IN 1 .. v_count LOOP
      CONTINUE WHEN i = v_first;
      v_most := 4 * cardinality(v_some);
      v_block := ARRAY(
        SELECT w.subject FROM metadata.facet_word w
        WHERE w.tenant_id = v_tenant AND w.word = ANY (ARRAY[v_words[i], v_others[i]]) AND w.subject = ANY (v_some)
        LIMIT v_most + 1);
      IF cardinality(v_block) > v_most THEN
        v_block := ARRAY(
          SELECT s.subject FROM unnest(v_some) AS s (subject) WHERE EXISTS (
            SELECT FROM metadata.facet_word w
            WHERE w.tenant_id = v_tenant AND w.word = ANY (ARRAY[v_words[i], v_others[i]])
              AND w.subject = s.subject OFFSET 0));
      END IF;
      v_some := ARRAY(SELECT DISTINCT s.subject COLLATE "C" FROM unnest(v_block) AS s (subject) ORDER BY 1);
    END LOOP;

    IF cardinality(v_some) > v_left THEN
      v_some := v_some[:v_left];
      v_end := v_some[v_left];
    END IF;
    FOR i IN 1 .. v_count LOOP
      CONTINUE WHEN v_ways[i] IS NULL;
      v_some := ARRAY(
        SELECT s.subject FROM unnest(v_some) WITH ORDINALITY AS s (subject, place)
        WHERE EXISTS (
          SELECT FROM metadata.facet_word w
          JOIN metadata.facet f ON f.tenant_id = v_tenant AND f.facet_id = w.facet_id
          WHERE w.tenant_id = v_tenant AND w.word = ANY (ARRAY[v_words[i], v_others[i]]) AND w.subject = s.subject
            AND jsonb_path_exists(f.document, v_ways[i], v_values[i]) OFFSET 0)
        ORDER BY s.place);
    END LOOP;

    RETURN QUERY SELECT s.subject FROM unnest(v_some) WITH ORDINALITY AS s (subject, place) ORDER BY s.place;
    v_left := v_left - cardinality(v_some);
    EXIT WHEN v_end IS NULL;
    v_after := v_end;
    v_next := least(2 * v_next, 2000);
  END LOOP;
END $$;
