"""Columns keep the names that they had, so that somebody who knows an old one still finds the column."""

from alembic import op

revision = "0010"
down_revision = "0009"

FORMER_NAMES = """
ALTER TABLE metadata.schema_field ADD COLUMN former_names text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN metadata.schema_field.former_names IS 'What it was called before, the oldest first';
GRANT UPDATE (former_names) ON metadata.schema_field TO metadata_app;
"""


def upgrade() -> None:
    op.execute(FORMER_NAMES)
