"""The frozen records of checks: what they found, and what became of the data that waited for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from identity.ids import EntityId
from identity.keys import check_name
from resources.models import _scrub

CheckSeverity = Literal["WARN", "ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one evaluation of a check found. `evaluation` orders those of one check: a later one is larger."""

    name: str
    run_id: str
    evaluation: int
    passed: bool
    blocking: bool
    severity: CheckSeverity = "ERROR"
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        _scrub(self, "run_id", "description", "metadata")

    @property
    def refuses(self) -> bool:
        """Whether it keeps data from being published."""
        return self.blocking and not self.passed and self.severity == "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEvaluation:
    """A result as an executor tells it: about what its run delivered or examines of a dataset, one partition or all.

    `target_run_id` is the run that delivered the data where the evaluating run neither delivered nor read any.
    """

    dataset: EntityId
    result: CheckResult
    partition: str | None = None
    target_run_id: str | None = None

    def __post_init__(self) -> None:
        check_name(self.partition or "")
        _scrub(self, "target_run_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckVerdict:
    """A recorded result: who recorded it, and when."""

    result: CheckResult
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What checks found about a materialization: by name, the latest evaluation of each first.

    `awaited` are the blocking checks that publish it; none where nothing waits for checks.
    """

    awaited: tuple[str, ...]
    results: tuple[CheckVerdict, ...]

    @property
    def latest(self) -> Mapping[str, CheckResult]:
        """The result that counts, by check."""
        return {one.result.name: one.result for one in reversed(self.results)}

    @property
    def failed(self) -> tuple[str, ...]:
        """The blocking checks whose latest result keeps it from being published."""
        return tuple(name for name, one in sorted(self.latest.items()) if one.refuses)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The awaited checks without a result."""
        return tuple(name for name in self.awaited if name not in self.latest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of the data of a dataset that a run delivered or examined, and that wait for checks together.

    `settled`: by this very call they were published, as `version`. `failed` and `waiting` name the blocking checks that
    keep them; `refused` says why publishing them was refused though all passed.
    """

    run_id: str
    dataset: EntityId
    version: int | None
    published: tuple[UUID, ...]
    fenced: tuple[UUID, ...]
    settled: bool
    failed: tuple[str, ...]
    waiting: tuple[str, ...]
    refused: str | None
