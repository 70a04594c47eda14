"""What ran: versions of code locations, runs, their steps, each attempt at one, and who holds it."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0013"
down_revision = "0012"

DAG = """
CREATE TABLE metadata.dag_version (
  tenant_id      uuid NOT NULL REFERENCES metadata.tenant,
  dag_version_id uuid NOT NULL DEFAULT gen_random_uuid(),
  code_location  text NOT NULL,
  content_sha256 bytea NOT NULL CONSTRAINT dag_version_content_sha256_check CHECK (octet_length(content_sha256) = 32),
  metadata       jsonb NOT NULL DEFAULT '{}',
  first_seen     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT dag_version_pkey PRIMARY KEY (tenant_id, dag_version_id),
  CONSTRAINT dag_version_content_key UNIQUE (tenant_id, code_location, content_sha256)
);
GRANT SELECT ON metadata.dag_version TO metadata_app, metadata_readonly;

CREATE TABLE metadata.active_dag (
  tenant_id      uuid NOT NULL,
  active_dag_id  uuid NOT NULL DEFAULT gen_random_uuid(),
  code_location  text NOT NULL,
  dag_version_id uuid NOT NULL,
  valid_from     timestamptz NOT NULL DEFAULT clock_timestamp(),
  valid_to       timestamptz,
  CONSTRAINT active_dag_pkey PRIMARY KEY (tenant_id, active_dag_id),
  CONSTRAINT active_dag_version_fkey FOREIGN KEY (tenant_id, dag_version_id) REFERENCES metadata.dag_version,
  CONSTRAINT active_dag_interval_check CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
COMMENT ON COLUMN metadata.active_dag.valid_to IS 'When another version took its place; null for the present one';
CREATE UNIQUE INDEX active_dag_open_key ON metadata.active_dag (tenant_id, code_location) WHERE valid_to IS NULL;
CREATE INDEX active_dag_history_idx ON metadata.active_dag (tenant_id, code_location, valid_from);
GRANT SELECT ON metadata.active_dag TO metadata_app, metadata_readonly;
"""

JOB = """
CREATE TABLE metadata.job (
  tenant_id      uuid NOT NULL REFERENCES metadata.tenant,
  job_id         uuid NOT NULL DEFAULT gen_random_uuid(),
  run_id         text NOT NULL,
  source         text NOT NULL,
  name           text,
  code_location  text,
  dag_version_id uuid,
  status         text NOT NULL CONSTRAINT job_status_check
                 CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'lost')),
  as_of          timestamptz NOT NULL DEFAULT '-infinity',
  started_at     timestamptz,
  ended_at       timestamptz,
  failure_class  text,
  failure_reason text,
  tags           jsonb NOT NULL DEFAULT '{}',
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_pkey PRIMARY KEY (tenant_id, job_id),
  CONSTRAINT job_run_id_key UNIQUE (tenant_id, run_id),
  CONSTRAINT job_dag_version_fkey FOREIGN KEY (tenant_id, dag_version_id) REFERENCES metadata.dag_version,
  CONSTRAINT job_ended_check CHECK ((status IN ('queued', 'running')) = (ended_at IS NULL))
);
COMMENT ON COLUMN metadata.job.as_of IS 'When its source last changed its word, by its own clock';
CREATE INDEX job_started_idx ON metadata.job (tenant_id, started_at DESC, job_id);
CREATE INDEX job_unfinished_idx ON metadata.job (tenant_id, source) WHERE ended_at IS NULL;
GRANT SELECT ON metadata.job TO metadata_app, metadata_readonly;

