"""Ids of many births are derived by a statement that is planned once: the function that wrote it each time is gone."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS metadata.derived_ids_statement()")
