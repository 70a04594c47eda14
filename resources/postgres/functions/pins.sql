-- Give versions of datasets a name: a pin never moves, and what it has is not collected until it expires or is removed.
--   p_items  [{dataset_id, name, version}]; no version: the present one
-- Asked again for the same, it is the pin that was made then, until that expires. An expired pin makes room for another one of its name.
-- Lock order: datasets by row, pin. The datasets are shared: nothing of them is replaced or condemned meanwhile.
-- Errors: MA422 pin_name: the name is taken by another pin; MA422 pin_expiry: it would have expired already; MA404 version: no
-- such dataset or version; MA422 unusable: something of it is collected.
CREATE OR REPLACE FUNCTION metadata.pin_versions(
  p_name text, p_fingerprint bytea, p_items jsonb, p_expires_at timestamptz, p_reason text
) RETURNS TABLE (pin_id uuid, replayed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_actor text := current_setting('metadata.actor');
  v_pin uuid := gen_random_uuid();
  v_there record;
  v_problem text;
BEGIN
  PERFORM 1 FROM metadata.dataset d
  WHERE d.tenant_id = v_tenant
    AND d.dataset_id IN (SELECT i.dataset_id FROM jsonb_to_recordset(p_items) AS i (dataset_id uuid))
  ORDER BY d.dataset_id FOR SHARE;

  LOOP
    INSERT INTO metadata.pin (tenant_id, pin_id, name, fingerprint, reason, created_by, expires_at)
    VALUES (v_tenant, v_pin, p_name, p_fingerprint, p_reason, v_actor, p_expires_at)
    ON CONFLICT (tenant_id, name) WHERE removed_at IS NULL DO NOTHING;
    EXIT WHEN FOUND;
    SELECT p.* INTO v_there FROM metadata.pin p
    WHERE p.tenant_id = v_tenant AND p.name = p_name AND p.removed_at IS NULL FOR UPDATE;
    CONTINUE WHEN NOT FOUND;  -- removed in this moment
    IF v_there.expires_at > clock_timestamp() OR v_there.expires_at IS NULL THEN
      IF v_there.fingerprint = p_fingerprint THEN
        RETURN QUERY SELECT v_there.pin_id, true;
        RETURN;
      END IF;
      RAISE EXCEPTION 'there is a pin % of something else', p_name USING ERRCODE = 'MA422', CONSTRAINT = 'pin_name';
    END IF;
    UPDATE metadata.pin p SET removed_at = clock_timestamp(), removed_by = v_actor, updated_at = clock_timestamp()
    WHERE p.tenant_id = v_tenant AND p.pin_id = v_there.pin_id;
  END LOOP;

  IF p_expires_at <= clock_timestamp() THEN
    RAISE EXCEPTION 'pin % would have expired already', p_name
      USING ERRCODE = 'MA422', CONSTRAINT = 'pin_expiry';
  END IF;
  SELECT CASE
      WHEN d.dataset_id IS NULL THEN format('there is no dataset %s', i.name)
      WHEN d.published_version = 0 THEN format('%s has no version yet', i.name)
      ELSE format('%s has no version %s, its versions are 1 to %s', i.name, i.version, d.published_version) END
  INTO v_problem
  FROM jsonb_to_recordset(p_items) AS i (dataset_id uuid, name text, version bigint)
  LEFT JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = i.dataset_id
  WHERE (coalesce(i.version, d.published_version) BETWEEN 1 AND d.published_version) IS NOT TRUE
  ORDER BY i.name LIMIT 1;
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '%', v_problem USING ERRCODE = 'MA404', CONSTRAINT = 'version';
  END IF;

  INSERT INTO metadata.pin_item (tenant_id, pin_id, dataset_id, version)
  SELECT v_tenant, v_pin, i.dataset_id, coalesce(i.version, d.published_version)
  FROM jsonb_to_recordset(p_items) AS i (dataset_id uuid, version bigint)
  JOIN metadata.dataset d ON d.tenant_id = v_tenant AND d.dataset_id = i.dataset_id;

  -- A pin may have what is retracted: it shows what a reader saw. It may not have what is gone.
  SELECT metadata.told(v_tenant, array_agg(u.materialization_id)) INTO v_problem
  FROM metadata.unusable(v_tenant, ARRAY(
    SELECT c.materialization_id FROM metadata.pin_item i
    JOIN metadata.version_partition c ON c.tenant_id = v_tenant AND c.dataset_id = i.dataset_id
      AND c.from_version <= i.version AND c.to_version > i.version
    WHERE i.tenant_id = v_tenant AND i.pin_id = v_pin)) u
  WHERE u.why <> 'retracted';
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION '% is collected', v_problem USING ERRCODE = 'MA422', CONSTRAINT = 'unusable';
  END IF;
  RETURN QUERY SELECT v_pin, false;
END $$;

-- Remove a pin, if it is there; whether it was. Errors: MA404 pin: there never was one of that name.
CREATE OR REPLACE FUNCTION metadata.unpin(p_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant();
BEGIN
  UPDATE metadata.pin p SET removed_at = clock_timestamp(), removed_by = current_setting('metadata.actor'),
    updated_at = clock_timestamp()
  WHERE p.tenant_id = v_tenant AND p.name = p_name AND p.removed_at IS NULL;
  IF FOUND THEN
    RETURN true;
  ELSIF NOT EXISTS (SELECT 1 FROM metadata.pin p WHERE p.tenant_id = v_tenant AND p.name = p_name) THEN
    RAISE EXCEPTION 'there is no pin %', p_name USING ERRCODE = 'MA404', CONSTRAINT = 'pin';
  END IF;
  RETURN false;
END $$;

-- The number of the version that a dataset is read at: by number, by the name of a pin, as of a moment, or the published
-- one (0 before the first). STABLE: it looks with the snapshot of the statement that asks, so the number and what is
-- read by it belong together.
-- Errors: MA404 version: no such dataset or version, or none at that moment; MA404 pin: no such pin, not of this dataset,
-- expired or removed.
CREATE OR REPLACE FUNCTION metadata.version_at(
  p_name text, p_dataset uuid, p_version bigint, p_pin text, p_moment timestamptz
) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_published bigint;
  v_version bigint;
  v_pin record;
BEGIN
  SELECT d.published_version INTO v_published FROM metadata.dataset d
  WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset;
  IF v_published IS NULL THEN
    RAISE EXCEPTION 'there is no dataset %', p_name USING ERRCODE = 'MA404', CONSTRAINT = 'version';
  END IF;
  IF p_version IS NOT NULL THEN
    IF p_version NOT BETWEEN 1 AND v_published THEN
      RAISE EXCEPTION '%', CASE v_published WHEN 0 THEN format('%s has no version yet', p_name)
        ELSE format('%s has no version %s, its versions are 1 to %s', p_name, p_version, v_published) END
        USING ERRCODE = 'MA404', CONSTRAINT = 'version';
    END IF;
    RETURN p_version;
  ELSIF p_pin IS NOT NULL THEN
    SELECT p.* INTO v_pin FROM metadata.pin p WHERE p.tenant_id = v_tenant AND p.name = p_pin
    ORDER BY p.removed_at IS NULL DESC, p.created_at DESC, p.pin_id LIMIT 1;
    SELECT i.version INTO v_version FROM metadata.pin_item i
    WHERE i.tenant_id = v_tenant AND i.pin_id = v_pin.pin_id AND i.dataset_id = p_dataset;
    IF v_pin.pin_id IS NULL OR v_version IS NULL OR v_pin.removed_at IS NOT NULL
       OR v_pin.expires_at <= clock_timestamp() THEN
      RAISE EXCEPTION '%', CASE WHEN v_pin.pin_id IS NULL THEN format('there is no pin %s', p_pin)
        WHEN v_pin.removed_at IS NOT NULL THEN format('pin %s was removed at %s', p_pin, v_pin.removed_at)
        WHEN v_pin.expires_at <= clock_timestamp() THEN format('pin %s expired at %s', p_pin, v_pin.expires_at)
        ELSE format('pin %s has no version of %s', p_pin, p_name) END USING ERRCODE = 'MA404', CONSTRAINT = 'pin';
    END IF;
    RETURN v_version;
  ELSIF p_moment IS NOT NULL THEN
    SELECT v.version INTO v_version FROM metadata.version v
    WHERE v.tenant_id = v_tenant AND v.dataset_id = p_dataset AND v.published_at <= p_moment
    ORDER BY v.published_at DESC, v.version DESC LIMIT 1;
    IF v_version IS NULL THEN
      RAISE EXCEPTION '% had no version at %', p_name, p_moment USING ERRCODE = 'MA404', CONSTRAINT = 'version';
    END IF;
    RETURN v_version;
  END IF;
  RETURN v_published;
END $$;

-- The version of a dataset that a run reads under the name of a pin, null where the pin has not this dataset; and what has
-- become of the pin. The first answer to a run decides which pin that is, for all of its steps, processes and tries:
-- whatever is pinned under the name later. A pin that is not open is not kept for a run that has none yet.
-- Errors: MA404 pin: there never was one of that name.
CREATE OR REPLACE FUNCTION metadata.read_at_pin(p_run_id text, p_pin text, p_dataset uuid)
RETURNS TABLE (state text, version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_tenant uuid := metadata.current_tenant();
  v_pin uuid;
  v_over boolean;
BEGIN
  LOOP
    SELECT r.pin_id INTO v_pin FROM metadata.run_pin r
    WHERE r.tenant_id = v_tenant AND r.run_id = p_run_id AND r.name = p_pin;
    EXIT WHEN FOUND;
    INSERT INTO metadata.run_pin (tenant_id, run_id, name, pin_id, actor)
    SELECT v_tenant, p_run_id, p_pin, p.pin_id, current_setting('metadata.actor') FROM metadata.pin p
    WHERE p.tenant_id = v_tenant AND p.name = p_pin AND p.removed_at IS NULL
      AND (p.expires_at IS NULL OR p.expires_at > clock_timestamp())
    ON CONFLICT (tenant_id, run_id, name) DO NOTHING;
    CONTINUE WHEN FOUND;
    SELECT p.pin_id, p.removed_at IS NOT NULL OR coalesce(p.expires_at <= clock_timestamp(), false)
    INTO v_pin, v_over FROM metadata.pin p WHERE p.tenant_id = v_tenant AND p.name = p_pin
    ORDER BY p.removed_at IS NULL DESC, p.created_at DESC, p.pin_id LIMIT 1;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no pin %', p_pin USING ERRCODE = 'MA404', CONSTRAINT = 'pin';
    END IF;
    EXIT WHEN v_over;  -- else another step was faster, or somebody pinned it in this moment
  END LOOP;
  RETURN QUERY
    SELECT CASE WHEN p.removed_at IS NOT NULL THEN 'removed' WHEN p.expires_at <= clock_timestamp() THEN 'expired'
        ELSE 'open' END, (
      SELECT i.version FROM metadata.pin_item i
      WHERE i.tenant_id = v_tenant AND i.pin_id = p.pin_id AND i.dataset_id = p_dataset)
    FROM metadata.pin p WHERE p.tenant_id = v_tenant AND p.pin_id = v_pin;
END $$;
