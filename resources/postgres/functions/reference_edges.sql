-- Reference edges: dependencies between references, kept as given, and the edges of the graph that follow from them.
-- Whatever writes them holds the names exclusively, so that what they lead to stays meanwhile and nothing is born that
-- they wait for; a birth brings its own edges in line (follow_names).

-- How many nodes an edge follows at most, whatever guard somebody reads with: one number, so that nobody undoes the
-- edges of somebody else. Equal to identity.nodes.FARTHEST, beyond which no guard goes.
CREATE OR REPLACE FUNCTION metadata.farthest() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$ SELECT 1000 $$;

-- Bring the resolved edges of these reference edges in line with where their ends lead now. Writes the rows that differ
-- and no other. An edge has no resolved one while an end leads nowhere or both lead to one thing; an edge that is gone
-- has none.
CREATE OR REPLACE FUNCTION metadata.resolve_edges(p_edges uuid[], OUT opened integer, OUT closed integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  WITH edges AS MATERIALIZED (
    SELECT g.edge_id::text AS scope, e.source_reference, e.target_reference, e.type
    FROM unnest(p_edges) AS g (edge_id)
    LEFT JOIN metadata.reference_edge e ON e.tenant_id = v_tenant AND e.edge_id = g.edge_id
  ), ways AS MATERIALIZED (
    SELECT t.reference, t.path[cardinality(t.path)] AS key
    FROM metadata.identity_trails(
      ARRAY(SELECT source_reference FROM edges WHERE type IS NOT NULL
            UNION SELECT target_reference FROM edges WHERE type IS NOT NULL), metadata.farthest()) t
  ), things AS MATERIALIZED (
    SELECT w.reference, n.asset_id
    FROM ways w JOIN metadata.assets_named(ARRAY(SELECT key FROM ways)) n ON n.key = w.key
  ), wanted AS MATERIALIZED (
    SELECT e.scope, s.asset_id AS source, t.asset_id AS target, e.type
    FROM edges e
    JOIN things s ON s.reference = e.source_reference
    JOIN things t ON t.reference = e.target_reference
    WHERE s.asset_id <> t.asset_id
  ), gone AS (
    UPDATE metadata.relationship r SET valid_to = clock_timestamp()
    FROM edges e LEFT JOIN wanted w ON w.scope = e.scope
    WHERE r.tenant_id = v_tenant AND r.producer = 'reference' AND r.scope = e.scope AND r.valid_to IS NULL
      AND (w.source, w.target) IS DISTINCT FROM (r.source_asset_id, r.target_asset_id)
    RETURNING 1
  ), made AS (
    INSERT INTO metadata.relationship
      (tenant_id, source_asset_id, target_asset_id, type, producer, scope, created_by)
    SELECT v_tenant, w.source, w.target, w.type, 'reference', w.scope, current_setting('metadata.actor')
    FROM wanted w ORDER BY w.source, w.target, w.scope
    ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM gone) INTO opened, closed;
END $$;

-- The edges with an end among these references: two index lookups, not a scan.
CREATE OR REPLACE FUNCTION metadata.edges_at(p_references text[]) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  SELECT coalesce(array_agg(e.edge_id), '{}') FROM (
    SELECT edge_id FROM metadata.reference_edge
    WHERE tenant_id = (SELECT metadata.current_tenant()) AND source_reference = ANY (p_references)
    UNION
    SELECT edge_id FROM metadata.reference_edge
    WHERE tenant_id = (SELECT metadata.current_tenant()) AND target_reference = ANY (p_references)) e
$$;

-- Say that one reference depends on another, as given; the resolved edges follow. The same edge twice is one edge.
CREATE OR REPLACE FUNCTION metadata.add_reference_edges(
  p_sources text[], p_targets text[], p_type text,
  OUT outcome text, OUT unknown text, OUT opened integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_edges uuid[]; v_digests bytea[]; v_new jsonb;
BEGIN
  PERFORM metadata.hold_names(true);
  opened := 0;
  closed := 0;
  unknown := metadata.unknown_identity(p_sources || p_targets);
  IF unknown IS NOT NULL THEN
    outcome := 'no target';
    RETURN;
  END IF;
  v_digests := metadata.edge_digests(p_sources, p_targets, p_type);
  WITH made AS (
    INSERT INTO metadata.reference_edge AS e
      (tenant_id, source_reference, target_reference, type, digest, created_by)
    SELECT v_tenant, g.source, g.target, p_type, g.digest, current_setting('metadata.actor')
    FROM unnest(p_sources, p_targets, v_digests) AS g (source, target, digest)
    ORDER BY g.source, g.target
    ON CONFLICT (tenant_id, digest) DO NOTHING
    RETURNING e.source_reference, e.target_reference
  )
  SELECT metadata.edge_list(array_agg(m.source_reference), array_agg(m.target_reference)) INTO v_new FROM made m;
  SELECT coalesce(array_agg(e.edge_id), '{}') INTO v_edges
  FROM metadata.reference_edge e WHERE e.tenant_id = v_tenant AND e.digest = ANY (v_digests);
  SELECT e.opened, e.closed INTO opened, closed FROM metadata.resolve_edges(v_edges) e;
  PERFORM metadata.tell('identity.linked', jsonb_build_object('type', p_type, 'edges', v_new))
  WHERE v_new IS NOT NULL;
  outcome := 'done';
END $$;

CREATE OR REPLACE FUNCTION metadata.edge_digests(p_sources text[], p_targets text[], p_type text) RETURNS bytea[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(sha256(convert_to(p_type || ' ' || g.source || ' ' || g.target, 'UTF8')) ORDER BY g.number)
  FROM unnest(p_sources, p_targets) WITH ORDINALITY AS g (source, target, number)
$$;

-- Edges as an event tells them; null for none.
CREATE OR REPLACE FUNCTION metadata.edge_list(p_sources text[], p_targets text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_agg(jsonb_build_object('source', g.source, 'target', g.target) ORDER BY g.source, g.target)
  FROM unnest(p_sources, p_targets) AS g (source, target)
$$;

-- All names by which the end of an edge may have been given: a node by itself, a key by every name of its thing.
CREATE OR REPLACE FUNCTION metadata.names_of(p_references text[]) RETURNS TABLE (reference text, name text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
  SELECT s.key, s.spelling FROM metadata.spellings(p_references) s
  UNION
  SELECT n.key, x.key FROM metadata.assets_named(p_references) n
  JOIN metadata.alias x ON x.tenant_id = (SELECT metadata.current_tenant()) AND x.entity_id = n.asset_id
    AND x.valid_to IS NULL
$$;

-- Forget edges, by whichever names their ends were given; how many that were.
CREATE OR REPLACE FUNCTION metadata.remove_reference_edges(
  p_sources text[], p_targets text[], p_type text, OUT removed integer, OUT closed integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_edges uuid[]; v_gone jsonb;
BEGIN
  PERFORM metadata.hold_names(true);
  WITH gone AS (
    DELETE FROM metadata.reference_edge e
    USING unnest(p_sources, p_targets) AS g (source, target), metadata.names_of(p_sources) s,
      metadata.names_of(p_targets) t
    WHERE e.tenant_id = v_tenant AND e.type = p_type AND s.reference = g.source AND t.reference = g.target
      AND e.source_reference = s.name AND e.target_reference = t.name
    RETURNING e.edge_id, e.source_reference, e.target_reference
  )
  SELECT coalesce(array_agg(d.edge_id), '{}'),
    metadata.edge_list(array_agg(d.source_reference), array_agg(d.target_reference))
  INTO v_edges, v_gone FROM gone d;
  removed := cardinality(v_edges);
  SELECT e.closed INTO closed FROM metadata.resolve_edges(v_edges) e;
  PERFORM metadata.tell('identity.unlinked', jsonb_build_object('type', p_type, 'edges', v_gone))
  WHERE v_gone IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION metadata.refresh_reference_edges(OUT opened integer, OUT closed integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.hold_names(true);
  SELECT e.opened, e.closed INTO opened, closed
  FROM metadata.resolve_edges(
    ARRAY(SELECT g.edge_id FROM metadata.reference_edge g WHERE g.tenant_id = metadata.current_tenant())) e;
END $$;