CREATE TABLE metadata.task (
  tenant_id   uuid NOT NULL,
  task_id     uuid NOT NULL DEFAULT gen_random_uuid(),
  job_id      uuid NOT NULL,
  step_key    text NOT NULL,
  lease_epoch bigint NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT task_pkey PRIMARY KEY (tenant_id, task_id),
  CONSTRAINT task_step_key_key UNIQUE (tenant_id, job_id, step_key),
  CONSTRAINT task_job_fkey FOREIGN KEY (tenant_id, job_id) REFERENCES metadata.job
);
COMMENT ON COLUMN metadata.task.lease_epoch IS 'Of the newest lease; whoever holds a smaller one was overtaken';
GRANT SELECT ON metadata.task TO metadata_app, metadata_readonly;
"""

ATTEMPT = """
CREATE TABLE metadata.task_attempt (
  tenant_id      uuid NOT NULL,
  attempt_id     uuid NOT NULL DEFAULT gen_random_uuid(),
  task_id        uuid NOT NULL,
  number         integer NOT NULL CONSTRAINT task_attempt_number_check CHECK (number >= 0),
  lease_epoch    bigint NOT NULL DEFAULT 0 CONSTRAINT task_attempt_lease_epoch_check CHECK (lease_epoch >= 0),
  lease_owner    text,
  fencing_token  bigint,
  status         text NOT NULL CONSTRAINT task_attempt_status_check
                 CHECK (status IN ('running', 'succeeded', 'failed', 'lost', 'cancelled')),
  failure_class  text,
  failure_reason text,
  started_at     timestamptz,
  ended_at       timestamptz,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT task_attempt_pkey PRIMARY KEY (tenant_id, attempt_id),
  CONSTRAINT task_attempt_number_key UNIQUE (tenant_id, task_id, number, lease_epoch),
  CONSTRAINT task_attempt_task_fkey FOREIGN KEY (tenant_id, task_id) REFERENCES metadata.task,
  CONSTRAINT task_attempt_ended_check CHECK ((status = 'running') = (ended_at IS NULL)),
  CONSTRAINT task_attempt_lease_check
    CHECK ((lease_epoch = 0) = (lease_owner IS NULL) AND (lease_epoch = 0) = (fencing_token IS NULL))
);
COMMENT ON COLUMN metadata.task_attempt.number IS 'From 0; grows with each try';
COMMENT ON COLUMN metadata.task_attempt.lease_epoch IS 'Grows with each holder of its task; 0 where a log told it';
CREATE INDEX task_attempt_lost_idx ON metadata.task_attempt (tenant_id, ended_at DESC) WHERE status = 'lost';
GRANT SELECT ON metadata.task_attempt TO metadata_app, metadata_readonly;

CREATE TABLE metadata.attempt_lease (
  tenant_id    uuid NOT NULL,
  attempt_id   uuid NOT NULL,
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at   timestamptz NOT NULL,
  CONSTRAINT attempt_lease_pkey PRIMARY KEY (tenant_id, attempt_id),
  CONSTRAINT attempt_lease_attempt_fkey FOREIGN KEY (tenant_id, attempt_id) REFERENCES metadata.task_attempt
);
CREATE INDEX attempt_lease_expiry_idx ON metadata.attempt_lease (tenant_id, expires_at);
GRANT SELECT ON metadata.attempt_lease TO metadata_app, metadata_readonly;

CREATE TABLE metadata.mirror_position (
  tenant_id  uuid NOT NULL REFERENCES metadata.tenant,
  source     text NOT NULL,
  position   jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT mirror_position_pkey PRIMARY KEY (tenant_id, source)
);
GRANT SELECT ON metadata.mirror_position TO metadata_app, metadata_readonly;
"""

TABLES = ("dag_version", "active_dag", "job", "task", "task_attempt", "attempt_lease", "mirror_position")


def upgrade() -> None:
    for statements in (DAG, JOB, ATTEMPT):
        op.execute(statements)
    for table in TABLES:
        confined(table)
    append_only("dag_version")
    for table, entity_id in (
        ("active_dag", "active_dag_id"),
        ("job", "job_id"),
        ("task", "task_id"),
        ("task_attempt", "attempt_id"),
    ):
        audited(table, entity_id=entity_id)
