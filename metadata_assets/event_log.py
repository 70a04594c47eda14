"""What Dagster's event log says of runs: their events, what they materialized, the evaluations of their checks."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

_PAGE = 5_000
"""How many events of a run are read at once."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a check as the event log has it: its number there, its run, and when the worker wrote it."""

    number: int
    run_id: str
    at: float
    found: dg.AssetCheckEvaluation


def evaluations_in(instance: dg.DagsterInstance, run_id: str) -> list[Evaluation]:
    """The evaluations of a run so far."""
    return [
        Evaluation(number, run_id, at, event.asset_check_evaluation_data)
        for number, at, event in entries_of(instance, run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]


def evaluations_after(instance: dg.DagsterInstance, number: int, *, limit: int) -> list[Evaluation]:
    """The evaluations of all runs with numbers larger than one, in their order; at most so many.

    A number is drawn before its event is there, so a smaller one may still come after a larger one.
    """
    found = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
        after_cursor=number, dagster_event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, limit=limit
    )
    return [
        Evaluation(at, entry.run_id, entry.timestamp, entry.dagster_event.asset_check_evaluation_data)
        for at, entry in sorted(found.items())
        if entry.dagster_event is not None
    ]


def planned_in(instance: dg.DagsterInstance, run_id: str) -> frozenset[dg.AssetKey]:
    """The assets that a run was asked to materialize, whatever came of it."""
    planned = _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    return frozenset(event.asset_key for event in planned if event.asset_key is not None)


def materialized_in(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[dg.AssetKey, Mapping[str, Any]]]:
    """What a run materialized so far: each asset with the metadata of its event."""
    for event in _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = event.step_materialization_data.materialization
        yield made.asset_key, made.metadata


def _events(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
    return (event for _number, _at, event in entries_of(instance, run_id, kind))


def entries_of(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> Iterator[tuple[int, float, dg.DagsterEvent]]:
    """The events of one kind that a run has so far: their numbers, when they were written, and what they say."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=kind)
        for record in page.records:
            if record.event_log_entry.dagster_event is not None:
                yield record.storage_id, record.timestamp, record.event_log_entry.dagster_event
        if not page.has_more:
            return
        cursor = page.cursor


def storage_of(instance: dg.DagsterInstance) -> str:
    """What tells the storage of runs from every other one, for as long as it exists."""
    storage: Any = instance.run_storage  # each that keeps runs in SQL has an id
    identifier: str = storage.get_run_storage_id()
    return identifier


def logged_after(instance: dg.DagsterInstance, after: int, *, limit: int) -> Mapping[int, str]:
    """The ids of the next events of all runs that are visible now, in their order, each with its run.

    An id is drawn before its event is committed: one that is visible later may be smaller than one that is now.
    """
    entries = instance.event_log_storage.get_logs_for_all_runs_by_log_id(after_cursor=after, limit=limit)
    return {number: entry.run_id for number, entry in sorted(entries.items())}


def log_of_run(
    instance: dg.DagsterInstance, run_id: str, kinds: Collection[dg.DagsterEventType]
) -> Iterator[dg.EventLogEntry]:
    """The events of one run of some kinds, in the order of their ids."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=set(kinds), limit=_PAGE)
        yield from (record.event_log_entry for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def has_materialized(instance: dg.DagsterInstance, run_id: str, asset_key: dg.AssetKey, partition: str | None) -> bool:
    """Whether a run's event log has a materialization of this partition."""
    return any(
        event.asset_key == asset_key and event.partition == partition
        for event in _events(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    )


def has_refused(instance: dg.DagsterInstance, run_id: str, asset_key: dg.AssetKey) -> bool:
    """Whether a blocking check of the asset keeps it from being published by what it found last in a run.

    It failed, and not only with severity WARN.
    """
    found = [one.found for one in evaluations_in(instance, run_id) if one.found.asset_key == asset_key]
    latest = {(one.check_name, one.partition): one for one in found}
    return any(
        one.blocking and not one.passed and one.severity is dg.AssetCheckSeverity.ERROR for one in latest.values()
    )
