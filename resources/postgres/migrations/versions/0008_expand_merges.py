"""Find what was moved away from where it was seen, and what a merge closed, among however many assets."""

from alembic import op

revision = "0008"
down_revision = "0007"

# Few assets are in these. An index on what is asked for would not do: behind row-level security an index is only asked
# for what cannot leak, and that is the tenant.
FEW = """
CREATE INDEX asset_moved_idx ON metadata.asset (tenant_id) WHERE metadata ? 'moved_from';
CREATE INDEX asset_merged_idx ON metadata.asset (tenant_id) WHERE metadata ? 'merged';
"""


def upgrade() -> None:
    op.execute(FEW)
