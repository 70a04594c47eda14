"""Versions that go back, taken-back materializations, pins, releases, what is stale, and search by metadata."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0012"
down_revision = "0011"

RELEASE = """
CREATE TABLE metadata.release (
  tenant_id   uuid NOT NULL,
  release_id  uuid NOT NULL,
  name        text NOT NULL CONSTRAINT release_name_check CHECK (name <> '' AND octet_length(name) <= 500),
  reason      text,
  actor       text NOT NULL,
  released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT release_pkey PRIMARY KEY (tenant_id, release_id),
  CONSTRAINT release_name_key UNIQUE (tenant_id, name)
);
GRANT SELECT ON metadata.release TO metadata_app, metadata_readonly;
"""

# The same key may ask for a publish and for a rollback: they are told apart by their kind. The new constraints look at
# every tenant's rows.
VERSION = """
ALTER TABLE metadata.version NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.version
  ADD COLUMN kind text NOT NULL DEFAULT 'publish'
    CONSTRAINT version_kind_check CHECK (kind IN ('publish', 'rollback', 'retract')),
  ADD COLUMN reason text,
  ADD COLUMN restored_version bigint,
  ADD COLUMN release_id uuid,
  ADD CONSTRAINT version_restored_check
    CHECK ((kind = 'rollback') = (restored_version IS NOT NULL) AND restored_version < version),
  ADD CONSTRAINT version_restored_fkey
    FOREIGN KEY (tenant_id, dataset_id, restored_version) REFERENCES metadata.version,
  ADD CONSTRAINT version_release_fkey FOREIGN KEY (tenant_id, release_id) REFERENCES metadata.release,
  DROP CONSTRAINT version_idempotency_key_key,
  ADD CONSTRAINT version_idempotency_key_key UNIQUE (tenant_id, dataset_id, kind, idempotency_key);
ALTER TABLE metadata.version FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN metadata.version.restored_version IS 'Of a rollback: the version whose partitions it has';
CREATE INDEX version_release_idx ON metadata.version (tenant_id, release_id) WHERE release_id IS NOT NULL;
CREATE INDEX version_published_idx ON metadata.version (tenant_id, dataset_id, published_at, version);
CREATE INDEX version_partition_from_idx ON metadata.version_partition (tenant_id, dataset_id, from_version);
CREATE INDEX version_partition_to_idx ON metadata.version_partition (tenant_id, dataset_id, to_version)
  WHERE to_version IS NOT NULL;
"""

RETRACTION = """
CREATE TABLE metadata.retraction (
  tenant_id          uuid NOT NULL,
  materialization_id uuid NOT NULL,
  reason             text NOT NULL,
  actor              text NOT NULL,
  at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT retraction_pkey PRIMARY KEY (tenant_id, materialization_id),
  CONSTRAINT retraction_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization
);
GRANT SELECT ON metadata.retraction TO metadata_app, metadata_readonly;
"""

PIN = """
CREATE TABLE metadata.pin (
  tenant_id   uuid NOT NULL,
  pin_id      uuid NOT NULL,
  name        text NOT NULL CONSTRAINT pin_name_check CHECK (name ~ '^[A-Za-z][A-Za-z0-9_.-]{0,99}$'),
  fingerprint bytea NOT NULL,
  reason      text,
  created_by  text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz,
  removed_at  timestamptz,
  removed_by  text,
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pin_pkey PRIMARY KEY (tenant_id, pin_id),
  CONSTRAINT pin_removed_check CHECK ((removed_at IS NULL) = (removed_by IS NULL))
);
COMMENT ON COLUMN metadata.pin.expires_at IS 'From then on it protects nothing and cannot be read; null for never';
CREATE UNIQUE INDEX pin_open_name_key ON metadata.pin (tenant_id, name) WHERE removed_at IS NULL;
CREATE INDEX pin_name_idx ON metadata.pin (tenant_id, name, created_at);
GRANT SELECT ON metadata.pin TO metadata_app, metadata_readonly;

