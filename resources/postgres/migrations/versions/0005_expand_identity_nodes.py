"""Identity nodes, the edges that follow them, and collections of references."""

from alembic import op

from resources.postgres.migrations.guards import audited, confined

revision = "0005"
down_revision = "0004"

# What a reference may look like: a canonical key or an identity node. Nothing with a :// or an @ fits in.
_REFERENCE = (
    "octet_length({0}) <= 1500 AND "
    "{0} ~ '^(mid1:[a-z_]+:[A-Za-z0-9_.%~/:-]+|identity:[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})$'"
)

IDENTITY_NODE = f"""
CREATE TABLE metadata.identity_node (
  tenant_id   uuid NOT NULL REFERENCES metadata.tenant,
  identity_id uuid NOT NULL,
  target_key  text NOT NULL CONSTRAINT identity_node_target_key_check CHECK ({_REFERENCE.format("target_key")}),
  preferred   boolean NOT NULL DEFAULT false,
  metadata    jsonb NOT NULL DEFAULT '{{}}',
  merged_in   uuid[] NOT NULL DEFAULT '{{}}',
  version     integer NOT NULL DEFAULT 1,
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT identity_node_pkey PRIMARY KEY (tenant_id, identity_id)
);
COMMENT ON COLUMN metadata.identity_node.preferred IS 'The one that whoever needs a node for this target gets';
COMMENT ON COLUMN metadata.identity_node.merged_in IS 'The merges that it went along with, for their taking back';
CREATE UNIQUE INDEX identity_node_preferred_key ON metadata.identity_node (tenant_id, target_key) WHERE preferred;
CREATE INDEX identity_node_target_idx ON metadata.identity_node (tenant_id, target_key);
GRANT SELECT ON metadata.identity_node TO metadata_app, metadata_readonly;
"""

REFERENCE_EDGE = f"""
CREATE TABLE metadata.reference_edge (
  tenant_id        uuid NOT NULL REFERENCES metadata.tenant,
  edge_id          uuid NOT NULL DEFAULT gen_random_uuid(),
  source_reference text NOT NULL CONSTRAINT reference_edge_source_check CHECK ({_REFERENCE.format("source_reference")}),
  target_reference text NOT NULL CONSTRAINT reference_edge_target_check CHECK ({_REFERENCE.format("target_reference")}),
  digest           bytea NOT NULL CONSTRAINT reference_edge_digest_check CHECK (octet_length(digest) = 32),
  type             text NOT NULL CONSTRAINT reference_edge_type_check
                   CHECK (type IN ('DEPENDS_ON', 'CONTAINS', 'PRODUCES', 'USES', 'RELATED_TO')),
  created_by       text NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT reference_edge_pkey PRIMARY KEY (tenant_id, edge_id),
  CONSTRAINT reference_edge_digest_key UNIQUE (tenant_id, digest)
);
COMMENT ON COLUMN metadata.reference_edge.digest IS 'SHA-256 of type, source and target: together too long to index';
CREATE INDEX reference_edge_source_idx ON metadata.reference_edge (tenant_id, source_reference);
CREATE INDEX reference_edge_target_idx ON metadata.reference_edge (tenant_id, target_reference);
GRANT SELECT ON metadata.reference_edge TO metadata_app, metadata_readonly;
"""

COLLECTION = f"""
CREATE TABLE metadata.collection (
  tenant_id     uuid NOT NULL REFERENCES metadata.tenant,
  collection_id uuid NOT NULL,
  slug          text NOT NULL CONSTRAINT collection_slug_check CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{{0,62}}$'),
  name          text NOT NULL,
  kind          text NOT NULL CONSTRAINT collection_kind_check CHECK (kind IN ('list', 'report', 'data_product')),
  description   text,
  version       integer NOT NULL DEFAULT 1,
  created_by    text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT collection_pkey PRIMARY KEY (tenant_id, collection_id),
  CONSTRAINT collection_slug_key UNIQUE (tenant_id, slug)
);
GRANT SELECT ON metadata.collection TO metadata_app, metadata_readonly;

CREATE TABLE metadata.collection_item (
  tenant_id     uuid NOT NULL,
  item_id       uuid NOT NULL DEFAULT gen_random_uuid(),
  collection_id uuid NOT NULL,
  reference     text NOT NULL CONSTRAINT collection_item_reference_check CHECK ({_REFERENCE.format("reference")}),
  position      bigint NOT NULL,
  added_by      text NOT NULL,
  added_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT collection_item_pkey PRIMARY KEY (tenant_id, item_id),
  CONSTRAINT collection_item_reference_key UNIQUE (tenant_id, collection_id, reference),
  CONSTRAINT collection_item_position_key UNIQUE (tenant_id, collection_id, position) DEFERRABLE,
  CONSTRAINT collection_item_collection_fkey FOREIGN KEY (tenant_id, collection_id) REFERENCES metadata.collection
);
CREATE INDEX collection_item_reference_idx ON metadata.collection_item (tenant_id, reference);
GRANT SELECT ON metadata.collection_item TO metadata_app, metadata_readonly;
"""

FOLLOW = """
CREATE TRIGGER follow_names AFTER INSERT ON metadata.alias REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.follow_names();
"""


def upgrade() -> None:
    for statements in (IDENTITY_NODE, REFERENCE_EDGE, COLLECTION, FOLLOW):
        op.execute(statements)
    for table, entity_id in (
        ("identity_node", "identity_id"),
        ("reference_edge", "edge_id"),
        ("collection", "collection_id"),
        ("collection_item", "item_id"),
    ):
        confined(table)
        audited(table, entity_id=entity_id)
