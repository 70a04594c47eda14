"""When a project's datasets are made without anybody asking: schedules, and automation conditions."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

import dagster as dg

from identity.keys import CanonicalKey
from metadata_assets.location_names import ALONE, LocationNames
from metadata_assets.partitioning import partitions_definition
from metadata_assets.spec import Automation, Dataset, MultiPartitions, Project, Schedule, TimePartitions
from metadata_assets.spec.partitions import Grain
from metadata_assets.spec.rules import Fresh


def schedule_definitions(
    project: Project, keys: Mapping[CanonicalKey, dg.AssetKey], names: LocationNames = ALONE
) -> list[dg.ScheduleDefinition]:
    """Each schedule of the project, with a job of its name; on, where it is for the environment of the project.

    `keys` are those under which Dagster shows the datasets.
    """
    return [_schedule(project, one, keys, names) for one in project.schedules]


def _schedule(
    project: Project, schedule: Schedule, keys: Mapping[CanonicalKey, dg.AssetKey], names: LocationNames
) -> dg.ScheduleDefinition:
    divided = [one.partitions for one in schedule.datasets_in(project) if one.partitions is not None]
    definition = partitions_definition(divided[0] if divided else None)

    def due(context: dg.ScheduleEvaluationContext) -> Iterator[dg.SkipReason | dg.RunRequest]:
        if definition is None:
            yield dg.RunRequest()
            return
        store = context.instance if "dynamic" in str(divided[0]) else None
        keys = due_partitions(definition, context.scheduled_execution_time, store)
        for key in keys:  # with a key of its own: of several without one a tick launches the first only
            yield dg.RunRequest(run_key=key, partition_key=key)
        if not keys:
            yield dg.SkipReason("there is no partition yet")

    return dg.ScheduleDefinition(
        name=names.of(schedule.name),
        job=dg.define_asset_job(
            f"{names.of(schedule.name)}_job",
            selection=dg.AssetSelection.assets(*(keys[one] for one in schedule.datasets)),
        ),
        cron_schedule=schedule.cron,
        execution_timezone=schedule.timezone,
        execution_fn=due,
        description=schedule.description,
        default_status=(
            dg.DefaultScheduleStatus.RUNNING
            if schedule.is_on_in(project.environment)
            else dg.DefaultScheduleStatus.STOPPED
        ),
    )


def due_partitions(
    definition: dg.PartitionsDefinition[str], at: datetime, instance: dg.DagsterInstance | None = None
) -> Sequence[str]:
    """What a tick makes: the newest partition of time that is complete by then, else every partition."""
    keys = definition.get_partition_keys(at, dynamic_partitions_store=instance)
    if isinstance(definition, dg.MultiPartitionsDefinition):
        times = [
            one
            for one in definition.partitions_defs
            if isinstance(one.partitions_def, dg.TimeWindowPartitionsDefinition)
        ]
        newest = {one.name: one.partitions_def.get_partition_keys(at)[-1:] for one in times}
        return [key for key in keys if all(_part(key, name) in last for name, last in newest.items())]
    return list(keys)[-1:] if isinstance(definition, dg.TimeWindowPartitionsDefinition) else list(keys)


def _part(key: str, dimension: str) -> str | None:
    return key.keys_by_dimension[dimension] if isinstance(key, dg.MultiPartitionKey) else None


def automation_condition(automation: Automation | None) -> dg.AutomationCondition[Any] | None:
    """What Dagster's daemon asks to know whether a dataset is to be made."""
    if automation is None:
        return None
    match automation.when:
        case "eager":
            return dg.AutomationCondition.eager()
        case "on_missing":
            return dg.AutomationCondition.on_missing()
        case "on_cron":
            return dg.AutomationCondition.on_cron(str(automation.cron), automation.timezone)
    assert_never(automation.when)


def freshness_policy(dataset: Dataset) -> dg.FreshnessPolicy | None:
    """How long ago a dataset may have been made, as its contract says how old its data may be.

    Data that are at most so old cannot have been made longer ago. What is divided by time is made once for each of its
    partitions, so one is added; one that has an end is made no more then. A warning has no policy: Dagster's fail.
    """
    rules = [check.rule for check in dataset.checks if isinstance(check.rule, Fresh) and not check.warns]
    if not rules:
        return None
    window = max(rules[0].within, _SHORTEST)
    match dataset.partitions:
        case TimePartitions(end=None) as divided:
            return dg.FreshnessPolicy.time_window(window + _LENGTHS[divided.grain])
        case TimePartitions() | MultiPartitions():
            return None
    return dg.FreshnessPolicy.time_window(window)


_SHORTEST: Final = timedelta(minutes=1)
_LENGTHS: Final[Mapping[Grain, timedelta]] = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=31),
}


def automation_sensors(
    project: Project, target: dg.AssetSelection, names: LocationNames = ALONE
) -> Iterator[dg.AutomationConditionSensorDefinition]:
    """What asks the conditions of its target; none where no dataset has one."""
    if any(one.automation for one in project.datasets):
        yield dg.AutomationConditionSensorDefinition(
            names.of("automate"), target=target, default_status=dg.DefaultSensorStatus.RUNNING
        )
