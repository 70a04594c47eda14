"""run_dataset, facet, facet_word, refused_event, column_word, column_edge."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from resources.postgres.tables.base import METADATA, SCHEMA, moment, tenant_id, uuid, words
from resources.postgres.tables.catalog import asset, schema_field
from resources.postgres.tables.runs import job

_GIVEN = text("gen_random_uuid()")


def _of_tenant() -> Column[object]:
    return Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True)


run_dataset = Table(
    "run_dataset",
    METADATA,
    tenant_id(),
    words("run_id", key=True),
    Column("job_asset_id", UUID, primary_key=True, comment="The job that the run is one of"),
    words("role", key=True),
    uuid("asset_id", key=True),
    moment("at"),
    ForeignKeyConstraint(["tenant_id", "run_id"], [job.c.tenant_id, job.c.run_id]),
    ForeignKeyConstraint(["tenant_id", "job_asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(["tenant_id", "asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index("run_dataset_asset_idx", "tenant_id", "asset_id", "role"),
)

facet = Table(
    "facet",
    METADATA,
    _of_tenant(),
    Column("facet_id", UUID, primary_key=True, server_default=_GIVEN),
    words("about"),
    uuid("asset_id", nullable=True),
    words("run_id", nullable=True),
    Column("said_by", UUID, comment="The job in whose run it was said of a dataset; null where none was named"),
    words("name"),
    Column(
        "as_of",
        moment("as_of").type,
        nullable=False,
        comment="The time of the event that said it: the newest word counts",
    ),
    Column("sha256", LargeBinary, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("columns", JSONB, comment="What it says of the columns of a dataset, all of it"),
    moment("updated_at"),
    UniqueConstraint(
        "tenant_id",
        "about",
        "asset_id",
        "run_id",
        "said_by",
        "name",
        name="facet_name_key",
        postgresql_nulls_not_distinct=True,
    ),
    ForeignKeyConstraint(["tenant_id", "asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(["tenant_id", "said_by"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(["tenant_id", "run_id"], [job.c.tenant_id, job.c.run_id]),
    Index("facet_asset_idx", "tenant_id", "asset_id", "name"),
    Index("facet_run_idx", "tenant_id", "run_id"),
    Index("facet_of_run_idx", "tenant_id", "updated_at", "facet_id", postgresql_where=text("run_id IS NOT NULL")),
)

facet_word = Table(
    "facet_word",
    METADATA,
    Column("tenant_id", UUID, primary_key=True),
    Column("word", UUID, primary_key=True, comment="The digest of a part of the facet: metadata.words_of"),
    Column("subject", Text(collation="C"), primary_key=True, comment="The asset or the run that has it"),
    uuid("facet_id", key=True),
    comment="An index of facet: one of documents cannot be asked behind row-level security",
)

refused_event = Table(
    "refused_event",
    METADATA,
    _of_tenant(),
    Column("refused_id", UUID, primary_key=True, server_default=_GIVEN),
    Column("sha256", LargeBinary, nullable=False),
    words("place"),
    Column(
        "text",
        words("text").type,
        nullable=False,
        comment="As it came, without credentials; cut where it is longer than is kept",
    ),
    Column("characters", BigInteger, nullable=False, comment="How many it had"),
    words("error"),
    words("reason"),
    Column("tries", Integer, nullable=False, server_default=text("1")),
    moment("first_at"),
    moment("last_at"),
    moment("accepted_at", nullable=True),
    UniqueConstraint("tenant_id", "sha256", name="refused_event_sha256_key"),
    Index("refused_event_tried_idx", "tenant_id", "last_at", "refused_id"),
    Index(
        "refused_event_waiting_idx",
        "tenant_id",
        text("last_at DESC"),
        "refused_id",
        postgresql_where=text("accepted_at IS NULL"),
    ),
)

column_edge = Table(
    "column_edge",
    METADATA,
    tenant_id(),
    Column("column_edge_id", UUID, primary_key=True, server_default=_GIVEN),
    Column("source_field_id", UUID, nullable=False, comment="The column that is made from the target"),
    uuid("target_field_id"),
    words("producer"),
    words("scope"),
    moment("valid_from"),
    moment("valid_to", nullable=True),
    words("created_by"),
    ForeignKeyConstraint(["tenant_id", "source_field_id"], [schema_field.c.tenant_id, schema_field.c.field_id]),
    ForeignKeyConstraint(["tenant_id", "target_field_id"], [schema_field.c.tenant_id, schema_field.c.field_id]),
    Index(
        "column_edge_open_key",
        "tenant_id",
        "source_field_id",
        "target_field_id",
        "producer",
        "scope",
        unique=True,
        postgresql_where=text("valid_to IS NULL"),
    ),
    Index("column_edge_source_idx", "tenant_id", "source_field_id"),
    Index("column_edge_target_idx", "tenant_id", "target_field_id"),
)

column_word = Table(
    "column_word",
    METADATA,
    tenant_id(),
    Column("column_word_id", UUID, primary_key=True, server_default=_GIVEN),
    uuid("asset_id"),
    Column("name", words("name").type, nullable=False, comment="The column that is made from the origin"),
    words("origin_key"),
    words("origin_name"),
    Column("origin_asset_id", UUID, comment="What has that name; null as long as nothing was registered under it"),
    words("producer"),
    words("scope"),
    moment("updated_at"),
    Column("sha256", LargeBinary, nullable=False, comment="Of the column, the origin, the producer and the scope"),
    UniqueConstraint("tenant_id", "asset_id", "sha256", name="column_word_said_key"),
    ForeignKeyConstraint(["tenant_id", "asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(["tenant_id", "origin_asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index("column_word_origin_idx", "tenant_id", "origin_asset_id"),
    Index("column_word_scope_idx", "tenant_id", "producer", "scope"),
    Index("column_word_open_idx", "tenant_id", "origin_key", postgresql_where=text("origin_asset_id IS NULL")),
)
