-- Statistics of tables that have none, for whoever has just filled them. What is planned without any, foreign keys too, may
-- go through all rows of a tenant for each one that it looks up; autovacuum comes a minute later, and statements are
-- planned once for a connection. Whoever else does so, or vacuums the table, is not waited for.
CREATE OR REPLACE FUNCTION metadata.take_stock(p_tables text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_table regclass;
BEGIN
  FOR v_table IN
    SELECT c.oid FROM pg_class c
    WHERE c.relnamespace = 'metadata'::regnamespace AND c.relkind = 'r' AND c.reltuples <= 0 AND c.relname = ANY (p_tables)
    ORDER BY c.relname
  LOOP
    IF pg_try_advisory_xact_lock(7, v_table::oid::integer) THEN
      EXECUTE format('ANALYZE (SKIP_LOCKED) %s', v_table);
    END IF;
  END LOOP;
END $$;

-- An id is derived from a key. An id that meets the digest of another key is a collision: fail, never overwrite.
-- False, or an error: for the condition of a write, so that the key's columns need not be in it. An UPDATE that names
-- one of them locks the row against everybody who refers to it, and a commit that did so already would deadlock.
CREATE OR REPLACE FUNCTION metadata.is_collision(
  p_id uuid, p_stored_name text, p_stored_sha256 bytea, p_given_name text, p_given_sha256 bytea
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_stored_sha256 <> p_given_sha256 THEN
    RAISE EXCEPTION 'id % belongs to %, not to %', p_id, p_stored_name, p_given_name
      USING ERRCODE = 'MA409', CONSTRAINT = 'asset_key_sha256';
  END IF;
  RETURN false;
END $$;

-- The same for whoever writes the column all the same.
CREATE OR REPLACE FUNCTION metadata.keep_identity() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM metadata.is_collision(OLD.asset_id, OLD.qualified_name, OLD.key_sha256, NEW.qualified_name, NEW.key_sha256);
  RETURN NEW;
END $$;
