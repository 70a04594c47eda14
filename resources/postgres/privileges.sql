-- Who may call what. Runs after every migration; the app has no other way to write the exactly-once tables.
DO $$ DECLARE f regprocedure; BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'metadata'::regnamespace LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION metadata.current_tenant, metadata.bound TO metadata_app, metadata_readonly;
GRANT EXECUTE ON FUNCTION
  metadata.is_collision, metadata.next_fencing_token, metadata.open_staging, metadata.commit_materializations,
  metadata.commit_and_publish, metadata.begin_step,
  metadata.publish, metadata.publish_at, metadata.hold_names, metadata.rename_entities, metadata.merge_entities,
  metadata.unmerge_entities, metadata.name_legacy_ids, metadata.tell_retyped, metadata.alias_endpoint,
  metadata.part_endpoint, metadata.name_joined
TO metadata_app;
GRANT EXECUTE ON FUNCTION
  metadata.publish_by_hand, metadata.release, metadata.roll_back, metadata.retract, metadata.pin_versions, metadata.unpin,
  metadata.read_at_pin, metadata.invalidate
TO metadata_app;
GRANT EXECUTE ON FUNCTION
  metadata.record_profiles, metadata.forget_profiles, metadata.forget_facets, metadata.forget_refused, metadata.take_stock
TO metadata_app;
GRANT EXECUTE ON FUNCTION metadata.version_at, metadata.unpublished
TO metadata_app, metadata_readonly;
GRANT EXECUTE ON FUNCTION
  metadata.take_attempt, metadata.hold_attempt, metadata.heartbeat, metadata.end_attempt,
  metadata.record_runs, metadata.activate_dag, metadata.retire_dag, metadata.record_lineage, metadata.refuse_events,
  metadata.accept_events, metadata.say_of_columns, metadata.inherit_column_words, metadata.settle_column_edges
TO metadata_app;
GRANT EXECUTE ON FUNCTION
  metadata.identity_trails, metadata.leading_to, metadata.assets_named, metadata.present_reference,
  metadata.unknown_identity, metadata.names_of,
  metadata.edges_at, metadata.name_digest, metadata.holders_of,
  metadata.slugs_of, metadata.key_at, metadata.spellings, metadata.endpoint_names, metadata.present_key,
  metadata.below, metadata.is_provisional,
  metadata.names_within, metadata.sources_at, metadata.names_around, metadata.leading_key,
  metadata.word_of, metadata.part_of, metadata.subjects_with
TO metadata_app, metadata_readonly;
GRANT EXECUTE ON FUNCTION
  metadata.create_identity, metadata.ensure_identities, metadata.update_identity, metadata.delete_identity,
  metadata.retype, metadata.add_reference_edges, metadata.remove_reference_edges, metadata.refresh_reference_edges,
  metadata.create_collection, metadata.hold_collection, metadata.change_collection, metadata.delete_collection
TO metadata_app;
GRANT EXECUTE ON FUNCTION
  metadata.reap_staging, metadata.reapable_staging, metadata.forget_staging, metadata.look_for_garbage,
  metadata.condemn_garbage, metadata.mark_collected,
  metadata.record_checks, metadata.await_checks, metadata.examine, metadata.settle_checks
TO metadata_app;
GRANT EXECUTE ON FUNCTION metadata.is_pinned, metadata.is_over TO metadata_app, metadata_readonly;
GRANT EXECUTE ON FUNCTION metadata.outbox_after TO metadata_relay;
