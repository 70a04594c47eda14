"""Attempts in this process: one for each try of a step, from its start to its last output."""

import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import dagster as dg

from metadata_assets._dagster import Step
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Read

_KEPT = 256
_lock = threading.Lock()
_attempts: "OrderedDict[tuple[str, str, int], Progress]" = OrderedDict()
_computing: ContextVar[tuple[str | None] | None] = ContextVar("computing", default=None)


@contextmanager
def computing(partition: str | None) -> Iterator[None]:
    """What is read in this block is read for this partition of the run."""
    before = _computing.set((partition,))
    yield
    _computing.reset(before)


@dataclass(slots=True)
class Progress:
    """An attempt and what it has read so far, by asset key and then by partition of that asset."""

    attempt: Attempt
    reads: dict[dg.AssetKey, dict[str | None, Read]] = field(default_factory=dict)
    _rows: "Counter[tuple[dg.AssetKey, tuple[str | None] | None]]" = field(default_factory=Counter)

    def note(self, asset_key: dg.AssetKey, reads: Sequence[Read]) -> None:
        """Remember what was read of an asset."""
        self.reads.setdefault(asset_key, {}).update({read.partition: read for read in reads})

    def count(self, asset_key: dg.AssetKey, rows: int) -> None:
        """Count rows that a query of a source table answered with, for the partition that is being computed."""
        self._rows[asset_key, _computing.get()] += rows

    def counted(self, asset_key: dg.AssetKey, read: Read, partition: str | None, *, only: bool) -> Read:
        """A read with the rows that one partition of the run took; without a number where they cannot be told apart.

        Rows read for all partitions together belong to a partition only when it is the only one of the run.
        """
        rows = {of: number for (key, of), number in self._rows.items() if key == asset_key}
        if not rows or (not only and (partition,) not in rows):
            return read
        return replace(read, metadata={"rows_read": sum(rows.values()) if only else rows[(partition,)]})


def progress_of(step: Step, store: MetadataStore, token: int | None = None) -> Progress:
    """The attempt that is running in this step.

    The first call takes its fencing token, so call it before any work; after some work, give a `token` from before it.
    """
    with _lock:
        found = _attempts.get(step.identity)
    if found is not None:
        return found
    run_id, step_key, retry_number = step.identity
    attempt = Attempt(
        id=uuid.uuid4(),  # an attempt is never repeated: what repeats is the intent
        run_id=run_id,
        step_key=step_key,
        retry_number=retry_number,
        fencing_token=store.next_fencing_token() if token is None else token,
    )
    with _lock:
        found = _attempts.setdefault(step.identity, Progress(attempt))
        while len(_attempts) > _KEPT:
            _attempts.popitem(last=False)
    return found
