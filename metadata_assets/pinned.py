"""What a run reads its inputs at: the pin that it names, else what is published."""

import threading
from collections import OrderedDict
from typing import ClassVar, Final
from uuid import UUID

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step
from resources.metadata_store import MetadataStore
from resources.version_records import At

PIN_TAG: Final = "metadata_assets/pin"
_KEPT: Final = 256
_lock = threading.Lock()
_pins: "OrderedDict[tuple[str, str], UUID]" = OrderedDict()
"""Which pin a run read at first under a name: all that it reads is of one pin."""


class PinNotOpen(MetadataError):
    """this run reads at pin {name}, which is {state}; pin it anew, or run without it"""

    name: str
    state: str
    exit_code: ClassVar[int] = 3


def reads_at_a_pin(step: Step, configured: str | None) -> bool:
    """Whether this run names a pin."""
    return bool(step.run.tags.get(PIN_TAG) or configured)


def read_at(step: Step, store: MetadataStore, dataset: CanonicalKey, configured: str | None) -> At:
    """The pin that a dataset is read at in this run; None where the run names none, or the pin has not this dataset.

    The tag `metadata_assets/pin` outranks what is configured. Raises UnknownPin, PinNotOpen.
    """
    name = step.run.tags.get(PIN_TAG) or configured
    if not name:
        return None
    pin = store.pin_named(name)
    with _lock:
        first = _pins.setdefault((step.run.run_id, name), pin.id)
        while len(_pins) > _KEPT:
            _pins.popitem(last=False)
    if first != pin.id:
        raise PinNotOpen(name=name, state="another pin than when this process began to read")
    if pin.state != "open":
        raise PinNotOpen(name=name, state=pin.state)
    entities = store.entities([dataset, *(one.key for one in pin.versions)])
    pinned = {entities[one.key].id for one in pin.versions}
    return name if entities[dataset].id in pinned else None
