"""Where an endpoint keeps data: files below a root, or tables of a database. One place for each materialization."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from upath import UPath

from identity.errors import MetadataError
from identity.ids import Entity
from resources.files import places, staging
from resources.files.staging import Written
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

    def size(self, path: str) -> tuple[int, int]:
        """How many files or tables are at a path, and how many bytes these have. Raises NotRemoved."""

    def remove(self, path: str) -> tuple[int, int]:
        """Remove what is at a path; the size that it had, nothing when it is asked again. Raises NotRemoved."""

    def shown(self, path: str) -> str:
        """For people: where that is. It may hold what only they may see, so scrub it."""


@dataclass(frozen=True, slots=True)
class FileStorage:
    """Files below a root."""

    root: UPath

    def path_of(self, entity: Entity, partition: str | None, attempt: Attempt) -> str:
        return staging.path_of(entity.id, partition, attempt)

    def write(self, path: str, value: object, writing: Writing) -> Written:  # noqa: ARG002 files have no references
        return staging.write(self.root / path, value)

    def read(self, path: str, manifest_sha256: bytes) -> Any:
        return staging.read(self.root / path, manifest_sha256)

    def exists(self, path: str) -> bool:
        return staging.is_there(self.root / path)

    def size(self, path: str) -> tuple[int, int]:
        files = self._asked(path, lambda folder: list(places.files_below(folder)))
        return len(files), sum(one.byte_count for one in files)

    def remove(self, path: str) -> tuple[int, int]:
        return self._asked(path, lambda folder: places.remove(folder, first=staging.MANIFEST))

    def shown(self, path: str) -> str:
        return str(self.root / path)

    def _asked(self, path: str, ask: Callable[[UPath], _Answer]) -> _Answer:
        try:
            return ask(self.root / path)
        except places.failures() as error:
            raise NotRemoved(path=str(self.root / path), reason=places.reason_of(error)) from None
