"""What lineage events say: what runs read and wrote, facets, events that were refused, and edges between columns."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0023"
down_revision = "0022"

TABLES = """
CREATE TABLE metadata.run_dataset (
  tenant_id uuid NOT NULL,
  run_id    text NOT NULL,
  job_asset_id uuid NOT NULL,
  role      text NOT NULL CONSTRAINT run_dataset_role_check CHECK (role IN ('input', 'output')),
  asset_id  uuid NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT run_dataset_pkey PRIMARY KEY (tenant_id, run_id, job_asset_id, role, asset_id),
  CONSTRAINT run_dataset_run_fkey FOREIGN KEY (tenant_id, run_id) REFERENCES metadata.job (tenant_id, run_id),
  CONSTRAINT run_dataset_job_fkey FOREIGN KEY (tenant_id, job_asset_id) REFERENCES metadata.asset,
  CONSTRAINT run_dataset_asset_fkey FOREIGN KEY (tenant_id, asset_id) REFERENCES metadata.asset
);
COMMENT ON COLUMN metadata.run_dataset.job_asset_id IS 'The job that the run is one of';
CREATE INDEX run_dataset_asset_idx ON metadata.run_dataset (tenant_id, asset_id, role);
GRANT SELECT ON metadata.run_dataset TO metadata_app, metadata_readonly;

CREATE TABLE metadata.facet (
  tenant_id uuid NOT NULL REFERENCES metadata.tenant,
  facet_id  uuid NOT NULL DEFAULT gen_random_uuid(),
  about     text NOT NULL
            CONSTRAINT facet_about_check CHECK (about IN ('run', 'job', 'dataset', 'input', 'output')),
  asset_id  uuid,
  run_id    text,
  said_by   uuid,
  name      text NOT NULL,
  as_of     timestamptz NOT NULL,
  sha256    bytea NOT NULL CONSTRAINT facet_sha256_check CHECK (octet_length(sha256) = 32),
  document  jsonb NOT NULL,
  columns   jsonb,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT facet_pkey PRIMARY KEY (tenant_id, facet_id),
  CONSTRAINT facet_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, about, asset_id, run_id, said_by, name),
  CONSTRAINT facet_asset_fkey FOREIGN KEY (tenant_id, asset_id) REFERENCES metadata.asset,
  CONSTRAINT facet_said_by_fkey FOREIGN KEY (tenant_id, said_by) REFERENCES metadata.asset,
  CONSTRAINT facet_run_fkey FOREIGN KEY (tenant_id, run_id) REFERENCES metadata.job (tenant_id, run_id),
  CONSTRAINT facet_subject_check CHECK (
    (asset_id IS NULL) = (about = 'run') AND (run_id IS NULL) = (about IN ('job', 'dataset')))
);
COMMENT ON COLUMN metadata.facet.said_by IS 'The job in whose run it was said of a dataset; null where none was named';
COMMENT ON COLUMN metadata.facet.columns IS 'What it says of the columns of a dataset, all of it';
COMMENT ON COLUMN metadata.facet.as_of IS 'The time of the event that said it: the newest word counts';
CREATE INDEX facet_asset_idx ON metadata.facet (tenant_id, asset_id, name);
CREATE INDEX facet_run_idx ON metadata.facet (tenant_id, run_id);
GRANT SELECT ON metadata.facet TO metadata_app, metadata_readonly;

CREATE TABLE metadata.refused_event (
  tenant_id   uuid NOT NULL REFERENCES metadata.tenant,
  refused_id  uuid NOT NULL DEFAULT gen_random_uuid(),
  sha256      bytea NOT NULL CONSTRAINT refused_event_sha256_check CHECK (octet_length(sha256) = 32),
  place       text NOT NULL,
  text        text NOT NULL,
  characters  bigint NOT NULL,
  error       text NOT NULL,
  reason      text NOT NULL,
  tries       integer NOT NULL DEFAULT 1,
  first_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  accepted_at timestamptz,
  CONSTRAINT refused_event_pkey PRIMARY KEY (tenant_id, refused_id),
  CONSTRAINT refused_event_sha256_key UNIQUE (tenant_id, sha256)
);
COMMENT ON COLUMN metadata.refused_event.text IS 'As it came, without credentials; cut where it is longer than is kept';
COMMENT ON COLUMN metadata.refused_event.characters IS 'How many it had';
CREATE INDEX refused_event_waiting_idx ON metadata.refused_event (tenant_id, last_at DESC, refused_id)
  WHERE accepted_at IS NULL;
GRANT SELECT ON metadata.refused_event TO metadata_app, metadata_readonly;
"""

COLUMNS = """
CREATE TABLE metadata.column_edge (
  tenant_id       uuid NOT NULL,
  column_edge_id  uuid NOT NULL DEFAULT gen_random_uuid(),
  source_field_id uuid NOT NULL,
  target_field_id uuid NOT NULL,
  producer        text NOT NULL,
  scope           text NOT NULL,
  valid_from      timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_to        timestamptz,
  created_by      text NOT NULL,
  CONSTRAINT column_edge_pkey PRIMARY KEY (tenant_id, column_edge_id),
  CONSTRAINT column_edge_source_fkey FOREIGN KEY (tenant_id, source_field_id) REFERENCES metadata.schema_field,
  CONSTRAINT column_edge_target_fkey FOREIGN KEY (tenant_id, target_field_id) REFERENCES metadata.schema_field,
  CONSTRAINT column_edge_interval_check CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
COMMENT ON COLUMN metadata.column_edge.source_field_id IS 'The column that is made from the target';
CREATE UNIQUE INDEX column_edge_open_key ON metadata.column_edge
  (tenant_id, source_field_id, target_field_id, producer, scope) WHERE valid_to IS NULL;
CREATE INDEX column_edge_source_idx ON metadata.column_edge (tenant_id, source_field_id);
CREATE INDEX column_edge_target_idx ON metadata.column_edge (tenant_id, target_field_id);
GRANT SELECT ON metadata.column_edge TO metadata_app, metadata_readonly;
GRANT INSERT, UPDATE (valid_to) ON metadata.column_edge TO metadata_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(COLUMNS)
    for table in ("run_dataset", "facet", "refused_event", "column_edge"):
        confined(table)
    append_only("run_dataset")
    audited("facet", entity_id="facet_id", but="as_of")
    audited("refused_event", entity_id="refused_id")
    audited("column_edge", entity_id="column_edge_id")
