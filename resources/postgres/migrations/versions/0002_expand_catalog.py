"""The catalog and its graph: endpoints, assets, their fields and the edges between them."""

from alembic import op

from resources.postgres.migrations.guards import audited, confined

revision = "0002"
down_revision = "0001"

ENDPOINT = """
CREATE TABLE metadata.endpoint (
  tenant_id          uuid NOT NULL REFERENCES metadata.tenant,
  endpoint_id        uuid NOT NULL,
  slug               text NOT NULL,
  system             text NOT NULL,
  attributes         jsonb NOT NULL DEFAULT '{}',
  schema_fingerprint text,
  created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT endpoint_pkey PRIMARY KEY (tenant_id, endpoint_id),
  CONSTRAINT endpoint_slug_key UNIQUE (tenant_id, slug)
);
GRANT SELECT ON metadata.endpoint TO metadata_app, metadata_readonly;
GRANT INSERT, UPDATE (system, attributes, schema_fingerprint, updated_at) ON metadata.endpoint TO metadata_app;
"""

ASSET = """
CREATE TABLE metadata.asset (
  tenant_id      uuid NOT NULL REFERENCES metadata.tenant,
  asset_id       uuid NOT NULL,
  endpoint_id    uuid,
  type           text NOT NULL,
  name           text NOT NULL,
  qualified_name text NOT NULL,
  key_sha256     bytea NOT NULL CONSTRAINT asset_key_sha256_check CHECK (octet_length(key_sha256) = 32),
  description    text,
  metadata       jsonb NOT NULL DEFAULT '{}',
  version        integer NOT NULL DEFAULT 1,
  created_by     text NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted_at     timestamptz,
  CONSTRAINT asset_pkey PRIMARY KEY (tenant_id, asset_id),
  CONSTRAINT asset_key_sha256_key UNIQUE (tenant_id, key_sha256),
  CONSTRAINT asset_qualified_name_key UNIQUE (tenant_id, qualified_name),
  CONSTRAINT asset_endpoint_fkey FOREIGN KEY (tenant_id, endpoint_id) REFERENCES metadata.endpoint
);
CREATE INDEX asset_type_idx ON metadata.asset (tenant_id, type);
CREATE INDEX asset_created_at_idx ON metadata.asset (tenant_id, created_at DESC);
CREATE INDEX asset_endpoint_idx ON metadata.asset (tenant_id, endpoint_id);
GRANT SELECT ON metadata.asset TO metadata_app, metadata_readonly;
GRANT INSERT, UPDATE (endpoint_id, type, name, description, metadata, version, updated_at, deleted_at)
  ON metadata.asset TO metadata_app;
CREATE TRIGGER keep_identity BEFORE UPDATE OF key_sha256 ON metadata.asset
  FOR EACH ROW EXECUTE FUNCTION metadata.keep_identity();
"""

SCHEMA_FIELD = """
CREATE TABLE metadata.schema_field (
  tenant_id  uuid NOT NULL,
  field_id   uuid NOT NULL,
  asset_id   uuid NOT NULL,
  name       text NOT NULL,
  type       text NOT NULL,
  nullable   boolean NOT NULL,
  position   integer NOT NULL,
  metadata   jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted_at timestamptz,
  CONSTRAINT schema_field_pkey PRIMARY KEY (tenant_id, field_id),
  CONSTRAINT schema_field_name_key UNIQUE (tenant_id, asset_id, name),
  CONSTRAINT schema_field_asset_fkey FOREIGN KEY (tenant_id, asset_id) REFERENCES metadata.asset
);
CREATE INDEX schema_field_position_idx ON metadata.schema_field (tenant_id, asset_id, position);
GRANT SELECT ON metadata.schema_field TO metadata_app, metadata_readonly;
GRANT INSERT, UPDATE (type, nullable, position, metadata, updated_at, deleted_at)
  ON metadata.schema_field TO metadata_app;
"""

RELATIONSHIP = """
CREATE TABLE metadata.relationship (
  tenant_id       uuid NOT NULL,
  relationship_id uuid NOT NULL DEFAULT gen_random_uuid(),
  source_asset_id uuid NOT NULL,
  target_asset_id uuid NOT NULL,
  type            text NOT NULL CONSTRAINT relationship_type_check
                  CHECK (type IN ('DEPENDS_ON', 'CONTAINS', 'PRODUCES', 'USES', 'RELATED_TO')),
  producer        text NOT NULL,
  scope           text NOT NULL,
  metadata        jsonb NOT NULL DEFAULT '{}',
  valid_from      timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_to        timestamptz,
  created_by      text NOT NULL,
  CONSTRAINT relationship_pkey PRIMARY KEY (tenant_id, relationship_id),
  CONSTRAINT relationship_source_fkey FOREIGN KEY (tenant_id, source_asset_id) REFERENCES metadata.asset,
  CONSTRAINT relationship_target_fkey FOREIGN KEY (tenant_id, target_asset_id) REFERENCES metadata.asset,
  CONSTRAINT relationship_interval_check CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
CREATE UNIQUE INDEX relationship_open_key ON metadata.relationship
  (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL;
CREATE INDEX relationship_source_idx ON metadata.relationship (tenant_id, source_asset_id, type);
CREATE INDEX relationship_target_idx ON metadata.relationship (tenant_id, target_asset_id, type);
CREATE INDEX relationship_scope_idx ON metadata.relationship (tenant_id, producer, scope) WHERE valid_to IS NULL;
GRANT SELECT ON metadata.relationship TO metadata_app, metadata_readonly;
GRANT INSERT, UPDATE (metadata, valid_to) ON metadata.relationship TO metadata_app;
"""


def upgrade() -> None:
    for statements in (ENDPOINT, ASSET, SCHEMA_FIELD, RELATIONSHIP):
        op.execute(statements)
    for table in ("endpoint", "asset", "schema_field", "relationship"):
        confined(table)
    audited("endpoint", entity_id="endpoint_id")
    audited("asset", entity_id="asset_id")
    audited("schema_field", entity_id="field_id")
    audited("relationship", entity_id="relationship_id")
