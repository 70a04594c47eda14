"""The server process of a data directory: is one alive, which one, does it answer; starting, waiting, shutting down.

postmaster.pid is a hint, never evidence: its pid may be recycled by another program, be a zombie, or half-written.
Evidence is a live process called postgres whose working directory is the data directory (PostgreSQL goes there first
thing and stays), compared by device and inode, so a directory that was moved or deleted under it is recognised too.
Only the standard library and psutil here: the supervisor lives on this.
"""

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

import psutil

Inode = tuple[int, int]

PORT = "5432"  # nobody listens on it: it is part of the socket's name
SOCKET_NAME = f".s.PGSQL.{PORT}"
_PAUSE = 0.01
# A length and a code: https://www.postgresql.org/docs/18/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_LINUX = sys.platform == "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """What postmaster.pid says."""

    pid: int
    sockets: str
    status: str  # starting, ready, stopping, standby; empty before the server wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Everything we can see of a data directory's server."""

    pid_file: PidFile | None  # None: there is none, or it is torn
    postmaster: int | None  # the live main process
    children: tuple[int, ...] = ()  # live processes of it; not looked for when the pid file names the postmaster
    reachable: bool = True  # there is a socket; somebody answers on it, when no live process is visible


class State(Enum):
    """What to do about it."""

    RUNNING = auto()  # use it
    ABSENT = auto()  # whatever files lie about are stale: clean up and start one
    CHANGING = auto()  # it starts, recovers or stops: wait
    UNNAMED = auto()  # alive, but without its pid file or socket: just starting, or lost; wait a little, then stop it
    ORPHANED = auto()  # its main process is dead, others still are not: stop them
    FOREIGN = auto()  # alive, and not on our socket: not ours, hands off


def judge(sight: Sight, sockets: Path) -> State:
    """The state of a server that should listen in our socket directory."""
    named = sight.pid_file
    if sight.postmaster is None:
        if sight.children:
            return State.ORPHANED
        if named is None or not sight.reachable:
            return State.ABSENT
        # Alive but not visible, as from another container on the same files: it is shared like any other.
        return State.RUNNING if named.status == "ready" else State.CHANGING
    if named is None or named.pid != sight.postmaster:
        return State.UNNAMED
    if not named.status and not named.sockets:
        return State.CHANGING
    if named.sockets != os.fspath(sockets):
        return State.FOREIGN
    if named.status != "ready":
        return State.CHANGING
    return State.RUNNING if sight.reachable else State.UNNAMED


def parse_pid_file(text: str) -> PidFile | None:
    """The content of postmaster.pid; None when it is torn. A single-user server writes its pid negative."""
    lines = [*(line.strip() for line in text.splitlines()), *[""] * 8]
    try:
        pid = abs(int(lines[0]))
    except ValueError:
        return None
    return PidFile(pid=pid, sockets=lines[4], status=lines[7]) if pid else None


def look(data: Path, sockets: Path) -> Sight:
    """See the server of a data directory."""
    named = _read_pid_file(data)
    place = inode(data)
    if named is not None and place is not None and _works_in(named.pid, {place}):
        return Sight(pid_file=named, postmaster=named.pid, reachable=(sockets / SOCKET_NAME).exists())
    alive = processes({place} if place is not None else set())
    main = next(iter(_mains(alive)), None)
    if main is None and not alive:
        return Sight(pid_file=named, postmaster=None, reachable=named is not None and _answers(sockets / SOCKET_NAME))
    children = tuple(process.pid for process in alive if process is not main)
    return Sight(pid_file=named, postmaster=main.pid if main else None, children=children)


def remove_stale_files(data: Path, sockets: Path) -> None:
    """Remove what would keep a new server from starting; only when the state is ABSENT."""
    for path in (data / "postmaster.pid", sockets / SOCKET_NAME, sockets / f"{SOCKET_NAME}.lock"):
        path.unlink(missing_ok=True)


def processes(places: Collection[Inode]) -> list[psutil.Process]:
    """The live processes of PostgreSQL that work in one of these directories; zombies have no directory."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            if _works_in(pid, places):
                found.append(psutil.Process(pid))
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies not counted."""
    try:
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def shut_down(places: Collection[Inode], *, checkpoint: bool = True) -> bool:
    """Stop every server in these directories: politely, then firmly, then for good. True when none is left.

    Politely includes a checkpoint, which data that nobody will read again do not need.

    Signals to verified processes rather than `pg_ctl stop`, which trusts the pid in the file, and needs programs that
    may be deleted by now. SIGINT is its `-m fast`, SIGQUIT its `-m immediate`; SIGKILL too loses no commit.
    """
    for order, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        found = processes(places)
        mains = _mains(found)
        if order is signal.SIGINT and (not mains or not checkpoint):
            continue  # to orphans it would only mean to cancel a query
        for process in found if not mains or order is signal.SIGKILL else mains:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(order)
        wait_until(partial(_all_gone, found, places), seconds)
    return not processes(places)


def _all_gone(those: Collection[psutil.Process], places: Collection[Inode]) -> bool:
    return not any(_works_in(process.pid, places) for process in those)


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Poll until it happened; False when it did not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def inode(path: Path | str) -> Inode | None:
    """What identifies a directory, whatever its name is now; None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of every process on the machine: a Path takes longer than the answer
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _works_in(pid: int, places: Collection[Inode]) -> bool:
    try:
        return _working_directory(pid) in places and psutil.Process(pid).name().startswith("postgres")
    except psutil.Error:
        return False


def _working_directory(pid: int) -> Inode | None:
    if _LINUX:
        return inode(f"/proc/{pid}/cwd")  # followed by the kernel to the directory itself, even a deleted one
    return inode(psutil.Process(pid).cwd())


def _mains(found: Collection[psutil.Process]) -> list[psutil.Process]:
    """The postmasters: no children of others here, not called "postgres: writer" or so, as those call themselves."""
    pids = {process.pid for process in found}
    mains = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in pids and not "".join(process.cmdline()[:1]).startswith("postgres:"):
                mains.append(process)
    return mains


def _read_pid_file(data: Path) -> PidFile | None:
    try:
        return parse_pid_file((data / "postmaster.pid").read_text(errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _answers(path: Path) -> bool:
    """Whether a server answers on the socket. A connection alone proves nothing.

    The kernel gives back a killed process's directory before it closes its sockets, so for a moment a server that
    cannot be seen any more still takes connections.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(os.fspath(path))
            probe.sendall(_SSL_REQUEST)
            return bool(probe.recv(1))
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            return False
        except OSError:  # the queue is full, or the like: somebody is there
            return True
