"""The frozen records of what people say about versions: back, away, under a name, together, stale."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from identity.ids import EntityId
from identity.keys import CanonicalKey
from resources.models import Published, VersionKind

At = int | str | datetime | None
"""What a dataset is read at: a version's number, the name of a pin, a moment; None for what is published."""

Frame = Literal["polars", "lazy", "pandas", "arrow"]
"""What a table is read as."""

PinState = Literal["open", "expired", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """The newest committed data of a partition, where they were never published. `failed`: checks that refuse them."""

    materialization_id: UUID
    partition: str | None
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """A rollback: `version` has the partitions of the version `restored`, of which `partitions_changed` differed."""

    dataset: EntityId
    version: int
    restored: int
    partitions_changed: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Published data that readers do not have any more: since which version they had it, which ended it, and how."""

    began: int
    ended: int
    by: VersionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """A materialization that somebody said is bad. `version` is the one that went on without it, if it was current."""

    materialization_id: UUID
    key: CanonicalKey
    partition: str | None
    version: int | None
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One version of one dataset."""

    key: CanonicalKey
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A name for versions, by their datasets' keys. Only an open one can be read through and protects its data.

    `replayed`: it was made by an earlier delivery of the same request.
    """

    id: UUID
    name: str
    versions: tuple[DatasetVersion, ...]
    state: PinState
    reason: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None
    removed_by: str | None
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRead:
    """What a run reads of a dataset at a pin: `version` is None where the pin has not this dataset."""

    state: PinState
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The answer to a release: what it came to in each dataset, nothing of it fenced."""

    id: UUID
    name: str
    datasets: tuple[Published, ...]
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Versions that were published together. A dataset in which everything was current already has none."""

    id: UUID
    name: str
    versions: tuple[DatasetVersion, ...]
    reason: str | None
    actor: str
    released_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A partition whose materialization was said to be no longer good.

    `cause` is the invalid materialization that it was made from; None where it was named itself.
    """

    key: CanonicalKey
    partition: str | None
    materialization_id: UUID
    invalidation_id: UUID
    cause: UUID | None
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidated:
    """The answer to an invalidation: the partitions that became stale by it, those asked for first."""

    id: UUID
    stale: tuple[Stale, ...]
    replayed: bool
