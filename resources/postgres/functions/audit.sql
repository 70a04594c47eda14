-- One audit row per changed row, written by statement triggers; TG_ARGV[0] names the column that is the entity's id.
-- TG_ARGV[1], where it is given, names a column whose change alone is not told.
-- What events said of runs, and the text of refused events, is told by its digest only: it is kept for a time, the audit
-- for ever.
-- SECURITY DEFINER: no role holds INSERT on metadata.audit, only this owner's functions write there.
-- A statement that wrote nothing is most often what there is, and one that wrote one row comes next: these are not worth
-- a plan of their own each time.

-- What is told of the row p_row of a table, as SQL.
CREATE OR REPLACE FUNCTION metadata.audited_state(p_table text, p_row text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE p_table
    WHEN 'refused_event' THEN 'to_jsonb(' || p_row || ') - ''text'''
    WHEN 'facet' THEN
      'to_jsonb(' || p_row || ') - CASE WHEN ' || p_row || '.run_id IS NULL THEN '''' ELSE ''document'' END'
    ELSE 'to_jsonb(' || p_row || ')' END
$$;

CREATE OR REPLACE FUNCTION metadata.audit_create() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM new_rows) THEN
    RETURN NULL;
  END IF;
  EXECUTE format(
    'INSERT INTO metadata.audit (tenant_id, entity_type, entity_id, action, actor, db_user, after_state)
     SELECT tenant_id, %L, %I, ''CREATE'', current_setting(''metadata.actor''), session_user, %s
     FROM new_rows n', upper(TG_TABLE_NAME), TG_ARGV[0], metadata.audited_state(TG_TABLE_NAME, 'n'));
  RETURN NULL;
END $$;

-- What a rename lays down (`name#id`, rename_entities, which nobody else can write) never was: that step is left out,
-- and the next one has the state from before it.
CREATE OR REPLACE FUNCTION metadata.audit_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE v_rows bigint := (SELECT count(*) FROM (SELECT FROM new_rows LIMIT 2) r);
BEGIN
  IF v_rows = 0 THEN
    RETURN NULL;
  ELSIF v_rows = 1 AND TG_TABLE_NAME NOT IN ('asset', 'refused_event') AND TG_NARGS = 1 THEN
    INSERT INTO metadata.audit (tenant_id, entity_type, entity_id, action, actor, db_user, before_state, after_state)
    SELECT s.tenant_id, upper(TG_TABLE_NAME), (s.after_state ->> TG_ARGV[0])::uuid, 'UPDATE',
      current_setting('metadata.actor'), session_user, s.before_state, s.after_state
    FROM (SELECT n.tenant_id, to_jsonb(o) AS before_state, to_jsonb(n) AS after_state
          FROM old_rows o CROSS JOIN new_rows n OFFSET 0) s;
    RETURN NULL;
  END IF;
  EXECUTE format(
    'INSERT INTO metadata.audit (tenant_id, entity_type, entity_id, action, actor, db_user, before_state, after_state)
     SELECT o.tenant_id, %1$L, o.%2$I, ''UPDATE'', current_setting(''metadata.actor''), session_user,
       %3$s, %5$s
     FROM old_rows o JOIN new_rows n ON n.tenant_id = o.tenant_id AND n.%2$I = o.%2$I %4$s',
    upper(TG_TABLE_NAME), TG_ARGV[0],
    CASE TG_TABLE_NAME WHEN 'asset' THEN
      'to_jsonb(o) || jsonb_build_object(''qualified_name'', split_part(o.qualified_name, ''#'', 1))'
    ELSE metadata.audited_state(TG_TABLE_NAME, 'o') END,
    CASE
      WHEN TG_TABLE_NAME = 'asset' THEN 'WHERE n.qualified_name <> o.qualified_name || ''#'' || o.asset_id'
      WHEN TG_NARGS > 1 THEN format('WHERE to_jsonb(o) - %1$L <> to_jsonb(n) - %1$L', TG_ARGV[1])
      ELSE ''
    END,
    metadata.audited_state(TG_TABLE_NAME, 'n'));
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION metadata.audit_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format(
    'INSERT INTO metadata.audit (tenant_id, entity_type, entity_id, action, actor, db_user, before_state)
     SELECT tenant_id, %L, %I, ''DELETE'', current_setting(''metadata.actor''), session_user, to_jsonb(o)
     FROM old_rows o', upper(TG_TABLE_NAME), TG_ARGV[0]);
  RETURN NULL;
END $$;

-- What was kept for a time goes: one row for each statement, with how many went, and from and to which moment (the column
-- TG_ARGV[0]). The entity is the tenant.
CREATE OR REPLACE FUNCTION metadata.audit_forget() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format(
    'INSERT INTO metadata.audit (tenant_id, entity_type, entity_id, action, actor, db_user, before_state)
     SELECT o.tenant_id, %1$L, o.tenant_id, ''DELETE'', current_setting(''metadata.actor''), session_user,
       jsonb_build_object(''count'', count(*), ''from'', min(o.%2$I), ''to'', max(o.%2$I))
     FROM old_rows o GROUP BY o.tenant_id', upper(TG_TABLE_NAME), TG_ARGV[0]);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION metadata.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% on metadata.% refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'MA423';
END $$;
