"""release, retraction, pin, pin_item, invalidation: what people say of versions; run_pin: which pin a run reads;
metadata_key: search by key."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from resources.postgres.tables.base import METADATA, moment, tenant_id, uuid, words
from resources.postgres.tables.versions import dataset, materialization, version


def _of_materialization(column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", column], [materialization.c.tenant_id, materialization.c.materialization_id]
    )


release = Table(
    "release",
    METADATA,
    tenant_id(),
    uuid("release_id", key=True),
    words("name"),
    words("reason", nullable=True),
    words("actor"),
    moment("released_at"),
    UniqueConstraint("tenant_id", "name", name="release_name_key"),
)

retraction = Table(
    "retraction",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    words("reason"),
    words("actor"),
    moment("at"),
    _of_materialization("materialization_id"),
)

pin = Table(
    "pin",
    METADATA,
    tenant_id(),
    uuid("pin_id", key=True),
    words("name"),
    Column("fingerprint", LargeBinary, nullable=False),
    words("reason", nullable=True),
    words("created_by"),
    moment("created_at"),
    Column(
        "expires_at",
        moment("expires_at").type,
        comment="From then on it protects nothing and cannot be read; null for never",
    ),
    moment("removed_at", nullable=True),
    words("removed_by", nullable=True),
    moment("updated_at"),
    Index("pin_open_name_key", "tenant_id", "name", unique=True, postgresql_where=text("removed_at IS NULL")),
    Index("pin_name_idx", "tenant_id", "name", "created_at"),
)

run_pin = Table(
    "run_pin",
    METADATA,
    tenant_id(),
    Column("run_id", Text, primary_key=True, comment="The run that was asked first, when others go on with it"),
    Column("name", Text, primary_key=True),
    uuid("pin_id"),
    words("actor"),
    moment("at"),
    ForeignKeyConstraint(["tenant_id", "pin_id"], [pin.c.tenant_id, pin.c.pin_id]),
)

pin_item = Table(
    "pin_item",
    METADATA,
    tenant_id(),
    uuid("pin_id", key=True),
    uuid("dataset_id", key=True),
    Column("version", BigInteger, nullable=False),
    ForeignKeyConstraint(["tenant_id", "pin_id"], [pin.c.tenant_id, pin.c.pin_id]),
    ForeignKeyConstraint(
        ["tenant_id", "dataset_id", "version"], [version.c.tenant_id, version.c.dataset_id, version.c.version]
    ),
    Index("pin_item_version_idx", "tenant_id", "dataset_id", "version"),
)

invalidation = Table(
    "invalidation",
    METADATA,
    tenant_id(),
    uuid("invalidation_id", key=True),
    uuid("materialization_id", key=True),
    uuid("dataset_id"),
    words("partition_key"),
    Column(
        "cause_id",
        uuid("cause_id").type,
        comment="The invalid input it was made from; null for what was asked for",
    ),
    Column("was_current", Boolean, nullable=False),
    words("reason"),
    words("actor"),
    moment("at"),
    Column("downstream", Boolean, nullable=False, server_default=text("true")),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [dataset.c.tenant_id, dataset.c.dataset_id]),
    _of_materialization("materialization_id"),
    _of_materialization("cause_id"),
    Index("invalidation_materialization_idx", "tenant_id", "materialization_id"),
    Index("invalidation_dataset_idx", "tenant_id", "dataset_id", "materialization_id"),
)

metadata_key = Table(
    "metadata_key",
    METADATA,
    tenant_id(),
    words("key", key=True),
    Column("committed_at", moment("committed_at").type, primary_key=True),
    uuid("materialization_id", key=True),
    Column("value_sha256", LargeBinary, nullable=False, comment="Digest of the value as jsonb writes it"),
    _of_materialization("materialization_id"),
    Index("metadata_key_value_idx", "tenant_id", "key", "value_sha256", "committed_at", "materialization_id"),
)
