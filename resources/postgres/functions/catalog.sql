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
