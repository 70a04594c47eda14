"""What the events of one Dagster run say, as facts: a pure function of the events in their order."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from resources.runs import AttemptFact, RunFact, RunStatus

_Kind = dg.DagsterEventType
KINDS: Final = frozenset(
    {
        _Kind.STEP_START,
        _Kind.STEP_RESTARTED,
        _Kind.STEP_UP_FOR_RETRY,
        _Kind.STEP_SUCCESS,
        _Kind.STEP_FAILURE,
        _Kind.RUN_FAILURE,
        _Kind.RUN_CANCELED,
    }
)
"""The events that say something. A step that is skipped was not tried."""

_STATUS: Final[Mapping[str, RunStatus]] = {
    "STARTED": "running",
    "CANCELING": "running",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "CANCELED": "cancelled",
}
_WRAPPERS: Final = re.compile(r"Dagster\w+|RetryRequested(FromPolicy)?")


def run_fact(record: dg.RunRecord, code_location: str | None, events: Iterable[dg.EventLogEntry]) -> RunFact:
    """What Dagster says about a run now, and what its last word about a failure was."""
    run = record.dagster_run
    status = _STATUS.get(run.status.value, "queued")
    failure: tuple[str | None, str | None] = (None, None)
    for entry in events:
        event = entry.dagster_event
        if event is not None and event.event_type in (_Kind.RUN_FAILURE, _Kind.RUN_CANCELED):
            failure = _failure_of_run(event)
    ended = status not in ("queued", "running")
    return RunFact(
        run_id=run.run_id,
        status=status,
        as_of=record.update_timestamp.replace(tzinfo=record.update_timestamp.tzinfo or UTC),
        name=run.job_name,
        code_location=code_location,
        started_at=_moment(record.start_time),
        ended_at=_moment(record.end_time) if ended else None,
        failure_class=failure[0] if ended and status != "succeeded" else None,
        failure_reason=failure[1] if ended and status != "succeeded" else None,
        tags=run.tags,
    )


def attempt_facts(run_id: str, events: Iterable[dg.EventLogEntry]) -> list[AttemptFact]:
    """What a run's events say about each try of each step. Events have no number: a try is counted by its retries."""
    facts: list[AttemptFact] = []
    retries: Counter[str] = Counter()
    for entry in events:
        event = entry.dagster_event
        if event is None or event.step_key is None or event.event_type not in KINDS:
            continue
        step, at = event.step_key, _moment(entry.timestamp)
        told: dict[str, Any] = {"run_id": run_id, "step_key": step, "number": retries[step]}
        match event.event_type:
            case _Kind.STEP_START | _Kind.STEP_RESTARTED:
                facts.append(AttemptFact(**told, status="running", started_at=at))
            case _Kind.STEP_SUCCESS:
                facts.append(AttemptFact(**told, status="succeeded", ended_at=at))
            case _Kind.STEP_FAILURE | _Kind.STEP_UP_FOR_RETRY:
                name, why = _failure(getattr(event.event_specific_data, "error", None))
                facts.append(AttemptFact(**told, status="failed", ended_at=at, failure_class=name, failure_reason=why))
                retries[step] += event.event_type is _Kind.STEP_UP_FOR_RETRY
            case _:
                pass
    return facts


def _failure_of_run(event: dg.DagsterEvent) -> tuple[str | None, str | None]:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    if error is not None:
        return _failure(error)
    why = getattr(data, "failure_reason", None)
    return (why.value if why is not None else event.event_type_value), event.message


def _failure(error: Any) -> tuple[str | None, str | None]:
    """The class of the user's error, the outermost below Dagster's own wrappers, and what it said."""
    if error is None:
        return None, None
    while error.cause is not None and _WRAPPERS.fullmatch(error.cls_name or ""):
        error = error.cause
    return error.cls_name, re.sub(rf"\A[\w.<>]*\b{re.escape(error.cls_name or '')}(: |\Z)", "", error.message.strip())


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
