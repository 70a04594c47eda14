"""What nobody needs any more: data that are condemned, then collected; files of redeliveries that are gone."""

from alembic import op

from resources.postgres.migrations.guards import append_only, audited, confined

revision = "0014"
down_revision = "0013"

CONDEMNED = """
CREATE TABLE metadata.condemned (
  tenant_id          uuid NOT NULL,
  materialization_id uuid NOT NULL,
  state              text NOT NULL DEFAULT 'condemned' CONSTRAINT condemned_state_check
                     CHECK (state IN ('condemned', 'collected')),
  condemned_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  collected_at       timestamptz,
  CONSTRAINT condemned_pkey PRIMARY KEY (tenant_id, materialization_id),
  CONSTRAINT condemned_materialization_fkey
    FOREIGN KEY (tenant_id, materialization_id) REFERENCES metadata.materialization,
  CONSTRAINT condemned_collected_check CHECK ((state = 'collected') = (collected_at IS NOT NULL))
);
CREATE INDEX condemned_waiting_idx ON metadata.condemned (tenant_id, materialization_id) WHERE state = 'condemned';
GRANT SELECT ON metadata.condemned TO metadata_app, metadata_readonly;
"""

DISCARDED = """
CREATE TABLE metadata.discarded (
  tenant_id    uuid NOT NULL,
  location     text NOT NULL,
  actor        text NOT NULL,
  discarded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT discarded_pkey PRIMARY KEY (tenant_id, location),
  CONSTRAINT discarded_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES metadata.tenant
);
GRANT SELECT ON metadata.discarded TO metadata_app, metadata_readonly;
CREATE INDEX redelivery_location_idx ON metadata.redelivery (tenant_id, location) WHERE location IS NOT NULL;
CREATE INDEX materialization_location_idx ON metadata.materialization (tenant_id, location) WHERE location IS NOT NULL;
"""

GUARD = """
CREATE TRIGGER refuse_condemned AFTER INSERT ON metadata.version_partition
  REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.refuse_condemned_partitions();
"""


def upgrade() -> None:
    op.execute(CONDEMNED)
    op.execute(DISCARDED)
    confined("condemned")
    confined("discarded")
    audited("condemned", entity_id="materialization_id")
    append_only("discarded")
    op.execute(GUARD)
