"""What is told again and again is kept for a time: profiles, facets of runs, refused events. Facets can be searched."""

from alembic import op

from resources.postgres.migrations.guards import confined

revision = "0028"
down_revision = "0027"

HISTORY = """
DROP TRIGGER append_only ON metadata.profile;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON metadata.profile
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.refuse_change();
CREATE INDEX facet_of_run_idx ON metadata.facet (tenant_id, updated_at, facet_id) WHERE run_id IS NOT NULL;
CREATE INDEX refused_event_tried_idx ON metadata.refused_event (tenant_id, last_at, refused_id);
"""

WORDS = """
CREATE TABLE metadata.facet_word (
  tenant_id uuid NOT NULL REFERENCES metadata.tenant,
  word      bigint NOT NULL,
  subject   text COLLATE "C" NOT NULL,
  facet_id  uuid NOT NULL,
  CONSTRAINT facet_word_pkey PRIMARY KEY (tenant_id, word, subject, facet_id)
);
COMMENT ON TABLE metadata.facet_word IS
  'An index of facet: one of documents cannot be asked behind row-level security';
COMMENT ON COLUMN metadata.facet_word.word IS 'The digest of a part of the facet: metadata.facet_words';
COMMENT ON COLUMN metadata.facet_word.subject IS 'The asset or the run that has it';
GRANT SELECT ON metadata.facet_word TO metadata_app, metadata_readonly;
"""

# What is there already gets its words with 0029.
TRIGGERS = """
CREATE TRIGGER words_create AFTER INSERT ON metadata.facet REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.write_facet_words();
CREATE TRIGGER words_update AFTER UPDATE ON metadata.facet REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.rewrite_facet_words();
CREATE TRIGGER words_delete AFTER DELETE ON metadata.facet REFERENCING OLD TABLE AS old_rows
  FOR EACH STATEMENT EXECUTE FUNCTION metadata.forget_facet_words();
"""


def upgrade() -> None:
    op.execute(WORDS)
    op.execute(TRIGGERS)
    confined("facet_word")
    op.execute(HISTORY)
    for table, moment in (("profile", "at"), ("facet", "updated_at"), ("refused_event", "last_at")):
        op.execute(f"DROP TRIGGER IF EXISTS audit_delete ON metadata.{table}")
        op.execute(
            f"CREATE TRIGGER audit_forget AFTER DELETE ON metadata.{table} REFERENCING OLD TABLE AS old_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION metadata.audit_forget('{moment}')"
        )
