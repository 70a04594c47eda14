"""Names that lead to a thing whose own name another thing has by now: the function that finds them answers more."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    # its successor, names_within, answers other columns
    op.execute("DROP FUNCTION IF EXISTS metadata.names_between(text[], text[], text[], text[], integer)")
