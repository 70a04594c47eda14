-- The second look at identities: what the app gives birth to has the id that follows from its key, or it is not written.
-- identity/ids.py derives ids; here they are only compared, so nobody can hand one in. PostgreSQL has no SHA-1 without an
-- extension, and a uuid of version 5 is one: some 0.15 ms for each birth, nothing for anything else.

CREATE OR REPLACE FUNCTION metadata.sha1(p_bytes bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE -- every operator but + is of one rank here: hence all the brackets
  v_low CONSTANT bigint := 4294967295;
  v_padded bytea := p_bytes || '\x80'::bytea || decode(repeat('00', (119 - length(p_bytes) % 64) % 64), 'hex')
    || int8send(length(p_bytes)::bigint * 8);
  h0 bigint := 1732584193; h1 bigint := 4023233417; h2 bigint := 2562383102; h3 bigint := 271733878;
  h4 bigint := 3285377520;
  a bigint; b bigint; c bigint; d bigint; e bigint; t bigint; w bigint[];
BEGIN
  FOR block IN 0 .. length(v_padded) / 64 - 1 LOOP
    w := ARRAY(
      SELECT ('x' || encode(substring(v_padded FROM block * 64 + word * 4 + 1 FOR 4), 'hex'))::bit(32)::bigint
      FROM generate_series(0, 15) AS word ORDER BY word);
    FOR i IN 17 .. 80 LOOP
      t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
      w[i] := ((t << 1) & v_low) | (t >> 31);
    END LOOP;
    a := h0; b := h1; c := h2; d := h3; e := h4;
    FOR i IN 1 .. 20 LOOP
      t := ((((a << 5) & v_low) | (a >> 27)) + ((b & c) | (~b & d)) + e + 1518500249 + w[i]) & v_low;
      e := d; d := c; c := ((b << 30) & v_low) | (b >> 2); b := a; a := t;
    END LOOP;
    FOR i IN 21 .. 40 LOOP
      t := ((((a << 5) & v_low) | (a >> 27)) + (b # c # d) + e + 1859775393 + w[i]) & v_low;
      e := d; d := c; c := ((b << 30) & v_low) | (b >> 2); b := a; a := t;
    END LOOP;
    FOR i IN 41 .. 60 LOOP
      t := ((((a << 5) & v_low) | (a >> 27)) + ((b & c) | (b & d) | (c & d)) + e + 2400959708 + w[i]) & v_low;
      e := d; d := c; c := ((b << 30) & v_low) | (b >> 2); b := a; a := t;
    END LOOP;
    FOR i IN 61 .. 80 LOOP
      t := ((((a << 5) & v_low) | (a >> 27)) + (b # c # d) + e + 3395469782 + w[i]) & v_low;
      e := d; d := c; c := ((b << 30) & v_low) | (b >> 2); b := a; a := t;
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
DECLARE v_problem text;
BEGIN
  PERFORM metadata.refuse_legacy(ARRAY(SELECT split_part(n.qualified_name, ':', 3) FROM new_rows n));
  SELECT min(format('the id %s does not follow from the key %s', n.asset_id, n.qualified_name)) INTO v_problem
  FROM new_rows n
  WHERE strpos(n.qualified_name, '#') > 0 OR n.asset_id IS DISTINCT FROM metadata.derived_id(
    n.tenant_id, metadata.birth_name(n.tenant_id, n.qualified_name, n.key_sha256));
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
