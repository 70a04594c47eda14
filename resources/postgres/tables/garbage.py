"""condemned, discarded."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, Table, Text, text

from resources.postgres.tables.base import METADATA, moment, tenant_id, uuid, words
from resources.postgres.tables.tenancy import tenant
from resources.postgres.tables.versions import materialization

condemned = Table(
    "condemned",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    Column("state", Text, nullable=False, server_default=text("'condemned'")),
    moment("condemned_at"),
    moment("collected_at", nullable=True),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    Index("condemned_waiting_idx", "tenant_id", "materialization_id", postgresql_where=text("state = 'condemned'")),
)

discarded = Table(
    "discarded",
    METADATA,
    tenant_id(),
    words("location", key=True),
    words("actor"),
    moment("discarded_at"),
    ForeignKeyConstraint(["tenant_id"], [tenant.c.tenant_id]),
)
