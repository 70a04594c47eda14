"""What a person names to be published: materializations by their ids, or datasets, of which what waits is meant."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from identity.errors import MetadataError, shown
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.naming import thing_called
from resources.metadata.assets import UnknownKey, is_id, lost
from resources.metadata.finding import Thing
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata_store import MetadataStore


class NothingToPublish(MetadataError):
    """{dataset}{of_partition} has nothing to publish: look at what is committed with \
`metadata-assets materializations {dataset}`"""

    dataset: str
    of_partition: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class PartitionOfWhat(MetadataError):
    """--partition goes with datasets; {id} is a materialization, which has one partition"""

    id: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True)
class Candidate:
    """A materialization that was meant. `failed`: the blocking checks that refuse it; not looked at for one by id."""

    id: UUID
    name: str
    partition: str | None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was named: candidates, and datasets in which nothing waits."""

    candidates: list[Candidate] = field(default_factory=list)
    idle: list[Entity] = field(default_factory=list)


def chosen(store: MetadataStore, names: Sequence[str], partitions: Sequence[str]) -> Chosen:
    """What these names mean. Raises NoSuchMaterialization, NothingToPublish for a partition without anything,
    PartitionOfWhat, UnknownKey, NameLost."""
    found = Chosen()
    for name in dict.fromkeys(names):
        one = _materialization(store, name)
        if one is not None:
            if partitions:
                raise PartitionOfWhat(id=name)
            found.candidates.append(one)
        else:
            _add_waiting(store, dataset_called(store, name).entity, partitions, found)
    return found


def dataset_called(store: MetadataStore, name: str) -> Thing:
    """What has this name, to be changed by it. Raises NameLost where another thing is called so by now, UnknownKey."""
    thing = thing_called(store, name)
    if thing.name_taken:
        raise lost(thing)
    return thing


def _materialization(store: MetadataStore, name: str) -> Candidate | None:
    """The materialization with this id; None for a name, or an id of a dataset."""
    if not is_id(name):
        return None
    try:
        one = store.materialization(UUID(name))
    except NoSuchMaterialization as unknown:
        try:
            store.thing(name)
        except UnknownKey:
            raise unknown from None
        return None
    return Candidate(one.id, short_name(one.key), one.partition)


def _add_waiting(store: MetadataStore, dataset: Entity, partitions: Sequence[str], found: Chosen) -> None:
    name = short_name(dataset.key)
    waiting = store.unpublished(dataset, partitions or None)
    found.candidates.extend(Candidate(one.materialization_id, name, one.partition, one.failed) for one in waiting)
    there = {one.partition for one in waiting}
    if partitions:
        there |= {one.partition for one in store.current(dataset, partitions)}
        for partition in partitions:
            if partition not in there:
                raise NothingToPublish(dataset=name, of_partition=f" partition {shown(partition)}")
    if not waiting:
        found.idle.append(dataset)
