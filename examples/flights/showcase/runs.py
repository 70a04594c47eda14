"""Dagster runs, executed here and now, and what became of each."""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from identity.keys import CanonicalKey
from metadata_assets.cli.scrubbing import scrub
from metadata_assets.factory import step_name
from metadata_assets.spec import asset_key
from showcase.job import RUN_CONFIG, reexecuted_job_of
from showcase.stage import Stage

RESUME_TAG: Final = "dagster/is_resume_retry"
"""What the menu entry "Re-execute from failure" of Dagster's UI gives to the run that it makes."""
_LONGEST_REASON = 300
_QUALIFIED_NAME = re.compile(r"^\w+(\.\w+)+: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished run of some datasets for one partition."""

    run_id: str
    partition: str
    success: bool
    materialized: Mapping[CanonicalKey, Mapping[str, object]]
    """What Dagster's own event shows of each dataset that was materialized."""
    empty: frozenset[CanonicalKey]
    """Those whose step found no data for the partition: it stays missing."""
    reason: str | None
    """Why it failed."""


def execute(
    stage: Stage,
    partition: str,
    datasets: Sequence[CanonicalKey],
    *,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    resources: Mapping[str, object] | None = None,
    job: dg.JobDefinition | None = None,
) -> Ran:
    """A new run, in this process, on the real instance. A step that fails is in the answer, not raised.

    `resources` replace the project's in a `job` of one's own only: Dagster takes the project's when it is to select.
    """
    result = (job or stage.job).execute_in_process(
        instance=stage.instance,
        partition_key=partition,
        asset_selection=None if job else [asset_key(key) for key in datasets],
        run_config=RUN_CONFIG,
        run_id=run_id or str(uuid.uuid4()),
        tags=dict(tags or {}),
        resources=dict(resources or {}),
        raise_on_error=False,
    )
    return _ran(stage, result.run_id, partition, datasets, result.success, result.all_events)


def execute_again(stage: Stage, failed: Ran, datasets: Sequence[CanonicalKey]) -> Ran:
    """A run of `stage.reexecuted_job` that failed, re-executed from its failure: another run, whose parent it is."""
    parent = stage.instance.get_run_by_id(failed.run_id)
    assert parent is not None
    folder = (str(stage.project.folder),)
    with dg.execute_job(
        dg.build_reconstructable_job(reexecuted_job_of.__module__, reexecuted_job_of.__name__, folder),
        instance=stage.instance,
        run_config=RUN_CONFIG,
        tags={**parent.tags, RESUME_TAG: "true"},
        reexecution_options=dg.ReexecutionOptions.from_failure(failed.run_id, stage.instance),
    ) as result:
        return _ran(stage, result.run_id, failed.partition, datasets, result.success, result.all_events)


def _ran(
    stage: Stage,
    run_id: str,
    partition: str,
    datasets: Iterable[CanonicalKey],
    success: bool,
    events: Sequence[dg.DagsterEvent],
) -> Ran:
    by_asset = {asset_key(key): key for key in datasets}
    by_step = {step_name(key): key for key in datasets}
    materialized = {
        by_asset[event.asset_key]: _facts(event)
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key in by_asset
    }
    succeeded = {by_step[one.step_key] for one in events if one.event_type is _SUCCESS and one.step_key}
    return Ran(
        run_id=run_id,
        partition=partition,
        success=success,
        materialized=materialized,
        empty=frozenset(succeeded - materialized.keys()),
        reason=None if success else _reason(stage, events),
    )


_SUCCESS: Final = dg.DagsterEventType.STEP_SUCCESS


def _facts(event: dg.DagsterEvent) -> dict[str, object]:
    metadata = event.materialization.metadata
    return {name: value.value for name, value in metadata.items()}


def _reason(stage: Stage, events: Iterable[dg.DagsterEvent]) -> str:
    """The first line of what the first step that failed raised, without passwords."""
    for event in events:
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            error: Any = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                line = error.message.strip().partition("\n")[0]
                return scrub(_QUALIFIED_NAME.sub("", line), stage.settings.variables)[:_LONGEST_REASON]
    return "it failed outside of its steps; demo.log in the home has more"
