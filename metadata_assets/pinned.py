"""What a run reads its inputs at: the pin that it names, else what is published."""

from typing import ClassVar, Final

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from metadata_assets._dagster import Step
from metadata_assets.intent import first_run
from resources.metadata_store import MetadataStore

PIN_TAG: Final = "metadata_assets/pin"


class PinNotOpen(MetadataError):
    """this run reads at pin {name}, which is {state}; pin it anew unless somebody has, and start a new run, \
or run without it"""

    name: str
    state: str
    exit_code: ClassVar[int] = 3


def pin_of(step: Step, configured: str | None) -> str | None:
    """The name of the pin that this run reads at. The tag `metadata_assets/pin` outranks what is configured."""
    return step.run.tags.get(PIN_TAG) or configured or None


def read_at(step: Step, store: MetadataStore, dataset: CanonicalKey, pin: str) -> int | None:
    """The number of the version that a dataset is read at by this run; None where the pin has not this dataset.

    It is of the same pin for all that a run reads, in every process, and for who goes on with the run after it failed.
    Raises UnknownPin, PinNotOpen.
    """
    found = store.read_at_pin(first_run(step.instance, step.run), pin, dataset)
    if found.state != "open":
        raise PinNotOpen(name=pin, state=found.state)
    return found.version
