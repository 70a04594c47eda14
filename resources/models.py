"""The frozen records that cross the boundary of the stores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

from identity.credentials import scrubbed
from identity.errors import MetadataError
from identity.idempotency import Delivery
from identity.ids import Entity, EntityId
from identity.keys import CanonicalKey, ColumnKey, check_name

UNPARTITIONED = ""
"""The partition key of a dataset without partitions, in tables and in files' paths."""

PARTITION: Final = "partition"
"""The column of the partitions, where several are read as one table."""

PublishPolicy = Literal["immediately", "when_checks_pass", "manually"]
VersionKind = Literal["publish", "rollback", "retract"]
Direction = Literal["up", "down"]


METADATA_DEPTH = 32
"""How deep the metadata of a materialization may be nested."""


class MetadataTooDeep(MetadataError):
    """metadata of dataset {asset}, partition {partition}, is nested deeper than {limit}; keep what is deep in a file"""

    asset: str
    partition: str
    limit: int


def _is_deeper(value: object, limit: int) -> bool:
    """Without recursion: what is too deep is too deep for that, too."""
    level = [value]
    for _depth in range(limit):
        inner = [one for one in level if isinstance(one, Mapping | list | tuple)]
        if not inner:
            return False
        level = [each for one in inner for each in (one.values() if isinstance(one, Mapping) else one)]
    return any(isinstance(one, Mapping | list | tuple) for one in level)


def _scrub(record: object, *names: str) -> None:
    """Hide the credentials in what people and systems wrote freely: done where a record is made, so no store has any.

    Names are another matter: they are refused (`check_name`).
    """
    for name in names:
        given = getattr(record, name)
        if given and (clean := scrubbed(given)) != given:
            object.__setattr__(record, name, clean)


class AssetType(StrEnum):
    """What an asset is. The key does not say it, so a view that becomes a table stays the same asset."""

    DATASET = "DATASET"
    TABLE = "TABLE"
    VIEW = "VIEW"
    MATERIALIZED_VIEW = "MATERIALIZED_VIEW"
    FOREIGN_TABLE = "FOREIGN_TABLE"
    FILE = "FILE"
    STREAM = "STREAM"
    JOB = "JOB"
    DASHBOARD = "DASHBOARD"


