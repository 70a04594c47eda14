"""Datasets, what was materialized for them, and the versions that were published from it."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0003"
down_revision = "0002"

DATASET = """
CREATE TABLE metadata.dataset (
  tenant_id         uuid NOT NULL,
  dataset_id        uuid NOT NULL,
  publish_policy    text NOT NULL CONSTRAINT dataset_publish_policy_check
                    CHECK (publish_policy IN ('immediately', 'when_checks_pass', 'manually')),
  published_version bigint NOT NULL DEFAULT 0 CONSTRAINT dataset_published_version_check CHECK (published_version >= 0),
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT dataset_pkey PRIMARY KEY (tenant_id, dataset_id),
  CONSTRAINT dataset_asset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.asset
);
GRANT SELECT ON metadata.dataset TO metadata_app, metadata_readonly;
GRANT INSERT (tenant_id, dataset_id, publish_policy), UPDATE (publish_policy, updated_at)
  ON metadata.dataset TO metadata_app;
"""

STAGING_LEASE = """
CREATE SEQUENCE metadata.fencing_token;
GRANT USAGE ON SEQUENCE metadata.fencing_token TO metadata_app;
CREATE TABLE metadata.staging_lease (
  tenant_id     uuid NOT NULL,
  attempt_id    uuid NOT NULL,
  dataset_id    uuid NOT NULL,
  partition_key text NOT NULL,
  location      text NOT NULL,
  run_id        text NOT NULL,
  step_key      text NOT NULL,
  state         text NOT NULL DEFAULT 'open' CONSTRAINT staging_lease_state_check CHECK (state IN ('open', 'reaping')),
  opened_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at    timestamptz NOT NULL,
  CONSTRAINT staging_lease_pkey PRIMARY KEY (tenant_id, attempt_id, dataset_id, partition_key),
  CONSTRAINT staging_lease_location_key UNIQUE (tenant_id, location),
  CONSTRAINT staging_lease_dataset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.dataset
);
CREATE INDEX staging_lease_expiry_idx ON metadata.staging_lease (tenant_id, expires_at);
GRANT SELECT ON metadata.staging_lease TO metadata_app, metadata_readonly;
"""

MATERIALIZATION = """
CREATE TABLE metadata.materialization (
  tenant_id          uuid NOT NULL,
  materialization_id uuid NOT NULL,
  dataset_id         uuid NOT NULL,
  partition_key      text NOT NULL,
  idempotency_key    text NOT NULL,
  intent             text NOT NULL,
  attempt_id         uuid NOT NULL,
  run_id             text NOT NULL,
  step_key           text NOT NULL,
  retry_number       integer NOT NULL,
  fencing_token      bigint NOT NULL,
  code_version       text,
  location           text,
  manifest_sha256    bytea CONSTRAINT materialization_manifest_sha256_check CHECK (octet_length(manifest_sha256) = 32),
  row_count          bigint CONSTRAINT materialization_row_count_check CHECK (row_count >= 0),
  byte_count         bigint CONSTRAINT materialization_byte_count_check CHECK (byte_count >= 0),
  data_version       text,
  metadata           jsonb NOT NULL DEFAULT '{}',
  actor              text NOT NULL,
  committed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT materialization_pkey PRIMARY KEY (tenant_id, materialization_id),
  CONSTRAINT materialization_idempotency_key_key UNIQUE (tenant_id, idempotency_key),
  CONSTRAINT materialization_dataset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.dataset
);
CREATE INDEX materialization_partition_idx ON metadata.materialization
  (tenant_id, dataset_id, partition_key, committed_at DESC);
CREATE INDEX materialization_committed_idx ON metadata.materialization (tenant_id, dataset_id, committed_at DESC);
CREATE INDEX materialization_run_idx ON metadata.materialization (tenant_id, run_id);
GRANT SELECT ON metadata.materialization TO metadata_app, metadata_readonly;

