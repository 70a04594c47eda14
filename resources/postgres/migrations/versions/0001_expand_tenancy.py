"""The tenant, the audit trail, idempotency keys and the outbox: what every other table leans on."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0001"
down_revision = None

TENANT = """
CREATE TABLE metadata.tenant (
  tenant_id  uuid PRIMARY KEY,
  name       text NOT NULL CONSTRAINT tenant_name_key UNIQUE,
  status     text NOT NULL DEFAULT 'ACTIVE' CONSTRAINT tenant_status_check
             CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
  config     jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON metadata.tenant TO metadata_app, metadata_readonly;
"""

AUDIT = """
CREATE TABLE metadata.audit (
  audit_id     bigint GENERATED ALWAYS AS IDENTITY,
  tenant_id    uuid NOT NULL,
  entity_type  text NOT NULL,
  entity_id    uuid NOT NULL,
  action       text NOT NULL CONSTRAINT audit_action_check CHECK (action IN ('CREATE', 'UPDATE', 'DELETE')),
  actor        text NOT NULL,
  db_user      text NOT NULL,
  before_state jsonb,
  after_state  jsonb,
  at           timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT audit_pkey PRIMARY KEY (tenant_id, audit_id)
);
CREATE INDEX audit_tenant_at_idx ON metadata.audit (tenant_id, at DESC);
CREATE INDEX audit_entity_idx ON metadata.audit (tenant_id, entity_type, entity_id);
GRANT SELECT ON metadata.audit TO metadata_app, metadata_readonly;
"""

IDEMPOTENCY = """
CREATE TABLE metadata.idempotency (
  tenant_id   uuid NOT NULL,
  op          text NOT NULL,
  key         text NOT NULL CONSTRAINT idempotency_key_check CHECK (octet_length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL CONSTRAINT idempotency_fingerprint_check CHECK (octet_length(fingerprint) = 32),
  result_id   uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT idempotency_pkey PRIMARY KEY (tenant_id, op, key)
);
GRANT SELECT ON metadata.idempotency TO metadata_app, metadata_readonly;
"""

OUTBOX = """
CREATE TABLE metadata.outbox (
  seq       bigint GENERATED ALWAYS AS IDENTITY,
  xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
  tenant_id uuid NOT NULL,
  event_id  uuid NOT NULL,
  topic     text NOT NULL,
  payload   jsonb NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT outbox_pkey PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX outbox_position_idx ON metadata.outbox (xid, seq);
GRANT SELECT ON metadata.outbox TO metadata_app, metadata_readonly, metadata_relay;
"""

# The relay reads this one table across tenants; that is narrower than a role with BYPASSRLS.
RELAY = "CREATE POLICY relay ON metadata.outbox FOR SELECT TO metadata_relay USING (true)"


def upgrade() -> None:
    for statements in (TENANT, AUDIT, IDEMPOTENCY, OUTBOX):
        op.execute(statements)
    for table in ("tenant", "audit", "idempotency", "outbox"):
        confined(table)
    op.execute(RELAY)
    audited("tenant", entity_id="tenant_id")
    for table in ("audit", "idempotency", "outbox"):
        append_only(table)
