"""Finding things: names by their own end first, and endpoints that are known by another slug as well."""

from alembic import op

from resources.postgres.migrations.guards import audited, confined

revision = "0007"
down_revision = "0006"

# Whoever looks for one of these ranges says `> ''` as well: a look-up by digest never takes these indexes for its own,
# not even while there are so few names that all plans look alike to the planner.

# Keys are ASCII and ordered by their bytes, so that what is below an endpoint is a range of an index, whatever the
# database's own order of words.
BELOW = """
ALTER TABLE metadata.alias ALTER COLUMN key TYPE text COLLATE "C";
CREATE INDEX alias_below_idx ON metadata.alias (tenant_id, key) WHERE valid_to IS NULL AND key > '';
"""

# `flights/public/jfk/shop`: the own name first, as the key spells it, so that any end of a name is a range of an index.
# In the collation of bytes, and as a column: behind row-level security a condition on a function of one has no index.
ENDING = """
ALTER TABLE metadata.alias ADD COLUMN ending text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
  CASE split_part(key, ':', 2)
    WHEN 'dataset' THEN
      split_part(split_part(key, ':', 4), '/', 3) || '/' || split_part(split_part(key, ':', 4), '/', 2) || '/' ||
      split_part(key, ':', 3) || '/' || split_part(split_part(key, ':', 4), '/', 1)
    WHEN 'endpoint' THEN split_part(key, ':', 3) || '/~/~/~'
    ELSE split_part(key, ':', 4) || '/~/' || split_part(key, ':', 3) || '/~'
  END) STORED;
COMMENT ON COLUMN metadata.alias.ending IS 'Table, schema, endpoint and source of the key, as it spells them';
CREATE INDEX alias_ending_idx ON metadata.alias (tenant_id, ending) WHERE valid_to IS NULL AND ending > '';
"""

ENDPOINT_ALIAS = """
CREATE TABLE metadata.endpoint_alias (
  tenant_id         uuid NOT NULL,
  endpoint_alias_id uuid NOT NULL,
  slug              text NOT NULL CONSTRAINT endpoint_alias_slug_check CHECK (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  endpoint          text NOT NULL,
  valid_from        timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_to          timestamptz,
  actor             text NOT NULL,
  reason            text,
  CONSTRAINT endpoint_alias_pkey PRIMARY KEY (tenant_id, endpoint_alias_id),
  CONSTRAINT endpoint_alias_endpoint_fkey FOREIGN KEY (tenant_id, endpoint)
    REFERENCES metadata.endpoint (tenant_id, slug),
  CONSTRAINT endpoint_alias_interval_check CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
COMMENT ON COLUMN metadata.endpoint_alias.slug IS 'The provisional endpoint that keys may still name';
CREATE UNIQUE INDEX endpoint_alias_open_key ON metadata.endpoint_alias (tenant_id, slug) WHERE valid_to IS NULL;
CREATE INDEX endpoint_alias_endpoint_idx ON metadata.endpoint_alias (tenant_id, endpoint) WHERE valid_to IS NULL;
GRANT SELECT ON metadata.endpoint_alias TO metadata_app, metadata_readonly;
"""


def upgrade() -> None:
    for statements in (BELOW, ENDING, ENDPOINT_ALIAS):
        op.execute(statements)
    confined("endpoint_alias")
    audited("endpoint_alias", entity_id="endpoint_alias_id")
    op.execute("DROP FUNCTION IF EXISTS metadata.holders(bytea[])")  # its successor takes keys
