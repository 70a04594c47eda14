"""The frozen records of what ran: runs, their steps, attempts, leases, and what a source says about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from identity.credentials import scrub, scrubbed
from resources.models import Attempt, Committed, Published

RunStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]
AttemptStatus = Literal["running", "succeeded", "failed", "lost", "cancelled"]

LONGEST_REASON = 2_000
"""How many characters of a reason are kept."""


def reason(text: str | None) -> str | None:
    """A reason as it is kept: without credentials and what is no text, at a sane length."""
    if text is None:
        return None
    clean = scrub(text.replace("\x00", "�").encode("utf-8", "replace").decode()).strip()
    return clean if len(clean) <= LONGEST_REASON else clean[: LONGEST_REASON - 1] + "…"


def _tidy(record: object, *names: str) -> None:
    for name in names:
        object.__setattr__(record, name, reason(getattr(record, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work at one try of one step, until it expires or somebody takes the task over.

    `attempt` is what stages and commits.
    """

    attempt: Attempt
    owner: str
    epoch: int
    expires_at: datetime

    @property
    def fencing_token(self) -> int:
        """Larger than that of every attempt that started before."""
        return self.attempt.fencing_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What an attempt came to: what was committed, in the order it was given, and what was published of it."""

    committed: Sequence[Committed]
    published: Sequence[Published]
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFact:
    """What a source says about a run, as of when it last changed its word, by its own clock; now without it."""

    run_id: str
    status: RunStatus
    as_of: datetime | None = None
    name: str | None = None
    code_location: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure_class: str | None = None
    failure_reason: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _tidy(self, "run_id", "name", "code_location", "failure_class", "failure_reason")
        object.__setattr__(self, "tags", scrubbed(dict(self.tags)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFact:
    """What a source says about one try of a step: that it runs, or how it ended. `number` is from 0."""

    run_id: str
    step_key: str
    number: int
    status: AttemptStatus
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure_class: str | None = None
    failure_reason: str | None = None

    def __post_init__(self) -> None:
        _tidy(self, "run_id", "step_key", "failure_class", "failure_reason")
        if (self.status == "running") != (self.ended_at is None):
            raise ValueError("an attempt has an end exactly when it does not run any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How many rows a call wrote; none where it said nothing new."""

    jobs: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DagVersion:
    """What a code location was at some time: the digest of its definitions, active since `since`."""

    id: UUID
    code_location: str
    content_sha256: bytes
    metadata: Mapping[str, Any]
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run, how many steps it has had so far, and how many of their attempts did not succeed."""

    run_id: str
    source: str
    name: str | None
    code_location: str | None
    dag_version: UUID | None
    status: RunStatus
    started_at: datetime | None
    ended_at: datetime | None
    failure_class: str | None
    failure_reason: str | None
    tags: Mapping[str, str]
    steps: int
    attempts: int
    failures: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttempt:
    """One try of a step. It is `lost` also while it was never ended and its lease has expired.

    Without an owner it is told by an event log, and nobody holds a lease of it.
    """

    id: UUID
    run_id: str
    step_key: str
    number: int
    status: AttemptStatus
    owner: str | None
    epoch: int
    heartbeat_at: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    failure_class: str | None
    failure_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A step of a run with its attempts, the first one first."""

    step_key: str
    attempts: Sequence[TaskAttempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run with its steps, those that began earlier first."""

    summary: RunSummary
    tasks: Sequence[Task]
