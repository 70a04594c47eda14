"""Datasets of a project that outgrow the view that a database has of them, told before a run is refused."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from identity.keys import short_name
from metadata_assets.cli.answers import Answer, Wrong
from metadata_assets.partitioning import partitions_definition
from metadata_assets.spec import Dataset, Project
from resources.locations import MOST_PARTITIONS

AHEAD: Final = timedelta(days=90)
"""So long before a dataset has too many it is told."""

_FIX: Final = (
    "divide it more coarsely, under another name if it has published any, for these stay; "
    "or declare it on an endpoint of files"
)


def too_many_partitions(project: Project, now: datetime) -> Iterator[Answer]:
    """Those on postgres endpoints that have too many partitions by their declaration, or will have soon."""
    for dataset in project.datasets:
        if project.endpoints[dataset.key.endpoint].location.system != "postgres":
            continue
        count, soon = _count(dataset, now), _count(dataset, now + AHEAD)
        if soon <= MOST_PARTITIONS:
            continue
        now_has, will_have = f"has {count:,} partitions", f"will have {soon:,} partitions in {AHEAD.days} days"
        has = now_has if count > MOST_PARTITIONS else will_have
        name = short_name(dataset.key)
        detail = f"{name} {has}; a view in a database shows {MOST_PARTITIONS:,}, more are refused"
        yield Answer(detail, Wrong.A_LITTLE, _FIX)


def _count(dataset: Dataset, now: datetime) -> int:
    """How many partitions are declared by then. Those that are added at run time are counted when they are written."""
    definition = partitions_definition(dataset.partitions)
    dimensions = [definition]
    if isinstance(definition, dg.MultiPartitionsDefinition):
        dimensions = [one.partitions_def for one in definition.partitions_defs]
    if definition is None or any(isinstance(one, dg.DynamicPartitionsDefinition) for one in dimensions):
        return 0
    with dg.partition_loading_context(effective_dt=now):
        return definition.get_num_partitions()
