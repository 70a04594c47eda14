"""Locations say on which endpoint they are: a dataset may be called after another one when its files are read."""

from alembic import op

revision = "0009"
down_revision = "0008"

# What the dataset was called then tells the endpoint that it was written on.
_PLACE = """
ALTER TABLE metadata.{table} DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY;
UPDATE metadata.{table} t SET location = split_part(coalesce(
    (SELECT x.key FROM metadata.alias x
     WHERE x.tenant_id = t.tenant_id AND x.entity_id = {dataset} AND x.kind = 'primary' AND x.valid_from <= t.{moment}
     ORDER BY x.valid_from DESC LIMIT 1),
    (SELECT a.qualified_name FROM metadata.asset a WHERE a.tenant_id = t.tenant_id AND a.asset_id = {dataset})
  ), ':', 3) || ':' || t.location
WHERE t.location IS NOT NULL;
ALTER TABLE metadata.{table} ENABLE TRIGGER USER, FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.{table} ADD CONSTRAINT {table}_location_check
  CHECK (location ~ '^[a-z0-9][a-z0-9_-]{{0,62}}:.');
"""
_OF_REDELIVERY = """(SELECT m.dataset_id FROM metadata.materialization m
  WHERE m.tenant_id = t.tenant_id AND m.materialization_id = t.materialization_id)"""
_READ = ("alias", "asset", "materialization")


def upgrade() -> None:
    for table in _READ:  # every tenant's rows: for these statements the owner is not held to a tenant
        op.execute(f"ALTER TABLE metadata.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute(_PLACE.format(table="staging_lease", dataset="t.dataset_id", moment="opened_at"))
    op.execute(_PLACE.format(table="redelivery", dataset=_OF_REDELIVERY, moment="at"))
    op.execute(_PLACE.format(table="materialization", dataset="t.dataset_id", moment="committed_at"))
    for table in _READ:
        op.execute(f"ALTER TABLE metadata.{table} FORCE ROW LEVEL SECURITY")
