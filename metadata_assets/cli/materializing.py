"""`run`: datasets of the project, materialized in this process on the Dagster instance of its home."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
from rich.console import RenderableType

from identity.keys import CanonicalKey, short_name
from metadata_assets.cli import surroundings
from metadata_assets.cli.choices import Choice
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import table
from metadata_assets.cli.scrubbing import scrub
from metadata_assets.factory import step_name
from metadata_assets.location import code_location
from metadata_assets.planning import Work, partitions_of, planned
from metadata_assets.spec import Dataset, asset_key, load_project
from resources.postgres.databases import Databases

_LOGGER: Final = "metadata_assets.run"
_CONFIG: Final[dict[str, Any]] = {"loggers": {"progress": {}}}
_LONGEST_REASON: Final = 300
_WORST_LAST: Final = ("waiting", "left out", "no partitions", "no data", "published", "committed", "skipped", "failed")


@dataclass(slots=True)
class Outcome:
    """What became of a dataset, over all runs that it was in: the worst of them counts."""

    dataset: Dataset
    status: str = "waiting"
    now: str = "waiting"
    """The same of the run that is on its way, or the last one."""
    _before: int = 0
    runs: list[str] = field(default_factory=list)
    partitions: int = 0
    rows: int = 0
    seconds: float = 0.0
    failed_checks: list[str] = field(default_factory=list)
    not_published: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return short_name(self.dataset.key)

    @property
    def is_broken(self) -> bool:
        return self.status in ("failed", "skipped")

    @property
    def has_data(self) -> bool:
        """Whether the run that is on its way, or the last one, made a partition."""
        return self.partitions > self._before

    def begin(self) -> None:
        """Another run of it begins."""
        self.now, self._before = "waiting", self.partitions
        self.not_published = self.not_published if self.is_broken else None

    def end(self, status: str, reason: str | None = None) -> None:
        """This run of it came to an end; what was worse before stays, and why."""
        self.now = status
        if _WORST_LAST.index(status) > _WORST_LAST.index(self.status):
            self.status, self.reason = status, reason

    @property
    def document(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "key": str(self.dataset.key),
            "status": self.status,
            "run": self.runs[-1] if self.runs else None,
            "partitions": self.partitions,
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "failed_checks": self.failed_checks,
            "not_published": self.not_published,
            "reason": self.reason,
        }


@dataclass(slots=True)
class Running:
    """The runs of one call: what is known of every dataset, told as it happens."""

    cli: Cli
    outcomes: Mapping[CanonicalKey, Outcome]
    runs: list[Mapping[str, object]] = field(default_factory=list)
    _started: dict[str, float] = field(default_factory=dict)

    def hear(self, event: dg.DagsterEvent) -> None:
        """One event of a run, when it happens."""
        found = {step_name(key): one for key, one in self.outcomes.items()}.get(event.step_key or "")
        if found is None:
            return
        match event.event_type:
            case dg.DagsterEventType.STEP_START:
                self._started[str(event.step_key)] = time.monotonic()
            case dg.DagsterEventType.ASSET_MATERIALIZATION:
                noted = event.materialization.metadata
                rows, why = noted.get("dagster/row_count"), noted.get("metadata_assets/not_published")
                found.partitions += 1
                found.rows += int(str(rows.value)) if rows else 0
                found.not_published = str(why.value) if why else found.not_published
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                if not evaluation.passed and evaluation.check_name not in found.failed_checks:
                    found.failed_checks.append(evaluation.check_name)
            case dg.DagsterEventType.STEP_SUCCESS if found.now != "failed":
                done = "committed" if found.not_published else "published"
                self._ended(found, event, done if found.has_data else "no data")
            case dg.DagsterEventType.STEP_FAILURE:
                reason = found.not_published or _reason(event, self.cli.settings.variables)
                self._ended(found, event, "failed", reason)
            case dg.DagsterEventType.STEP_SKIPPED:
                self._ended(found, event, "skipped")

    def _ended(self, found: Outcome, event: dg.DagsterEvent, status: str, reason: str | None = None) -> None:
        found.end(status, reason)
        found.seconds += time.monotonic() - self._started.pop(str(event.step_key), time.monotonic())
        self.tell(found)

    def tell(self, found: Outcome) -> None:
        number = sum(one.status != "waiting" for one in self.outcomes.values())
        words = [f"{number} of {len(self.outcomes)} {found.status} {found.name}"]
        words += [f"{found.rows:,} rows in {found.seconds:.1f} s"] if found.partitions else []
        words += [f"checks that failed: {', '.join(found.failed_checks)}"] if found.failed_checks else []
        words += [found.reason] if found.reason else []
        self.cli.complain("; ".join(words))

    def hold_back(self, work: Work) -> list[Dataset]:
        """Those of it that nothing stands in the way of; the others are told to be skipped."""
        ready = []
        for one in work.datasets:
            if self._needs_broken(one):
                self.skip(one)
            else:
                ready.append(one)
        return ready

    def skip(self, one: Dataset) -> None:
        """It is not made, because of what it is made from."""
        outcome, needs = self.outcomes[one.key], self._needs_broken(one)
        outcome.end("skipped", f"it needs {needs}" if needs else None)
        self.tell(outcome)

    def without_partitions(self, datasets: Sequence[Dataset]) -> None:
        """All of none was asked for."""
        for one in datasets:
            self.outcomes[one.key].end("no partitions")
            self.tell(self.outcomes[one.key])

    def leave_out(self, datasets: Sequence[Dataset]) -> None:
        """They are divided, and none of their partitions was asked for."""
        for one in datasets:
            reason = f"it is divided ({one.partitions}), and no partition of it is asked for; name one with --partition"
            self.outcomes[one.key].end("left out", reason)
            self.tell(self.outcomes[one.key])

    def _needs_broken(self, one: Dataset) -> str | None:
        needed = (self.outcomes.get(dep.key) for dep in one.depends_on)
        return next((outcome.name for outcome in needed if outcome is not None and outcome.is_broken), None)


def run_datasets(cli: Cli, choice: Choice, asked: Sequence[str]) -> ExitCode:
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    project.check_variables(cli.settings.variables)
    wanted = choice.of(project)
    Databases(cli.settings).reach()
    surroundings.prepare(cli.settings)
    os.environ.update(surroundings.variables(cli.settings))  # Dagster runs in this process, and reads them here
    running = Running(cli, {one.key: Outcome(one) for one in wanted})
    with redirect_stdout(sys.stderr), _heard_by(running) as logger, dg.DagsterInstance.get() as instance:
        ranges = partitions_of(wanted, asked, instance, needed=bool(choice.names or choice.select))
        running.leave_out([one for one in wanted if one.key not in ranges])
        work = planned([one for one in wanted if one.key in ranges], ranges)
        own = dg.Definitions(loggers={"progress": logger})
        job = dg.Definitions.merge(code_location(project), own).resolve_implicit_global_asset_job_def()
        for each in work:
            ready = running.hold_back(each)
            if not each.ranges:
                running.without_partitions(ready)
            for partitions in each.ranges if ready else ():
                _execute(job, instance, ready, partitions, running)
    outcomes = list(running.outcomes.values())
    success = not any(one.is_broken for one in outcomes)
    answer = {"success": success, "runs": running.runs, "datasets": [one.document for one in outcomes]}
    cli.show(answer, *_shown(outcomes))
    return ExitCode.OK if success else ExitCode.FAILED


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    datasets: Sequence[Dataset],
    partitions: Sequence[str | None],
    running: Running,
) -> None:
    first, last = partitions[0], partitions[-1]
    several = len(partitions) > 1
    for one in datasets:
        running.outcomes[one.key].begin()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[asset_key(one.key) for one in datasets],
        partition_key=None if several else first,
        tags={_FIRST: str(first), _LAST: str(last)} if several else {},
        run_config=_CONFIG,
        raise_on_error=False,
    )
    running.runs.append(
        {"run": result.run_id, "success": result.success, "partitions": [one for one in partitions if one is not None]}
    )
    for one in datasets:
        outcome = running.outcomes[one.key]
        outcome.runs.append(result.run_id)
        if outcome.now == "waiting":  # it did not come to its step
            running.skip(one)


_FIRST: Final = "dagster/asset_partition_range_start"
_LAST: Final = "dagster/asset_partition_range_end"


@contextmanager
def _heard_by(running: Running) -> Iterator[dg.LoggerDefinition]:
    """What runs say, until the block ends: events become progress, and what functions log a line of ours."""
    handler = _Ear(running)
    logger = logging.getLogger(_LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield dg.LoggerDefinition(lambda _context: logger)
    finally:
        logger.removeHandler(handler)


class _Ear(logging.Handler):
    def __init__(self, running: Running) -> None:
        super().__init__()
        self.running = running

    def emit(self, record: logging.LogRecord) -> None:
        said = getattr(record, "dagster_meta", {})
        event = said.get("dagster_event")
        if event is not None:
            self.running.hear(event)
        elif record.levelno >= logging.WARNING or said.get("orig_message") is not None:
            words = str(said.get("orig_message") or record.getMessage())
            self.running.cli.complain(scrub(f"  {words}", self.running.cli.settings.variables))


def _reason(event: dg.DagsterEvent, variables: Mapping[str, str]) -> str:
    error: Any = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    line = error.message.strip().partition("\n")[0] if error is not None else "it failed"
    return scrub(line, variables)[:_LONGEST_REASON]


def _shown(outcomes: Iterable[Outcome]) -> Iterator[RenderableType]:
    titles = ("dataset", "status", "partitions", "rows", "seconds", "checks that failed", "why")
    rows = [
        (
            one.name,
            one.status,
            one.partitions or None,
            one.rows if one.partitions else None,
            f"{one.seconds:.1f}",
            ", ".join(one.failed_checks) or None,
            one.reason or one.not_published,
        )
        for one in outcomes
    ]
    yield table("Datasets", titles, rows) if rows else "no dataset is selected; nothing was run"
