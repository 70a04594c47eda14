"""When a project's datasets are made without anybody asking: schedules, and automation conditions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, assert_never

import dagster as dg

from metadata_assets.partitioning import partitions_definition
from metadata_assets.spec import Automation, Project, Schedule, asset_key


def schedule_definitions(project: Project) -> list[dg.ScheduleDefinition]:
    """Each schedule of the project, with a job of its name; on, where it is for the environment of the project."""
    return [_schedule(project, one) for one in project.schedules]


def _schedule(project: Project, schedule: Schedule) -> dg.ScheduleDefinition:
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
        name=schedule.name,
        job=dg.define_asset_job(
            f"{schedule.name}_job", selection=dg.AssetSelection.assets(*map(asset_key, schedule.datasets))
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


def automation_sensors(project: Project) -> Iterator[dg.AutomationConditionSensorDefinition]:
    """What asks the conditions; none where no dataset has one."""
    if any(one.automation for one in project.datasets):
        yield dg.AutomationConditionSensorDefinition(
            "automate", target=dg.AssetSelection.all(), default_status=dg.DefaultSensorStatus.RUNNING
        )
