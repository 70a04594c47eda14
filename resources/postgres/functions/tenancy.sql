-- The tenant of this transaction, bound by the session with set_config(..., is_local => true).
-- None bound is an error, never zero rows.
CREATE OR REPLACE FUNCTION metadata.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('metadata.tenant')::uuid $$;

-- Bind this transaction to a tenant and an actor, within the statement that asks for something (BOUND in session.py).
CREATE OR REPLACE FUNCTION metadata.bound(p_tenant text, p_actor text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('metadata.tenant', p_tenant, true), set_config('metadata.actor', p_actor, true);
  RETURN true;
END $$;
