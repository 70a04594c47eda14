"""Aliases say what their things were born under, so that whoever asks by a name need not read the thing."""

from alembic import op

revision = "0011"
down_revision = "0010"

# Every tenant's rows: for these statements the owner is not held to a tenant.
BIRTHS = """
ALTER TABLE metadata.asset NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.alias DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.alias ADD COLUMN birth_sha256 bytea;
COMMENT ON COLUMN metadata.alias.birth_sha256 IS 'Digest of the key that its thing was born under; never changes';
UPDATE metadata.alias x SET birth_sha256 = a.key_sha256
FROM metadata.asset a WHERE a.tenant_id = x.tenant_id AND a.asset_id = x.entity_id;
ALTER TABLE metadata.alias ALTER COLUMN birth_sha256 SET NOT NULL;
ALTER TABLE metadata.alias ENABLE TRIGGER USER, FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.asset FORCE ROW LEVEL SECURITY;
CREATE TRIGGER tell_birth BEFORE INSERT ON metadata.alias FOR EACH ROW EXECUTE FUNCTION metadata.tell_birth();
"""


def upgrade() -> None:
    op.execute(BIRTHS)
    op.execute("DROP FUNCTION IF EXISTS metadata.holders(text[])")  # its successor answers other columns
