-- Who may call what. Runs after every migration; the app has no other way to write the exactly-once tables.
DO $$ DECLARE f regprocedure; BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'metadata'::regnamespace LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION metadata.current_tenant TO metadata_app, metadata_readonly;
GRANT EXECUTE ON FUNCTION
  metadata.is_collision, metadata.next_fencing_token, metadata.open_staging, metadata.commit_materializations,
  metadata.publish
TO metadata_app;
GRANT EXECUTE ON FUNCTION metadata.outbox_after TO metadata_relay;