CREATE TABLE metadata.materialization_input (
  tenant_id                uuid NOT NULL,
  materialization_id       uuid NOT NULL,
  input_asset_id           uuid NOT NULL,
  input_partition_key      text NOT NULL,
  input_materialization_id uuid,
  input_version            bigint,
  metadata                 jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT materialization_input_pkey
    PRIMARY KEY (tenant_id, materialization_id, input_asset_id, input_partition_key),
  CONSTRAINT materialization_input_output_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization,
  CONSTRAINT materialization_input_asset_fkey FOREIGN KEY (tenant_id, input_asset_id) REFERENCES metadata.asset,
  CONSTRAINT materialization_input_read_fkey
    FOREIGN KEY (tenant_id, input_materialization_id) REFERENCES metadata.materialization
);
CREATE INDEX materialization_input_read_idx ON metadata.materialization_input (tenant_id, input_materialization_id);
GRANT SELECT ON metadata.materialization_input TO metadata_app, metadata_readonly;

CREATE TABLE metadata.redelivery (
  tenant_id          uuid NOT NULL,
  materialization_id uuid NOT NULL,
  attempt_id         uuid NOT NULL,
  run_id             text NOT NULL,
  step_key           text NOT NULL,
  location           text,
  manifest_sha256    bytea,
  same_data          boolean NOT NULL,
  actor              text NOT NULL,
  at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT redelivery_pkey PRIMARY KEY (tenant_id, materialization_id, attempt_id),
  CONSTRAINT redelivery_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization
);
GRANT SELECT ON metadata.redelivery TO metadata_app, metadata_readonly;
"""

VERSION = """
CREATE TABLE metadata.version (
  tenant_id       uuid NOT NULL,
  dataset_id      uuid NOT NULL,
  version         bigint NOT NULL CONSTRAINT version_number_check CHECK (version > 0),
  idempotency_key text NOT NULL,
  actor           text NOT NULL,
  published_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT version_pkey PRIMARY KEY (tenant_id, dataset_id, version),
  CONSTRAINT version_idempotency_key_key UNIQUE (tenant_id, dataset_id, idempotency_key),
  CONSTRAINT version_dataset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.dataset
);
GRANT SELECT ON metadata.version TO metadata_app, metadata_readonly;

CREATE TABLE metadata.version_partition (
  tenant_id          uuid NOT NULL,
  dataset_id         uuid NOT NULL,
  partition_key      text NOT NULL,
  from_version       bigint NOT NULL,
  to_version         bigint,
  materialization_id uuid NOT NULL,
  CONSTRAINT version_partition_pkey PRIMARY KEY (tenant_id, dataset_id, partition_key, from_version),
  CONSTRAINT version_partition_from_fkey
    FOREIGN KEY (tenant_id, dataset_id, from_version) REFERENCES metadata.version,
  CONSTRAINT version_partition_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization,
  CONSTRAINT version_partition_interval_check CHECK (to_version IS NULL OR to_version > from_version)
);
COMMENT ON COLUMN metadata.version_partition.to_version IS 'The first version without this row; null while current';
CREATE UNIQUE INDEX version_partition_current_key ON metadata.version_partition
  (tenant_id, dataset_id, partition_key) WHERE to_version IS NULL;
CREATE INDEX version_partition_materialization_idx ON metadata.version_partition (tenant_id, materialization_id);
GRANT SELECT ON metadata.version_partition TO metadata_app, metadata_readonly;
"""

TABLES = (
    "dataset", "staging_lease", "materialization", "materialization_input", "redelivery", "version",
    "version_partition",
)  # fmt: skip


def upgrade() -> None:
    for statements in (DATASET, STAGING_LEASE, MATERIALIZATION, VERSION):
        op.execute(statements)
    for table in TABLES:
        confined(table)
    audited("dataset", entity_id="dataset_id")
    for table in ("materialization", "materialization_input", "redelivery", "version"):
        append_only(table)
