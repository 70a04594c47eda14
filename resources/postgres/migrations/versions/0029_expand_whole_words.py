"""The words of facets are digests as long as ids: what has a word need not be looked at."""

from alembic import op

from resources.postgres.migrations.guards import confined

revision = "0029"
down_revision = "0028"

OLD = """
DROP TABLE metadata.facet_word;
DROP FUNCTION IF EXISTS metadata.facet_words(uuid, text, text, jsonb);
DROP FUNCTION IF EXISTS metadata.facet_word(text, text, text, jsonb);
DROP FUNCTION IF EXISTS metadata.take_out_words(uuid[], bigint[], text[], uuid[]);
"""

# The facet refers to the tenant: to look for that once more for each word takes most of the time that a word takes.
WORDS = """
CREATE TABLE metadata.facet_word (
  tenant_id uuid NOT NULL,
  word      uuid NOT NULL,
  subject   text COLLATE "C" NOT NULL,
  facet_id  uuid NOT NULL
);
COMMENT ON TABLE metadata.facet_word IS
  'An index of facet: one of documents cannot be asked behind row-level security';
COMMENT ON COLUMN metadata.facet_word.word IS 'The digest of a part of the facet: metadata.words_of';
COMMENT ON COLUMN metadata.facet_word.subject IS 'The asset or the run that has it';
GRANT SELECT ON metadata.facet_word TO metadata_app, metadata_readonly;
"""

# Triggers do not see the rows from before; the owner is confined to a tenant, unless it says that it is not.
FILLED = """
ALTER TABLE metadata.facet NO FORCE ROW LEVEL SECURITY;
INSERT INTO metadata.facet_word (tenant_id, word, subject, facet_id)
SELECT DISTINCT f.tenant_id, w.word, w.subject, f.facet_id
FROM metadata.facet f CROSS JOIN LATERAL metadata.words_of(f.asset_id, f.run_id, f.name, f.document) w
ORDER BY f.tenant_id, w.word, w.subject, f.facet_id;
ALTER TABLE metadata.facet FORCE ROW LEVEL SECURITY;
ALTER TABLE metadata.facet_word ADD CONSTRAINT facet_word_pkey PRIMARY KEY (tenant_id, word, subject, facet_id);
"""


def upgrade() -> None:
    for step in (OLD, WORDS, FILLED):
        op.execute(step)
    confined("facet_word")
