"""Aliases: every key that a thing has or had, so that its id no longer has to follow from its present key."""

from alembic import op

from resources.postgres.migrations.guards import audited, confined

revision = "0004"
down_revision = "0003"

ALIAS = """
CREATE TABLE metadata.alias (
  tenant_id  uuid NOT NULL,
  alias_id   uuid NOT NULL DEFAULT gen_random_uuid(),
  key        text NOT NULL,
  key_sha256 bytea NOT NULL CONSTRAINT alias_key_sha256_check CHECK (octet_length(key_sha256) = 32),
  entity_id  uuid NOT NULL,
  kind       text NOT NULL CONSTRAINT alias_kind_check
             CHECK (kind IN ('primary', 'rename', 'endpoint', 'case', 'scheme', 'legacy', 'external')),
  valid_from timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_to   timestamptz,
  actor      text NOT NULL,
  reason     text,
  batch_id   uuid,
  closed_by  uuid,
  CONSTRAINT alias_pkey PRIMARY KEY (tenant_id, alias_id),
  CONSTRAINT alias_entity_fkey FOREIGN KEY (tenant_id, entity_id) REFERENCES metadata.asset,
  CONSTRAINT alias_interval_check CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
COMMENT ON COLUMN metadata.alias.batch_id IS 'The rename or merge that opened it; null for a birth';
COMMENT ON COLUMN metadata.alias.closed_by IS 'The rename, merge or unmerge that closed it; null while open';
CREATE UNIQUE INDEX alias_open_key ON metadata.alias (tenant_id, key_sha256) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX alias_primary_key ON metadata.alias (tenant_id, entity_id)
  WHERE valid_to IS NULL AND kind = 'primary';
CREATE INDEX alias_key_idx ON metadata.alias (tenant_id, key_sha256, valid_from);
CREATE INDEX alias_entity_idx ON metadata.alias (tenant_id, entity_id);
CREATE INDEX alias_batch_idx ON metadata.alias (tenant_id, batch_id) WHERE batch_id IS NOT NULL;
GRANT SELECT ON metadata.alias TO metadata_app, metadata_readonly;
"""

# Every tenant's assets: for this one statement the owner is not held to a tenant.
BACKFILL = """
ALTER TABLE metadata.asset NO FORCE ROW LEVEL SECURITY;
INSERT INTO metadata.alias (tenant_id, key, key_sha256, entity_id, kind, valid_from, actor)
SELECT tenant_id, qualified_name, key_sha256, asset_id, 'primary', created_at, created_by FROM metadata.asset
ORDER BY tenant_id, asset_id;
ALTER TABLE metadata.asset FORCE ROW LEVEL SECURITY;
"""

# From here on a name is unique among what is open: a thing that is gone keeps the name it had.
NAMES = """
ALTER TABLE metadata.asset DROP CONSTRAINT asset_qualified_name_key;
CREATE UNIQUE INDEX asset_open_name_key ON metadata.asset (tenant_id, qualified_name) WHERE deleted_at IS NULL;
COMMENT ON COLUMN metadata.asset.key_sha256 IS 'Digest of the key that it was born under; never changes';
COMMENT ON COLUMN metadata.asset.qualified_name IS 'The key that it has now, or had when it was closed';
CREATE TRIGGER name_births AFTER INSERT ON metadata.asset REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.name_births();
ALTER TABLE metadata.schema_field DROP CONSTRAINT schema_field_name_key;
CREATE UNIQUE INDEX schema_field_open_name_key ON metadata.schema_field (tenant_id, asset_id, name)
  WHERE deleted_at IS NULL;
GRANT UPDATE (name) ON metadata.schema_field TO metadata_app;
"""


def upgrade() -> None:
    for statements in (ALIAS, BACKFILL, NAMES):
        op.execute(statements)
    confined("alias")
    audited("alias", entity_id="alias_id")
