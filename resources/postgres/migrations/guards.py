"""What every tenant table gets. Used by released migrations: change the SQL by a new migration, not here."""

from alembic import op


def confined(table: str) -> None:
    """Let every role, the owner included, see and write only the rows of the tenant bound to the transaction.

    The sub-select makes the planner evaluate the tenant once per statement; the RESTRICTIVE policy cannot be
    widened by one added later.
    """
    op.execute(f"ALTER TABLE metadata.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY rows ON metadata.{table} TO metadata_owner, metadata_app, metadata_readonly "
        "USING (true) WITH CHECK (true)"
    )
    op.execute(
        f"CREATE POLICY tenant ON metadata.{table} AS RESTRICTIVE "
        "TO metadata_owner, metadata_app, metadata_readonly "
        "USING (tenant_id = (SELECT metadata.current_tenant())) "
        "WITH CHECK (tenant_id = (SELECT metadata.current_tenant()))"
    )


def audited(table: str, *, entity_id: str, but: str | None = None) -> None:
    """Write one audit row for each row that a statement creates, changes or deletes.

    Statement triggers with transition tables: a bulk load pays once per statement, not once per row.
    A change of nothing but the column `but` is not told.
    """
    untold = "" if but is None else f", '{but}'"
    op.execute(f"""
        CREATE TRIGGER audit_create AFTER INSERT ON metadata.{table}
          REFERENCING NEW TABLE AS new_rows
          FOR EACH STATEMENT EXECUTE FUNCTION metadata.audit_create('{entity_id}');
        CREATE TRIGGER audit_update AFTER UPDATE ON metadata.{table}
          REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
          FOR EACH STATEMENT EXECUTE FUNCTION metadata.audit_update('{entity_id}'{untold});
        CREATE TRIGGER audit_delete AFTER DELETE ON metadata.{table}
          REFERENCING OLD TABLE AS old_rows
          FOR EACH STATEMENT EXECUTE FUNCTION metadata.audit_delete('{entity_id}');
    """)


def append_only(table: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE, whoever asks."""
    op.execute(f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON metadata.{table}
          FOR EACH STATEMENT EXECUTE FUNCTION metadata.refuse_change();
    """)
