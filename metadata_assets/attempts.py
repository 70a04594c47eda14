"""Attempts in this process: one for each try of a step, from its start to its last output."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from metadata_assets._dagster import Step
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Read

_KEPT = 256
_lock = threading.Lock()
_attempts: "OrderedDict[tuple[str, str, int], Progress]" = OrderedDict()


@dataclass(slots=True)
class Progress:
    """An attempt and what it has read so far, by asset key and then by partition of that asset."""

    attempt: Attempt
    reads: dict[dg.AssetKey, dict[str | None, Read]] = field(default_factory=dict)

    def note(self, asset_key: dg.AssetKey, reads: Sequence[Read]) -> None:
        """Remember what was read of an asset."""
        self.reads.setdefault(asset_key, {}).update({read.partition: read for read in reads})


def progress_of(step: Step, store: MetadataStore) -> Progress:
    """The attempt that is running in this step. The first call takes its fencing token: call it before any work."""
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
        fencing_token=store.next_fencing_token(),
    )
    with _lock:
        found = _attempts.setdefault(step.identity, Progress(attempt))
        while len(_attempts) > _KEPT:
            _attempts.popitem(last=False)
    return found
