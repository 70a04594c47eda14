-- Write one version more, with what it has counted, and move the dataset to it: these partitions end with what they
-- have, these materializations are the current ones. It is never older than the version before, though the clock was set
-- back: as of a moment the newest version by then is the answer. The counts follow from those of the version before and
-- from what changes, so that nobody ever counts the partitions that stay. Whoever calls holds the dataset.
CREATE OR REPLACE FUNCTION metadata.make_version(
  p_tenant uuid, p_dataset uuid, p_version bigint, p_kind text, p_key text, p_at timestamptz, p_reason text,
  p_restored bigint, p_release uuid, p_partitions text[], p_winners uuid[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH ended AS MATERIALIZED (
    SELECT c.partition_key, m.row_count FROM metadata.version_partition c
    JOIN metadata.materialization m ON m.tenant_id = p_tenant AND m.materialization_id = c.materialization_id
    WHERE c.tenant_id = p_tenant AND c.dataset_id = p_dataset AND c.partition_key = ANY (p_partitions)
      AND c.to_version IS NULL
  ), begun AS MATERIALIZED (
    SELECT m.partition_key, m.row_count FROM metadata.materialization m
    WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_winners)
  ), change AS (
    SELECT e.partitions AS ended, b.partitions AS begun, b.row_count - e.row_count AS rows, b.counted - e.counted AS counted
    FROM (SELECT count(*) AS partitions, coalesce(sum(row_count), 0) AS row_count, count(row_count) AS counted FROM ended) e
    CROSS JOIN (
      SELECT count(*) AS partitions, coalesce(sum(row_count), 0) AS row_count, count(row_count) AS counted FROM begun) b
  )
  INSERT INTO metadata.version (tenant_id, dataset_id, version, idempotency_key, actor, published_at, kind, reason,
    restored_version, release_id, partitions, partitions_changed, row_count, partitions_counted)
  SELECT p_tenant, p_dataset, p_version, p_key, current_setting('metadata.actor'),
    greatest(coalesce(p_at, clock_timestamp()), v.published_at), p_kind,
    p_reason, p_restored, p_release, coalesce(v.partitions, 0) - c.ended + c.begun,
    c.begun + (SELECT count(*) FROM ended e WHERE e.partition_key NOT IN (SELECT b.partition_key FROM begun b)),
    coalesce(v.row_count, 0) + c.rows, coalesce(v.partitions_counted, 0) + c.counted
  FROM change c
  LEFT JOIN metadata.version v ON v.tenant_id = p_tenant AND v.dataset_id = p_dataset AND v.version = p_version - 1;

  PERFORM metadata.cut_over(p_tenant, p_dataset, p_version, p_partitions, p_winners);
END $$;

-- Move a dataset to a version that was just written: these partitions end with what they have, these materializations
-- are the current ones from now on, lineage follows, and the outbox tells it. Whoever calls holds the dataset.
CREATE OR REPLACE FUNCTION metadata.cut_over(
  p_tenant uuid, p_dataset uuid, p_version bigint, p_partitions text[], p_winners uuid[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE metadata.version_partition c SET to_version = p_version
  WHERE c.tenant_id = p_tenant AND c.dataset_id = p_dataset AND c.partition_key = ANY (p_partitions)
    AND c.to_version IS NULL;

  INSERT INTO metadata.version_partition (tenant_id, dataset_id, partition_key, from_version, materialization_id)
  SELECT p_tenant, p_dataset, m.partition_key, p_version, m.materialization_id
  FROM metadata.materialization m WHERE m.tenant_id = p_tenant AND m.materialization_id = ANY (p_winners);

  UPDATE metadata.dataset d SET published_version = p_version, updated_at = clock_timestamp()
  WHERE d.tenant_id = p_tenant AND d.dataset_id = p_dataset;

  PERFORM metadata.follow_inputs(p_tenant, current_setting('metadata.actor'), p_dataset, p_winners);

  INSERT INTO metadata.outbox (tenant_id, event_id, topic, payload)
  SELECT p_tenant, gen_random_uuid(), 'version.published', jsonb_strip_nulls(jsonb_build_object(
    'dataset_id', p_dataset, 'version', p_version, 'materialization_ids', to_jsonb(p_winners), 'kind', v.kind,
    'restored_version', v.restored_version, 'release_id', v.release_id))
  FROM metadata.version v WHERE v.tenant_id = p_tenant AND v.dataset_id = p_dataset AND v.version = p_version;
END $$;
