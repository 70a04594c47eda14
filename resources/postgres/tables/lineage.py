"""run_dataset, facet, refused_event, column_edge."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
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
