-- What things are called, and were called. Every alias points at an asset, never at another alias, and a key has at most
-- one open alias: to resolve it is one index hit, whatever happened before.

-- Not for the condition of a look-up: behind row-level security an index is only asked for what cannot leak, and a
-- function of a column could. So digests go into arrays first.
CREATE OR REPLACE FUNCTION metadata.name_digest(p_key text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT sha256(convert_to(p_key, 'UTF8'))
$$;

-- Keep names as they are until the transaction ends: shared by everybody who gives new things names, exclusive for who
-- takes names away. Taken before any row is locked, so births and renames never wait for one another in a circle.
CREATE OR REPLACE FUNCTION metadata.hold_names(p_exclusive boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_lock bigint := uuid_hash_extended(metadata.current_tenant(), 4);
BEGIN
  IF p_exclusive THEN
    PERFORM pg_advisory_xact_lock(v_lock);
  ELSE
    PERFORM pg_advisory_xact_lock_shared(v_lock);
  END IF;
END $$;

-- A new asset is the holder of its key from its birth on. Whoever had the key by an older claim has it no longer; an
-- open asset of that name was in the way of the birth itself.
CREATE OR REPLACE FUNCTION metadata.name_births() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_tenant uuid := metadata.current_tenant();
  v_taken uuid[];
BEGIN
  -- Each name by itself: of an array, every name of the tenant would be compared with every element.
  v_taken := ARRAY(
    SELECT y.alias_id
    FROM metadata.spellings(ARRAY(SELECT n.qualified_name FROM new_rows n WHERE n.deleted_at IS NULL)) s
    CROSS JOIN LATERAL (
      SELECT z.alias_id FROM metadata.alias z
      WHERE z.tenant_id = v_tenant AND z.valid_to IS NULL AND z.key_sha256 = s.digest LIMIT 1) y);
  IF cardinality(v_taken) > 0 THEN
    UPDATE metadata.alias x SET valid_to = greatest(v_now, x.valid_from)
    WHERE x.tenant_id = v_tenant AND x.alias_id = ANY (v_taken) AND x.valid_to IS NULL;
  END IF;
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, birth_sha256)
  SELECT n.tenant_id, n.qualified_name, metadata.name_digest(n.qualified_name), n.asset_id, 'primary', v_now,
    current_setting('metadata.actor'), n.key_sha256
  FROM new_rows n WHERE n.deleted_at IS NULL
  ORDER BY n.asset_id;
  RETURN NULL;
END $$;

-- An alias says what its thing was born under, which never changes: whoever asks by a name need not read the thing. Its
-- birth says so itself.
CREATE OR REPLACE FUNCTION metadata.tell_birth() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.birth_sha256 IS NULL THEN  -- who wrote the thing in this very statement knows it
    SELECT a.key_sha256 INTO NEW.birth_sha256 FROM metadata.asset a
    WHERE a.tenant_id = NEW.tenant_id AND a.asset_id = NEW.entity_id;
  END IF;
  RETURN NEW;
END $$;

-- Claim an idempotency key. True when somebody had claimed it before for the same request.
CREATE OR REPLACE FUNCTION metadata.is_replay(p_op text, p_key text, p_fingerprint bytea, p_result uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_fingerprint bytea;
BEGIN
  INSERT INTO metadata.idempotency (tenant_id, op, key, fingerprint, result_id)
  VALUES (v_tenant, p_op, p_key, p_fingerprint, p_result)
  ON CONFLICT (tenant_id, op, key) DO NOTHING;
  IF FOUND THEN
    RETURN false;
  END IF;
  SELECT k.fingerprint INTO v_fingerprint
  FROM metadata.idempotency k WHERE k.tenant_id = v_tenant AND k.op = p_op AND k.key = p_key;
  IF v_fingerprint IS DISTINCT FROM p_fingerprint THEN
    RAISE EXCEPTION 'idempotency key % was used for another request', p_key USING ERRCODE = 'MA409', DETAIL = p_key;
  END IF;
  RETURN true;
END $$;

-- What a collection saw at one endpoint, and is now said to be at another one, remembers where it was seen: that
-- endpoint's next look finds it again. Back there, or seen at the new one, there is nothing to remember. By the slugs
-- of registered endpoints.
CREATE OR REPLACE FUNCTION metadata.with_origin(p_metadata jsonb, p_was text, p_now text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN NOT p_metadata ?| ARRAY['relation', 'object'] THEN p_metadata
    WHEN coalesce(p_metadata ->> 'moved_from', p_was) = p_now THEN p_metadata - 'moved_from'
    ELSE jsonb_build_object('moved_from', p_was) || p_metadata END
$$;

-- Rename things, all in one transaction and judged by what comes out: A and B may change names, and so may three in a
-- circle. p_moves: [{was, now, name, kind}]: keys, the new own name, and the kind of alias that the old key becomes. What
-- is called so already is left alone. A key below a provisional endpoint that is registered is the same name as the one
-- below the registered one.
-- Answers one row for each thing that got another name. Old names keep leading to it, until something else takes them.
-- Lock order: names, idempotency, assets in the order of their ids.
-- Errors (CONSTRAINT says which): MA404 asset_key unknown name; MA422 rename_batch one thing or one name twice, or
-- an old name; MA422 asset_open_name_key a name that another thing has; MA422 legacy_endpoint; MA409 key used for another
-- request.
CREATE OR REPLACE FUNCTION metadata.rename_entities(
  p_key text, p_fingerprint bytea, p_batch uuid, p_moves jsonb, p_reason text
) RETURNS TABLE (entity_id uuid, was text, now text, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_batch uuid := p_batch;
  v_now timestamptz;
  v_moves jsonb;
  v_names jsonb;
  v_ids uuid[];
  v_was text[];
  v_new text[];
  v_holders uuid[];
  v_problem text;
  v_given text[];
  v_digests bytea[];
BEGIN
  PERFORM metadata.refuse_legacy(ARRAY(
    SELECT split_part(m.now, ':', 3) FROM jsonb_to_recordset(p_moves) AS m (now text)));
  PERFORM metadata.hold_names(true);
  IF metadata.is_replay('rename', p_key, p_fingerprint, p_batch) THEN
    SELECT k.result_id INTO v_batch
    FROM metadata.idempotency k WHERE k.tenant_id = v_tenant AND k.op = 'rename' AND k.key = p_key;
    RETURN QUERY
      SELECT n.entity_id, o.key, n.key, true
      FROM metadata.alias n
      JOIN metadata.alias o ON o.tenant_id = v_tenant AND o.entity_id = n.entity_id AND o.closed_by = v_batch
        AND o.kind = 'primary'
      WHERE n.tenant_id = v_tenant AND n.batch_id = v_batch AND n.kind = 'primary'
      ORDER BY o.key;
    RETURN;
  END IF;
  v_moves := metadata.stored_moves(p_moves);
  v_names := metadata.endpoint_names();
  v_given := ARRAY(SELECT DISTINCT m.was FROM jsonb_to_recordset(v_moves) AS m (was text) ORDER BY 1);
  v_digests := ARRAY(
    SELECT metadata.name_digest(u.was) FROM unnest(v_given) WITH ORDINALITY AS u (was, n) ORDER BY u.n);

  SELECT min(m.was) INTO v_problem
  FROM unnest(v_given, v_digests) AS m (was, digest)
  WHERE NOT EXISTS (
    SELECT 1 FROM metadata.alias x
    WHERE x.tenant_id = v_tenant AND x.key_sha256 = m.digest AND x.valid_to IS NULL);
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION 'nothing is called %', v_problem USING ERRCODE = 'MA404', CONSTRAINT = 'asset_key';
  END IF;

  -- An old name does not say what is to be renamed: it may have been retired by the very rename that is asked again.
  SELECT min(format(CASE WHEN EXISTS (
      SELECT 1 FROM metadata.alias p
      WHERE p.tenant_id = v_tenant AND p.entity_id = a.asset_id AND p.valid_to IS NULL AND p.kind = 'primary')
    THEN '%s is called %s by now' ELSE '%s is gone, and its name %s is another thing''s now' END,
    m.was, metadata.present_key(a.qualified_name, v_names))) INTO v_problem
  FROM jsonb_to_recordset(v_moves) AS m (was text, now text)
  JOIN unnest(v_given, v_digests) AS g (was, digest) ON g.was = m.was
  JOIN metadata.alias x ON x.tenant_id = v_tenant AND x.key_sha256 = g.digest AND x.valid_to IS NULL
  JOIN metadata.asset a ON a.tenant_id = v_tenant AND a.asset_id = x.entity_id
  WHERE x.kind <> 'primary' AND a.qualified_name <> m.now;
  IF v_problem IS NULL THEN
    SELECT CASE
        WHEN count(DISTINCT m.was) < count(*) THEN format('%s is renamed twice', min(m.was))
        WHEN count(DISTINCT m.now) < count(*) THEN format('several things are to be called %s', min(m.now)) END
    INTO v_problem FROM (
      SELECT metadata.present_key(m.was, v_names) AS was, metadata.present_key(m.now, v_names) AS now
      FROM jsonb_to_recordset(v_moves) AS m (was text, now text)) m;
  END IF;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'rename_batch';
  END IF;

  SELECT array_agg(x.entity_id ORDER BY m.was), array_agg(m.was ORDER BY m.was), array_agg(m.now ORDER BY m.was)
  INTO v_ids, v_was, v_new
  FROM jsonb_to_recordset(v_moves) AS m (was text, now text)
  JOIN unnest(v_given, v_digests) AS g (was, digest) ON g.was = m.was
  JOIN metadata.alias x ON x.tenant_id = v_tenant AND x.key_sha256 = g.digest AND x.valid_to IS NULL
  WHERE x.kind = 'primary' AND m.was <> m.now;
  IF v_ids IS NULL THEN
    RETURN;
  END IF;

  -- Joined, here and below: of an array every row would be compared with every element.
  SELECT coalesce(array_agg(x.entity_id), '{}') INTO v_holders
  FROM metadata.spellings(v_new) s
  CROSS JOIN LATERAL (
    SELECT y.entity_id, y.kind FROM metadata.alias y  -- the kind would call for the index of things
    WHERE y.tenant_id = v_tenant AND y.valid_to IS NULL AND y.key_sha256 = s.digest OFFSET 0) x
  WHERE x.kind = 'primary' AND NOT EXISTS (SELECT 1 FROM unnest(v_ids) AS r (id) WHERE r.id = x.entity_id);
  PERFORM 1 FROM metadata.asset a
  WHERE a.tenant_id = v_tenant AND a.asset_id = ANY (v_ids || v_holders)
  ORDER BY a.asset_id FOR NO KEY UPDATE;

  -- A new statement, a new snapshot: what is gone by now is in nobody's way.
  SELECT min(metadata.present_key(a.qualified_name, v_names)) INTO v_problem
  FROM metadata.asset a WHERE a.tenant_id = v_tenant AND a.asset_id = ANY (v_holders) AND a.deleted_at IS NULL;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION 'something else is called %', v_problem
      USING ERRCODE = 'MA422', CONSTRAINT = 'asset_open_name_key';
  END IF;

  -- Names that change hands within the batch are laid down first: a unique index looks at every row as it is written.
  -- The audit trail leaves that step out (audit_update).
  UPDATE metadata.asset a SET qualified_name = a.qualified_name || '#' || a.asset_id
  FROM unnest(v_ids, v_was) AS r (id, was) JOIN unnest(v_new) AS n (now) ON n.now = r.was
  WHERE a.tenant_id = v_tenant AND a.asset_id = r.id;
  UPDATE metadata.asset a SET
    qualified_name = m.now, name = m.name, version = a.version + 1, updated_at = clock_timestamp(),
    metadata = metadata.with_origin(a.metadata, m.was_at, m.now_at),
    endpoint_id = (SELECT e.endpoint_id FROM metadata.endpoint e WHERE e.tenant_id = v_tenant AND e.slug = m.now_at)
  FROM (
    SELECT r.id, m.now, m.name, split_part(metadata.present_key(m.was, v_names), ':', 3) AS was_at,
      split_part(metadata.present_key(m.now, v_names), ':', 3) AS now_at
    FROM jsonb_to_recordset(v_moves) AS m (was text, now text, name text)
    JOIN unnest(v_ids, v_was) AS r (id, was) ON r.was = m.was) m
  WHERE a.tenant_id = v_tenant AND a.asset_id = m.id;  -- no function here: the index is only asked for what cannot leak

  v_now := clock_timestamp();
  -- One look, not a join: without statistics the planner takes every row of the tenant for every name.
  UPDATE metadata.alias x SET valid_to = greatest(v_now, x.valid_from), closed_by = p_batch
  WHERE x.tenant_id = v_tenant AND x.valid_to IS NULL
    AND x.key_sha256 = ANY (ARRAY(
      SELECT metadata.name_digest(n) FROM unnest(v_was) AS n
      UNION SELECT s.digest FROM metadata.spellings(v_new) s));
  INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor, reason, batch_id)
  SELECT v_tenant, n.key, metadata.name_digest(n.key), n.id, n.kind, v_now, v_actor, p_reason, p_batch
  FROM (
    SELECT r.now AS key, r.id, 'primary' AS kind FROM unnest(v_ids, v_new) AS r (id, now)
    UNION ALL
    SELECT m.was, r.id, m.kind
    FROM jsonb_to_recordset(v_moves) AS m (was text, kind text)
    JOIN unnest(v_ids, v_was) AS r (id, was) ON r.was = m.was
    WHERE NOT EXISTS (SELECT 1 FROM unnest(v_new) AS o (now) WHERE o.now = m.was)) n
  ORDER BY n.id, n.key;

  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT v_tenant, p_batch, 'entity.renamed', jsonb_build_object(
    'batch_id', p_batch, 'actor', v_actor, 'reason', p_reason,
    'renames', jsonb_agg(jsonb_build_object('entity_id', r.id, 'was', metadata.present_key(r.was, v_names),
      'now', metadata.present_key(r.now, v_names)) ORDER BY r.was))
  FROM unnest(v_ids, v_was, v_new) AS r (id, was, now);

  -- What was said of the columns of whatever would get these names.
  IF EXISTS (
    SELECT 1 FROM metadata.spellings(v_new) s
    JOIN metadata.column_word w ON w.tenant_id = v_tenant AND w.origin_key = s.spelling AND w.origin_asset_id IS NULL)
  THEN
    PERFORM metadata.settle_column_edges('{}', '{}', v_ids);
  END IF;
  RETURN QUERY SELECT r.id, r.was, r.now, false FROM unnest(v_ids, v_was, v_new) AS r (id, was, now) ORDER BY r.was;
END $$;
