"""graph_change."""

from sqlalchemy import Column, Table

from resources.postgres.tables.base import METADATA, tenant_id
from resources.postgres.tables.tenancy import Xid8

graph_change = Table(
    "graph_change",
    METADATA,
    tenant_id(),
    Column("xid", Xid8, primary_key=True),
    comment="Transactions that changed an edge, a thing or a name; the latest ones, functions/graph_changes.sql",
)
