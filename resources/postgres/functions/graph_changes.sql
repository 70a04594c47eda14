-- Whether the graph is still what somebody read: which transactions changed an edge, a thing or a name, a row for each.
-- A counter would make all who change edges wait for each other; rows of their own let nobody wait.
-- Who read the graph has the snapshot that it was read in: whatever row that does not see is news.
-- Rows that were over before a later one was written are dropped by that: whoever sees the later one saw them, too. One
-- transaction in 16 does so, by a digest of its number: while somebody's old snapshot is open (a backup), whoever looks
-- goes through all that were dropped since.
CREATE OR REPLACE FUNCTION metadata.tell_graph_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM changed) THEN
    RETURN NULL;
  END IF;
  INSERT INTO metadata.graph_change (tenant_id, xid)
  SELECT DISTINCT c.tenant_id, pg_current_xact_id() FROM changed c ON CONFLICT DO NOTHING;
  IF FOUND AND hashint8(pg_current_xact_id()::text::bigint) % 16 = 0 THEN
    DELETE FROM metadata.graph_change g USING (
      SELECT o.tenant_id, o.xid FROM metadata.graph_change o
      WHERE o.tenant_id IN (SELECT c.tenant_id FROM changed c)
        AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
      FOR UPDATE SKIP LOCKED) over_by_now
    WHERE g.tenant_id = over_by_now.tenant_id AND g.xid = over_by_now.xid;
  END IF;
  RETURN NULL;
END $$;
