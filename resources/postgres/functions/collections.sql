-- Collections: ordered lists of references. Whoever changes one holds its row, so two who add at once both stay.

CREATE OR REPLACE FUNCTION metadata.create_collection(
  p_id uuid, p_slug text, p_name text, p_kind text, p_description text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO metadata.collection (tenant_id, collection_id, slug, name, kind, description, created_by)
  VALUES (metadata.current_tenant(), p_id, p_slug, p_name, p_kind, p_description, current_setting('metadata.actor'))
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    PERFORM metadata.tell('collection.created', jsonb_build_object('collection_id', p_id, 'slug', p_slug));
  END IF;
END $$;

-- Hold a collection until the transaction ends; null when there is none. What it contains is read after this.
CREATE OR REPLACE FUNCTION metadata.hold_collection(p_slug text) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.collection_id FROM metadata.collection c
  WHERE c.tenant_id = (SELECT metadata.current_tenant()) AND c.slug = p_slug FOR NO KEY UPDATE
$$;

-- Write a change: what goes away, which keys become references to nodes where they stand, which item is where. An item
-- that is placed and not there yet is added. Call hold_collection before.
CREATE OR REPLACE FUNCTION metadata.change_collection(
  p_collection uuid, p_drop text[], p_keys text[], p_nodes text[], p_placed text[], p_positions bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_slug text;
BEGIN
  DELETE FROM metadata.collection_item i
  WHERE i.tenant_id = v_tenant AND i.collection_id = p_collection AND i.reference = ANY (p_drop);
  UPDATE metadata.collection_item i SET reference = w.node, updated_at = clock_timestamp()
  FROM unnest(p_keys, p_nodes) AS w (key, node)
  WHERE i.tenant_id = v_tenant AND i.collection_id = p_collection AND i.reference = w.key;
  UPDATE metadata.collection_item i SET position = p.position, updated_at = clock_timestamp()
  FROM unnest(p_placed, p_positions) AS p (reference, position)
  WHERE i.tenant_id = v_tenant AND i.collection_id = p_collection AND i.reference = p.reference;
  INSERT INTO metadata.collection_item (tenant_id, collection_id, reference, position, added_by)
  SELECT v_tenant, p_collection, p.reference, p.position, current_setting('metadata.actor')
  FROM unnest(p_placed, p_positions) AS p (reference, position)
  WHERE NOT EXISTS (
    SELECT 1 FROM metadata.collection_item i
    WHERE i.tenant_id = v_tenant AND i.collection_id = p_collection AND i.reference = p.reference)
  ORDER BY p.position;
  UPDATE metadata.collection c SET version = c.version + 1, updated_at = clock_timestamp()
  WHERE c.tenant_id = v_tenant AND c.collection_id = p_collection RETURNING c.slug INTO v_slug;
  PERFORM metadata.tell('collection.updated', jsonb_build_object(
    'collection_id', p_collection, 'slug', v_slug, 'placed', to_jsonb(p_placed),
    'removed', to_jsonb(p_drop), 'wrapped', to_jsonb(p_keys)));
END $$;

CREATE OR REPLACE FUNCTION metadata.delete_collection(p_slug text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_tenant uuid := metadata.current_tenant(); v_id uuid := metadata.hold_collection(p_slug);
BEGIN
  IF v_id IS NULL THEN
    RETURN false;
  END IF;
  DELETE FROM metadata.collection_item i WHERE i.tenant_id = v_tenant AND i.collection_id = v_id;
  DELETE FROM metadata.collection c WHERE c.tenant_id = v_tenant AND c.collection_id = v_id;
  PERFORM metadata.tell('collection.deleted', jsonb_build_object('collection_id', v_id, 'slug', p_slug));
  RETURN true;
END $$;
