"""Partitions and mappings of a project, as Dagster has them."""

import warnings
from datetime import datetime

import dagster as dg

from metadata_assets.spec import (
    DynamicPartitions,
    Mapping,
    MultiPartitions,
    Partitions,
    StaticPartitions,
    TimePartitions,
)
from metadata_assets.spec.partitions import shared_dimension


def partitions_definition(partitions: Partitions | None) -> dg.PartitionsDefinition[str] | None:
    """How Dagster divides a dataset; None when it is not divided."""
    match partitions:
        case None:
            return None
        case StaticPartitions(keys):
            return dg.StaticPartitionsDefinition(list(keys))
        case DynamicPartitions(name):
            return dg.DynamicPartitionsDefinition(name=name)
        case TimePartitions():
            return _of_time(partitions)
        case MultiPartitions(dimensions):
            found = {name: partitions_definition(one) for name, one in dimensions}
            return dg.MultiPartitionsDefinition({name: one for name, one in found.items() if one is not None})


def end_of_partition(partitions: Partitions | None, partition: str | None) -> datetime | None:
    """The first moment after a partition of time, or of a pair that has one; None for any other."""
    if isinstance(partitions, MultiPartitions) and partition is not None:
        pairs = zip(partitions.dimensions, partition.split("|"), strict=True)
        ends = [end_of_partition(one, part) for (_name, one), part in pairs]
        return max((end for end in ends if end is not None), default=None)
    definition = partitions_definition(partitions)
    if partition is None or not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return None
    return definition.time_window_for_partition_key(partition).end


def _of_time(partitions: TimePartitions) -> dg.PartitionsDefinition[str]:
    form = "%Y-%m-%d-%H:%M" if partitions.grain == "hourly" else "%Y-%m-%d"
    start, timezone = partitions.start.strftime(form), partitions.timezone
    end = partitions.end.strftime(form) if partitions.end else None
    match partitions.grain:
        case "hourly":
            return dg.HourlyPartitionsDefinition(start, end, timezone=timezone)
        case "daily":
            return dg.DailyPartitionsDefinition(start, end, timezone=timezone)
        case "weekly":
            sunday_is_0 = partitions.start.isoweekday() % 7
            return dg.WeeklyPartitionsDefinition(start, end, timezone=timezone, day_offset=sunday_is_0)
        case "monthly":
            return dg.MonthlyPartitionsDefinition(start, end, timezone=timezone)


def partition_mapping(
    mapping: Mapping | None, own: Partitions | None, upstream: Partitions | None, *, may_miss: bool
) -> dg.PartitionMapping | None:
    """Which partitions of an input each partition needs. An input that may miss need not have all of them."""
    if mapping is None:
        return None
    match mapping.kind:
        case "all":
            return dg.AllPartitionMapping()
        case "last":
            return dg.LastPartitionMapping()
        case "same" if isinstance(own, StaticPartitions) and isinstance(upstream, StaticPartitions):
            return dg.StaticPartitionMapping({key: key for key in own.keys if key in upstream.keys})
        case "dimension":
            return dg.MultiToSingleDimensionPartitionMapping(shared_dimension(own, upstream))
        case "same" if isinstance(own, DynamicPartitions | MultiPartitions):
            return dg.IdentityPartitionMapping()
        case "same" | "offset" | "window":
            return _of_windows(mapping.offset, may_miss)


def _of_windows(offset: int, may_miss: bool) -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings():  # the parameter is in beta, and what it does is tested
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=offset, end_offset=offset, allow_nonexistent_upstream_partitions=may_miss
        )
