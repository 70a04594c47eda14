"""What is asked of an asset's metadata by index: where a collection saw what was moved since, and what merged it."""

from alembic import op

revision = "0009"
down_revision = "0008"

# Columns, not indexes on expressions: behind row-level security an index is only asked for what cannot leak.
ORIGINS = """
ALTER TABLE metadata.asset
  ADD COLUMN moved_from text GENERATED ALWAYS AS (metadata ->> 'moved_from') STORED,
  ADD COLUMN merged_by uuid GENERATED ALWAYS AS ((metadata -> 'merged' ->> 'batch')::uuid) STORED;
COMMENT ON COLUMN metadata.asset.moved_from IS 'The endpoint whose collection saw it, when somebody moved it since';
COMMENT ON COLUMN metadata.asset.merged_by IS 'The merge in force that closed it';
CREATE INDEX asset_moved_from_idx ON metadata.asset (tenant_id, moved_from) WHERE moved_from IS NOT NULL;
CREATE INDEX asset_merged_by_idx ON metadata.asset (tenant_id, merged_by) WHERE merged_by IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(ORIGINS)
