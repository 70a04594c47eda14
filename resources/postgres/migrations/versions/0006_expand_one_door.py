"""One door, seen from the database: names are canonical keys, and ids are those that follow from them."""

from alembic import op

revision = "0006"
down_revision = "0005"

# The grammar of identity/keys.py, byte for byte: what stands for itself, and every other byte of valid UTF-8 as %XX.
# (No `(?:`: what follows a colon would be taken for a parameter.)
_MORE = "%[89AB][0-9A-F]"
_CHARACTER = "|".join(
    (
        "[A-Za-z0-9_.-]",
        "%(0[1-9A-F]|1[0-9A-F]|2[0-9ABCF]|3[A-F]|40|5[B-E]|60|7[B-F])",
        f"%(C[2-9A-F]|D[0-9A-F]){_MORE}",
        f"%E0%[AB][0-9A-F]{_MORE}",
        f"%E[1-9ABCEF]({_MORE}){{2}}",
        f"%ED%[89][0-9A-F]{_MORE}",
        f"%F0%[9AB][0-9A-F]({_MORE}){{2}}",
        f"%F[123]({_MORE}){{3}}",
        f"%F4%8[0-9A-F]({_MORE}){{2}}",
    )
)
_NAME = rf"(%|%2E(%2E)?|(?!\.\.?(/|$))({_CHARACTER})+)"
_SLUG = "[a-z0-9][a-z0-9_-]{0,62}"


def _key(slug: str, name: str) -> str:
    return f"^mid1:(endpoint:{slug}|(job|dashboard):{slug}:{name}|dataset:{slug}:(~|{name})/(~|{name})/{name})$"


# Of keys without a byte that is encoded the short expression knows enough, and is asked first: it takes a tenth.
_KEY = _key(_SLUG, _NAME)
_PLAIN = _key("[a-z0-9][a-z0-9_-]*", "[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def _is_key(text: str) -> str:
    return f"""octet_length({text}) <= 1500 AND (
    {text} COLLATE "C" ~ '{_PLAIN}' AND octet_length(split_part({text}, ':', 3)) <= 63
    OR {text} COLLATE "C" ~ '{_KEY}')"""


# A rename lays a name down for a moment, as key#id, while several things change theirs.
_WITHOUT_ID = "replace(qualified_name, '#' || asset_id, '')"

# A column's id is derived, too, but there are many of them: only that nobody made it up at random is looked at.
NAMES = f"""
ALTER TABLE metadata.asset ADD CONSTRAINT asset_qualified_name_check CHECK ({_is_key(_WITHOUT_ID)});
ALTER TABLE metadata.alias ADD CONSTRAINT alias_key_check CHECK (
  {_is_key("key")} AND key_sha256 = sha256(convert_to(key, 'UTF8')));
ALTER TABLE metadata.endpoint ADD CONSTRAINT endpoint_slug_check CHECK (slug COLLATE "C" ~ '^{_SLUG}$');
ALTER TABLE metadata.schema_field ADD CONSTRAINT schema_field_id_check CHECK (
  get_byte(uuid_send(field_id), 6) >> 4 = 5 AND get_byte(uuid_send(field_id), 8) >> 6 = 2);
"""

# For whoever is not the owner of the tables, who answers for what is planted there: a test, a benchmark, a repair.
_FOR_THE_APP = "WHEN (NOT pg_has_role('metadata_owner', 'USAGE'))"

BIRTHS = f"""
CREATE TRIGGER born_of_keys AFTER INSERT ON metadata.asset REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT {_FOR_THE_APP} EXECUTE FUNCTION metadata.check_births();
CREATE TRIGGER born_of_keys AFTER INSERT ON metadata.endpoint REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT {_FOR_THE_APP} EXECUTE FUNCTION metadata.check_endpoints();
"""

FOLLOWING = """
CREATE TRIGGER keep_following BEFORE INSERT OR UPDATE ON metadata.relationship
  FOR EACH ROW WHEN (NEW.producer = 'reference' AND NOT pg_has_role('metadata_owner', 'USAGE'))
  EXECUTE FUNCTION metadata.refuse_following();
"""


def upgrade() -> None:
    for statements in (NAMES, BIRTHS, FOLLOWING):
        op.execute(statements)
