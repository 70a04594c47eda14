"""When to collect: a pure decision from what a sensor remembers and what it sees now."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final, Self

from identity.ids import sha256_of

FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(hours=1)
"""How long nothing is asked at most after looks, or collections, that failed one after the other."""


class Run(Enum):
    """What became of the run that was asked for last."""

    NONE = auto()
    ACTIVE = auto()
    FAILED = auto()
    SUCCEEDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a sensor keeps between its looks; moments are seconds since 1970.

    `sequence` numbers the requests: Dagster launches nothing for a run key that it has seen, and a schema that comes
    back has an old fingerprint. After `failures` in a row nothing is asked for before `ask_at`. After `away` looks in a
    row that failed, the first of them at `down_since`, there is no look before `look_at`.
    """

    sequence: int = 0
    fingerprint: str | None = None
    failures: int = 0
    ask_at: float = 0.0
    away: int = 0
    down_since: float = 0.0
    look_at: float = 0.0

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """From a cursor; a new sensor has none, and what an older release remembered besides is left out."""
        kept = json.loads(cursor) if cursor else {}
        return cls(**{name: value for name, value in kept.items() if name in cls.__slots__})

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


def waits(failed: int, name: str) -> timedelta:
    """How long to wait after so many failures in a row: twice as long each time, up to LONGEST_WAIT.

    A quarter of it at most is left out, by the endpoint's name: those that went away together are not asked together.
    """
    doublings = min(failed, 32) - 1
    whole = min(FIRST_WAIT.total_seconds() * 2.0**doublings, LONGEST_WAIT.total_seconds())
    return timedelta(seconds=whole * (1 - sha256_of(name)[0] / 1024))


def resting(memory: Memory, now: datetime) -> Decision | None:
    """Not to look now, while an endpoint that did not answer is given time; None when it is time to look."""
    if not _is_ahead(memory.look_at, now):
        return None
    return Decision(memory, _down(memory))


def _is_ahead(moment: float, now: datetime) -> bool:
    """Whether it is still to come. One that is further ahead than any wait is of a clock that was wrong."""
    return 0 < moment - now.timestamp() <= LONGEST_WAIT.total_seconds()


def away(memory: Memory, reason: str, *, name: str, now: datetime) -> Decision:
    """What to remember of a look that failed: nothing was learnt, and the next look is further away each time."""
    failed = memory.away + 1
    since = memory.down_since if memory.away else now.timestamp()
    look_at = (now + waits(failed, name)).timestamp()
    memory = replace(memory, away=failed, down_since=since, look_at=look_at)
    return Decision(memory, f"{reason}; {_down(memory)}")


def _down(memory: Memory) -> str:
    looks = "1 look" if memory.away == 1 else f"{memory.away} looks in a row"
    return f"{looks} failed, it is down since {_moment(memory.down_since)}; no look before {_moment(memory.look_at)}"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def decide(memory: Memory, *, seen: str, collected: str | None, last_run: Run, name: str, now: datetime) -> Decision:
    """Whether the schema `seen` has to be collected, when `collected` is the one in the store.

    Once for each change; again only when that run ended and the store still says something else, and after failures
    at growing distances.
    """
    memory = replace(memory, away=0, down_since=0.0, look_at=0.0)
    if seen == collected:
        settled = replace(memory, fingerprint=seen, failures=0, ask_at=0.0)
        return Decision(settled, "the schema has not changed")
    if seen != memory.fingerprint:
        return Decision(Memory(sequence=memory.sequence + 1, fingerprint=seen), None)
    if last_run is Run.ACTIVE:
        return Decision(memory, "its collection is under way")
    if _is_ahead(memory.ask_at, now):
        return Decision(memory, f"the last collection failed; asking again at {_moment(memory.ask_at)}")
    failures = memory.failures + 1 if last_run is Run.FAILED else 0
    ask_at = (now + waits(failures, name)).timestamp() if failures else 0.0
    return Decision(replace(memory, sequence=memory.sequence + 1, failures=failures, ask_at=ask_at), None)
