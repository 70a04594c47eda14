"""The datasets, one Dagster run for each day and month that is not there yet."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from identity.keys import CanonicalKey, short_name
from metadata_assets.cli.output import table
from showcase.advance import advancing, rate
from showcase.planning import Work, whole_months, work
from showcase.promises import Promise, few
from showcase.runs import Ran, execute
from showcase.stage import CARRIER_MONTH, DAILY, EVERYTHING, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that failed, and why."""

    partition: str
    run_id: str
    reason: str


@dataclass(slots=True)
class Materialized:
    """What was asked for, what it took, and what could not be had."""

    partitions: dict[CanonicalKey, list[str]]
    runs: int = 0
    seconds: float = 0.0
    made: dict[CanonicalKey, list[str]] = field(default_factory=lambda: {key: [] for key in EVERYTHING})
    up_to_date: dict[CanonicalKey, list[str]] = field(default_factory=lambda: {key: [] for key in EVERYTHING})
    missing: dict[CanonicalKey, list[str]] = field(default_factory=lambda: {key: [] for key in EVERYTHING})
    failures: list[Failure] = field(default_factory=list)

    def add(self, ran: Ran) -> None:
        """Take one run into account."""
        self.runs += 1
        for key in ran.materialized:
            self.made[key].append(ran.partition)
        for key in ran.empty:
            self.missing[key].append(ran.partition)
        if not ran.success:
            self.failures.append(Failure(partition=ran.partition, run_id=ran.run_id, reason=ran.reason or "unknown"))

    @property
    def document(self) -> dict[str, object]:
        """The same as JSON."""
        return {
            "runs": self.runs,
            "seconds_per_run": round(self.seconds / self.runs, 3) if self.runs else None,
            "datasets": {
                short_name(key): {
                    "asked": len(asked),
                    "materialized": len(self.made[key]),
                    "up_to_date": len(self.up_to_date[key]),
                    "missing": self.missing[key],
                }
                for key, asked in self.partitions.items()
            },
            "failures": self.failures,
        }


def materialize(stage: Stage, days: Sequence[str]) -> Materialized:
    """Run what is not published yet with the code that this project has now, oldest first, then the whole months."""
    stage.title(f"One run for each of {len(days)} days, on the Dagster instance of this home")
    months = whole_months(days)
    done = Materialized({**{key: list(days) for key in DAILY}, CARRIER_MONTH: months})
    published = {key: _published(stage, key) for key in EVERYTHING}
    for key, asked in done.partitions.items():
        done.up_to_date[key] = [partition for partition in asked if partition in published[key]]
    started = time.monotonic()
    _run_all(stage, done, work(days, DAILY, published), "days")
    _run_all(stage, done, work(months, [CARRIER_MONTH], published), "months")
    done.seconds = time.monotonic() - started
    _tell(stage, done)
    return done


def promises(done: Materialized) -> list[Promise]:
    """No day failed."""
    made, there = sum(map(len, done.made.values())), sum(map(len, done.up_to_date.values()))
    failed = [f"{one.partition}: {one.reason}" for one in done.failures]
    evidence = f"{made:,} partitions materialized, {there:,} were up to date; runs: {done.runs:,}"
    return [
        Promise(
            name="every_run_succeeded",
            promise="every day that is asked for is materialized",
            evidence=f"{evidence}; failed: {few(failed)}" if failed else evidence,
            held=not failed,
        )
    ]


def _published(stage: Stage, key: CanonicalKey) -> set[str]:
    """The partitions that readers get, made by the code that the project has now."""
    code = stage.dataset(key).code_version
    found = stage.store.materializations(key, limit=1_000_000)
    return {one.partition for one in found if one.current and one.code_version == code and one.partition is not None}


def _run_all(stage: Stage, done: Materialized, todo: Sequence[Work], unit: str) -> None:
    if not todo:
        return
    with advancing(stage.console, "materializing", len(todo), unit) as advance:
        for one in todo:
            done.add(execute(stage, one.partition, one.datasets))
            advance(1)


def _tell(stage: Stage, done: Materialized) -> None:
    columns = ("dataset", "partitions asked for", "materialized", "up to date", "without data")
    rows = [
        (
            short_name(key),
            len(asked),
            len(done.made[key]),
            len(done.up_to_date[key]),
            few(done.missing[key]) or None,
        )
        for key, asked in done.partitions.items()
    ]
    stage.show(table("Materialized", columns, rows))
    if done.runs:
        stage.say(f"{done.runs:,} runs in {done.seconds:,.1f} s, {rate(done.runs / done.seconds, 'runs')}")
    else:
        stage.say("nothing was run: every partition is published already, by the code that the project has now")
    for failure in done.failures:
        stage.say(f"failed: {failure.partition}, run {failure.run_id}: {failure.reason}", style="red")
