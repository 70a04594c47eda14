"""Which pin a run reads under a name: all of its steps read the same one."""

from alembic import op

from resources.postgres.migrations.guards import append_only, confined

revision = "0021"
down_revision = "0020"

PINS = """
CREATE TABLE metadata.run_pin (
  tenant_id uuid NOT NULL,
  run_id    text NOT NULL,
  name      text NOT NULL,
  pin_id    uuid NOT NULL,
  actor     text NOT NULL,
  at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT run_pin_pkey PRIMARY KEY (tenant_id, run_id, name),
  CONSTRAINT run_pin_pin_fkey FOREIGN KEY (tenant_id, pin_id) REFERENCES metadata.pin
);
COMMENT ON COLUMN metadata.run_pin.run_id IS 'The run that was asked first, when others go on with it';
GRANT SELECT ON metadata.run_pin TO metadata_app, metadata_readonly;
"""


def upgrade() -> None:
    op.execute(PINS)
    confined("run_pin")
    append_only("run_pin")
