"""The intent behind a Dagster run: which runs deliver the same thing again, and which ask for something new.

No tag alone is evidence, because Dagster copies tags into later runs. What counts:

| the run                              | has its parent's intent when                                             |
|--------------------------------------|--------------------------------------------------------------------------|
| a step that retries                  | always: it is the same run                                               |
| retried by the daemon                | the parent names this very run in `dagster/auto_retry_run_id` (*)        |
| re-executed from failure             | `dagster/is_resume_retry` (*)                                            |
| re-executed from asset failure       | `dagster/is_asset_resume_retry`, and the parent neither succeeded nor    |
|                                      | materialized this partition (the tag leaks into later runs)              |
| part of a backfill                   | the intent is the backfill's: it asks for each partition once            |
| part of a re-executed backfill       | the earlier backfill did not materialize this partition                  |
| all re-executed by a person, a new   | never: a new intent                                                      |
| run, a schedule's or a sensor's run  |                                                                          |

(*) Unless a blocking check refused what the parent delivered. That delivery is complete, and what it committed stands
as a record that is not published; delivering it again could only find the same refused data.

The run tag `metadata_assets/idempotency_key` makes the intent explicit and outranks all of these.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import dagster as dg

from identity.errors import MetadataError
from identity.idempotency import Intent
from metadata_assets import _dagster, event_log
from metadata_assets._dagster import Step

IDEMPOTENCY_KEY_TAG: Final = "metadata_assets/idempotency_key"
_LONGEST_CHAIN: Final = 100


class EndlessReexecution(MetadataError):
    """run {run_id} is more than 100 re-executions away from the run that it repeats"""

    run_id: str


def intent_of(step: Step, asset_key: dg.AssetKey, partition: str | None) -> Intent:
    """Why this step materializes this partition: equal for every re-delivery of the same request."""
    return intent_of_run(step.instance, step.run, lambda: step.asset_graph, asset_key, partition)


def intent_of_run(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    asset_graph: Callable[[], Any],
    asset_key: dg.AssetKey,
    partition: str | None,
) -> Intent:
    """Why a run materializes this partition; the graph of its assets is asked for where a backfill goes on."""
    explicit = run.tags.get(IDEMPOTENCY_KEY_TAG)
    if explicit:
        return Intent("key", explicit)
    run_id, first = first_delivery(instance, run, asset_key, partition)
    if first is None or first.parent_run_id or _dagster.BACKFILL_ID_TAG not in first.tags:
        return Intent("run", run_id)
    backfill_id = first.tags[_dagster.BACKFILL_ID_TAG]
    return Intent("backfill", _first_backfill(instance, asset_graph, backfill_id, asset_key, partition))


def repeats(
    run: dg.DagsterRun,
    parent: dg.DagsterRun | None,
    *,
    materialized: Callable[[], bool],
    refused: Callable[[], bool],
) -> bool:
    """Whether a run delivers again what its parent was asked for. `parent` is None where its record is gone.

    `materialized` and `refused` say what the parent's event log has about the partition, and about its blocking checks;
    they are asked only when the tags leave it open.
    """
    resumed = run.tags.get(_dagster.RESUME_RETRY_TAG) == "true"
    asset_resumed = run.tags.get(_dagster.ASSET_RESUME_RETRY_TAG) == "true"
    if parent is None:  # the run's own tags are all there is
        return resumed or asset_resumed or _dagster.RETRY_NUMBER_TAG in run.tags
    if parent.tags.get(_dagster.AUTO_RETRY_RUN_ID_TAG) == run.run_id or resumed:
        return not refused()
    return asset_resumed and parent.status is not dg.DagsterRunStatus.SUCCESS and not materialized()


def first_delivery(
    instance: dg.DagsterInstance, run: dg.DagsterRun, asset_key: dg.AssetKey, partition: str | None
) -> tuple[str, dg.DagsterRun | None]:
    """The run that was asked first for what this run delivers; None beside its id where its record is gone.

    Raises EndlessReexecution.
    """
    return _first(
        instance,
        run,
        materialized=lambda parent_id: event_log.has_materialized(instance, parent_id, asset_key, partition),
        refused=lambda parent_id: event_log.has_refused(instance, parent_id, asset_key),
    )


def first_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The id of the run that this one goes on with, whatever that one delivered: itself, or the first that failed.

    Raises EndlessReexecution.
    """
    return _first(instance, run, materialized=lambda _parent: False, refused=lambda _parent: False)[0]


def goes_on_with(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """The ids of a run and of all that it goes on with, one after the other, whatever each of them delivered."""
    found = {run.run_id, run.root_run_id or run.run_id}
    known: dg.DagsterRun | None = run
    for _hop in range(_LONGEST_CHAIN):
        parent_id = _parent_of(known) if known is not None else None
        if not parent_id:
            break
        found.add(parent_id)
        known = instance.get_run_by_id(parent_id)
    return found


def _parent_of(run: dg.DagsterRun) -> str | None:
    return run.parent_run_id or run.tags.get(_dagster.PARENT_RUN_ID_TAG)


def _first(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    *,
    materialized: Callable[[str], bool],
    refused: Callable[[str], bool],
) -> tuple[str, dg.DagsterRun | None]:
    for _hop in range(_LONGEST_CHAIN):
        parent_id = _parent_of(run)
        if not parent_id:
            return run.run_id, run
        parent = instance.get_run_by_id(parent_id)
        if not repeats(run, parent, materialized=partial(materialized, parent_id), refused=partial(refused, parent_id)):
            return run.run_id, run
        if parent is None:
            return parent_id, None
        run = parent
    raise EndlessReexecution(run_id=run.run_id)


def _first_backfill(
    instance: dg.DagsterInstance,
    asset_graph: Callable[[], Any],
    backfill_id: str,
    asset_key: dg.AssetKey,
    partition: str | None,
) -> str:
    """The backfill that first asked for this partition and has not had it: the given one, or one that it continues."""
    seen = {backfill_id}
    while True:
        backfill = instance.get_backfill(backfill_id)
        parent_id = backfill.tags.get(_dagster.PARENT_BACKFILL_ID_TAG) if backfill else None
        parent = instance.get_backfill(parent_id) if parent_id else None
        if parent_id is None or parent is None or not parent.is_asset_backfill or parent_id in seen:
            return backfill_id
        if _dagster.was_materialized_in(parent, asset_graph(), asset_key, partition):
            return backfill_id
        backfill_id = parent_id
        seen.add(parent_id)
