"""What reads something stale is stale from its commit on, also when it had read it before that was said."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("ALTER TABLE metadata.invalidation ADD COLUMN downstream boolean NOT NULL DEFAULT true")
    op.execute("""
        CREATE TRIGGER inherit_staleness AFTER INSERT ON metadata.materialization_input
          REFERENCING NEW TABLE AS new_rows
          FOR EACH STATEMENT EXECUTE FUNCTION metadata.inherit_staleness();
    """)
