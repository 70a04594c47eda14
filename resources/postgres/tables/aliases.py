"""alias: the keys that things have and had."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, LargeBinary, Table, text
from sqlalchemy.dialects.postgresql import UUID

from resources.postgres.tables.base import METADATA, moment, tenant_id, uuid, words
from resources.postgres.tables.catalog import asset

alias = Table(
    "alias",
    METADATA,
    tenant_id(),
    Column("alias_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
    words("key"),
    Column("key_sha256", LargeBinary, nullable=False),
    uuid("entity_id"),
    words("kind"),
    moment("valid_from"),
    moment("valid_to", nullable=True),
    words("actor"),
    words("reason", nullable=True),
    Column("batch_id", UUID, comment="The rename or merge that opened it; null for a birth"),
    Column("closed_by", UUID, comment="The rename, merge or unmerge that closed it; null while open"),
    ForeignKeyConstraint(["tenant_id", "entity_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index("alias_open_key", "tenant_id", "key_sha256", unique=True, postgresql_where=text("valid_to IS NULL")),
    Index(
        "alias_primary_key",
        "tenant_id",
        "entity_id",
        unique=True,
        postgresql_where=text("valid_to IS NULL AND kind = 'primary'"),
    ),
    Index("alias_key_idx", "tenant_id", "key_sha256", "valid_from"),
    Index("alias_entity_idx", "tenant_id", "entity_id"),
    Index("alias_batch_idx", "tenant_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
)
