"""A program with all the processes that it starts: kept together, asked to stop together, gone together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import psutil

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HARDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
_LEADERLESS = 3.0  # seconds; nobody tells the others to go any more


@dataclass(slots=True)
class Signals:
    """Counts the requests to stop, instead of dying of them. Each makes `Group.stop` ask harder at once."""

    asked: int = 0
    _before: dict[signal.Signals, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._ask) for each in _ASKING}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def sleep(self, seconds: float) -> float:
        """Sleep, not past a request; how long it took."""
        started, before = time.monotonic(), self.asked
        while self.asked == before and (left := started + seconds - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return time.monotonic() - started

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1


@dataclass(frozen=True, slots=True)
class Group:
    """A program in a session of its own, so that signals reach it from us and from nobody else."""

    leader: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Self:
        """Start it, with all its output on our stderr.

        Call it inside `Signals`: a signal that we handle is one that the program starts with the default for, even
        where a shell made us ignore it.
        """
        return cls(
            subprocess.Popen(
                command, cwd=folder, env=dict(environment), start_new_session=True, stdin=subprocess.DEVNULL, stdout=2
            )
        )

    @property
    def pid(self) -> int:
        return self.leader.pid

    @property
    def running(self) -> bool:
        return self.leader.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the program itself; None while it runs."""
        return self.leader.poll()

    def stop(self, signals: Signals, *, patience: float = 30.0) -> None:
        """No process of the group any more. Asks politely first, and harder when that takes longer than the patience.

        Every further signal to us makes it ask harder at once.
        """
        for number in _HARDER:
            if not self._members():
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            self._wait(signals, patience)

    def _wait(self, signals: Signals, patience: float) -> None:
        until, before, led = time.monotonic() + patience, signals.asked, True
        while self._members() and time.monotonic() < until and signals.asked == before:
            if led and not self.running:
                led, until = False, min(until, time.monotonic() + _LEADERLESS)
            time.sleep(0.05)

    def _members(self) -> list[int]:
        """Those that still run. A dead one that nobody has collected is none."""
        self.leader.poll()
        return list(_running_in(self.pid))


def _running_in(group: int) -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
