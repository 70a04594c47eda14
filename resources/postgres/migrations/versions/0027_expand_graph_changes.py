"""Whether the graph is still what somebody read of it."""

from alembic import op

from resources.postgres.migrations.guards import confined

revision = "0027"
down_revision = "0026"

CHANGES = """
CREATE TABLE metadata.graph_change (
  tenant_id uuid NOT NULL,
  xid       xid8 NOT NULL,
  CONSTRAINT graph_change_pkey PRIMARY KEY (tenant_id, xid)
);
COMMENT ON TABLE metadata.graph_change IS
  'Transactions that changed an edge, a thing or a name; the latest ones, functions/graph_changes.sql';
GRANT SELECT ON metadata.graph_change TO metadata_app, metadata_readonly;
"""

TOLD = """
CREATE TRIGGER graph_insert AFTER INSERT ON metadata.{table} REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.tell_graph_change();
CREATE TRIGGER graph_update AFTER UPDATE ON metadata.{table} REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.tell_graph_change();
CREATE TRIGGER graph_delete AFTER DELETE ON metadata.{table} REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.tell_graph_change();
"""


def upgrade() -> None:
    op.execute(CHANGES)
    confined("graph_change")
    for table in ("relationship", "asset", "alias", "endpoint_alias"):
        op.execute(TOLD.format(table=table))
