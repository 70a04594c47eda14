"""Collection of garbage: the database decides and commits, then files go, then the database forgets.

Whatever a crash leaves between two of these steps is found and finished by the next collection, and doing it twice
does no harm. What cannot be removed now (no access, a disk that is not mounted) stays for the next one, too.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from upath import UPath

from identity.errors import MetadataError
from identity.ids import Entity
from resources.failpoints import reach
from resources.files import places
from resources.locations import place
from resources.metadata.garbage import Garbage, Retention
from resources.storage import Storage

Kind = Literal["abandoned", "replaced"]
Progress = Callable[["Collected"], None]
BATCH = 200
"""How much is decided before files go, and is done anew after a crash."""


class RootNotThere(MetadataError):
    """the files of endpoint {endpoint} are not at {root}; mount it, or add the endpoint to the project with its root"""

    endpoint: str
    root: str


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
    """What a collection has done so far. `left` are the places that could not be cleared, and why."""

    gone: list[Gone] = field(default_factory=list)
    left: dict[str, MetadataError] = field(default_factory=dict)
    condemned: int = 0

    def count(self, kind: Kind) -> int:
        return sum(one.kind == kind for one in self.gone)

    @property
    def byte_count(self) -> int:
        return sum(one.byte_count for one in self.gone)


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects garbage of one tenant. `storage_of` says where an endpoint keeps data, or raises a MetadataError.

    `rehearsed`, nothing changes: it tells what would go.
    """

    garbage: Garbage
    storage_of: Callable[[str], Storage]
    rehearsed: bool = False
    progress: Progress = lambda _so_far: None

    def collect(self, datasets: Collection[Entity], retention: Retention, *, abandoned: bool = True) -> Collected:
        """Collect what abandoned attempts left, if asked for, and the replaced data of these datasets."""
        done = Collected()
        if abandoned:
            self._abandoned(done)
        self._replaced(done, datasets)  # of an earlier collection, first
        for dataset in datasets:
            if self.rehearsed:
                found = self.garbage.condemnable(dataset, retention, limit=1_000_000)
                self._remove("replaced", found, done)
                continue
            while True:
                reach("gc.condemn.before")
                count = self.garbage.condemn(dataset, retention, limit=BATCH)
                reach("gc.condemn.after")
                done.condemned += count
                if count == 0:
                    break
                self._replaced(done, [dataset])
        return done

    def _abandoned(self, done: Collected) -> None:
        after = ""
        look = self.garbage.reapable if self.rehearsed else self.garbage.reap
        while True:
            reach("gc.reap.before")
            found = look(after=after, limit=BATCH)
            reach("gc.reap.after")
            if not found:
                return
            after = found[-1].location
            removed = [one.location for one in self._remove("abandoned", found, done)]
            if removed and not self.rehearsed:
                reach("gc.forget.before")
                self.garbage.forget(removed)
                reach("gc.forget.after")

    def _replaced(self, done: Collected, datasets: Collection[Entity]) -> None:
        after = None
        while found := self.garbage.condemned(datasets, after=after, limit=BATCH):
            after = found[-1].materialization_id
            removed = [one.materialization_id for one in self._remove("replaced", found, done)]
            if removed and not self.rehearsed:
                reach("gc.collected.before")
                self.garbage.collected(removed)
                reach("gc.collected.after")

    def _remove(self, kind: Kind, found: Iterable[Item], done: Collected) -> Sequence[Item]:
        """Clear places; those that are clear."""
        return list(self._removed(kind, found, done))

    def _removed(self, kind: Kind, found: Iterable[Item], done: Collected) -> Iterator[Item]:
        for one in found:
            try:
                files, size = self._take(one.location)
            except MetadataError as error:
                done.left[one.location] = error
                continue
            done.gone.append(Gone(kind, one.location, files, size))
            self.progress(done)
            yield one

    def _take(self, at: str) -> tuple[int, int]:
        endpoint, path = place(at)
        storage = self.storage_of(endpoint)
        if self.rehearsed:
            return storage.size(path)
        reach("gc.remove.before")
        removed = storage.remove(path)
        reach("gc.remove.after")
        return removed


def present_root(endpoint: str, root: UPath) -> UPath:
    """The root of an endpoint, if it is there. Raises RootNotThere.

    A disk that is not mounted has no files, but they are not gone.
    """
    if places.is_local(root) and not places.is_there(root):
        raise RootNotThere(endpoint=endpoint, root=str(root))
    return root
