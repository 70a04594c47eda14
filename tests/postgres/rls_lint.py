"""The catalogue lint: what would let a tenant see another one, or the app write what only the functions may write.

`problems(connection)` is a set of sentences, one for each finding in the schema `metadata`; empty is good.
"""

from collections.abc import Iterator

import psycopg

ROLES = ("metadata_owner", "metadata_app", "metadata_readonly", "metadata_relay")
CONFINED = "{metadata_app,metadata_owner,metadata_readonly}"
ONLY_BY_FUNCTIONS = (
    "alias",
    "audit",
    "idempotency",
    "outbox",
    "staging_lease",
    "materialization",
    "materialization_input",
    "redelivery",
    "version",
    "version_partition",
    "release",
    "retraction",
    "pin",
    "pin_item",
    "invalidation",
    "metadata_key",
    "identity_node",
    "reference_edge",
    "collection",
    "collection_item",
    "dag_version",
    "active_dag",
    "job",
    "task",
    "task_attempt",
    "attempt_lease",
    "mirror_position",
    "condemned",
    "discarded",
    "check_result",
    "candidate",
    "profile",
    "run_dataset",
    "facet",
    "facet_word",
    "refused_event",
    "column_word",
    "column_edge",
    "graph_change",
)
APPEND_ONLY = (
    *("audit", "idempotency", "outbox", "materialization", "materialization_input", "redelivery", "version"),
    *("release", "retraction", "pin_item", "run_pin", "invalidation", "metadata_key", "dag_version", "discarded"),
    *("check_result", "candidate", "run_dataset"),
)
_MINE = "(tenant_id = ( SELECT metadata.current_tenant() AS current_tenant))"

_OURS = "WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'metadata'::regnamespace)"

