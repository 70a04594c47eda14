"""Who asks again as the same owner takes over. What is told of a run by one fact stays beside what another tells."""

from alembic import op

revision = "0022"
down_revision = "0020"


def upgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS metadata.start_attempt(text, text, text, integer, text, interval)")
