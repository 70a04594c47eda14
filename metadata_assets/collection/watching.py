"""When to collect: a pure decision from what a sensor remembers and what it sees now."""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Self

LONGEST_REST: Final = 12
"""How many ticks at most pass between two looks at an endpoint that does not answer."""
LONGEST_PAUSE: Final = 64
"""How many looks at most pass between two requests while collections of one schema keep failing."""


class Run(Enum):
    """What became of the run that was asked for last."""

    NONE = auto()
    ACTIVE = auto()
    FAILED = auto()
    SUCCEEDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a sensor keeps between its looks.

    `sequence` numbers the requests: Dagster launches nothing for a run key that it has seen, and a schema that comes
    back has an old fingerprint. After `failures` in a row the next `pause` looks ask for nothing. After `away` looks
    in a row that failed, the next `rest` do not even look.
    """

    sequence: int = 0
    fingerprint: str | None = None
    failures: int = 0
    pause: int = 0
    away: int = 0
    rest: int = 0

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """From a cursor; a new sensor has none."""
        return cls(**json.loads(cursor)) if cursor else cls()

    @property
    def cursor(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @property
    def run_key(self) -> str:
        """Of the run that was asked for last."""
        return f"{self.sequence}:{self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to remember, and either to request the run `memory.run_key` or why not."""

    memory: Memory
    skip: str | None


def resting(memory: Memory) -> Decision | None:
    """Not to look now, while an endpoint that did not answer is given time; None when it is time to look."""
    if memory.rest <= 0:
        return None
    left = replace(memory, rest=memory.rest - 1)
    return Decision(left, f"{memory.away} looks in a row failed; looking again after {left.rest + 1} more ticks")


def away(memory: Memory, reason: str) -> Decision:
    """What to remember of a look that failed: nothing was learnt, and the next look is further away each time."""
    failed = memory.away + 1
    rest = min(2 ** (failed - 1) - 1, LONGEST_REST)
    again = f"; {failed} looks in a row failed, looking again after {rest + 1} ticks" if rest else ""
    return Decision(replace(memory, away=failed, rest=rest), reason + again)


def decide(memory: Memory, *, seen: str, collected: str | None, last_run: Run) -> Decision:
    """Whether the schema `seen` has to be collected, when `collected` is the one in the store.

    Once for each change; again only when that run ended and the store still says something else, and after failures
    at growing distances.
    """
    memory = replace(memory, away=0, rest=0)
    if seen == collected:
        settled = replace(memory, fingerprint=seen, failures=0, pause=0)
        return Decision(settled, "the schema has not changed")
    if seen != memory.fingerprint:
        return Decision(Memory(sequence=memory.sequence + 1, fingerprint=seen), None)
    if last_run is Run.ACTIVE:
        return Decision(memory, "its collection is under way")
    if memory.pause > 0:
        paused = replace(memory, pause=memory.pause - 1)
        return Decision(paused, f"the last collection failed; asking again after {paused.pause + 1} more looks")
    failures = memory.failures + 1 if last_run is Run.FAILED else 0
    pause = min(2**failures, LONGEST_PAUSE) if failures else 0
    return Decision(replace(memory, sequence=memory.sequence + 1, failures=failures, pause=pause), None)
