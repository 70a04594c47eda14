"""Whether the database still keeps tenants apart: what somebody may have changed since it was migrated."""

import sqlalchemy as sa

_TABLES = """
SELECT format('table metadata.%s does not confine its rows to a tenant', c.relname)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace('metadata') AND c.relkind IN ('r', 'p')
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
    SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive))
ORDER BY c.relname
"""

_ROLES = """
SELECT format('role %s may bypass row-level security', r.rolname)
FROM pg_roles r WHERE (r.rolsuper OR r.rolbypassrls)
  AND r.rolname IN ('metadata_owner', 'metadata_app', 'metadata_readonly', 'metadata_relay')
ORDER BY r.rolname
"""

_OWNERS = """
SELECT format('table metadata.%s belongs to %s, not to metadata_owner', c.relname, pg_get_userbyid(c.relowner))
FROM pg_class c
WHERE c.relnamespace = to_regnamespace('metadata') AND c.relkind IN ('r', 'p')
  AND pg_get_userbyid(c.relowner) <> 'metadata_owner'
ORDER BY c.relname
"""


def isolation_problems(engine: sa.Engine) -> list[str]:
    """What breaks the separation of tenants in the database of `engine`, in words; nothing when all is as migrated."""
    with engine.connect() as connection:
        return [
            str(problem)
            for statement in (_TABLES, _ROLES, _OWNERS)
            for (problem,) in connection.exec_driver_sql(statement.replace("%", "%%"))
        ]
