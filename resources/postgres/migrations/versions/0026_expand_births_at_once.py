"""Many births at once: what an alias is told at a birth is not looked up again for each of them."""

from alembic import op

revision = "0026"
down_revision = "0025"

ONLY_WHERE_UNTOLD = """
CREATE OR REPLACE TRIGGER tell_birth BEFORE INSERT ON metadata.alias
  FOR EACH ROW WHEN (NEW.birth_sha256 IS NULL) EXECUTE FUNCTION metadata.tell_birth();
"""


def upgrade() -> None:
    op.execute(ONLY_WHERE_UNTOLD)
