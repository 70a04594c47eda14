"""Tries of a step are found by the step: what failed since a dataset was last made, whatever else ran meanwhile."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("CREATE INDEX task_step_idx ON metadata.task (tenant_id, step_key, created_at DESC)")
