"""The frozen records of what our own runs did, as it is told to others: steps, what each wrote, from which inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from identity.keys import CanonicalKey, ColumnKey
from resources.models import Field
from resources.runs import AttemptStatus, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldInput:
    """A dataset that was really read: which partitions, and which version when it has any."""

    key: CanonicalKey
    asset: UUID
    version: int | None
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldOutput:
    """What one try of a step wrote into one dataset: partitions, their sizes, and the inputs they were made from.

    `version` is the newest version that has any of it, `at` when the last of it was committed.
    """

    key: CanonicalKey
    asset: UUID
    at: datetime
    materializations: tuple[UUID, ...]
    partitions: tuple[str, ...]
    row_count: int | None
    byte_count: int | None
    version: int | None
    inputs: tuple[ToldInput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldStep:
    """One try of a step, and what it committed."""

    step_key: str
    number: int
    status: AttemptStatus
    started_at: datetime | None
    ended_at: datetime | None
    failure_class: str | None = None
    failure_reason: str | None = None
    outputs: tuple[ToldOutput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRun:
    """A run with its steps. One that nobody recorded as a run has a status all the same: it committed something."""

    run_id: str
    name: str | None
    code_location: str | None
    status: RunStatus
    started_at: datetime | None
    ended_at: datetime | None
    failure_class: str | None = None
    failure_reason: str | None = None
    steps: tuple[ToldStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldDataset:
    """What was known of a dataset at a moment: its columns, and from which columns of others they come."""

    description: str | None = None
    fields: Sequence[Field] = ()
    origins: Mapping[str, Sequence[ColumnKey]] = field(default_factory=dict)
