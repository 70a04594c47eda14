"""The tables of schema `metadata` in SQLAlchemy Core. Migrations make them; a test holds the two together."""

from resources.postgres.tables.aliases import alias, endpoint_alias
from resources.postgres.tables.base import METADATA, SCHEMA
from resources.postgres.tables.catalog import asset, endpoint, relationship, schema_field
from resources.postgres.tables.identities import collection, collection_item, identity_node, reference_edge
from resources.postgres.tables.tenancy import audit, idempotency, outbox, tenant
from resources.postgres.tables.versioning import invalidation, metadata_key, pin, pin_item, release, retraction
from resources.postgres.tables.versions import (
    dataset,
    materialization,
    materialization_input,
    redelivery,
    staging_lease,
    version,
    version_partition,
)

__all__ = [
    "METADATA",
    "SCHEMA",
    "alias",
    "asset",
    "audit",
    "collection",
    "collection_item",
    "dataset",
    "endpoint",
    "endpoint_alias",
    "idempotency",
    "identity_node",
    "invalidation",
    "materialization",
    "materialization_input",
    "metadata_key",
    "outbox",
    "pin",
    "pin_item",
    "redelivery",
    "reference_edge",
    "relationship",
    "release",
    "retraction",
    "schema_field",
    "staging_lease",
    "tenant",
    "version",
    "version_partition",
]
