"""Act g: every run that Dagster knows is recorded, with its steps, their attempts, and why one failed."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from metadata_assets.cli.output import table
from metadata_assets.mirror.runs import mirror_runs
from resources.metadata.runs import NoSuchRun
from resources.runs import Run
from showcase.delivering import Deliveries
from showcase.promises import Promise, few
from showcase.stage import Stage

_STATUS = {dg.DagsterRunStatus.SUCCESS: "succeeded", dg.DagsterRunStatus.FAILURE: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsRecorded:
    """How Dagster's runs ended, how the records say they did, and the run whose worker died."""

    ended: Mapping[str, str]
    recorded: Mapping[str, str]
    died: Run | None
    reason: str | None
    """What Dagster says of why that one failed."""

    @property
    def document(self) -> dict[str, object]:
        return {
            "runs": len(self.ended),
            "recorded": len(self.recorded),
            "died": self.died and {"run_id": self.died.summary.run_id, "failure": _failure(self.died)},
        }


def record(stage: Stage, deliveries: Deliveries) -> RunsRecorded:
    """Read Dagster's event log to its end, as the sensor `mirror_runs` does it for a deployment."""
    stage.title("g) What ran, from Dagster's event log")
    while not mirror_runs(stage.store, stage.instance).complete:
        pass
    finished = dg.RunsFilter(statuses=list(_STATUS))
    ended = {run.run_id: _STATUS[run.status] for run in stage.instance.get_runs(finished)}
    recorded = {one.run_id: one.status for one in stage.store.runs(limit=len(ended) + 1_000)}
    died = deliveries.died.ran
    found = RunsRecorded(ended=ended, recorded=recorded, died=_run(stage, died.run_id), reason=died.reason)
    _tell(stage, found)
    return found


def promises(found: RunsRecorded) -> list[Promise]:
    """Nothing that ran is missing, and the failure is told."""
    missing = [run for run, how in found.ended.items() if found.recorded.get(run) != how]
    failure = _failure(found.died) if found.died else None
    evidence = f"not as Dagster has it: {few(missing)}" if missing else f"{len(found.ended):,} runs; {failure}"
    return [
        Promise(
            name="runs_recorded",
            promise="every run of Dagster is recorded, with its steps, attempts, and why one failed",
            evidence=evidence,
            held=not missing and failure is not None and found.reason is not None and found.reason in failure,
        )
    ]


def _run(stage: Stage, run_id: str) -> Run | None:
    try:
        return stage.store.run(run_id)
    except NoSuchRun:
        return None


def _failure(run: Run) -> str | None:
    failures = [one for task in run.tasks for one in task.attempts if one.failure_reason]
    return f"{failures[0].step_key}: {failures[0].failure_class}: {failures[0].failure_reason}" if failures else None


def _tell(stage: Stage, found: RunsRecorded) -> None:
    if found.died is None:
        stage.say("the run whose worker died is not recorded")
        return
    rows = [
        (one.step_key, one.number + 1, one.status, one.failure_class, one.failure_reason)
        for task in found.died.tasks
        for one in task.attempts
    ]
    run_id = found.died.summary.run_id
    stage.show(table(f"Run {run_id}", ("step", "attempt", "status", "failure", "reason"), rows))
    stage.say(f"the same: metadata-assets runs {run_id}")
