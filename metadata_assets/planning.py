"""In which Dagster runs datasets are materialized: what they are made from first, as few runs as can be."""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import ClassVar, Final

import dagster as dg

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, short_name
from metadata_assets.partitioning import partition_mapping, partitions_definition
from metadata_assets.spec import Dataset, Dependency, DynamicPartitions
from metadata_assets.spec.problems import did_you_mean

ALL: Final = "all"
LATEST: Final = "latest"
_TO: Final = "..."
_MAPPED: Final = ("same", "offset", "window", "dimension")
Ranges = tuple[tuple[str | None, ...], ...]


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
    ranges: Ranges
    """The same, one after the other as Dagster counts them: each is one run."""


def partitions_of(
    datasets: Sequence[Dataset],
    asked: Sequence[str],
    instance: dg.DagsterInstance,
    *,
    needed: bool = True,
    now: datetime | None = None,
) -> dict[CanonicalKey, Ranges]:
    """What is asked for of each, in runs of neighbours: the partitions of that name, else what is made from them.

    What is divided otherwise is not among them, nor what is divided where nothing is asked for and none is `needed`.
    Raises PartitionNeeded, NoSuchPartition.
    """
    at = now or datetime.now(UTC)
    divided = [one for one in datasets if one.partitions is not None]
    if not asked and divided and (needed or len(divided) == len(datasets)):
        known = _Divided.of(divided[0], instance, at).known
        how, example = str(divided[0].partitions), known[-1] if known else "KEY"
        raise PartitionNeeded(dataset=short_name(divided[0].key), how=how, example=example)
    found: dict[CanonicalKey, Ranges] = {one.key: ((None,),) for one in datasets if one.partitions is None}
    ways = {one.key: _Divided.of(one, instance, at) for one in divided} if asked else {}
    meant: dict[CanonicalKey, set[int]] = {key: set() for key in ways}
    for each in asked:
        for key, numbers in _meant(each, ways).items():
            meant[key] |= numbers
    hit = {key: numbers for key, numbers in meant.items() if numbers or not ways[key].known}
    return found | {key: ways[key].ranges(numbers) for key, numbers in hit.items()}


@dataclass(frozen=True, slots=True)
class _Divided:
    """A dataset with the partitions that it has now, as Dagster counts them."""

    dataset: Dataset
    definition: dg.PartitionsDefinition[str]
    known: Sequence[str]
    numbers: Mapping[str, int]
    instance: dg.DagsterInstance
    now: datetime

    @classmethod
    def of(cls, dataset: Dataset, instance: dg.DagsterInstance, now: datetime) -> "_Divided":
        definition = partitions_definition(dataset.partitions)
        assert definition is not None
        known = list(definition.get_partition_keys(now, dynamic_partitions_store=instance))
        numbers = {name: number for number, name in enumerate(known)}
        return cls(dataset, definition, known, numbers, instance, now)

    def ranges(self, numbers: Collection[int]) -> Ranges:
        together = not isinstance(self.definition, dg.MultiPartitionsDefinition)
        return tuple(tuple(self.known[n] for n in run) for run in _neighbours(sorted(numbers), together))

    def made_from(self, dep: Dependency, other: "_Divided", numbers: Collection[int]) -> set[int]:
        """Which partitions are made from these of an input."""
        if dep.mapping is None or dep.mapping.kind not in _MAPPED or not numbers:
            return set()
        mapping = partition_mapping(dep.mapping, self.dataset.partitions, other.dataset.partitions, may_miss=True)
        assert mapping is not None
        given = other.definition.subset_with_partition_keys([other.known[number] for number in numbers])
        reached = mapping.get_downstream_partitions_for_partitions(
            given, other.definition, self.definition, self.now, self.instance
        )
        return {self.numbers[name] for name in reached.get_partition_keys() if name in self.numbers}


def _meant(asked: str, ways: Mapping[CanonicalKey, _Divided]) -> dict[CanonicalKey, set[int]]:
    """Which partitions of each one word means. Raises NoSuchPartition for one that none of them has."""
    found: dict[CanonicalKey, set[int]] = {}
    refused: list[NoSuchPartition] = []
    inputs = {key: _needed(one.dataset) & ways.keys() for key, one in ways.items()}
    for key in TopologicalSorter(inputs).static_order():
        one = ways[key]
        try:
            found[key] = set(_numbers(one.dataset, asked, one.numbers))
        except NoSuchPartition as error:
            refused.append(error)
            read = [dep for dep in one.dataset.depends_on if dep.key in found]
            found[key] = {n for dep in read for n in one.made_from(dep, ways[dep.key], found[dep.key])}
    if ways and len(refused) == len(ways):
        raise refused[0]
    return found


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
    fix = did_you_mean(missing, list(numbers)) if numbers else "it has none yet"
    if isinstance(dataset.partitions, DynamicPartitions):
        add = f"metadata-assets partitions add {dataset.partitions.name} {shown(missing)}"
        fix = f"{fix}, or add it: {add}" if numbers else f"add it: {add}"
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


def planned(datasets: Sequence[Dataset], ranges: Mapping[CanonicalKey, Ranges]) -> list[Work]:
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
