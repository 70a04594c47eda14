"""What Dagster's event log says about assets: materializations and observations, of runs and of nobody."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from metadata_assets.event_log import entries_of


@dataclass(frozen=True, slots=True)
class LoggedAsset:
    """What the event log says about an asset: its number there, its run ("" for none), when it was, and what."""

    number: int
    run_id: str
    at: float
    event: dg.AssetMaterialization | dg.AssetObservation
    step_key: str | None = None


_ASSET_EVENTS = frozenset({dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION})
_ENDS = frozenset({dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED})


@dataclass(frozen=True, slots=True)
class Page:
    """Some events of the log: their numbers, what they say about assets, and which runs end with which."""

    numbers: Collection[int]
    said: list[LoggedAsset]
    ended: Mapping[int, str]
    more: bool
    """Whether there may be more behind them."""

    def before(self, number: int | None) -> "Page":
        """What comes before an event, and nothing behind that; all of it for None."""
        if number is None:
            return self
        return Page(
            numbers=[one for one in self.numbers if one < number],
            said=[one for one in self.said if one.number < number],
            ended={at: run_id for at, run_id in self.ended.items() if at < number},
            more=False,
        )


def asset_events_after(instance: dg.DagsterInstance, number: int, *, limit: int) -> Page:
    """The next events about assets and ends of runs; of each kind at most so many.

    A number is drawn before its event is there, so a smaller one may still come after a larger one.
    """
    found: dict[int, dg.EventLogEntry] = {}
    horizons = []
    for kind in sorted(_ASSET_EVENTS | _ENDS):  # Dagster reads several kinds at once no more
        entries = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
            after_cursor=number, dagster_event_type=kind, limit=limit
        )
        found |= entries
        if len(entries) == limit:
            horizons.append(max(entries))
    numbers = sorted(one for one in found if not horizons or one <= min(horizons))
    events = [(one, found[one], event) for one in numbers if (event := found[one].dagster_event) is not None]
    return Page(
        numbers=numbers,
        said=[
            _logged(one, entry.run_id, entry.timestamp, event)
            for one, entry, event in events
            if event.event_type in _ASSET_EVENTS
        ],
        ended={one: entry.run_id for one, entry, event in events if event.event_type in _ENDS},
        more=bool(horizons),
    )


def asset_events_in(instance: dg.DagsterInstance, run_id: str) -> list[LoggedAsset]:
    """What a run has said about assets so far."""
    found = [(kind, entry) for kind in sorted(_ASSET_EVENTS) for entry in entries_of(instance, run_id, kind)]
    return sorted((_logged(at, run_id, when, event) for _kind, (at, when, event) in found), key=lambda one: one.number)


def _logged(number: int, run_id: str, at: float, event: dg.DagsterEvent) -> LoggedAsset:
    data: Any = event.event_specific_data
    said = data.materialization if event.is_step_materialization else data.asset_observation
    return LoggedAsset(number, run_id, at, said, event.step_key)
