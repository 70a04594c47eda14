"""Where an endpoint keeps data: files below a root, or tables of a database. One place for each materialization."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from upath import UPath

from identity.errors import MetadataError
from identity.ids import Entity
from resources.files import marking, places, staging
from resources.files.marking import Known, present_root
from resources.files.scanning import Manifested, manifested
from resources.files.staging import DataMissing, StagingFailed, Written
from resources.models import Attempt

_Answer = TypeVar("_Answer")


class NotRemoved(MetadataError):
    """could not remove {path}: {reason}; the next collection tries again"""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Whose data are written, and by whom: what a place in another database remembers as soft references."""

    entity: Entity
    partition: str | None
    attempt: Attempt
    materialization_id: UUID


class Clearing(Protocol):
    """An endpoint that is there, open for a while to look at or remove the data at many paths."""

    def size(self, path: str) -> tuple[int, int]:
        """How many files or tables are at a path, and how many bytes these have. Raises NotRemoved, EndpointAway."""

    def remove(self, path: str) -> tuple[int, int]:
        """Remove what is at a path; the size that it had, nothing when it is asked again.

        Raises NotRemoved, or EndpointAway when nothing more can be removed.
        """


class Storage(Protocol):
    """Keeps the data of materializations. `path` is what a recorded location says after its endpoint."""

    def path_of(self, entity: Entity, partition: str | None, attempt: Attempt) -> str:
        """Where an attempt writes: no two attempts, datasets or partitions share a path."""

    def write(self, path: str, value: object, writing: Writing) -> Written:
        """Write a value where nothing is yet. Raises NotStorable or StagingFailed; what is left then is garbage."""

    def read(self, path: str, manifest_sha256: bytes) -> Any:
        """The value at a path, if it is what was committed. Raises DataDamaged, or DataUnreadable."""

    def exists(self, path: str) -> bool:
        """Whether a whole value is there, or it cannot be told."""

    def clearing(self) -> AbstractContextManager[Clearing]:
        """Open the endpoint to remove data. Raises EndpointAway where it is not there: then nothing of it is gone."""

    def shown(self, path: str) -> str:
        """For people: where that is. It may hold what only they may see, so scrub it."""


@dataclass(frozen=True, slots=True)
class FileStorage:
    """Files below a root, which is marked as the endpoint's before the first of them is written."""

    endpoint: str
    root: UPath
    known: Known = field(default=tuple, repr=False)
    """Some locations that the endpoint has by the word of the control plane, for a root that is not marked."""
    _claimed: set[UPath] = field(default_factory=set, init=False, repr=False, compare=False)
    """The root, once it was seen marked, if it is nothing that is mounted: then it is not asked again."""

    def path_of(self, entity: Entity, partition: str | None, attempt: Attempt) -> str:
        return staging.path_of(entity.id, partition, attempt)

    def write(self, path: str, value: object, writing: Writing) -> Written:  # noqa: ARG002 files have no references
        """Raises RootNotThere, too."""
        try:
            if not self._claimed:
                marking.claim(self.endpoint, self.root, self.known)
        except marking.RootUnreadable as error:
            raise StagingFailed(path=str(self.root / path), reason=error.reason) from error
        except places.failures() as error:
            raise StagingFailed(path=str(self.root / path), reason=places.reason_of(error)) from error
        if not places.is_local(self.root):
            self._claimed.add(self.root)
        return staging.write(self.root / path, value)

    def read(self, path: str, manifest_sha256: bytes) -> Any:
        """Raises RootNotThere, too."""
        return self._found(lambda: staging.read(self.root / path, manifest_sha256))

    def manifested(self, path: str, manifest_sha256: bytes) -> Manifested:
        """What is at a path, by its manifest, if it is what was committed; data are read later. Raises as `read`."""
        return self._found(lambda: manifested(self.root / path, manifest_sha256))

    def exists(self, path: str) -> bool:
        return staging.is_there(self.root / path) or not self._is_there()

    @contextmanager
    def clearing(self) -> Iterator[Clearing]:
        yield Folders(present_root(self.endpoint, self.root))

    def shown(self, path: str) -> str:
        return str(self.root / path)

    def _found(self, look: Callable[[], _Answer]) -> _Answer:
        """Nothing is missing from a root that is not there."""
        try:
            return look()
        except DataMissing:
            present_root(self.endpoint, self.root)
            raise

    def _is_there(self) -> bool:
        try:
            present_root(self.endpoint, self.root)
        except marking.RootNotThere:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders below a root that is there."""

    root: UPath

    def size(self, path: str) -> tuple[int, int]:
        files = self._asked(path, lambda folder: list(places.files_below(folder)))
        return len(files), sum(one.byte_count for one in files)

    def remove(self, path: str) -> tuple[int, int]:
        return self._asked(path, lambda folder: places.remove(folder, first=staging.MANIFEST))

    def _asked(self, path: str, ask: Callable[[UPath], _Answer]) -> _Answer:
        try:
            return ask(self.root / path)
        except places.failures() as error:
            raise NotRemoved(path=str(self.root / path), reason=places.reason_of(error)) from None
