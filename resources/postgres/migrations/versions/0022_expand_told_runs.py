"""Who asks again as the same owner takes over. What is told of a run by one fact stays beside what another tells."""

from alembic import op

revision = "0022"
down_revision = "0021"

TOLD = """
ALTER TABLE metadata.job NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER audit_update,
  ADD COLUMN name_as_of timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN code_location_as_of timestamptz NOT NULL DEFAULT '-infinity',
  ADD COLUMN tags_as_of timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN metadata.job.name_as_of IS 'When its source said name, by its own clock';
COMMENT ON COLUMN metadata.job.code_location_as_of IS 'When its source said code_location, by its own clock';
COMMENT ON COLUMN metadata.job.tags_as_of IS 'When its source said tags, by its own clock';
UPDATE metadata.job j SET
  name_as_of = CASE WHEN j.name IS NULL THEN '-infinity' ELSE j.as_of END,
  code_location_as_of = CASE WHEN j.code_location IS NULL THEN '-infinity' ELSE j.as_of END,
  tags_as_of = CASE WHEN j.tags = '{}' THEN '-infinity' ELSE j.as_of END;
ALTER TABLE metadata.job FORCE ROW LEVEL SECURITY, ENABLE TRIGGER audit_update;
"""


def upgrade() -> None:
    op.execute(TOLD)
    op.execute("DROP FUNCTION IF EXISTS metadata.start_attempt(text, text, text, integer, text, interval)")
    op.execute("CREATE INDEX redelivery_run_idx ON metadata.redelivery (tenant_id, run_id)")