CREATE TABLE metadata.pin_item (
  tenant_id  uuid NOT NULL,
  pin_id     uuid NOT NULL,
  dataset_id uuid NOT NULL,
  version    bigint NOT NULL,
  CONSTRAINT pin_item_pkey PRIMARY KEY (tenant_id, pin_id, dataset_id),
  CONSTRAINT pin_item_pin_fkey FOREIGN KEY (tenant_id, pin_id) REFERENCES metadata.pin,
  CONSTRAINT pin_item_version_fkey FOREIGN KEY (tenant_id, dataset_id, version) REFERENCES metadata.version
);
CREATE INDEX pin_item_version_idx ON metadata.pin_item (tenant_id, dataset_id, version);
GRANT SELECT ON metadata.pin_item TO metadata_app, metadata_readonly;
"""

INVALIDATION = """
CREATE TABLE metadata.invalidation (
  tenant_id          uuid NOT NULL,
  invalidation_id    uuid NOT NULL,
  materialization_id uuid NOT NULL,
  dataset_id         uuid NOT NULL,
  partition_key      text NOT NULL,
  cause_id           uuid,
  was_current        boolean NOT NULL,
  reason             text NOT NULL,
  actor              text NOT NULL,
  at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT invalidation_pkey PRIMARY KEY (tenant_id, invalidation_id, materialization_id),
  CONSTRAINT invalidation_dataset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.dataset,
  CONSTRAINT invalidation_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization,
  CONSTRAINT invalidation_cause_fkey FOREIGN KEY (tenant_id, cause_id) REFERENCES metadata.materialization
);
COMMENT ON COLUMN metadata.invalidation.cause_id IS 'The invalid input it was made from; null for what was asked for';
CREATE INDEX invalidation_materialization_idx ON metadata.invalidation (tenant_id, materialization_id);
CREATE INDEX invalidation_dataset_idx ON metadata.invalidation (tenant_id, dataset_id, materialization_id);
GRANT SELECT ON metadata.invalidation TO metadata_app, metadata_readonly;
"""

METADATA_KEY = """
CREATE TABLE metadata.metadata_key (
  tenant_id          uuid NOT NULL,
  key                text NOT NULL,
  committed_at       timestamptz NOT NULL,
  materialization_id uuid NOT NULL,
  value_sha256       bytea NOT NULL,
  CONSTRAINT metadata_key_pkey PRIMARY KEY (tenant_id, key, committed_at, materialization_id),
  CONSTRAINT metadata_key_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization
);
COMMENT ON COLUMN metadata.metadata_key.value_sha256 IS 'Digest of the value as jsonb writes it';
CREATE INDEX metadata_key_value_idx
  ON metadata.metadata_key (tenant_id, key, value_sha256, committed_at, materialization_id);
GRANT SELECT ON metadata.metadata_key TO metadata_app, metadata_readonly;
"""

# Every tenant's rows: for these statements the owner is not held to a tenant.
KNOWN_KEYS = """
ALTER TABLE metadata.materialization NO FORCE ROW LEVEL SECURITY;
INSERT INTO metadata.metadata_key (tenant_id, key, committed_at, materialization_id, value_sha256)
SELECT m.tenant_id, e.key, m.committed_at, m.materialization_id, sha256(convert_to(e.value::text, 'UTF8'))
FROM metadata.materialization m CROSS JOIN LATERAL jsonb_each(m.metadata) e
WHERE jsonb_typeof(m.metadata) = 'object' AND octet_length(e.key) <= 500;
ALTER TABLE metadata.materialization FORCE ROW LEVEL SECURITY;
"""

TABLES = ("release", "retraction", "pin", "pin_item", "invalidation", "metadata_key")


def upgrade() -> None:
    for statements in (RELEASE, VERSION, RETRACTION, PIN, INVALIDATION, METADATA_KEY, KNOWN_KEYS):
        op.execute(statements)
    for table in TABLES:
        confined(table)
    audited("pin", entity_id="pin_id")
    for table in ("release", "retraction", "pin_item", "invalidation", "metadata_key"):
        append_only(table)
    # Its successor takes the reason and the release, too.
    op.execute("DROP FUNCTION IF EXISTS metadata.replace_partitions(uuid, text, text, uuid[])")
