-- The schema, its roles and the tenant of a transaction. Runs before every migration, as the login that migrates;
-- safe to repeat. Roles belong to the whole cluster, so another database's migration may be making them right now.
CREATE SCHEMA IF NOT EXISTS metadata;
COMMENT ON SCHEMA metadata IS 'metadata-assets: identity, versions and lineage';

DO $$ BEGIN
  CREATE ROLE metadata_owner NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  CREATE ROLE metadata_app LOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  CREATE ROLE metadata_readonly LOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  CREATE ROLE metadata_relay LOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN
  ALTER ROLE metadata_app SET idle_in_transaction_session_timeout = '60s';
  ALTER ROLE metadata_app SET lock_timeout = '30s';
  ALTER ROLE metadata_app SET synchronous_commit = on;
  ALTER ROLE metadata_readonly SET default_transaction_read_only = on;
EXCEPTION WHEN internal_error THEN NULL; END $$;  -- "tuple concurrently updated": the other one sets the same values

-- The login that migrates acts as the owner; it may act as the app too, so that one login can serve both.
DO $$ DECLARE granted text; BEGIN
  FOREACH granted IN ARRAY '{metadata_owner,metadata_app,metadata_readonly}'::text[] LOOP
    IF NOT pg_has_role(current_user, granted, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', granted, current_user);
    END IF;
  END LOOP;
END $$;

ALTER SCHEMA metadata OWNER TO metadata_owner;
GRANT USAGE ON SCHEMA metadata TO metadata_app, metadata_readonly, metadata_relay;
