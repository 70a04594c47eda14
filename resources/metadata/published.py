"""What is published, as statements ask about it and answer."""

from collections.abc import Collection, Iterable
from uuid import UUID

from identity.ids import Entity, EntityId, TenantId, sha256_of
from identity.keys import CanonicalKey
from resources.models import Current, Published
from resources.postgres.session import Row


def current_in(tenant: TenantId, dataset: CanonicalKey | Entity, rows: Iterable[Row]) -> list[Current]:
    """The answer of `current` in the rows of its statement."""
    key = dataset.key if isinstance(dataset, Entity) else dataset
    return [
        current_of(Entity.from_database(tenant, key, row["dataset_id"], row["birth_sha256"]), row)
        for row in rows
        if row["materialization_id"] is not None
    ]


def current_of(dataset: Entity, row: Row) -> Current:
    """What a row says that a partition of the dataset has."""
    return Current(
        dataset=dataset,
        partition=row["partition_key"] or None,
        version=row["version"],
        materialization_id=row["materialization_id"],
        location=row["location"],
        manifest_sha256=row["manifest_sha256"],
        row_count=row["row_count"],
        data_version=row["data_version"],
    )


def publish_request(materializations: Collection[UUID], key: str | None = None) -> Row:
    """What a publish of these is known by: without a key the same set is the same request."""
    ordered = sorted(set(materializations))
    content = sha256_of("publish", *(one.bytes for one in ordered))
    return {
        "key": key or content.hex(),
        "fingerprint": content,
        "publish_id": UUID(bytes=content[:16]),
        "materializations": ordered,
    }


def published_of(row: Row) -> Published:
    """One row of an answer of metadata.publish or metadata.release."""
    return Published(
        dataset=EntityId.from_database(row["dataset_id"]),
        version=row["version"],
        published=tuple(row["published"]),
        fenced=tuple(row["fenced"]),
        replayed=row["replayed"],
    )
