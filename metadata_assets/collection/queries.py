"""What we ask of pg_catalog: a handful of statements, however many tables there are.

All of them see the same relations, `readable`, and `FINGERPRINT` digests what the others return, save for row
estimates, with numbers in place of the names that it has already: so it changes when one of them would answer
differently, and only then. The oid of a relation is one of the answers: two tables that changed names, and one that was
made anew, are told from tables that stayed.
"""

from typing import Final

from psycopg import sql

ORIENTATION: Final = """
SELECT current_database() AS database,
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid,
  has_function_privilege('pg_control_system()', 'EXECUTE') AS server_known,
  set_config('statement_timeout', %(statement_timeout)s, true),
  set_config('lock_timeout', %(lock_timeout)s, true),
  set_config('search_path', 'pg_catalog, pg_temp', true),
  set_config('quote_all_identifiers', 'off', true), set_config('jit', 'off', true)
"""
"""Bounds the transaction, and pins what the text of types, defaults and views depends on."""

LIMITS: Final = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)"

SERVER: Final = "SELECT system_identifier::text FROM pg_control_system()"
"""Which server this is: made with it, and kept by a physical copy, which has the same objects too."""

# Privileges are looked up in the newest catalog, not in the snapshot: they are null for what was dropped meanwhile.
_SELECTED = sql.SQL("""
WITH RECURSIVE selected AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.reltuples, n.nspname AS schema, c.relname AS name,
    has_schema_privilege(n.oid, 'USAGE') AS usable, has_any_column_privilege(c.oid, 'SELECT') AS selectable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND n.nspname ~ ANY (%(wanted)s::text[]) AND NOT n.nspname ~ ANY (%(unwanted)s::text[])
    AND c.relname ~ ANY (%(tables)s::text[]) AND NOT c.relname ~ ANY (%(no_tables)s::text[])
),
readable AS MATERIALIZED (SELECT oid, relkind, reltuples, schema, name FROM selected WHERE usable AND selectable),
leaf AS (
  SELECT oid AS root, oid, relkind, reltuples FROM readable WHERE relkind = 'p'
  UNION ALL
  SELECT l.root, c.oid, c.relkind, c.reltuples
  FROM leaf l JOIN pg_inherits i ON i.inhparent = l.oid JOIN pg_class c ON c.oid = i.inhrelid
)
""")

_ESTIMATES = sql.SQL("""
SELECT r.schema, r.name, CASE r.relkind
    WHEN 'p' THEN (SELECT sum(l.reltuples::numeric) FROM leaf l
                   WHERE l.root = r.oid AND l.relkind <> 'p' AND l.reltuples >= 0)
    WHEN 'v' THEN NULL
    ELSE nullif(r.reltuples, -1)::numeric END::bigint AS row_estimate
FROM readable r
""")

_GAPS = sql.SQL("""
SELECT s.schema, s.name, CASE WHEN s.usable
    THEN format('it may not be selected from: GRANT SELECT ON %%I.%%I TO %%I', s.schema, s.name, current_user)
    ELSE format('its schema may not be used: GRANT USAGE ON SCHEMA %%I TO %%I', s.schema, current_user) END AS reason
FROM selected s WHERE NOT (s.usable AND s.selectable)
UNION ALL
SELECT w.name, NULL, %(no_such_schema)s
FROM unnest(%(named)s::text[]) AS w (name)
WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = w.name)
UNION ALL
SELECT NULL, w.name, %(no_such_table)s
FROM unnest(%(named_tables)s::text[]) AS w (name)
WHERE NOT EXISTS (SELECT FROM selected s WHERE s.name = w.name)
""")

_RELATIONS = sql.SQL("""
SELECT r.schema, r.name, r.relkind::text AS kind, d.description AS comment,
  CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END AS definition,
  CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END AS partition_key,
  CASE WHEN r.relkind = 'p' THEN (SELECT count(*) FROM leaf l WHERE l.root = r.oid AND l.relkind <> 'p') END
    AS partitions, r.oid::bigint AS object
FROM readable r
LEFT JOIN pg_description d ON d.objoid = r.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
""")

