"""dataset, staging_lease, materialization and its inputs, version and its partitions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from resources.postgres.tables.base import METADATA, document, moment, tenant_id, uuid, words
from resources.postgres.tables.catalog import asset

dataset = Table(
    "dataset",
    METADATA,
    tenant_id(),
    uuid("dataset_id", key=True),
    words("publish_policy"),
    Column("published_version", BigInteger, nullable=False, server_default=text("0")),
    moment("created_at"),
    moment("updated_at"),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [asset.c.tenant_id, asset.c.asset_id]),
)

staging_lease = Table(
    "staging_lease",
    METADATA,
    tenant_id(),
    uuid("attempt_id", key=True),
    uuid("dataset_id", key=True),
    words("partition_key", key=True),
    words("location"),
    words("run_id"),
    words("step_key"),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    moment("opened_at"),
    Column("expires_at", moment("expires_at").type, nullable=False),
    UniqueConstraint("tenant_id", "location", name="staging_lease_location_key"),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [dataset.c.tenant_id, dataset.c.dataset_id]),
    Index("staging_lease_expiry_idx", "tenant_id", "expires_at"),
)

materialization = Table(
    "materialization",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    uuid("dataset_id"),
    words("partition_key"),
    words("idempotency_key"),
    words("intent"),
    uuid("attempt_id"),
    words("run_id"),
    words("step_key"),
    Column("retry_number", Integer, nullable=False),
    Column("fencing_token", BigInteger, nullable=False),
    words("code_version", nullable=True),
    words("location", nullable=True),
    Column("manifest_sha256", LargeBinary),
    Column("row_count", BigInteger),
    Column("byte_count", BigInteger),
    words("data_version", nullable=True),
    document("metadata"),
    words("actor"),
    moment("committed_at"),
    UniqueConstraint("tenant_id", "idempotency_key", name="materialization_idempotency_key_key"),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [dataset.c.tenant_id, dataset.c.dataset_id]),
    Index("materialization_partition_idx", "tenant_id", "dataset_id", "partition_key", text("committed_at DESC")),
    Index("materialization_committed_idx", "tenant_id", "dataset_id", text("committed_at DESC")),
    Index("materialization_run_idx", "tenant_id", "run_id"),
    Index("materialization_location_idx", "tenant_id", "location", postgresql_where=text("location IS NOT NULL")),
)

materialization_input = Table(
    "materialization_input",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    uuid("input_asset_id", key=True),
    words("input_partition_key", key=True),
    uuid("input_materialization_id", nullable=True),
    Column("input_version", BigInteger),
    document("metadata"),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    ForeignKeyConstraint(["tenant_id", "input_asset_id"], [asset.c.tenant_id, asset.c.asset_id]),
    ForeignKeyConstraint(
        ["tenant_id", "input_materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    Index("materialization_input_read_idx", "tenant_id", "input_materialization_id"),
)

redelivery = Table(
    "redelivery",
    METADATA,
    tenant_id(),
    uuid("materialization_id", key=True),
    uuid("attempt_id", key=True),
    words("run_id"),
    words("step_key"),
    words("location", nullable=True),
    Column("manifest_sha256", LargeBinary),
    Column("same_data", Boolean, nullable=False),
    words("actor"),
    moment("at"),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    Index("redelivery_location_idx", "tenant_id", "location", postgresql_where=text("location IS NOT NULL")),
)

version = Table(
    "version",
    METADATA,
    tenant_id(),
    uuid("dataset_id", key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    words("idempotency_key"),
    words("actor"),
    moment("published_at"),
    Column("kind", Text, nullable=False, server_default=text("'publish'")),
    words("reason", nullable=True),
    Column("restored_version", BigInteger, comment="Of a rollback: the version whose partitions it has"),
    uuid("release_id", nullable=True),
    UniqueConstraint("tenant_id", "dataset_id", "kind", "idempotency_key", name="version_idempotency_key_key"),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], [dataset.c.tenant_id, dataset.c.dataset_id]),
    ForeignKeyConstraint(
        ["tenant_id", "dataset_id", "restored_version"],
        ["metadata.version.tenant_id", "metadata.version.dataset_id", "metadata.version.version"],
    ),
    ForeignKeyConstraint(["tenant_id", "release_id"], ["metadata.release.tenant_id", "metadata.release.release_id"]),
    Index("version_release_idx", "tenant_id", "release_id", postgresql_where=text("release_id IS NOT NULL")),
    Index("version_published_idx", "tenant_id", "dataset_id", "published_at", "version"),
)

version_partition = Table(
    "version_partition",
    METADATA,
    tenant_id(),
    uuid("dataset_id", key=True),
    words("partition_key", key=True),
    Column("from_version", BigInteger, primary_key=True, autoincrement=False),
    Column("to_version", BigInteger, comment="The first version without this row; null while current"),
    uuid("materialization_id"),
    ForeignKeyConstraint(
        ["tenant_id", "dataset_id", "from_version"],
        [version.c.tenant_id, version.c.dataset_id, version.c.version],
    ),
    ForeignKeyConstraint(
        ["tenant_id", "materialization_id"],
        [materialization.c.tenant_id, materialization.c.materialization_id],
    ),
    Index(
        "version_partition_current_key",
        "tenant_id",
        "dataset_id",
        "partition_key",
        unique=True,
        postgresql_where=text("to_version IS NULL"),
    ),
    Index("version_partition_materialization_idx", "tenant_id", "materialization_id"),
    Index("version_partition_from_idx", "tenant_id", "dataset_id", "from_version"),
    Index(
        "version_partition_to_idx",
        "tenant_id",
        "dataset_id",
        "to_version",
        postgresql_where=text("to_version IS NOT NULL"),
    ),
)
