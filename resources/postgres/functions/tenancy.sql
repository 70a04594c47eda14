-- The tenant of this transaction, bound by the session with set_config(..., is_local => true).
-- None bound is an error, never zero rows.
CREATE OR REPLACE FUNCTION metadata.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('metadata.tenant')::uuid $$;
