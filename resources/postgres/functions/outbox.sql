-- Events after a position, in commit order. A sequence hands out numbers before commit, so "seq > last" would lose
-- rows: read by (xid, seq), and only below the oldest transaction that still runs.
CREATE OR REPLACE FUNCTION metadata.outbox_after(p_xid xid8, p_seq bigint, p_limit integer)
RETURNS TABLE (xid xid8, seq bigint, tenant_id uuid, event_id uuid, topic text, payload jsonb, at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT o.xid, o.seq, o.tenant_id, o.event_id, o.topic, o.payload, o.at FROM metadata.outbox o
  WHERE (o.xid, o.seq) > (p_xid, p_seq) AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY o.xid, o.seq LIMIT p_limit
$$;
