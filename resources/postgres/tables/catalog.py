"""endpoint, asset, schema_field, relationship."""

from sqlalchemy import (
    Boolean,
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
from sqlalchemy.dialects.postgresql import UUID

from resources.postgres.tables.base import METADATA, SCHEMA, document, moment, tenant_id, uuid, words

endpoint = Table(
    "endpoint",
    METADATA,
    Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True),
    uuid("endpoint_id", key=True),
    words("slug"),
    words("system"),
    document("attributes"),
    words("schema_fingerprint", nullable=True),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("tenant_id", "slug", name="endpoint_slug_key"),
)

asset = Table(
    "asset",
    METADATA,
    Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True),
    uuid("asset_id", key=True),
    uuid("endpoint_id", nullable=True),
    words("type"),
    words("name"),
    Column("qualified_name", Text, nullable=False, comment="The key that it has now, or had when it was closed"),
    Column(
        "key_sha256",
        LargeBinary,
        nullable=False,
        comment="Digest of the key that it was born under; never changes",
    ),
    words("description", nullable=True),
    document("metadata"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    words("created_by"),
    moment("created_at"),
    moment("updated_at"),
    moment("deleted_at", nullable=True),
    UniqueConstraint("tenant_id", "key_sha256", name="asset_key_sha256_key"),
    ForeignKeyConstraint(["tenant_id", "endpoint_id"], [endpoint.c.tenant_id, endpoint.c.endpoint_id]),
    Index(
        "asset_open_name_key", "tenant_id", "qualified_name", unique=True, postgresql_where=text("deleted_at IS NULL")
    ),
    Index("asset_type_idx", "tenant_id", "type"),
    Index("asset_created_at_idx", "tenant_id", text("created_at DESC")),
    Index("asset_endpoint_idx", "tenant_id", "endpoint_id"),
    Index("asset_moved_idx", "tenant_id", postgresql_where=text("metadata ? 'moved_from'")),
    Index("asset_merged_idx", "tenant_id", postgresql_where=text("metadata ? 'merged'")),
)

schema_field = Table(
    "schema_field",
    METADATA,
    tenant_id(),
    uuid("field_id", key=True),
    uuid("asset_id"),
    words("name"),
    words("type"),
    Column("nullable", Boolean, nullable=False),
    Column("position", Integer, nullable=False),
    document("metadata"),
    moment("created_at"),
    moment("updated_at"),
    moment("deleted_at", nullable=True),
    ForeignKeyConstraint(["tenant_id", "asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index(
        "schema_field_open_name_key",
        "tenant_id",
        "asset_id",
        "name",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("schema_field_position_idx", "tenant_id", "asset_id", "position"),
)

relationship = Table(
    "relationship",
    METADATA,
    tenant_id(),
    Column("relationship_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
    uuid("source_asset_id"),
    uuid("target_asset_id"),
    words("type"),
    words("producer"),
    words("scope"),
    document("metadata"),
    moment("valid_from"),
    moment("valid_to", nullable=True),
    words("created_by"),
    ForeignKeyConstraint(["tenant_id", "source_asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(["tenant_id", "target_asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index(
        "relationship_open_key",
        "tenant_id",
        "source_asset_id",
        "target_asset_id",
        "type",
        "producer",
        "scope",
        unique=True,
        postgresql_where=text("valid_to IS NULL"),
    ),
    Index("relationship_source_idx", "tenant_id", "source_asset_id", "type"),
    Index("relationship_target_idx", "tenant_id", "target_asset_id", "type"),
    Index("relationship_scope_idx", "tenant_id", "producer", "scope", postgresql_where=text("valid_to IS NULL")),
)
