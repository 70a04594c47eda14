"""What a look at the rows of a table found: how many, and of each column nulls, distinct values, least and greatest."""

from alembic import op

from resources.postgres.migrations.guards import append_only, confined

revision = "0024"
down_revision = "0023"

PROFILES = """
CREATE TABLE metadata.profile (
  tenant_id uuid NOT NULL,
  asset_id  uuid NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  row_count bigint CHECK (row_count >= 0),
  sampled   bigint NOT NULL CHECK (sampled >= 0),
  columns   jsonb NOT NULL,
  actor     text NOT NULL,
  CONSTRAINT profile_pkey PRIMARY KEY (tenant_id, asset_id, at),
  CONSTRAINT profile_asset_fkey FOREIGN KEY (tenant_id, asset_id) REFERENCES metadata.asset
);
COMMENT ON COLUMN metadata.profile.row_count IS
  'Counted where all rows were looked at, else the estimate of the source';
COMMENT ON COLUMN metadata.profile.sampled IS 'How many rows the columns are told from';
GRANT SELECT ON metadata.profile TO metadata_app, metadata_readonly;
"""


def upgrade() -> None:
    op.execute(PROFILES)
    confined("profile")
    append_only("profile")
