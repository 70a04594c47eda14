"""What the checks of a materialization found, and which materializations wait for which checks."""

from alembic import op

from resources.postgres.migrations.guards import append_only, confined

revision = "0015"
down_revision = "0014"

CHECKS = """
CREATE TABLE metadata.check_result (
  tenant_id          uuid NOT NULL,
  materialization_id uuid NOT NULL,
  name               text NOT NULL,
  run_id             text NOT NULL,
  evaluation         bigint NOT NULL,
  passed             boolean NOT NULL,
  blocking           boolean NOT NULL,
  severity           text NOT NULL CONSTRAINT check_result_severity_check CHECK (severity IN ('WARN', 'ERROR')),
  description        text,
  metadata           jsonb NOT NULL DEFAULT '{}',
  actor              text NOT NULL,
  at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT check_result_pkey PRIMARY KEY (tenant_id, materialization_id, name, run_id, evaluation),
  CONSTRAINT check_result_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization
);
COMMENT ON COLUMN metadata.check_result.evaluation IS 'Orders the evaluations of one check: a later one is larger';
GRANT SELECT ON metadata.check_result TO metadata_app, metadata_readonly;

CREATE TABLE metadata.candidate (
  tenant_id          uuid NOT NULL,
  run_id             text NOT NULL,
  dataset_id         uuid NOT NULL,
  partition_key      text NOT NULL,
  materialization_id uuid NOT NULL,
  awaited            text[],
  actor              text NOT NULL,
  at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT candidate_pkey PRIMARY KEY (tenant_id, run_id, dataset_id, partition_key),
  CONSTRAINT candidate_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization,
  CONSTRAINT candidate_dataset_fkey FOREIGN KEY (tenant_id, dataset_id) REFERENCES metadata.dataset
);
COMMENT ON COLUMN metadata.candidate.awaited IS 'The blocking checks that publish it; null where a person does';
CREATE INDEX candidate_materialization_idx ON metadata.candidate (tenant_id, materialization_id);
GRANT SELECT ON metadata.candidate TO metadata_app, metadata_readonly;
"""


def upgrade() -> None:
    op.execute(CHECKS)
    for table in ("check_result", "candidate"):
        confined(table)
        append_only(table)
