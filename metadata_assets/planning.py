"""In which Dagster runs datasets are materialized: what they are made from first, as few runs as can be."""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final

import dagster as dg

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, short_name
from metadata_assets.partitioning import partitions_definition
from metadata_assets.spec import Dataset
from metadata_assets.spec.problems import did_you_mean

ALL: Final = "all"
LATEST: Final = "latest"
_TO: Final = "..."


class PartitionNeeded(MetadataError):
    """{dataset} is divided ({how}); say which: --partition {example}, FIRST...LAST, latest or all"""

    dataset: str
    how: str
    example: str
    exit_code: ClassVar[int] = 2


class NoSuchPartition(MetadataError):
    """{dataset} has no partition {partition}; {fix}"""

    dataset: str
    partition: str
    fix: str
    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Work:
    """Datasets that are materialized together, and of which partitions; (None,) where they are not divided."""

    datasets: tuple[Dataset, ...]
    partitions: tuple[str | None, ...]
    ranges: tuple[tuple[str | None, ...], ...]
    """The same, one after the other as Dagster counts them: each is one run."""


def partitions_of(
    dataset: Dataset, asked: Sequence[str], instance: dg.DagsterInstance, now: datetime | None = None
) -> tuple[tuple[str | None, ...], ...]:
    """What is asked for of a dataset, in runs of neighbours. Raises PartitionNeeded, NoSuchPartition."""
    definition = partitions_definition(dataset.partitions)
    if definition is None:
        return ((None,),)
    known = list(definition.get_partition_keys(now or datetime.now(UTC), dynamic_partitions_store=instance))
    if not asked:
        example = known[-1] if known else "KEY"
        raise PartitionNeeded(dataset=short_name(dataset.key), how=str(dataset.partitions), example=example)
    numbers = {name: number for number, name in enumerate(known)}
    wanted = {number for one in asked for number in _numbers(dataset, one, numbers)}
    together = not isinstance(definition, dg.MultiPartitionsDefinition)
    return tuple(tuple(known[n] for n in run) for run in _neighbours(sorted(wanted), together))


def _numbers(dataset: Dataset, asked: str, numbers: Mapping[str, int]) -> Collection[int]:
    if asked in numbers:
        return [numbers[asked]]
    if asked == ALL:
        return numbers.values()
    if asked == LATEST:
        return list(numbers.values())[-1:]
    first, to, last = asked.partition(_TO)
    if to and first in numbers and last in numbers:
        return range(numbers[first], numbers[last] + 1)
    missing = next((one for one in ((first, last) if to else (asked,)) if one not in numbers), asked)
    fix = did_you_mean(missing, list(numbers)) if numbers else "add it in the Dagster UI first"
    raise NoSuchPartition(dataset=short_name(dataset.key), partition=shown(missing), fix=fix)


def _neighbours(numbers: Sequence[int], together: bool) -> Iterator[list[int]]:
    run: list[int] = []
    for number in numbers:
        if run and not (together and number == run[-1] + 1):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def planned(
    datasets: Sequence[Dataset], ranges: Mapping[CanonicalKey, tuple[tuple[str | None, ...], ...]]
) -> list[Work]:
    """What is done after what: nothing before what it is made from."""
    left = {one.key: one for one in datasets}
    work: list[Work] = []
    while left:
        first = next(one for one in left.values() if not _needed(one) & left.keys())
        alike = [one for one in left.values() if _same(one, first, ranges)]
        together: dict[CanonicalKey, Dataset] = {}
        grew = True
        while grew:
            more = {one.key: one for one in alike if not _needed(one) & (left.keys() - together.keys())}
            grew = len(more) > len(together)
            together = more
        for key in together:
            del left[key]
        runs = ranges[first.key]
        work.append(Work(tuple(together.values()), tuple(one for run in runs for one in run), runs))
    return work


def _needed(dataset: Dataset) -> Set[CanonicalKey]:
    return {one.key for one in dataset.depends_on}


def _same(one: Dataset, other: Dataset, ranges: Mapping[CanonicalKey, object]) -> bool:
    return one.partitions == other.partitions and ranges[one.key] == ranges[other.key]
