"""The tables of schema `metadata` in SQLAlchemy Core. Migrations make them; a test holds the two together."""

from resources.postgres.tables.aliases import alias, endpoint_alias
from resources.postgres.tables.base import METADATA, SCHEMA
from resources.postgres.tables.catalog import asset, endpoint, relationship, schema_field
from resources.postgres.tables.checks import candidate, check_result
from resources.postgres.tables.garbage import condemned, discarded
from resources.postgres.tables.graph_changes import graph_change
from resources.postgres.tables.identities import collection, collection_item, identity_node, reference_edge
from resources.postgres.tables.lineage import (
    column_edge,
    column_word,
    facet,
    facet_word,
    refused_event,
    run_dataset,
)
from resources.postgres.tables.profiles import profile
from resources.postgres.tables.runs import (
    active_dag,
    attempt_lease,
    dag_version,
    job,
    mirror_position,
    task,
    task_attempt,
)
from resources.postgres.tables.tenancy import audit, idempotency, outbox, tenant
from resources.postgres.tables.versioning import invalidation, metadata_key, pin, pin_item, release, retraction, run_pin
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
    "active_dag",
    "alias",
    "asset",
    "attempt_lease",
    "audit",
    "candidate",
    "check_result",
    "collection",
    "collection_item",
    "column_edge",
    "column_word",
    "condemned",
    "dag_version",
    "dataset",
    "discarded",
    "endpoint",
    "endpoint_alias",
    "facet",
    "facet_word",
    "graph_change",
    "idempotency",
    "identity_node",
    "invalidation",
    "job",
    "materialization",
    "materialization_input",
    "metadata_key",
    "mirror_position",
    "outbox",
    "pin",
    "pin_item",
    "profile",
    "redelivery",
    "reference_edge",
    "refused_event",
    "relationship",
    "release",
    "retraction",
    "run_dataset",
    "run_pin",
    "schema_field",
    "staging_lease",
    "task",
    "task_attempt",
    "tenant",
    "version",
    "version_partition",
]
