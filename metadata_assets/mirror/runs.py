"""Dagster's event log as runs, steps and attempts: of every asset and op, whatever stores what it returns.

The log says which runs something happened in; each of these is then read whole. So it does not matter in which order
events become visible, and the end of a run finds whatever was missed before.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import dagster as dg

from identity.ids import sha256_of
from metadata_assets._dagster import location_of
from metadata_assets.event_log import log_of_run, logged_after, storage_of
from metadata_assets.mirror.lineage import snapshot
from metadata_assets.mirror.run_events import KINDS, attempt_facts, run_fact
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore
from resources.runs import AttemptFact, RunFact

OVERLAP: Final = 500
"""How many ids before the newest one are looked at again: ids are drawn before their events can be seen."""
PAGE: Final = 1_000
"""How many events are read at once, beside those that are looked at again."""
_RUNS_AT_ONCE: Final = 100
_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log was read: the newest id, and which ones of the overlap behind it were seen."""

    after: int = -1
    seen: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, kept: Mapping[str, Any]) -> Self:
        return cls(kept.get("after", -1), frozenset(kept.get("seen", ())))

    @property
    def since(self) -> int:
        """Where to read on from."""
        return max(-1, self.after - OVERLAP)

    def advanced(self, ids: Collection[int]) -> "Position":
        """The position after these were seen, too."""
        after = max([self.after, *ids])
        return Position(after, frozenset(one for one in {*self.seen, *ids} if one > after - OVERLAP))

    def kept(self) -> Mapping[str, Any]:
        return {"after": self.after, "seen": sorted(self.seen)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredRuns:
    """What a look at the log came to. There may be more to read when it is not `complete`."""

    runs: int
    rows_written: int
    complete: bool


def mirror_runs(
    store: MetadataStore,
    instance: dg.DagsterInstance,
    *,
    location: str | None = None,
    code_location: str | None = None,
    seconds: float = _SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> MirroredRuns:
    """Record what happened since the last look, in the runs of one code location or, without it, in all runs.

    Runs that have not ended are asked after as well: one whose worker died without a word ends when Dagster gives it
    up, and one that Dagster does not know any more is lost. After `seconds` the next look goes on.
    `code_location` is what the location is called here; by default what Dagster calls it.
    """
    source = f"dagster:{storage_of(instance)}" + (f":{location}" if location else "")
    until = clock() + seconds
    position = Position.parse(store.mirror_position(source))
    runs, written, more = 0, 0, True
    looked_at: set[str] = set()
    while more and clock() < until:
        page = logged_after(instance, position.since, limit=PAGE + OVERLAP)
        more = len(page) == PAGE + OVERLAP
        touched = dict.fromkeys(run_id for number, run_id in page.items() if number not in position.seen)
        position = position.advanced(page.keys())
        told = list(_facts(instance, list(touched), location, code_location))
        looked_at |= touched.keys()
        recorded = _record(store, source, told, position)
        runs, written = runs + len(told), written + recorded
    waiting = [run_id for run_id in store.unfinished_runs(source) if run_id not in looked_at]
    ended = list(_ended(instance, waiting, location, code_location))
    return MirroredRuns(
        runs=runs + len(ended),
        rows_written=written + (_record(store, source, ended, None) if ended else 0),
        complete=not more,
    )


_Told = tuple[RunFact, Sequence[AttemptFact]]


def _record(store: MetadataStore, source: str, told: Sequence[_Told], position: Position | None) -> int:
    recorded = store.record_runs(
        source,
        [run for run, _attempts in told],
        [one for _run, attempts in told for one in attempts],
        position=position.kept() if position else None,
    )
    return recorded.jobs + recorded.attempts


def _records(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> Iterator[dg.RunRecord]:
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        yield from instance.get_run_records(dg.RunsFilter(run_ids=run_ids[first : first + _RUNS_AT_ONCE]))


def _facts(
    instance: dg.DagsterInstance, run_ids: Sequence[str], location: str | None, code_location: str | None
) -> Iterator[_Told]:
    """All that is known about these runs, as far as they are of the location."""
    for record in _records(instance, run_ids):
        own = location_of(record.dagster_run)
        if location is None or own == location:
            events = list(log_of_run(instance, record.dagster_run.run_id, KINDS))
            yield run_fact(record, code_location or own, events), attempt_facts(record.dagster_run.run_id, events)


def _ended(
    instance: dg.DagsterInstance, waiting: Sequence[str], location: str | None, code_location: str | None
) -> Iterator[_Told]:
    """Of runs that had not ended when they were last looked at: those that have, and those that are gone."""
    found = {record.dagster_run.run_id: record for record in _records(instance, waiting)}
    done = [run_id for run_id, record in found.items() if record.dagster_run.is_finished]
    yield from _facts(instance, done, location, code_location)
    for run_id in waiting:
        if run_id not in found:
            yield RunFact(run_id=run_id, status="lost", failure_class="RunGone", failure_reason=_GONE), ()


_GONE: Final = "Dagster has no record of this run any more"


def content_of(repository: dg.RepositoryDefinition) -> bytes:
    """A digest of what a code location defines: its asset graph, its jobs and their steps."""
    jobs = sorted((job.name, sorted(node.name for node in job.graph.nodes)) for job in repository.get_all_jobs())
    return sha256_of(snapshot(repository.asset_graph).digest, json.dumps(jobs))


def look_at_runs(
    context: dg.SensorEvaluationContext, metadata: MetadataResource, *, code_location: str | None
) -> dg.SkipReason:
    """A tick of the sensor that mirrors runs."""
    repository, origin = context.repository_def, context.code_location_origin
    assert repository is not None
    location = origin.location_name if origin is not None else None
    store = metadata.store()
    store.activate_dag(
        code_location or location or repository.name, content_of(repository), {"repository": repository.name}
    )
    mirrored = mirror_runs(store, context.instance, location=location, code_location=code_location)
    return dg.SkipReason(f"mirrored: {mirrored.runs} runs read, {mirrored.rows_written} rows written")
