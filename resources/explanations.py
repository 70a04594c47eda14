"""The frozen records of an explanation: what produced data, what became of it, what reads it, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from identity.keys import CanonicalKey
from resources.check_models import Checked
from resources.models import Materialization
from resources.runs import TaskAttempt
from resources.version_records import PinState, Retraction, Stale

Action = Literal["publish", "rollback", "retract", "invalidate", "pin", "rerun"]
Shown = Literal["attempts", "checks", "versions", "pins", "stale", "deliveries", "tried", "tries looked through"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRun:
    """The run of a step: where its code came from, and how it ended."""

    run_id: str
    source: str
    name: str | None
    status: str
    code_location: str | None
    dag_version: UUID | None
    dag_sha256: bytes | None
    started_at: datetime | None
    ended_at: datetime | None
    failure_class: str | None
    failure_reason: str | None
    tags: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedInput:
    """What was read, and what a reader gets now instead; `is_current` is None for a table that we only observe."""

    key: CanonicalKey
    partition: str | None
    materialization_id: UUID | None
    version: int | None
    metadata: Mapping[str, Any]
    is_current: bool | None
    current_id: UUID | None
    current_version: int | None
    retracted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A materialization of another dataset or partition: an output of the same attempt, or something made from this."""

    materialization_id: UUID
    key: CanonicalKey
    partition: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """How a version came to be: by whom, when and why. `restored` is of a rollback, `release` its name."""

    number: int
    kind: str
    actor: str
    published_at: datetime
    reason: str | None
    restored: int | None
    release: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Had:
    """A stretch of versions that had a materialization: from one version up to, and without, another; None: still.

    `by` is what took its place; None where the partition became absent.
    """

    since: VersionFacts
    until: VersionFacts | None
    by: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinFacts:
    """A pin that has this data."""

    name: str
    version: int
    state: PinState
    created_by: str
    expires_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt that delivered nothing, and its run. `partition` is what the run says, None where it says nothing."""

    attempt: TaskAttempt
    partition: str | None
    job: str | None
    run_status: str
    run_failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One of the newest materializations of a partition, in one line.

    `failed` are blocking checks that refused it, `waiting` those that it waits for. `fenced`: a later attempt is
    published, so publishing this one does nothing. `collected`: its data are gone, or about to be.
    """

    materialization_id: UUID
    run_id: str
    committed_at: datetime
    published_in: int | None
    current: bool
    retracted: bool
    collected: bool
    failed: tuple[str, ...]
    waiting: tuple[str, ...]
    fencing_token: int
    fenced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The first ten of many, and how many there are; `more` when they were not all counted."""

    first: tuple[Sibling, ...]
    count: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The first ten of what was read, what is not current any more before the rest.

    `count` is how many there are, `changed` how many of them are not current any more; `more` when not all were
    counted.
    """

    first: tuple[ExplainedInput, ...]
    count: int
    changed: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A list that is longer than it is shown here: only its first, or newest, so many."""

    what: Shown
    shown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """What a version has that is asked for: the partition at all, and one materialization that is retracted, collected.

    Each is told as `materialization … of partition …`; None where there is none that is not current anyway.
    """

    version: int
    has_partition: bool
    retracted: str | None
    collected: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A way back that the store would refuse, and why."""

    action: Action
    version: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a version changed in one partition: what it has, and what was there; None for nothing."""

    partition: str | None
    now: UUID | None
    before: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One thing that could be done, and what it would come to. `arguments` are those of the store's method."""

    action: Action
    arguments: Mapping[str, Any]
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """All about one materialization. `fenced`: a later attempt is published, so publishing this one does nothing."""

    materialization: Materialization
    fenced: bool
    run: ExplainedRun | None
    attempts: tuple[TaskAttempt, ...]
    inputs: Inputs
    outputs: Counted
    checks: Checked
    had: tuple[Had, ...]
    retraction: Retraction | None
    stale: tuple[Stale, ...]
    collected: Literal["condemned", "collected"] | None
    collected_at: datetime | None
    pins: tuple[PinFacts, ...]
    readers: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMade:
    """All about one version: what it changed (the first ten partitions), who pinned it, what came after it."""

    facts: VersionFacts
    is_present: bool
    partitions_changed: int
    changed: tuple[Changed, ...]
    pins: tuple[PinFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer at 3 a.m., of one moment.

    `made` is the materialization, None where there is none; `version` is there when a version was asked for. `tried`
    are the attempts since then that delivered nothing, the newest first; `deliveries` the newest of the partition;
    `steps` those that deliver the dataset, as far as is known. `remedies` are what the store would do, `refused` what
    it would not. `cut` are the lists that are not shown whole.
    """

    key: CanonicalKey
    partition: str | None
    publish_policy: str | None
    present_version: int
    made: Made | None
    version: VersionMade | None
    deliveries: tuple[Delivered, ...]
    tried: tuple[Tried, ...]
    steps: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    refused: tuple[Refused, ...]
    cut: tuple[Cut, ...]

    @property
    def publishable(self) -> Delivered | None:
        """Of the deliveries that readers never got, the newest that could still be published."""
        usable = (
            one
            for one in self.deliveries
            if one.published_in is None and not (one.retracted or one.collected or one.fenced)
        )
        return max(usable, key=lambda one: (one.fencing_token, one.committed_at), default=None)
