"""Act b: the same partition delivered again. A retry of the same intent changes nothing; a new intent is new."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg

from identity.keys import short_name
from metadata_assets import MetadataIOManager
from metadata_assets.cli.output import table
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from showcase.promises import Promise
from showcase.runs import Ran, execute, execute_again
from showcase.stage import DAILY_DELAYS, Stage

NOTE_TAG: Final = "metadata_assets/demo"


class WorkerDied(RuntimeError):
    """The demo's stand-in for a worker that is killed at the worst moment."""


class DiesAfterCommit(MetadataIOManager):
    """Stores what it is given, and then the worker dies: Dagster never hears that it was stored."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        super().handle_output(context, obj)
        raise WorkerDied("the worker died after its commit, on purpose, before it could tell Dagster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the store has for the partition: all of its materializations, and the dataset's version."""

    materializations: frozenset[str]
    current: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of the partition: the run, what was recorded before and after it."""

    what: str
    ran: Ran
    before: Recorded
    after: Recorded
    intent: str | None

    @property
    def new(self) -> frozenset[str]:
        return self.after.materializations - self.before.materializations

    @property
    def published_new(self) -> bool:
        """One new materialization, which readers get, in the next version."""
        return self.new == {self.after.current} and self.after.version == self.before.version + 1

    @property
    def changed_nothing(self) -> bool:
        return self.after == self.before

    @property
    def replayed(self) -> bool:
        """Whether Dagster's own event says that an earlier delivery stands, and names it."""
        facts = self.ran.materialized.get(DAILY_DELAYS, {})
        same = facts.get("metadata_assets/materialization_id") == self.before.current
        return same and facts.get("metadata_assets/replayed") is True

    @property
    def document(self) -> dict[str, object]:
        return {
            "what": self.what,
            "run_id": self.ran.run_id,
            "success": self.ran.success,
            "reason": self.ran.reason,
            "intent": self.intent,
            "materialization_id": self.after.current,
            "replayed": self.replayed,
            "version_before": self.before.version,
            "version_after": self.after.version,
            "materializations": len(self.after.materializations),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """A request and its retry; a request whose worker died, and its re-execution; a request of its own."""

    partition: str
    first: Delivery
    retry: Delivery
    died: Delivery
    resumed: Delivery
    new: Delivery

    @property
    def all(self) -> Sequence[Delivery]:
        return self.first, self.retry, self.died, self.resumed, self.new


def deliver_again(stage: Stage, partition: str) -> Deliveries:
    """Deliver one partition of daily_delays five times, for three intents."""
    stage.title(f"b) {short_name(DAILY_DELAYS)} of {partition}, delivered again")
    run_id = str(uuid.uuid4())
    same_key = {IDEMPOTENCY_KEY_TAG: f"demo-{run_id}"}  # new for each demo, or its first delivery would be a retry too
    note = {NOTE_TAG: "fails on purpose: the worker dies after its commit"}
    dying = {"metadata_io_manager": DiesAfterCommit(metadata=stage.metadata)}

    def run(**options: object) -> Callable[[], Ran]:
        return lambda: execute(stage, partition, [DAILY_DELAYS], **options)  # type: ignore[arg-type]

    first = _observed(stage, partition, "asked for, with a key", run(run_id=run_id, tags=same_key))
    retry = _observed(stage, partition, "the same key again", run(tags=same_key))
    died = _observed(
        stage, partition, "worker dies after its commit", run(tags=note, resources=dying, job=stage.reexecuted_job)
    )
    again = _observed(
        stage, partition, "re-executed from failure", lambda: execute_again(stage, died.ran, [DAILY_DELAYS])
    )
    new = _observed(stage, partition, "asked for again, a new run", run())
    found = Deliveries(partition=partition, first=first, retry=retry, died=died, resumed=again, new=new)
    _tell(stage, found)
    return found


def promises(found: Deliveries) -> list[Promise]:
    """What the five deliveries show."""
    first, retry, died, resumed, new = found.all
    return [
        Promise(
            name="retry_is_one_materialization",
            promise="a retry of the same intent is still one materialization",
            evidence=_failure(first, retry)
            or f"replayed: {_words(retry.replayed)}; version {first.after.version}, then {retry.after.version}",
            held=first.published_new and retry.changed_nothing and retry.replayed and retry.ran.success,
        ),
        Promise(
            name="reexecution_is_one_materialization",
            promise="so is a re-execution after the worker died between its commit and Dagster's event",
            evidence=_failure(resumed)
            or f"replayed: {_words(resumed.replayed)}; version {died.after.version}, then {resumed.after.version}",
            held=died.published_new
            and not died.ran.success
            and not died.ran.materialized
            and resumed.changed_nothing
            and resumed.replayed
            and resumed.ran.success,
        ),
        Promise(
            name="new_intent_is_a_new_version",
            promise="a new intent is a new materialization and a new version",
            evidence=_failure(new)
            or f"{len(new.new)} new materialization; version {new.before.version}, then {new.after.version}",
            held=new.published_new and new.ran.success,
        ),
    ]


def _observed(stage: Stage, partition: str, what: str, run: Callable[[], Ran]) -> Delivery:
    before = _recorded(stage, partition)
    ran = run()
    after = _recorded(stage, partition)
    found = stage.store.materializations(DAILY_DELAYS, partition=partition, limit=1_000_000)
    intent = next((one.intent for one in found if str(one.id) == after.current), None)
    return Delivery(what=what, ran=ran, before=before, after=after, intent=intent)


def _recorded(stage: Stage, partition: str) -> Recorded:
    found = stage.store.materializations(DAILY_DELAYS, partition=partition, limit=1_000_000)
    versions = stage.store.versions(DAILY_DELAYS, limit=1)
    return Recorded(
        materializations=frozenset(str(one.id) for one in found),
        current=next((str(one.id) for one in found if one.current), None),
        version=versions[0].number if versions else 0,
    )


def _failure(*deliveries: Delivery) -> str | None:
    return next((f"{one.what}: {one.ran.reason}" for one in deliveries if not one.ran.success), None)


def _words(replayed: bool) -> str:
    return "yes" if replayed else "no"


def _tell(stage: Stage, found: Deliveries) -> None:
    columns = (
        "delivery",
        "run",
        "Dagster says",
        "intent",
        "materialization",
        "replayed",
        "version",
        "materializations",
    )
    rows = [
        (
            one.what,
            one.ran.run_id[:8],
            "succeeded" if one.ran.success else "failed",
            one.intent and f"{one.intent[:18]}…",
            one.after.current,
            one.replayed,
            f"{one.before.version} → {one.after.version}" if not one.changed_nothing else f"{one.after.version}",
            f"{len(one.before.materializations)} → {len(one.after.materializations)}"
            if one.new
            else f"{len(one.after.materializations)}",
        )
        for one in found.all
    ]
    stage.show(table(f"Deliveries of {found.partition}", columns, rows))
