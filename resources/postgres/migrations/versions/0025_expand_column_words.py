"""What is said of where columns come from, by names: kept, so that it holds when a table is looked at later."""

from alembic import op

from resources.postgres.migrations.guards import audited, confined

revision = "0025"
down_revision = "0024"

WORDS = """
CREATE TABLE metadata.column_word (
  tenant_id       uuid NOT NULL,
  column_word_id  uuid NOT NULL DEFAULT gen_random_uuid(),
  asset_id        uuid NOT NULL,
  name            text NOT NULL,
  origin_key      text NOT NULL,
  origin_name     text NOT NULL,
  origin_asset_id uuid,
  producer        text NOT NULL,
  scope           text NOT NULL,
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  sha256          bytea NOT NULL CONSTRAINT column_word_sha256_check CHECK (octet_length(sha256) = 32),
  CONSTRAINT column_word_pkey PRIMARY KEY (tenant_id, column_word_id),
  CONSTRAINT column_word_said_key UNIQUE (tenant_id, asset_id, sha256),
  CONSTRAINT column_word_asset_fkey FOREIGN KEY (tenant_id, asset_id) REFERENCES metadata.asset,
  CONSTRAINT column_word_origin_fkey FOREIGN KEY (tenant_id, origin_asset_id) REFERENCES metadata.asset
);
COMMENT ON COLUMN metadata.column_word.name IS 'The column that is made from the origin';
COMMENT ON COLUMN metadata.column_word.origin_asset_id IS
  'What has that name; null as long as nothing was registered under it';
COMMENT ON COLUMN metadata.column_word.sha256 IS 'Of the column, the origin, the producer and the scope';
CREATE INDEX column_word_origin_idx ON metadata.column_word (tenant_id, origin_asset_id);
CREATE INDEX column_word_scope_idx ON metadata.column_word (tenant_id, producer, scope);
CREATE INDEX column_word_open_idx ON metadata.column_word (tenant_id, origin_key) WHERE origin_asset_id IS NULL;
GRANT SELECT ON metadata.column_word TO metadata_app, metadata_readonly;
REVOKE INSERT, UPDATE (valid_to) ON metadata.column_edge FROM metadata_app;
"""

# As `identity.ids.sha256_of` frames texts: a tag, the length in eight bytes, the bytes.
KEPT = """
ALTER TABLE metadata.column_edge NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.schema_field NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.asset NO FORCE ROW LEVEL SECURITY;
INSERT INTO metadata.column_word
  (tenant_id, asset_id, name, origin_key, origin_name, origin_asset_id, producer, scope, sha256)
SELECT e.tenant_id, s.asset_id, s.name, a.qualified_name, t.name, t.asset_id, e.producer, e.scope,
  (SELECT sha256(string_agg(convert_to('s', 'UTF8') || int8send(octet_length(p.part)) || convert_to(p.part, 'UTF8'), ''
    ORDER BY p.number))
   FROM unnest(ARRAY[s.name, a.qualified_name, t.name, e.producer, e.scope]) WITH ORDINALITY AS p (part, number))
FROM metadata.column_edge e
JOIN metadata.schema_field s ON s.tenant_id = e.tenant_id AND s.field_id = e.source_field_id
JOIN metadata.schema_field t ON t.tenant_id = e.tenant_id AND t.field_id = e.target_field_id
JOIN metadata.asset a ON a.tenant_id = t.tenant_id AND a.asset_id = t.asset_id
WHERE e.valid_to IS NULL
ON CONFLICT DO NOTHING;
ALTER TABLE metadata.column_edge FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.schema_field FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.asset FORCE ROW LEVEL SECURITY;
"""


def upgrade() -> None:
    op.execute(WORDS)
    op.execute(KEPT)
    confined("column_word")
    audited("column_word", entity_id="column_word_id")
