"""StepStore: the part of the metadata store that every step of a run asks, and a process of its own for each loads."""

from dataclasses import dataclass

from resources.metadata.check_results import CheckResults
from resources.metadata.materializations import Materializations
from resources.metadata.steps import Steps


@dataclass(frozen=True, slots=True)
class StepStore(Steps, Materializations, CheckResults):
    """Begin a step, record what it made, and say which checks that waits for."""
