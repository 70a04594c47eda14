-- What may be published, what must not, and what waits.

-- What may not become current, and why. One place, asked by whoever holds the datasets of these materializations.
CREATE OR REPLACE FUNCTION metadata.unusable(p_tenant uuid, p_materializations uuid[])
RETURNS TABLE (materialization_id uuid, why text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT r.materialization_id, 'retracted' FROM metadata.retraction r
    WHERE r.tenant_id = p_tenant AND r.materialization_id = ANY (p_materializations)
    UNION ALL
    SELECT c.materialization_id, 'collected' FROM metadata.condemned c
    WHERE c.tenant_id = p_tenant AND c.materialization_id = ANY (p_materializations);
END $$;

-- Errors: MA422 unusable, naming up to five.
CREATE OR REPLACE FUNCTION metadata.refuse_unusable(p_tenant uuid, p_materializations uuid[], p_release boolean)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_unusable text;
BEGIN
  SELECT string_agg(format('%s is %s', metadata.told(p_tenant, g.ids), g.why), ', ' ORDER BY g.why) INTO v_unusable
  FROM (
    SELECT u.why, array_agg(u.materialization_id) AS ids FROM metadata.unusable(p_tenant, p_materializations) u
    GROUP BY u.why) g;
  IF v_unusable IS NOT NULL THEN
    RAISE EXCEPTION '%', v_unusable
      USING ERRCODE = 'MA422', CONSTRAINT = CASE WHEN p_release THEN 'release' ELSE 'unusable' END;
  END IF;
END $$;

-- The blocking checks whose latest result keeps a materialization from being published: they failed, and not only with
-- severity WARN.
CREATE OR REPLACE FUNCTION metadata.failed_checks(p_tenant uuid, p_materializations uuid[])
RETURNS TABLE (materialization_id uuid, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.materialization_id, l.name FROM (
    SELECT DISTINCT ON (r.materialization_id, r.name) r.materialization_id, r.name,
      r.blocking AND NOT r.passed AND r.severity <> 'WARN' AS refuses
    FROM metadata.check_result r
    WHERE r.tenant_id = p_tenant AND r.materialization_id = ANY (p_materializations)
    ORDER BY r.materialization_id, r.name, r.evaluation DESC, r.at DESC, r.run_id) l
  WHERE l.refuses
$$;

-- Errors: MA422, with this constraint, where a blocking check refuses one of them; names up to five.
CREATE OR REPLACE FUNCTION metadata.refuse_failed(p_tenant uuid, p_materializations uuid[], p_constraint text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_failed text;
BEGIN
  SELECT string_agg(format('blocking check %s refuses %s', f.name, metadata.told(p_tenant, ARRAY[f.materialization_id])),
      ', ' ORDER BY f.place) FILTER (WHERE f.place <= 5)
    || CASE WHEN count(*) > 5 THEN format(' and %s more', count(*) - 5) ELSE '' END INTO v_failed
  FROM (
    SELECT c.*, row_number() OVER (ORDER BY m.partition_key, m.materialization_id, c.name) AS place
    FROM metadata.failed_checks(p_tenant, p_materializations) c
    JOIN metadata.materialization m ON m.tenant_id = p_tenant AND m.materialization_id = c.materialization_id) f;
  IF v_failed IS NOT NULL THEN
    RAISE EXCEPTION '%', v_failed USING ERRCODE = 'MA422', CONSTRAINT = p_constraint;
  END IF;
END $$;

-- Did a retraction end data of a later attempt in this partition?
CREATE OR REPLACE FUNCTION metadata.is_below_retracted(p_tenant uuid, p_dataset uuid, p_partition text, p_token bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN EXISTS (
    SELECT 1 FROM metadata.version_partition c
    JOIN metadata.version v ON v.tenant_id = p_tenant AND v.dataset_id = p_dataset AND v.version = c.to_version
    JOIN metadata.materialization o ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
    WHERE c.tenant_id = p_tenant AND c.dataset_id = p_dataset AND c.partition_key = p_partition
      AND v.kind = 'retract' AND o.fencing_token > p_token);
END $$;

-- The newest committed data of each partition that were never published, are fit to be, and that nothing published has
-- overtaken; with p_automatic nor anything retracted.
CREATE OR REPLACE FUNCTION metadata.newest_unpublished(
  p_tenant uuid, p_dataset uuid, p_partitions text[], p_automatic boolean
) RETURNS TABLE (partition_key text, materialization_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT ON (m.partition_key) m.partition_key, m.materialization_id
  FROM metadata.materialization m
  LEFT JOIN metadata.version_partition c ON c.tenant_id = p_tenant AND c.dataset_id = m.dataset_id
    AND c.partition_key = m.partition_key AND c.to_version IS NULL
  LEFT JOIN metadata.materialization o ON o.tenant_id = p_tenant AND o.materialization_id = c.materialization_id
  WHERE m.tenant_id = p_tenant AND m.dataset_id = p_dataset
    AND (p_partitions IS NULL OR m.partition_key = ANY (p_partitions))
    AND CASE WHEN o.materialization_id IS NULL
      THEN NOT (p_automatic AND metadata.is_below_retracted(p_tenant, m.dataset_id, m.partition_key, m.fencing_token))
      ELSE o.fencing_token <= m.fencing_token END
    AND NOT EXISTS (
      SELECT 1 FROM metadata.version_partition e
      WHERE e.tenant_id = p_tenant AND e.materialization_id = m.materialization_id)
    AND NOT EXISTS (
      SELECT 1 FROM metadata.retraction r
      WHERE r.tenant_id = p_tenant AND r.materialization_id = m.materialization_id)
    AND NOT EXISTS (
      SELECT 1 FROM metadata.condemned x
      WHERE x.tenant_id = p_tenant AND x.materialization_id = m.materialization_id)
  ORDER BY m.partition_key, m.fencing_token DESC, m.committed_at DESC
$$;

-- The same for who decides about them: with the blocking checks that refuse each.
CREATE OR REPLACE FUNCTION metadata.unpublished(p_dataset uuid, p_partitions text[])
RETURNS TABLE (partition_key text, materialization_id uuid, failed text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH newest AS MATERIALIZED (
    SELECT n.* FROM metadata.newest_unpublished(metadata.current_tenant(), p_dataset, p_partitions, false) n)
  SELECT n.partition_key, n.materialization_id,
    coalesce(array_agg(f.name ORDER BY f.name) FILTER (WHERE f.name IS NOT NULL), '{}')
  FROM newest n
  LEFT JOIN metadata.failed_checks(metadata.current_tenant(), ARRAY(SELECT w.materialization_id FROM newest w)) f
    ON f.materialization_id = n.materialization_id
  GROUP BY n.partition_key, n.materialization_id ORDER BY n.partition_key
$$;