LEGACY: Final = "legacy"
"""The endpoint of the keys that ids of an earlier catalog have here; nothing else is ever there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registered system instance. `attributes` say where it is; they hold no credentials and no identity."""

    slug: str
    system: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    schema_fingerprint: str | None = None

    def __post_init__(self) -> None:
        _scrub(self, "system", "attributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column: its type as the source writes it, its position from 1."""

    name: str
    type: str
    nullable: bool
    position: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _scrub(self, "type", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """A column of a stored dataset under the present names of both. Its id stays when they change.

    `former_names` are what it was called before, the oldest first. One that is not `open` is gone at the source.
    """

    key: ColumnKey
    id: UUID
    field: Field
    former_names: tuple[str, ...]
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A dataset as the catalog knows it. `fields` is None where nobody looked, () where there are none.

    `closed_at` is told, not taken: since when it is gone.
    """

    key: CanonicalKey
    type: AssetType
    description: str | None = None
    fields: tuple[Field, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    closed_at: datetime | None = None

    def __post_init__(self) -> None:
        _scrub(self, "description", "metadata")


AliasKind = Literal["primary", "rename", "endpoint", "case", "scheme", "legacy", "external"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A key that leads to `entity` from `valid_from` until `valid_to` (if ever); its own name when `primary`."""

    key: CanonicalKey
    entity: EntityId
    kind: AliasKind
    valid_from: datetime
    valid_to: datetime | None
    actor: str
    reason: str | None
    batch: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A thing that got another name. `replayed`: by an earlier delivery of the same request."""

    entity: EntityId
    was: CanonicalKey
    now: CanonicalKey
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One line of the list of datasets."""

    key: CanonicalKey
    type: AssetType
    publish_policy: PublishPolicy | None
    published_version: int | None
    materializations: int
    partitions: int
    row_count: int | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What an attempt wrote for one partition, before anybody else can see it.

    `location` is `<endpoint>:<path below its root>`; `data_version` is the digest of the manifest's files.
    """

    delivery: Delivery
    location: str | None
    manifest_sha256: bytes | None
    row_count: int | None
    byte_count: int | None
    data_version: str | None
    code_version: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.location or "")
        if _is_deeper(self.metadata, METADATA_DEPTH):
            of = self.delivery
            raise MetadataTooDeep(asset=str(of.dataset), partition=of.partition or "none", limit=METADATA_DEPTH)
        _scrub(self, "data_version", "code_version", "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An input that was really read: which partition, of which materialization and version when it has any."""

    asset: Entity
    partition: str | None = None
    materialization_id: UUID | None = None
    version: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.partition or "")
        _scrub(self, "metadata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one step. `id` names its files; the fencing token orders it among all attempts."""

    id: UUID
    run_id: str
    step_key: str
    retry_number: int
    fencing_token: int

    def __post_init__(self) -> None:
        _scrub(self, "run_id", "step_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The answer to a commit. `replayed`: an earlier delivery of the same intent stands, and this describes it."""

    materialization_id: UUID
    idempotency_key: str
    partition: str | None
    replayed: bool
    attempt_id: UUID
    location: str | None
    manifest_sha256: bytes | None
    data_version: str | None
    row_count: int | None
    byte_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publish came to in one dataset.

    `version` is the one that it made or, where it changed nothing, the one by which all of its materializations were
    published or fenced: a later attempt at the partition had been published.
    """

    dataset: EntityId
    version: int
    published: tuple[UUID, ...]
    fenced: tuple[UUID, ...]
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Materialization:
    """One immutable fact: this data, for this dataset and partition, produced by this attempt."""

    id: UUID
    key: CanonicalKey
    partition: str | None
    intent: str
    run_id: str
    step_key: str
    retry_number: int
    fencing_token: int
    """When its work began, among all attempts: what a larger one published, a smaller one never replaces."""
    code_version: str | None
    location: str | None
    manifest_sha256: bytes | None
    row_count: int | None
    byte_count: int | None
    data_version: str | None
    metadata: Mapping[str, Any]
    actor: str
    committed_at: datetime
    published_in: int | None
    """The version that first had it; None while it was never published."""
    current: bool
    redeliveries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input of a materialization. `materialization_id` is None for a table that we only observe."""

    key: CanonicalKey
    partition: str | None
    materialization_id: UUID | None
    version: int | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The published state of a dataset: version n is version n-1 with `partitions_changed` partitions replaced.

    A rollback has the partitions of the version `restored`. `release` is the name of the release that it is part of.
    """

    number: int
    partitions_changed: int
    partitions: int
    row_count: int | None
    actor: str
    published_at: datetime
    kind: VersionKind = "publish"
    reason: str | None = None
    restored: int | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """What a reader gets for one partition: the materialization that a version of `dataset` has there."""

    dataset: Entity
    partition: str | None
    version: int
    materialization_id: UUID
    location: str | None
    manifest_sha256: bytes | None
    row_count: int | None
    data_version: str | None


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`source` depends on `target`: data flows from target to source."""

    source: CanonicalKey
    target: CanonicalKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something of an endpoint that a collection could not see, and why."""

    name: str
    reason: str

    def __post_init__(self) -> None:
        _scrub(self, "name", "reason")


Origin = tuple[CanonicalKey, str]
"""A column of a dataset, that another column comes from."""
Origins = Mapping[str, frozenset[Origin]]
"""From which columns of other datasets each column of one comes, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """One look at an endpoint. With a gap it is partial: it adds and changes, and closes nothing.

    `origins` are those of the columns of views that were understood.
    """

    endpoint: str
    fingerprint: str
    assets: tuple[Asset, ...]
    edges: frozenset[Edge] = frozenset()
    origins: Mapping[CanonicalKey, Origins] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.gaps
