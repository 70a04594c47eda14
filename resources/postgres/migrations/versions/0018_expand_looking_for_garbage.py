"""Garbage is looked for without a lock, and looked at again under it: the functions that did both at once are gone."""

from alembic import op

revision = "0018"
down_revision = "0017"

REPLACED = (
    "condemn(uuid, bigint, interval, integer)",
    "condemnable(uuid, bigint, interval, integer)",
    "garbage_of(uuid, uuid, bigint, interval, integer)",
)


def upgrade() -> None:
    for function in REPLACED:
        op.execute(f"DROP FUNCTION IF EXISTS metadata.{function}")
