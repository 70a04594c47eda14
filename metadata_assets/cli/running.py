"""`runs`: what ran, and of one run its steps, their attempts, and why they failed."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from rich.console import RenderableType

from identity.errors import MetadataError
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import facts, plain, printable, table
from metadata_assets.cli.records import Document
from resources.runs import Run, RunSummary, TaskAttempt

_SHOWN = 160


class OneRunIsShownWhole(MetadataError):
    """--failed and --lost choose among runs; leave them out with {run}, which is shown whole"""

    run: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def list_runs(cli: Cli, *, failed: bool, lost: bool, limit: int) -> ExitCode:
    with cli.opened() as opened:
        found = opened.store.runs(failed=failed, lost=lost, limit=limit)
    cli.show([summary(one) for one in found], _runs(found))
    return ExitCode.OK


def show_run(cli: Cli, run_id: str, *, filtered: bool) -> ExitCode:
    if filtered:
        raise OneRunIsShownWhole(run=run_id)
    with cli.opened() as opened:
        found = opened.store.run(run_id)
    cli.show(_described(found), *_shown(found))
    return ExitCode.OK


def summary(one: RunSummary) -> Document:
    """A run. `failures` and `lost` count attempts; `steps` are those that were tried."""
    return {
        "run": one.run_id,
        "job": one.name,
        "status": one.status,
        "source": one.source,
        "code_location": one.code_location,
        "dag_version": plain(one.dag_version),
        "started_at": plain(one.started_at),
        "ended_at": plain(one.ended_at),
        "steps": one.steps,
        "attempts": one.attempts,
        "failures": one.failures,
        "lost": one.lost,
        "failure_class": one.failure_class,
        "failure_reason": one.failure_reason,
        "tags": plain(one.tags),
    }


def _described(found: Run) -> Document:
    tasks = [{"step": task.step_key, "attempts": [attempt(one) for one in task.attempts]} for task in found.tasks]
    return {**summary(found.summary), "tasks": tasks}


def attempt(one: TaskAttempt) -> Document:
    """One try of a step; `attempt` counts from 1."""
    return {
        "id": plain(one.id),
        "attempt": one.number + 1,
        "status": one.status,
        "owner": one.owner,
        "epoch": one.epoch,
        "heartbeat_at": plain(one.heartbeat_at),
        "expires_at": plain(one.expires_at),
        "started_at": plain(one.started_at),
        "ended_at": plain(one.ended_at),
        "failure_class": one.failure_class,
        "failure_reason": one.failure_reason,
    }


def _runs(found: Sequence[RunSummary]) -> RenderableType:
    if not found:
        return "no such runs are recorded; the sensor mirror_runs records Dagster's"
    columns = ("started", "run", "job", "status", "took", "steps", "failures", "lost", "why")
    cells = (
        (
            one.started_at,
            one.run_id[:8] if one.source != "executor" else one.run_id,
            one.name,
            one.status,
            took(one.started_at, one.ended_at),
            one.steps,
            one.failures or None,
            one.lost or None,
            why(one.failure_class, one.failure_reason),
        )
        for one in found
    )
    return table("Runs", columns, cells)


def _shown(found: Run) -> Iterator[RenderableType]:
    one = found.summary
    about = {
        "job": one.name,
        "status": one.status,
        "why": why(one.failure_class, one.failure_reason),
        "started": one.started_at,
        "ended": one.ended_at,
        "took": took(one.started_at, one.ended_at),
        "code location": one.code_location,
        "code version": one.dag_version,
        "told by": one.source,
        "tags": ", ".join(f"{name}={value}" for name, value in one.tags.items()),
    }
    yield facts(f"Run {printable(one.run_id)}", about)
    attempts = [each for task in found.tasks for each in task.attempts]
    if not attempts:
        yield "no step of it was tried"
        return
    columns = ("step", "attempt", "status", "started", "took", "owner", "lease until", "why")
    yield table("Attempts", columns, (_cells(each) for each in attempts))


def _cells(one: TaskAttempt) -> Sequence[object]:
    lasted = took(one.started_at, one.ended_at)
    return one.step_key, one.number + 1, one.status, one.started_at, lasted, one.owner, one.expires_at, why_not(one)


def why_not(one: TaskAttempt) -> str | None:
    """What went wrong with an attempt, in one line."""
    if one.status == "lost" and one.ended_at is None:
        return f"its lease is over, and its last heartbeat was {printable(one.heartbeat_at)}"
    return why(one.failure_class, one.failure_reason)


def took(started: datetime | None, ended: datetime | None) -> str | None:
    """How long it lasted, for people."""
    if started is None or ended is None:
        return None
    lasted = max(ended - started, timedelta(0))
    short = lasted < timedelta(minutes=2)
    return f"{lasted.total_seconds():.1f} s" if short else str(timedelta(seconds=lasted.seconds))


def why(failure_class: str | None, reason: str | None) -> str | None:
    """The class of a failure and the first line of what it said."""
    line = (reason or "").partition("\n")[0]
    words = f"{failure_class}: {line}" if failure_class and line else failure_class or line
    return words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
