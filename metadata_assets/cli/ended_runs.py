"""When runs ended, as Dagster tells: what their steps handed to each other is not needed for ever."""

import os
from collections.abc import Collection, Mapping

import dagster as dg

from metadata_assets.cli import surroundings
from resources.settings import Settings

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def ends_of(settings: Settings, run_ids: Collection[str]) -> Mapping[str, float | None]:
    """When each run ended (seconds since 1970), None while it has not. A run that Dagster does not know is left out."""
    surroundings.prepare(settings)
    for name, value in surroundings.variables(settings).items():
        os.environ.setdefault(name, value)  # Dagster reads them there
    with dg.DagsterInstance.get() as instance:
        records = instance.get_run_records(dg.RunsFilter(run_ids=sorted(run_ids)))
    return {one.dagster_run.run_id: one.end_time if one.dagster_run.status in _ENDED else None for one in records}
