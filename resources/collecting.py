"""Collection of garbage: the database decides and commits, then files go, then the database forgets.

Whatever a crash leaves between two of these steps is found and finished by the next collection, and doing it twice
does no harm. What cannot be removed now (no access, a disk that is not mounted) stays for the next one, too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar

from identity.errors import MetadataError
from identity.ids import Entity, EntityId
from resources.failpoints import reach
from resources.locations import EndpointAway, place
from resources.metadata.garbage import Condemned, Garbage, Retention
from resources.storage import Clearing, Storage

Kind = Literal["abandoned", "replaced"]
Progress = Callable[["Collected"], None]
BATCH = 200
"""How much is decided before files go, and is done anew after a crash."""
LOOK = 2000
"""How many materializations are looked at in one transaction, which locks none."""


class _Located(Protocol):
    @property
    def location(self) -> str: ...


Item = TypeVar("Item", bound=_Located)


@dataclass(frozen=True, slots=True)
class Gone:
    """One folder or table that went, or would go: why it is garbage, and what was in it."""

    kind: Kind
    location: str
    files: int
    byte_count: int


@dataclass(slots=True)
class Collected:
    """What a collection has done so far.

    `left` are the places that could not be cleared, and why; `away` the endpoints of which nothing could be, and why.
    """

    gone: list[Gone] = field(default_factory=list)
    left: dict[str, MetadataError] = field(default_factory=dict)
    away: dict[str, MetadataError] = field(default_factory=dict)
    condemned: int = 0

    def count(self, kind: Kind) -> int:
        return sum(one.kind == kind for one in self.gone)

    @property
    def byte_count(self) -> int:
        return sum(one.byte_count for one in self.gone)


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects garbage of one tenant. `storage_of` says where an endpoint keeps data, or raises a MetadataError.

    Each endpoint is opened once. Of one that is away nothing is condemned, and nothing of it counts as gone.
    `rehearsed`, nothing changes: it tells what would go.
    """

    garbage: Garbage
    storage_of: Callable[[str], Storage]
    rehearsed: bool = False
    progress: Progress = lambda _so_far: None

    def collect(
        self,
        datasets: Collection[Entity],
        retention: Retention,
        *,
        own: Mapping[EntityId, Retention] = MappingProxyType({}),
        abandoned: bool = True,
    ) -> Collected:
        """Collect what abandoned attempts left, if asked for, and the replaced data of these datasets.

        `own` is the retention of a dataset that has another one than the rest.
        """
        with ExitStack() as endpoints:
            return _Collection(self, endpoints).collected(datasets, retention, own, abandoned=abandoned)


@dataclass(frozen=True, slots=True)
class _Collection:
    """One collection, with the endpoints that it has open."""

    by: Collector
    endpoints: ExitStack
    open: dict[str, Clearing] = field(default_factory=dict)
    done: Collected = field(default_factory=Collected)

    def collected(
        self,
        datasets: Collection[Entity],
        retention: Retention,
        own: Mapping[EntityId, Retention],
        *,
        abandoned: bool,
    ) -> Collected:
        if abandoned:
            self._abandoned()
        self._condemned_before(datasets)
        for dataset in datasets:
            self._replaced(dataset, own.get(dataset.id, retention))
        return self.done

    def _abandoned(self) -> None:
        after = ""
        look = self.by.garbage.reapable if self.by.rehearsed else self.by.garbage.reap
        while True:
            reach("gc.reap.before")
            found = look(after=after, limit=BATCH)
            reach("gc.reap.after")
            if not found:
                return
            after = found[-1].location
            removed = [one.location for one in self._remove("abandoned", found)]
            if removed and not self.by.rehearsed:
                reach("gc.forget.before")
                self.by.garbage.forget(removed)
                reach("gc.forget.after")

    def _condemned_before(self, datasets: Collection[Entity]) -> None:
        """What an earlier collection condemned, and did not come to remove."""
        after = None
        while found := self.by.garbage.condemned(datasets, after=after, limit=BATCH):
            after = found[-1].materialization_id
            self._clear(found)

    def _replaced(self, dataset: Entity, retention: Retention) -> None:
        """One pass over what was committed, without a lock; what is condemned is looked at again under the lock."""
        after = None
        while True:
            looked = self.by.garbage.look(dataset, retention, after=after, limit=LOOK)
            here = [one for one in looked.garbage if self._at(place(one.location)[0]) is not None]
            for some in (here[start : start + BATCH] for start in range(0, len(here), BATCH)):
                self._clear(some if self.by.rehearsed else self._condemn(dataset, retention, some))
            after = looked.last
            if after is None:
                return

    def _condemn(self, dataset: Entity, retention: Retention, some: Sequence[Condemned]) -> Sequence[Condemned]:
        reach("gc.condemn.before")
        condemned = self.by.garbage.condemn(dataset, retention, [one.materialization_id for one in some])
        reach("gc.condemn.after")
        self.done.condemned += len(condemned)
        return [one for one in some if one.materialization_id in condemned]

    def _clear(self, condemned: Sequence[Condemned]) -> None:
        removed = [one.materialization_id for one in self._remove("replaced", condemned)]
        if removed and not self.by.rehearsed:
            reach("gc.collected.before")
            self.by.garbage.collected(removed)
            reach("gc.collected.after")

    def _remove(self, kind: Kind, found: Iterable[Item]) -> Sequence[Item]:
        """Clear places; those that are clear."""
        return list(self._removed(kind, found))

    def _removed(self, kind: Kind, found: Iterable[Item]) -> Iterator[Item]:
        for one in found:
            endpoint, path = place(one.location)
            clearing = self._at(endpoint)
            if clearing is None:
                continue
            try:
                files, size = self._take(clearing, path)
            except EndpointAway as error:
                self.done.away[endpoint] = error
                continue
            except MetadataError as error:
                self.done.left[one.location] = error
                continue
            self.done.gone.append(Gone(kind, one.location, files, size))
            self.by.progress(self.done)
            yield one

    def _take(self, clearing: Clearing, path: str) -> tuple[int, int]:
        if self.by.rehearsed:
            return clearing.size(path)
        reach("gc.remove.before")
        removed = clearing.remove(path)
        reach("gc.remove.after")
        return removed

    def _at(self, endpoint: str) -> Clearing | None:
        """The endpoint, opened when it is first asked for; None when it is away, which is told once."""
        if endpoint in self.done.away:
            return None
        if endpoint not in self.open:
            try:
                self.open[endpoint] = self.endpoints.enter_context(self.by.storage_of(endpoint).clearing())
            except MetadataError as error:
                self.done.away[endpoint] = error
                return None
        return self.open[endpoint]