RULES = {
    "table {}: row-level security is not enabled": """
        SELECT relname FROM ours WHERE relkind IN ('r', 'p') AND NOT relrowsecurity""",
    "table {}: row-level security is not forced": """
        SELECT relname FROM ours WHERE relkind IN ('r', 'p') AND NOT relforcerowsecurity""",
    "table {}: no tenant_id": """
        SELECT relname FROM ours WHERE relkind IN ('r', 'p') AND NOT EXISTS (
          SELECT 1 FROM pg_attribute WHERE attrelid = ours.oid AND attname = 'tenant_id' AND attnotnull)""",
    "table {}: no policy restricts every command of every role to the tenant": f"""
        SELECT relname FROM ours WHERE relkind IN ('r', 'p') AND NOT EXISTS (
          SELECT 1 FROM pg_policies p WHERE p.schemaname = 'metadata' AND p.tablename = relname
            AND p.permissive = 'RESTRICTIVE' AND p.cmd = 'ALL' AND p.qual = '{_MINE}' AND p.with_check = '{_MINE}'
            AND ARRAY(SELECT unnest(p.roles) ORDER BY 1) = '{CONFINED}'::name[])""",
    "policy {}: for a role that no policy restricts": f"""
        SELECT tablename || '.' || policyname FROM pg_policies
        WHERE schemaname = 'metadata' AND permissive = 'PERMISSIVE' AND NOT roles <@ '{CONFINED}'::name[]""",
    "partition {}: can be read directly": """
        SELECT relname FROM ours WHERE relispartition AND relacl IS NOT NULL""",
    "role {}: may do more than its grants": """
        SELECT rolname FROM pg_roles WHERE rolname = ANY (%(roles)s)
          AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)""",
    "role {}: may log in as the owner": """
        SELECT rolname FROM pg_roles WHERE rolname = 'metadata_owner' AND rolcanlogin""",
    "role {}: is a member of another one": """
        SELECT m.rolname || ' in ' || r.rolname FROM pg_auth_members
        JOIN pg_roles m ON m.oid = member JOIN pg_roles r ON r.oid = roleid WHERE m.rolname = ANY (%(roles)s)""",
    "materialized view {}: has no row-level security": """
        SELECT relname FROM ours WHERE relkind = 'm'""",
    "view {}: shows what its owner sees": """
        SELECT relname FROM ours WHERE relkind = 'v' AND NOT coalesce(reloptions, '{}') && '{security_invoker=true}'""",
    "unique index {}: tells of rows of other tenants": """
        SELECT c.relname FROM pg_index i JOIN ours c ON c.oid = i.indexrelid WHERE i.indisunique AND NOT EXISTS (
          SELECT 1 FROM pg_attribute a
          WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname = 'tenant_id')""",
    "foreign key {}: crosses tenants": """
        SELECT k.conname FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'metadata'::regnamespace
          AND NOT EXISTS (
            SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair (here, there)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = here AND a.attname = 'tenant_id'
            JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = there AND b.attname = 'tenant_id')""",
    "function {}: anybody may call it": """
        SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'metadata'::regnamespace
          AND has_function_privilege('public', p.oid, 'EXECUTE')""",
    "function {}: runs as its owner with the names of its caller": """
        SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'metadata'::regnamespace AND p.prosecdef
          AND NOT coalesce(p.proconfig, '{}') && '{"search_path=pg_catalog, pg_temp"}'""",
    "owner of {}: is not metadata_owner": """
        SELECT relname FROM ours WHERE relowner <> 'metadata_owner'::regrole
        UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p
          WHERE p.pronamespace = 'metadata'::regnamespace AND p.proowner <> 'metadata_owner'::regrole""",
    "table {}: the app changes it and the audit trail is not told": """
        SELECT DISTINCT g.name FROM grants g
        WHERE g.grantee = 'metadata_app' AND g.privilege <> 'SELECT' AND 3 <> (
          SELECT count(*) FROM pg_trigger t JOIN ours c ON c.oid = t.tgrelid
          WHERE c.relname = g.name AND t.tgenabled = 'O' AND t.tgfoid IN ('metadata.audit_create'::regproc,
            'metadata.audit_update'::regproc, 'metadata.audit_delete'::regproc))""",
    "table {}: can be changed": """
        SELECT relname FROM ours WHERE relname = ANY (%(append_only)s) AND NOT EXISTS (
          SELECT 1 FROM pg_trigger t WHERE t.tgrelid = ours.oid AND t.tgenabled = 'O'
            AND t.tgfoid = 'metadata.refuse_change'::regproc
            AND t.tgtype & 58 = 58)  -- before update, delete, truncate""",
    "grant {}: past the functions": """
        SELECT g.grantee || ' ' || g.privilege || ' ' || g.name FROM grants g
        WHERE g.grantee <> 'metadata_owner' AND g.privilege <> 'SELECT' AND g.name = ANY (%(only_by_functions)s)""",
    "grant {}: to write, for a role that only reads": """
        SELECT g.grantee || ' ' || g.privilege || ' ' || g.name FROM grants g
        WHERE g.grantee IN ('metadata_readonly', 'metadata_relay') AND g.privilege <> 'SELECT'
          OR g.grantee = 'PUBLIC' OR g.grantee = 'metadata_relay' AND g.name <> 'outbox'""",
    "grant {}: takes rows away or goes around policies": """
        SELECT g.grantee || ' ' || g.privilege || ' ' || g.name FROM grants g
        WHERE g.grantee <> 'metadata_owner' AND g.privilege NOT IN ('SELECT', 'INSERT', 'UPDATE')""",
    "grant {}: to move a published version or a key": """
        SELECT g.grantee || ' ' || g.privilege || ' ' || g.name || '.' || g.attribute FROM grants g
        WHERE g.grantee <> 'metadata_owner' AND g.privilege = 'UPDATE' AND (g.attribute IS NULL
          OR g.attribute IN ('tenant_id', 'published_version', 'qualified_name', 'key_sha256')
          OR g.attribute LIKE '%%\\_id' AND g.attribute <> 'endpoint_id')""",
    "grant {}: to make something in the schema": """
        SELECT rolname FROM pg_roles WHERE rolname = ANY (%(roles)s) AND rolname <> 'metadata_owner'
          AND has_schema_privilege(rolname, 'metadata', 'CREATE')""",
}

# Grants on tables and on columns, one row each; attribute is null for the whole table.
_GRANTS = """, grants AS (
  SELECT relname::text AS name, NULL::text AS attribute, a.privilege_type AS privilege,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
  FROM ours, aclexplode(relacl) a WHERE relkind IN ('r', 'p', 'v', 'm')
  UNION ALL
  SELECT relname::text, t.attname::text, a.privilege_type,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
  FROM ours JOIN pg_attribute t ON t.attrelid = ours.oid, aclexplode(t.attacl) a
)"""


def problems(connection: psycopg.Connection) -> set[str]:
    """Everything that the rules find."""
    return set(_findings(connection))


def _findings(connection: psycopg.Connection) -> Iterator[str]:
    parameters = {
        "roles": list(ROLES),
        "only_by_functions": list(ONLY_BY_FUNCTIONS),
        "append_only": list(APPEND_ONLY),
    }
    for sentence, rule in RULES.items():
        for (name,) in connection.execute((_OURS + _GRANTS + rule).encode(), parameters):
            yield sentence.format(name)
