-- An id is derived from a key. An id that meets the digest of another key is a collision: fail, never overwrite.
CREATE OR REPLACE FUNCTION metadata.keep_identity() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.key_sha256 <> OLD.key_sha256 THEN
    RAISE EXCEPTION 'id % belongs to %, not to %', OLD.asset_id, OLD.qualified_name, NEW.qualified_name
      USING ERRCODE = 'MA409', CONSTRAINT = 'asset_key_sha256';
  END IF;
  RETURN NEW;
END $$;