_COLUMNS = """
SELECT {table}, a.attnum AS position, a.attname AS column_name,
  {type} AS type,
  NOT (a.attnotnull OR t.typtype = 'd' AND t.typnotnull) AS nullable,
  pg_get_expr(e.adbin, e.adrelid) AS expression, a.attidentity::text AS identity, a.attgenerated::text AS generated,
  d.description AS comment
FROM readable r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef e ON e.adrelid = r.oid AND e.adnum = a.attnum
LEFT JOIN pg_description d ON d.objoid = r.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
"""

_CONSTRAINTS = """
SELECT {table}, k.contype::text AS kind, {columns} AS columns,
  fn.nspname AS referenced_schema, f.relname AS referenced_table,
  CASE WHEN k.contype = 'f' THEN ARRAY(
    SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)
    ORDER BY array_position(k.confkey, a.attnum)) ELSE '{{}}' END AS referenced_columns
FROM readable r
JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype IN ('p', 'u', 'f') AND k.conparentid = 0
LEFT JOIN pg_class f ON f.oid = k.confrelid
LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
"""
_BY_NAME: Final = {
    "table": "r.schema, r.name",
    "type": "format_type(a.atttypid, a.atttypmod)",
    "columns": "ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid "
    "AND a.attnum = ANY (k.conkey) ORDER BY array_position(k.conkey, a.attnum))",
}
# For a digest that has the name of each oid in the rows of relations, and of each number in those of columns. A type
# that came with the server (its oid is below 16384) keeps its name; to write it takes a sixth of the digest's time.
_BY_NUMBER: Final = {
    "table": "r.oid",
    "type": "a.atttypid, a.atttypmod, CASE WHEN a.atttypid >= 16384 THEN format_type(a.atttypid, a.atttypmod) END",
    "columns": "k.conkey",
}

# A view's query is the rule _RETURN (ev_type 1) of the view; what the rule depends on is what the view reads.
# A partition that is read stands for its root, which is the asset.
_READS = sql.SQL("""
SELECT DISTINCT v.schema, v.name, b.schema AS base_schema, b.name AS base_name
FROM readable v
JOIN pg_rewrite w ON w.ev_class = v.oid AND w.ev_type = '1'
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid <> v.oid
LEFT JOIN leaf l ON l.oid = d.refobjid
JOIN readable b ON b.oid = coalesce(l.root, d.refobjid)
WHERE v.relkind IN ('v', 'm')
""")

# One number for rows in whatever order: sorting their text would take three times as long. A record's own hash is a
# weighted sum of its fields' hashes, so it is hashed again: else values could change places between rows unnoticed.
_SUM = sql.SQL("(SELECT coalesce(sum(hashint8extended(hash_record_extended(x, 0), 0)), 0) FROM ({}) x)")

_DIGEST = sql.SQL(
    "SELECT md5(concat_ws('/', {}::text, current_database(), %(place)s::text, {})) AS fingerprint, EXISTS ({}) AS gaps"
)

# What the rows become in `rows.py` is part of what is compared: another FORMAT collects everything once more.
FORMAT: Final = "4"

# In no order: to sort tens of thousands of rows by their names takes the source as long as to find them.
ESTIMATES: Final = _SELECTED + _ESTIMATES
GAPS: Final = _SELECTED + _GAPS
RELATIONS: Final = _SELECTED + _RELATIONS
COLUMNS: Final = _SELECTED + sql.SQL(_COLUMNS.format(**_BY_NAME))
CONSTRAINTS: Final = _SELECTED + sql.SQL(_CONSTRAINTS.format(**_BY_NAME))
READS: Final = _SELECTED + _READS
_DIGESTED: Final = (
    _RELATIONS,
    sql.SQL(_COLUMNS.format(**_BY_NUMBER)),
    sql.SQL(_CONSTRAINTS.format(**_BY_NUMBER)),
    _READS,
    _GAPS,
)
FINGERPRINT: Final = _SELECTED + _DIGEST.format(
    sql.Literal(FORMAT), sql.SQL(", ").join(map(_SUM.format, _DIGESTED)), _GAPS
)
