"""What Alembic runs: our versions over the connection that `migrate.py` hands in."""

from alembic import context

from resources.postgres.tables import METADATA, SCHEMA

# The caller owns the transaction and commits it.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
