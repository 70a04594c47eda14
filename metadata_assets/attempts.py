"""Attempts in this process: one for each try of a step, from its start to its last output."""

import threading
import uuid
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import dagster as dg

from identity.ids import Entity
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step
from metadata_assets.datasets import key_of
from resources.metadata.steps import Begun
from resources.models import Attempt, Read
from resources.step_store import StepStore

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
    outputs: dict[CanonicalKey, Entity] = field(default_factory=dict)
    """What its datasets were when it began, as far as anybody knew them."""
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


def progress_of(step: Step, store: StepStore, token: int | None = None) -> Progress:
    """The attempt that is running in this step.

    The first call takes its fencing token, so call it before any work; after some work, give a `token` from before it.
    """
    found = begun(step)
    if found is not None:
        return found
    if token is not None:
        return begin(step, Begun(fencing_token=token, found=[], outputs={}))
    return begin(step, store.begin_step(outputs_of(step)))


def begun(step: Step) -> Progress | None:
    """The attempt that is running in this step, if it has begun."""
    with _lock:
        return _attempts.get(step.identity)


def begin(step: Step, with_this: Begun) -> Progress:
    """The attempt of this step from now on; where another thread was faster, the one that it began."""
    run_id, step_key, retry_number = step.identity
    attempt = Attempt(
        id=uuid.uuid4(),  # an attempt is never repeated: what repeats is the intent
        run_id=run_id,
        step_key=step_key,
        retry_number=retry_number,
        fencing_token=with_this.fencing_token,
    )
    with _lock:
        found = _attempts.setdefault(step.identity, Progress(attempt, dict(with_this.outputs)))
        while len(_attempts) > _KEPT:
            _attempts.popitem(last=False)
    return found


def outputs_of(step: Step) -> set[CanonicalKey]:
    """The datasets that this step writes."""
    return {key_of(asset_key, metadata) for asset_key, metadata in step.produced.items()}
