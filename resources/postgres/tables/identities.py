"""identity_node, reference_edge, collection, collection_item."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from resources.postgres.tables.base import METADATA, SCHEMA, document, moment, tenant_id, uuid, words

identity_node = Table(
    "identity_node",
    METADATA,
    Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True),
    uuid("identity_id", key=True),
    words("target_key"),
    Column(
        "preferred",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="The one that whoever needs a node for this target gets",
    ),
    document("metadata"),
    Column(
        "merged_in",
        ARRAY(UUID),
        nullable=False,
        server_default=text("'{}'"),
        comment="The merges that it went along with, for their taking back",
    ),
    Column("version", Integer, nullable=False, server_default=text("1")),
    words("created_by"),
    moment("created_at"),
    moment("updated_at"),
    Index("identity_node_preferred_key", "tenant_id", "target_key", unique=True, postgresql_where=text("preferred")),
    Index("identity_node_target_idx", "tenant_id", "target_key"),
)

reference_edge = Table(
    "reference_edge",
    METADATA,
    Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True),
    Column("edge_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
    words("source_reference"),
    words("target_reference"),
    Column(
        "digest", LargeBinary, nullable=False, comment="SHA-256 of type, source and target: together too long to index"
    ),
    words("type"),
    words("created_by"),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("tenant_id", "digest", name="reference_edge_digest_key"),
    Index("reference_edge_source_idx", "tenant_id", "source_reference"),
    Index("reference_edge_target_idx", "tenant_id", "target_reference"),
)

collection = Table(
    "collection",
    METADATA,
    Column("tenant_id", UUID, ForeignKey(f"{SCHEMA}.tenant.tenant_id"), primary_key=True),
    uuid("collection_id", key=True),
    words("slug"),
    words("name"),
    words("kind"),
    words("description", nullable=True),
    Column("version", Integer, nullable=False, server_default=text("1")),
    words("created_by"),
    moment("created_at"),
    moment("updated_at"),
    UniqueConstraint("tenant_id", "slug", name="collection_slug_key"),
)

collection_item = Table(
    "collection_item",
    METADATA,
    tenant_id(),
    Column("item_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
    uuid("collection_id"),
    words("reference"),
    Column("position", BigInteger, nullable=False),
    words("added_by"),
    moment("added_at"),
    moment("updated_at"),
    UniqueConstraint("tenant_id", "collection_id", "reference", name="collection_item_reference_key"),
    UniqueConstraint("tenant_id", "collection_id", "position", name="collection_item_position_key", deferrable=True),
    ForeignKeyConstraint(["tenant_id", "collection_id"], [collection.c.tenant_id, collection.c.collection_id]),
    Index("collection_item_reference_idx", "tenant_id", "reference"),
)
