"""alias, endpoint_alias: the keys that things have and had, and the slugs that endpoints have in them."""

from sqlalchemy import Column, Computed, ForeignKeyConstraint, Index, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

from resources.postgres.tables.base import METADATA, moment, tenant_id, uuid, words
from resources.postgres.tables.catalog import asset, endpoint

_ENDING = """
CASE split_part(key, ':', 2)
  WHEN 'dataset' THEN
    split_part(split_part(key, ':', 4), '/', 3) || '/' || split_part(split_part(key, ':', 4), '/', 2) || '/' ||
    split_part(key, ':', 3) || '/' || split_part(split_part(key, ':', 4), '/', 1)
  WHEN 'endpoint' THEN split_part(key, ':', 3) || '/~/~/~'
  ELSE split_part(key, ':', 4) || '/~/' || split_part(key, ':', 3) || '/~'
END
"""

alias = Table(
    "alias",
    METADATA,
    tenant_id(),
    Column("alias_id", UUID, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("key", Text(collation="C"), nullable=False),
    Column("key_sha256", LargeBinary, nullable=False),
    uuid("entity_id"),
    words("kind"),
    moment("valid_from"),
    moment("valid_to", nullable=True),
    words("actor"),
    words("reason", nullable=True),
    Column("batch_id", UUID, comment="The rename or merge that opened it; null for a birth"),
    Column("closed_by", UUID, comment="The rename, merge or unmerge that closed it; null while open"),
    Column(
        "ending",
        Text(collation="C"),
        Computed(_ENDING, persisted=True),
        nullable=False,
        comment="Table, schema, endpoint and source of the key, as it spells them",
    ),
    Column(
        "birth_sha256",
        LargeBinary,
        nullable=False,
        comment="Digest of the key that its thing was born under; never changes",
    ),
    ForeignKeyConstraint(["tenant_id", "entity_id"], [asset.c.tenant_id, asset.c.asset_id]),
    Index("alias_open_key", "tenant_id", "key_sha256", unique=True, postgresql_where=text("valid_to IS NULL")),
    Index(
        "alias_primary_key",
        "tenant_id",
        "entity_id",
        unique=True,
        postgresql_where=text("valid_to IS NULL AND kind = 'primary'"),
    ),
    Index("alias_ending_idx", "tenant_id", "ending", postgresql_where=text("valid_to IS NULL AND ending > ''")),
    Index("alias_below_idx", "tenant_id", "key", postgresql_where=text("valid_to IS NULL AND key > ''")),
    Index("alias_key_idx", "tenant_id", "key_sha256", "valid_from"),
    Index("alias_entity_idx", "tenant_id", "entity_id"),
    Index("alias_batch_idx", "tenant_id", "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
)

endpoint_alias = Table(
    "endpoint_alias",
    METADATA,
    tenant_id(),
    uuid("endpoint_alias_id", key=True),
    Column("slug", Text, nullable=False, comment="The provisional endpoint that keys may still name"),
    words("endpoint"),
    moment("valid_from"),
    moment("valid_to", nullable=True),
    words("actor"),
    words("reason", nullable=True),
    ForeignKeyConstraint(["tenant_id", "endpoint"], [endpoint.c.tenant_id, endpoint.c.slug]),
    Index("endpoint_alias_open_key", "tenant_id", "slug", unique=True, postgresql_where=text("valid_to IS NULL")),
    Index("endpoint_alias_endpoint_idx", "tenant_id", "endpoint", postgresql_where=text("valid_to IS NULL")),
)
