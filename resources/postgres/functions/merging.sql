-- Two things that were one all along, and the way back.

-- Why one thing cannot be merged into another one; null when it can. What a source still has may only be merged into
-- what its own source has as the same object: one server that is known by two endpoints.
CREATE OR REPLACE FUNCTION metadata.merge_obstacle(p_loser uuid, p_winner uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH things AS (
    SELECT a.*, metadata.present_key(a.qualified_name, (SELECT metadata.endpoint_names())) AS called
    FROM metadata.asset a
    WHERE a.tenant_id = (SELECT metadata.current_tenant()) AND a.asset_id IN (p_loser, p_winner)
  )
  SELECT CASE
    WHEN l.asset_id = w.asset_id THEN format('%s is one thing already', w.called)
    WHEN l.metadata ? 'merged' THEN format('%s has been merged into another thing', l.called)
    WHEN w.metadata ? 'merged' THEN format('%s has been merged into another thing', w.called)
    WHEN w.deleted_at IS NOT NULL THEN format('%s is gone', w.called)
    WHEN EXISTS (SELECT 1 FROM metadata.relationship r WHERE r.tenant_id = l.tenant_id AND r.valid_to IS NULL
                 AND (r.source_asset_id, r.target_asset_id)
                   IN ((l.asset_id, w.asset_id), (w.asset_id, l.asset_id))) THEN
      format('one of %s and %s is made from the other',
        least(l.called, w.called), greatest(l.called, w.called))
    WHEN EXISTS (SELECT 1 FROM metadata.materialization m
                 WHERE m.tenant_id = l.tenant_id AND m.dataset_id = l.asset_id)
      OR EXISTS (SELECT 1 FROM metadata.staging_lease s
                 WHERE s.tenant_id = l.tenant_id AND s.dataset_id = l.asset_id) THEN
      format('%s has data of its own', l.called)
    WHEN l.deleted_at IS NULL AND l.metadata ? 'relation'
      AND (w.metadata ? 'relation' AND l.metadata ->> 'object' = w.metadata ->> 'object') IS NOT TRUE THEN
      format('%s is there in its source', l.called)
    WHEN EXISTS (SELECT 1 FROM metadata.schema_field f
                 WHERE f.tenant_id = l.tenant_id AND f.asset_id = l.asset_id AND f.deleted_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM metadata.schema_field f
                      WHERE f.tenant_id = w.tenant_id AND f.asset_id = w.asset_id AND f.deleted_at IS NULL) THEN
      format('only %s has known columns', l.called)
  END
  FROM things l JOIN things w ON w.asset_id = p_winner WHERE l.asset_id = p_loser
$$;

-- What a person is told whose merge is refused: the way that would work, or that there is none and what else to do.
CREATE OR REPLACE FUNCTION metadata.merge_refusal(p_loser uuid, p_winner uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_why text := metadata.merge_obstacle(p_loser, p_winner);
  v_back text := metadata.merge_obstacle(p_winner, p_loser);
  v_names jsonb := metadata.endpoint_names();
  v_loser text;
  v_winner text;
  v_gone boolean;
BEGIN
  IF v_why IS NULL OR v_why = v_back THEN
    RETURN v_why;
  END IF;
  SELECT metadata.present_key(l.qualified_name, v_names), metadata.present_key(w.qualified_name, v_names),
    l.deleted_at IS NOT NULL AND w.deleted_at IS NOT NULL
  INTO v_loser, v_winner, v_gone
  FROM metadata.asset l JOIN metadata.asset w ON w.tenant_id = l.tenant_id AND w.asset_id = p_winner
  WHERE l.tenant_id = (SELECT metadata.current_tenant()) AND l.asset_id = p_loser;
  IF v_back IS NULL THEN
    RETURN format('%s; merge %s into %s instead', v_why, v_winner, v_loser);
  END IF;
  RETURN 'neither can be merged into the other: ' || CASE
    WHEN v_gone THEN
      format('%s and %s are both gone; collect or declare one of them again first',
        v_loser, v_winner)
    WHEN v_why LIKE '%has data of its own' AND v_back LIKE '%has data of its own' THEN
      format('%s and %s both have data of their own; keep both, write to one of them from now on, and let references '
        'to the other lead to it with `metadata-assets identity retype`',
        v_loser, v_winner)
    ELSE format('%s, and %s; keep both, and let references to one lead to the other with '
      '`metadata-assets identity retype`', v_why, v_back) END;
END $$;

-- What was one thing all along and had two identities: the loser's names and edges become the winner's, and the loser is
-- closed. Nothing is lost: what cannot move is a refusal. `unmerge_entities` takes it back.
-- Lock order: names, idempotency, assets in the order of their ids, the loser's dataset: who commits to it right now is
-- waited for.
-- Errors: MA404 asset_key; MA422 merge, it would be a circle or lose something; MA409 key used for another request.
CREATE OR REPLACE FUNCTION metadata.merge_entities(
  p_key text, p_fingerprint bytea, p_batch uuid, p_loser uuid, p_winner uuid, p_reason text
) RETURNS TABLE (batch_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_now timestamptz;
  v_loser metadata.asset;
  v_winner metadata.asset;
  v_names jsonb;
  v_problem text;
BEGIN
  PERFORM metadata.hold_names(true);
  IF metadata.is_replay('merge', p_key, p_fingerprint, p_batch) THEN
    RETURN QUERY SELECT k.result_id, true
      FROM metadata.idempotency k WHERE k.tenant_id = v_tenant AND k.op = 'merge' AND k.key = p_key;
    RETURN;
  END IF;
  PERFORM 1 FROM metadata.asset a
  WHERE a.tenant_id = v_tenant AND a.asset_id IN (p_loser, p_winner) ORDER BY a.asset_id FOR NO KEY UPDATE;
  PERFORM 1 FROM metadata.dataset d WHERE d.tenant_id = v_tenant AND d.dataset_id = p_loser FOR UPDATE;
  SELECT * INTO v_loser FROM metadata.asset a WHERE a.tenant_id = v_tenant AND a.asset_id = p_loser;
  SELECT * INTO v_winner FROM metadata.asset a WHERE a.tenant_id = v_tenant AND a.asset_id = p_winner;
  IF v_loser.asset_id IS NULL OR v_winner.asset_id IS NULL THEN
    RAISE EXCEPTION 'one of the two is unknown' USING ERRCODE = 'MA404', CONSTRAINT = 'asset_key';
  END IF;

  v_problem := metadata.merge_refusal(p_loser, p_winner);
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'merge';
  END IF;

  v_now := clock_timestamp();
  WITH closed AS (
    UPDATE metadata.alias x SET valid_to = greatest(v_now, x.valid_from), closed_by = p_batch
    WHERE x.tenant_id = v_tenant AND x.entity_id = p_loser AND x.valid_to IS NULL
    RETURNING x.key, x.key_sha256, x.kind
  )
  SELECT jsonb_agg(to_jsonb(c)) INTO v_names FROM closed c;
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, reason, batch_id)
  SELECT v_tenant, c.key, metadata.name_digest(c.key), p_winner,
    CASE WHEN c.kind <> 'primary' THEN c.kind
      WHEN v_loser.endpoint_id IS DISTINCT FROM v_winner.endpoint_id THEN 'endpoint' ELSE 'rename' END, v_now, v_actor, p_reason, p_batch
  FROM jsonb_to_recordset(v_names) AS c (key text, kind text);

  WITH closed AS (
    UPDATE metadata.relationship r SET
      valid_to = greatest(v_now, r.valid_from), metadata = r.metadata || jsonb_build_object('merged_in', p_batch)
    WHERE r.tenant_id = v_tenant AND r.valid_to IS NULL AND p_loser IN (r.source_asset_id, r.target_asset_id)
    RETURNING r.*
  )
  INSERT INTO metadata.relationship
    (tenant_id, source_asset_id, target_asset_id, type, producer, scope, metadata, created_by)
  SELECT v_tenant, CASE c.source_asset_id WHEN p_loser THEN p_winner ELSE c.source_asset_id END,
    CASE c.target_asset_id WHEN p_loser THEN p_winner ELSE c.target_asset_id END, c.type, c.producer, c.scope,
    c.metadata - 'merged_in' || jsonb_build_object('merge', p_batch), v_actor
  FROM closed c
  ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING;

  UPDATE metadata.asset a SET
    deleted_at = coalesce(a.deleted_at, v_now), version = a.version + 1, updated_at = v_now,
    metadata = a.metadata || jsonb_build_object('merged', jsonb_build_object(
      'batch', p_batch, 'into', p_winner, 'was_open', a.deleted_at IS NULL))
  WHERE a.tenant_id = v_tenant AND a.asset_id = p_loser;
  PERFORM metadata.inherit_column_words(ARRAY[p_loser], ARRAY[p_winner]);
  PERFORM metadata.settle_column_edges(ARRAY[p_loser], '{}', ARRAY[p_loser, p_winner]);
  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (v_tenant, p_batch, 'entity.merged',
    jsonb_build_object('batch_id', p_batch, 'actor', v_actor, 'reason', p_reason,
      'entity_id', p_loser, 'into_entity_id', p_winner));
  RETURN QUERY SELECT p_batch, false;
END $$;

-- Take a merge back: the loser has its names again, also those that the winner used and gave up since, and those of its
-- edges that the winner still has. Names that something else took meanwhile stay there, but for the loser's own.
-- Errors: MA404 asset_key no such merge in force; MA422 merge, its own name is taken, or its winner or what it is linked
-- with was merged since; MA409.
CREATE OR REPLACE FUNCTION metadata.unmerge_entities(
  p_key text, p_fingerprint bytea, p_batch uuid, p_merge uuid, p_reason text
) RETURNS TABLE (entity_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_now timestamptz;
  v_loser uuid;
  v_winner uuid;
  v_open boolean;
  v_back bytea[];
  v_keys text[];
  v_taken text[];
  v_edges uuid[];
  v_problem text;
BEGIN
  PERFORM metadata.hold_names(true);
  IF metadata.is_replay('unmerge', p_key, p_fingerprint, p_batch) THEN
    RETURN QUERY SELECT (o.payload ->> 'entity_id')::uuid, true
      FROM metadata.idempotency k JOIN metadata.outbox o ON o.tenant_id = v_tenant AND o.event_id = k.result_id
      WHERE k.tenant_id = v_tenant AND k.op = 'unmerge' AND k.key = p_key;
    RETURN;
  END IF;
  SELECT a.asset_id, (a.metadata -> 'merged' ->> 'into')::uuid, (a.metadata -> 'merged' ->> 'was_open')::boolean
  INTO v_loser, v_winner, v_open
  FROM metadata.asset a WHERE a.tenant_id = v_tenant AND a.metadata ? 'merged'
    AND a.metadata -> 'merged' ->> 'batch' = p_merge::text;
  IF v_loser IS NULL THEN
    RAISE EXCEPTION 'no merge % is in force', p_merge USING ERRCODE = 'MA404', CONSTRAINT = 'asset_key';
  END IF;
  PERFORM 1 FROM metadata.asset a
  WHERE a.tenant_id = v_tenant AND a.asset_id IN (v_loser, v_winner) ORDER BY a.asset_id FOR NO KEY UPDATE;

  SELECT coalesce(array_agg(o.key), '{}') INTO v_keys
  FROM metadata.alias o
  JOIN metadata.alias n ON n.tenant_id = v_tenant AND n.key_sha256 = o.key_sha256 AND n.valid_to IS NULL
    AND n.entity_id = v_winner AND n.kind <> 'primary'
  WHERE o.tenant_id = v_tenant AND o.entity_id = v_loser AND o.closed_by = p_merge;
  -- A provisional endpoint may have been registered since: then a name has other spellings, and is something's own.
  v_taken := ARRAY(
    SELECT s.key FROM metadata.spellings(v_keys) s
    JOIN metadata.alias y ON y.tenant_id = v_tenant AND y.key_sha256 = s.digest AND y.valid_to IS NULL
      AND y.kind = 'primary');
  v_keys := ARRAY(SELECT k FROM unnest(v_keys) AS k WHERE k <> ALL (v_taken));
  v_back := ARRAY(SELECT metadata.name_digest(k) FROM unnest(v_keys) AS k);

  SELECT CASE
      WHEN w.metadata ? 'merged' THEN format('%s was merged since: take that back first',
        metadata.present_key(w.qualified_name, metadata.endpoint_names()))
      WHEN EXISTS (
        SELECT 1 FROM metadata.alias o
        WHERE o.tenant_id = v_tenant AND o.entity_id = v_loser AND o.closed_by = p_merge AND o.kind = 'primary'
          AND o.key_sha256 <> ALL (v_back)) THEN
        format('%s is the name of something else by now',
          metadata.present_key(l.qualified_name, metadata.endpoint_names())) END
  INTO v_problem
  FROM metadata.asset l JOIN metadata.asset w ON w.tenant_id = v_tenant AND w.asset_id = v_winner
  WHERE l.tenant_id = v_tenant AND l.asset_id = v_loser;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'merge';
  END IF;

  -- The loser's edges that the winner has had ever since, and where it had one of them when the other end was merged.
  SELECT array_agg(r.relationship_id), min(CASE WHEN c.valid_to IS NOT NULL THEN o.qualified_name END)
  INTO v_edges, v_problem
  FROM metadata.relationship r
  JOIN metadata.asset o ON o.tenant_id = v_tenant
    AND o.asset_id = CASE r.source_asset_id WHEN v_loser THEN r.target_asset_id ELSE r.source_asset_id END
  JOIN metadata.relationship c ON c.tenant_id = v_tenant AND c.type = r.type AND c.producer = r.producer
    AND c.scope = r.scope
    AND c.source_asset_id = CASE r.source_asset_id WHEN v_loser THEN v_winner ELSE r.source_asset_id END
    AND c.target_asset_id = CASE r.target_asset_id WHEN v_loser THEN v_winner ELSE r.target_asset_id END
    AND (p_merge::text IN (c.metadata ->> 'merge', c.metadata ->> 'asserted_after') OR c.valid_from <= r.valid_to)
  WHERE r.tenant_id = v_tenant AND v_loser IN (r.source_asset_id, r.target_asset_id)
    AND r.metadata ->> 'merged_in' = p_merge::text
    AND (c.valid_to IS NULL OR c.metadata ->> 'merged_in' = o.metadata -> 'merged' ->> 'batch');
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '% was merged since: take that back first',
      metadata.present_key(v_problem, metadata.endpoint_names())
      USING ERRCODE = 'MA422', CONSTRAINT = 'merge';
  END IF;

  PERFORM metadata.part_identities(p_merge, v_winner, v_loser);
  v_now := clock_timestamp();
  UPDATE metadata.alias x SET valid_to = greatest(v_now, x.valid_from), closed_by = p_batch
  WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL
    AND x.key_sha256 = ANY (ARRAY(SELECT s.digest FROM metadata.spellings(v_keys) s));
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, reason, batch_id)
  SELECT v_tenant, o.key, o.key_sha256, v_loser, o.kind, v_now, v_actor, p_reason, o.batch_id
  FROM metadata.alias o
  WHERE o.tenant_id = v_tenant AND o.entity_id = v_loser AND o.closed_by = p_merge AND o.key_sha256 = ANY (v_back);

  UPDATE metadata.asset a SET
    deleted_at = CASE WHEN v_open THEN NULL ELSE a.deleted_at END, metadata = a.metadata - 'merged',
    version = a.version + 1, updated_at = v_now
  WHERE a.tenant_id = v_tenant AND a.asset_id = v_loser;
  UPDATE metadata.relationship r SET valid_to = greatest(v_now, r.valid_from)
  WHERE r.tenant_id = v_tenant AND r.valid_to IS NULL AND v_winner IN (r.source_asset_id, r.target_asset_id)
    AND r.metadata ->> 'merge' = p_merge::text;
  INSERT INTO metadata.relationship
    (tenant_id, source_asset_id, target_asset_id, type, producer, scope, metadata, created_by)
  SELECT v_tenant, r.source_asset_id, r.target_asset_id, r.type, r.producer, r.scope, r.metadata - 'merged_in', v_actor
  FROM metadata.relationship r
  WHERE r.tenant_id = v_tenant AND r.relationship_id = ANY (v_edges)
  ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING;
  -- What is said of columns by a name that leads to the loser again.
  UPDATE metadata.column_word w SET origin_asset_id = v_loser, updated_at = clock_timestamp()
  FROM metadata.holders_of(ARRAY(
    SELECT DISTINCT o.origin_key FROM metadata.column_word o
    WHERE o.tenant_id = v_tenant AND o.origin_asset_id = v_winner)) h
  WHERE w.tenant_id = v_tenant AND w.origin_asset_id = v_winner AND w.origin_key = h.key AND h.entity_id = v_loser;
  PERFORM metadata.settle_column_edges(ARRAY[v_loser], '{}', ARRAY[v_loser, v_winner]);

  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload) VALUES (v_tenant, p_batch, 'entity.unmerged',
    jsonb_build_object('batch_id', p_batch, 'merge_batch_id', p_merge, 'actor', v_actor, 'reason', p_reason,
      'entity_id', v_loser, 'from_entity_id', v_winner));
  RETURN QUERY SELECT v_loser, false;
END $$;

-- What was merged into another endpoint's thing is called otherwise at its source: that is a name of the winner, too. How
-- many names that were; a name that is the own one of something open is left alone. Call it after renames, in the
-- transaction of the collection that saw it.
CREATE OR REPLACE FUNCTION metadata.name_joined(p_keys text[], p_entities uuid[], p_reason text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_batch uuid := gen_random_uuid();
  v_now timestamptz;
  v_free text[];
  v_named integer;
BEGIN
  PERFORM metadata.hold_names(true);
  v_free := ARRAY(
    SELECT k FROM unnest(p_keys) AS k
    EXCEPT
    SELECT s.key FROM metadata.spellings(p_keys) s
    JOIN metadata.alias x ON x.tenant_id = v_tenant AND x.key_sha256 = s.digest AND x.valid_to IS NULL
      AND x.kind = 'primary'
    JOIN metadata.asset a ON a.tenant_id = v_tenant AND a.asset_id = x.entity_id AND a.deleted_at IS NULL);
  v_now := clock_timestamp();
  UPDATE metadata.alias x SET valid_to = greatest(v_now, x.valid_from), closed_by = v_batch
  WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL
    AND x.key_sha256 = ANY (ARRAY(SELECT s.digest FROM metadata.spellings(v_free) s));
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, reason, batch_id)
  SELECT v_tenant, g.key, metadata.name_digest(g.key), g.entity, 'endpoint', v_now, current_setting('metadata.actor'),
    p_reason, v_batch
  FROM unnest(p_keys, p_entities) AS g (key, entity) WHERE g.key = ANY (v_free)
  ORDER BY g.entity, g.key;
  GET DIAGNOSTICS v_named = ROW_COUNT;
  RETURN v_named;
END $$;
