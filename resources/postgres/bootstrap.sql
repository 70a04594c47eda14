-- The schema, its roles and the tenant of a transaction. Runs before every migration, as the login that migrates;
-- safe to repeat. Roles belong to the whole cluster, so another database's migration may be making them right now.
CREATE SCHEMA IF NOT EXISTS metadata;
COMMENT ON SCHEMA metadata IS 'metadata-assets: identity, versions and lineage';

-- Who makes a role also sets it up; a login that finds it made by another one needs no right to make or change it.
DO $$ BEGIN
  IF to_regrole('metadata_owner') IS NULL THEN
    CREATE ROLE metadata_owner NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  IF to_regrole('metadata_app') IS NULL THEN
    CREATE ROLE metadata_app LOGIN NOSUPERUSER NOBYPASSRLS;
    ALTER ROLE metadata_app SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE metadata_app SET lock_timeout = '30s';
    ALTER ROLE metadata_app SET synchronous_commit = on;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  IF to_regrole('metadata_readonly') IS NULL THEN
    CREATE ROLE metadata_readonly LOGIN NOSUPERUSER NOBYPASSRLS;
    ALTER ROLE metadata_readonly SET default_transaction_read_only = on;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
  IF to_regrole('metadata_relay') IS NULL THEN
    CREATE ROLE metadata_relay LOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

-- The login that migrates acts as the owner; it may act as the app too, so that one login can serve both. Since
-- PostgreSQL 16 the maker of a role is a member that may not act as it, until it grants that to itself.
DO $$ DECLARE granted text; act_as text; BEGIN
  act_as := CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END;
  FOREACH granted IN ARRAY '{metadata_owner,metadata_app,metadata_readonly}'::text[] LOOP
    IF NOT pg_has_role(current_user, granted, act_as) THEN
      EXECUTE format('GRANT %I TO %I', granted, current_user);
    END IF;
  END LOOP;
END $$;

ALTER SCHEMA metadata OWNER TO metadata_owner;
GRANT USAGE ON SCHEMA metadata TO metadata_app, metadata_readonly, metadata_relay;
