"""profile: what a look at the rows of a table found."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Table
from sqlalchemy.dialects.postgresql import JSONB

from resources.postgres.tables.base import METADATA, moment, tenant_id, uuid, words
from resources.postgres.tables.catalog import asset

profile = Table(
    "profile",
    METADATA,
    tenant_id(),
    uuid("asset_id", key=True),
    Column("at", moment("at").type, primary_key=True, server_default=moment("at").server_default.arg),  # type: ignore[union-attr]
    Column(
        "row_count",
        BigInteger,
        CheckConstraint("row_count >= 0"),
        comment="Counted where all rows were looked at, else the estimate of the source",
    ),
    Column(
        "sampled",
        BigInteger,
        CheckConstraint("sampled >= 0"),
        nullable=False,
        comment="How many rows the columns are told from",
    ),
    Column("columns", JSONB, nullable=False),
    words("actor"),
    ForeignKeyConstraint(["tenant_id", "asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
)
