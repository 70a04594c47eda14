"""What a process does beside a run, in a thread of its own and in order, while Dagster goes on with it.

Records are made, and what a step begins with is asked for as soon as Dagster has begun it. Whatever was on its way is
there before the next step begins, and before the run ends: so each step sees what those before it delivered.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from metadata_assets._dagster import Step
from metadata_assets.needs import Needs, Partitions
from metadata_assets.planned import Planned
from resources.configurable import MetadataResource
from resources.metadata.steps import Begun
from resources.step_store import StepStore

MOST: Final = 64
"""So many records may be on their way for a run; whoever has one more waits for the first."""


class _Thread:
    """One for the process, begun when first used. Python waits for it when the process ends, before anything closes."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metadata-assets")


_thread = _Thread()
os.register_at_fork(after_in_child=_thread.__init__)  # type: ignore[misc]  # threads stay behind in the parent


def may_go_beside() -> bool:
    """Whether this process begins work beside a run: not once its main thread has ended, which others may outlive."""
    return threading.main_thread().is_alive()


@dataclass(slots=True)
class Beside:
    """What is on its way for one run in this process."""

    metadata: MetadataResource
    unrecorded: set[dg.AssetKey] = field(default_factory=set)
    """What the run has made, and its record is not there: nobody knows what is read of it."""
    _store: StepStore | None = None
    _records: deque[tuple[Future[None], Callable[[BaseException], None]]] = field(default_factory=deque)
    _begun: tuple[str, Needs, "Future[Begun]"] | None = None

    @property
    def store(self) -> StepStore:
        """The store of the run's records, opened when first asked for; raises what `open_once` does."""
        if self._store is None:
            self._store = self.metadata.step_store()
        return self._store

    def record(self, work: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        """Do this work soon. `failed` gets what it raised, in the thread of whoever waits for it."""
        while len(self._records) >= MOST:
            self._settle()
        self._records.append((_thread.pool.submit(work), failed))

    def settled(self) -> None:
        """Wait until every record is made, or has failed."""
        while self._records:
            self._settle()

    def begin(self, step: Planned, by: Callable[[Callable[[], Begun]], Callable[[], Begun]]) -> None:
        """Ask what a step begins with, behind the records on their way. Dagster has begun it: it has done no work.

        `by` makes of what asks what is called. Raises MetadataError where a key is none.
        """
        self._begun = None
        needs = Needs.of(step.asset_graph, step.partitions)
        self._begun = step.key, needs, _thread.pool.submit(by(lambda: needs.begun(self.store)))

    def begun(self, step: Step, partitions: Mapping[dg.AssetKey, Partitions]) -> tuple[Needs, Begun]:
        """What a step needs and begins with: as asked ahead if that was for these partitions, else asked now."""
        ahead, self._begun = self._begun, None
        if ahead is not None and ahead[0] == step.key and ahead[1].partitions == partitions:
            begun = ahead[2].result()
            self.settled()
            return ahead[1], begun
        self.settled()
        needs = Needs.of(step.asset_graph, partitions)
        return needs, needs.begun(self.store)

    def _settle(self) -> None:
        future, failed = self._records.popleft()
        error = future.exception()
        if error is not None:
            failed(error)
