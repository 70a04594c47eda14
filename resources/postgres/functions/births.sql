-- The second look at identities: what the app gives birth to has the id that follows from its key, or it is not written.
-- identity/ids.py derives ids; here they are only compared, so nobody can hand one in. PostgreSQL has no SHA-1 without an
-- extension, and a uuid of version 5 is one: some 0.07 ms for each birth, nothing for anything else.

CREATE OR REPLACE FUNCTION metadata.sha1(p_bytes bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE -- every operator but + is of one rank here: hence all the brackets
  v_low CONSTANT bigint := 4294967295;
  v_padded bytea := p_bytes || '\x80'::bytea || decode(repeat('00', (119 - length(p_bytes) % 64) % 64), 'hex')
    || int8send(length(p_bytes)::bigint * 8);
  v_kept1 CONSTANT varbit := repeat(repeat('1', 31) || '0', 3);
  v_kept2 CONSTANT varbit := repeat(repeat('1', 30) || '00', 6);
  h0 bigint := 1732584193; h1 bigint := 4023233417; h2 bigint := 2562383102; h3 bigint := 271733878;
  h4 bigint := 3285377520;
  a bigint; b bigint; c bigint; d bigint; e bigint; x varbit; w varbit;
BEGIN
  FOR block IN 0 .. length(v_padded) / 64 - 1 LOOP
    -- The 80 words as one string of bits, which grows by three words at a time and then by six, for that is how far back
    -- the nearest one is that a word is made of: w[t] is the xor of w[t-3], w[t-8], w[t-14], w[t-16], turned by one bit,
    -- and so, from the 32nd on, that of w[t-6], w[t-16], w[t-28], w[t-32], turned by two.
    w := ('x' || encode(substring(v_padded FROM block * 64 + 1 FOR 64), 'hex'))::bit(512);
    FOR i IN 512 .. 992 BY 96 LOOP
      x := substring(w, i - 95, 96) # substring(w, i - 255, 96) # substring(w, i - 447, 96) # substring(w, i - 511, 96);
      w := w || (((x << 1) & v_kept1) | ((x >> 31) & ~v_kept1));
    END LOOP;
    FOR i IN 1088 .. 2432 BY 192 LOOP
      x := substring(w, i - 191, 192) # substring(w, i - 511, 192) # substring(w, i - 895, 192)
        # substring(w, i - 1023, 192);
      w := w || (((x << 2) & v_kept2) | ((x >> 30) & ~v_kept2));
    END LOOP;
    a := h0; b := h1; c := h2; d := h3; e := h4;
    -- Five rounds at a time: then each variable has its place again, and none of them is moved.
    FOR i IN 1 .. 640 BY 160 LOOP
      e := ((a << 5) + (a >> 27) + (d # (b & (c # d))) + e + 1518500249
        + substring(w, i, 32)::bit(32)::bigint) & v_low;
      b := ((b << 30) & v_low) | (b >> 2);
      d := ((e << 5) + (e >> 27) + (c # (a & (b # c))) + d + 1518500249
        + substring(w, i + 32, 32)::bit(32)::bigint) & v_low;
      a := ((a << 30) & v_low) | (a >> 2);
      c := ((d << 5) + (d >> 27) + (b # (e & (a # b))) + c + 1518500249
        + substring(w, i + 64, 32)::bit(32)::bigint) & v_low;
      e := ((e << 30) & v_low) | (e >> 2);
      b := ((c << 5) + (c >> 27) + (a # (d & (e # a))) + b + 1518500249
        + substring(w, i + 96, 32)::bit(32)::bigint) & v_low;
      d := ((d << 30) & v_low) | (d >> 2);
      a := ((b << 5) + (b >> 27) + (e # (c & (d # e))) + a + 1518500249
        + substring(w, i + 128, 32)::bit(32)::bigint) & v_low;
      c := ((c << 30) & v_low) | (c >> 2);
    END LOOP;
    FOR i IN 641 .. 1280 BY 160 LOOP
      e := ((a << 5) + (a >> 27) + (b # c # d) + e + 1859775393
        + substring(w, i, 32)::bit(32)::bigint) & v_low;
      b := ((b << 30) & v_low) | (b >> 2);
      d := ((e << 5) + (e >> 27) + (a # b # c) + d + 1859775393
        + substring(w, i + 32, 32)::bit(32)::bigint) & v_low;
      a := ((a << 30) & v_low) | (a >> 2);
      c := ((d << 5) + (d >> 27) + (e # a # b) + c + 1859775393
        + substring(w, i + 64, 32)::bit(32)::bigint) & v_low;
      e := ((e << 30) & v_low) | (e >> 2);
      b := ((c << 5) + (c >> 27) + (d # e # a) + b + 1859775393
        + substring(w, i + 96, 32)::bit(32)::bigint) & v_low;
      d := ((d << 30) & v_low) | (d >> 2);
      a := ((b << 5) + (b >> 27) + (c # d # e) + a + 1859775393
        + substring(w, i + 128, 32)::bit(32)::bigint) & v_low;
      c := ((c << 30) & v_low) | (c >> 2);
    END LOOP;
    FOR i IN 1281 .. 1920 BY 160 LOOP
      e := ((a << 5) + (a >> 27) + ((b & c) | (d & (b | c))) + e + 2400959708
        + substring(w, i, 32)::bit(32)::bigint) & v_low;
      b := ((b << 30) & v_low) | (b >> 2);
      d := ((e << 5) + (e >> 27) + ((a & b) | (c & (a | b))) + d + 2400959708
        + substring(w, i + 32, 32)::bit(32)::bigint) & v_low;
      a := ((a << 30) & v_low) | (a >> 2);
      c := ((d << 5) + (d >> 27) + ((e & a) | (b & (e | a))) + c + 2400959708
        + substring(w, i + 64, 32)::bit(32)::bigint) & v_low;
      e := ((e << 30) & v_low) | (e >> 2);
      b := ((c << 5) + (c >> 27) + ((d & e) | (a & (d | e))) + b + 2400959708
        + substring(w, i + 96, 32)::bit(32)::bigint) & v_low;
      d := ((d << 30) & v_low) | (d >> 2);
      a := ((b << 5) + (b >> 27) + ((c & d) | (e & (c | d))) + a + 2400959708
        + substring(w, i + 128, 32)::bit(32)::bigint) & v_low;
      c := ((c << 30) & v_low) | (c >> 2);
    END LOOP;
    FOR i IN 1921 .. 2560 BY 160 LOOP
      e := ((a << 5) + (a >> 27) + (b # c # d) + e + 3395469782
        + substring(w, i, 32)::bit(32)::bigint) & v_low;
      b := ((b << 30) & v_low) | (b >> 2);
      d := ((e << 5) + (e >> 27) + (a # b # c) + d + 3395469782
        + substring(w, i + 32, 32)::bit(32)::bigint) & v_low;
      a := ((a << 30) & v_low) | (a >> 2);
      c := ((d << 5) + (d >> 27) + (e # a # b) + c + 3395469782
        + substring(w, i + 64, 32)::bit(32)::bigint) & v_low;
      e := ((e << 30) & v_low) | (e >> 2);
      b := ((c << 5) + (c >> 27) + (d # e # a) + b + 3395469782
        + substring(w, i + 96, 32)::bit(32)::bigint) & v_low;
      d := ((d << 30) & v_low) | (d >> 2);
      a := ((b << 5) + (b >> 27) + (c # d # e) + a + 3395469782
        + substring(w, i + 128, 32)::bit(32)::bigint) & v_low;
      c := ((c << 30) & v_low) | (c >> 2);
    END LOOP;
    h0 := (h0 + a) & v_low; h1 := (h1 + b) & v_low; h2 := (h2 + c) & v_low; h3 := (h3 + d) & v_low;
    h4 := (h4 + e) & v_low;
  END LOOP;
  RETURN substring(int8send(h0) FROM 5) || substring(int8send(h1) FROM 5) || substring(int8send(h2) FROM 5)
    || substring(int8send(h3) FROM 5) || substring(int8send(h4) FROM 5);
END $$;

-- uuid5(namespace, name), as RFC 9562 has it.
CREATE OR REPLACE FUNCTION metadata.derived_id(p_namespace uuid, p_name text) RETURNS uuid
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_sha1 bytea := metadata.sha1(uuid_send(p_namespace) || convert_to(p_name, 'UTF8'));
BEGIN
  v_sha1 := set_byte(set_byte(v_sha1, 6, (get_byte(v_sha1, 6) & 15) | 80), 8, (get_byte(v_sha1, 8) & 63) | 128);
  RETURN encode(substring(v_sha1 FOR 16), 'hex')::uuid;
END $$;

-- uuid5 of many names, in their order: a third of the time that `derived_id` takes for each, once it is planned, which a
-- connection does once (0.04 s). Each of the 80 rounds of SHA-1 is a subquery (OFFSET 0 keeps it one) for all texts at
-- once: its columns are the state and the words that are still wanted. Blocks of 64 bytes follow one another.
DO $make$
DECLARE
  v_low CONSTANT text := '4294967295';
  v_rounds text := $rounds$
    SELECT s.n, s.blocks, s.bytes, s.block, s.h0, s.h1, s.h2, s.h3, s.h4,
      s.h0 AS a, s.h1 AS b, s.h2 AS c, s.h3 AS d, s.h4 AS e, %s
    FROM s WHERE s.block < s.blocks OFFSET 0$rounds$;
  v_words text;
  v_f text;
BEGIN
  SELECT string_agg(format('(get_byte(s.bytes, s.block * 64 + %s)::bigint << 24) '
    '| (get_byte(s.bytes, s.block * 64 + %s) << 16) | (get_byte(s.bytes, s.block * 64 + %s) << 8) '
    '| get_byte(s.bytes, s.block * 64 + %s) AS w%s', w * 4, w * 4 + 1, w * 4 + 2, w * 4 + 3, w), ', ' ORDER BY w)
  INTO v_words FROM generate_series(0, 15) AS w;
  v_rounds := format(v_rounds, v_words);
  FOR i IN 0 .. 79 LOOP
    v_f := CASE i / 20
      WHEN 0 THEN '(d # (b & (c # d))) + 1518500249'
      WHEN 1 THEN '(b # c # d) + 1859775393'
      WHEN 2 THEN '((b & c) | (d & (b | c))) + 2400959708'
      ELSE '(b # c # d) + 3395469782' END;
    v_rounds := format(
      'SELECT n, blocks, bytes, block, h0, h1, h2, h3, h4, '
      '((((a << 5) & %1$s) | (a >> 27)) + %2$s + e + w%3$s) & %1$s AS a, a AS b, '
      '((b << 30) & %1$s) | (b >> 2) AS c, c AS d, d AS e%4$s FROM (%5$s) r%3$s OFFSET 0',
      v_low, v_f, i,
      (SELECT coalesce(string_agg(CASE WHEN w < i + 16 THEN format(', w%s', w) ELSE format(
         ', (((w%1$s # w%2$s # w%3$s # w%4$s) << 1) & %5$s) | ((w%1$s # w%2$s # w%3$s # w%4$s) >> 31) AS w%6$s',
         w - 3, w - 8, w - 14, w - 16, v_low, w) END, '' ORDER BY w), '')
       FROM generate_series(i + 1, least(i + 16, 79)) AS w),
      v_rounds);
  END LOOP;
  EXECUTE format($function$
    CREATE OR REPLACE FUNCTION metadata.derived_ids(p_namespace uuid, p_names text[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
    SET jit = off SET plan_cache_mode = force_generic_plan AS %L $function$, format($body$
DECLARE v_ids uuid[];
BEGIN
  WITH RECURSIVE given AS MATERIALIZED (
    SELECT g.n, uuid_send(p_namespace) || convert_to(g.name, 'UTF8') AS bytes
    FROM unnest(p_names) WITH ORDINALITY AS g (name, n)
  ), s (n, blocks, bytes, block, h0, h1, h2, h3, h4) AS (
    SELECT g.n, (length(g.bytes) + 72) / 64, g.bytes || '\x80'::bytea
        || decode(repeat('00', (119 - length(g.bytes) %% 64) %% 64), 'hex') || int8send(length(g.bytes)::bigint * 8),
      0, 1732584193::bigint, 4023233417::bigint, 2562383102::bigint, 271733878::bigint, 3285377520::bigint
    FROM given g
    UNION ALL
    SELECT n, blocks, bytes, block + 1,
      (h0 + a) & %1$s, (h1 + b) & %1$s, (h2 + c) & %1$s, (h3 + d) & %1$s, (h4 + e) & %1$s
    FROM (%2$s) r
  )
  SELECT array_agg(encode(substring(int8send(s.h0) FROM 5)
    || substring(int8send((s.h1 & 4294905855) | 20480) FROM 5)
    || substring(int8send((s.h2 & 1073741823) | 2147483648) FROM 5)
    || substring(int8send(s.h3) FROM 5), 'hex')::uuid ORDER BY s.n)
  INTO v_ids FROM s WHERE s.block = s.blocks;
  RETURN coalesce(v_ids, '{}');
END $body$, v_low, v_rounds));
END $make$;

-- What a thing is born under, by the digest that it says so with: its key, or `key#n` when n - 1 things had the key
-- before. Null when it is neither.
CREATE OR REPLACE FUNCTION metadata.birth_name(p_tenant uuid, p_key text, p_sha256 bytea) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_digest bytea := metadata.name_digest(p_key); v_times bigint;
BEGIN
  IF v_digest = p_sha256 THEN
    RETURN p_key;
  END IF;
  SELECT count(DISTINCT x.entity_id) INTO v_times
  FROM metadata.alias x WHERE x.tenant_id = p_tenant AND x.key_sha256 = v_digest;
  FOR n IN 2 .. v_times + 1 LOOP
    IF metadata.name_digest(p_key || '#' || n) = p_sha256 THEN
      RETURN p_key || '#' || n;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Where ids of an earlier catalog are: nothing else is ever called so. Error: MA422 legacy_endpoint.
CREATE OR REPLACE FUNCTION metadata.refuse_legacy(p_slugs text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF 'legacy' = ANY (p_slugs) THEN
    RAISE EXCEPTION 'the endpoint legacy is where ids of an earlier catalog are'
      USING ERRCODE = 'MA422', CONSTRAINT = 'legacy_endpoint';
  END IF;
END $$;

-- Errors: MA422 adhoc_identity, legacy_endpoint.
CREATE OR REPLACE FUNCTION metadata.check_births() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_problem text;
  v_tenant uuid := (SELECT n.tenant_id FROM new_rows n LIMIT 1);
  v_ids uuid[];
  v_keys text[];
  v_names text[];
  v_derived uuid[];
BEGIN
  PERFORM metadata.refuse_legacy(ARRAY(SELECT DISTINCT split_part(n.qualified_name, ':', 3) FROM new_rows n));
  IF (SELECT count(*) > 500 AND bool_and(n.tenant_id = v_tenant) FROM new_rows n) THEN
    SELECT array_agg(b.asset_id), array_agg(b.qualified_name), array_agg(b.name) INTO v_ids, v_keys, v_names
    FROM (
      SELECT n.asset_id, n.qualified_name, CASE
        WHEN sha256(convert_to(n.qualified_name, 'UTF8')) = n.key_sha256 THEN n.qualified_name
        ELSE coalesce(metadata.birth_name(n.tenant_id, n.qualified_name, n.key_sha256), '') END AS name
      FROM new_rows n) b;
    v_derived := metadata.derived_ids(v_tenant, v_names);  -- not in the statement: its planner would ask for them, too
    SELECT min(format('the id %s does not follow from the key %s', b.id, b.key)) INTO v_problem
    FROM unnest(v_ids, v_keys, v_names, v_derived) AS b (id, key, name, derived)
    WHERE strpos(b.key, '#') > 0 OR b.name = '' OR b.id IS DISTINCT FROM b.derived;
  ELSE
    SELECT min(format('the id %s does not follow from the key %s', n.asset_id, n.qualified_name)) INTO v_problem
    FROM new_rows n
    WHERE strpos(n.qualified_name, '#') > 0 OR n.asset_id IS DISTINCT FROM metadata.derived_id(
      n.tenant_id, metadata.birth_name(n.tenant_id, n.qualified_name, n.key_sha256));
  END IF;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'adhoc_identity';
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION metadata.check_endpoints() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_problem text;
BEGIN
  PERFORM metadata.refuse_legacy(ARRAY(SELECT n.slug FROM new_rows n));
  SELECT min(format('the id %s does not follow from the endpoint %s', n.endpoint_id, n.slug)) INTO v_problem
  FROM new_rows n WHERE n.endpoint_id <> metadata.derived_id(n.tenant_id, 'mid1:endpoint:' || n.slug);
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'adhoc_identity';
  END IF;
  RETURN NULL;
END $$;

-- Only the functions of reference edges write what follows from them: nothing would ever correct a row of anybody else.
CREATE OR REPLACE FUNCTION metadata.refuse_following() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'edges of the producer % follow from reference edges', NEW.producer
    USING ERRCODE = 'MA423', CONSTRAINT = 'relationship_following';
END $$;
