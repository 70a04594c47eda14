"""flock: locks that the kernel gives back when their process ends, however it ends.

A flock belongs to what was opened, and a forked child shares it: as long as the child lives, so does the lock. So a
fork waits until no thread is between two steps here (`gate`), and the child closes its copies at once, holding nothing.
Children started by subprocess never see the descriptors (close-on-exec), unless one is passed to them by name.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

SHARED, EXCLUSIVE = fcntl.LOCK_SH, fcntl.LOCK_EX

_LOWEST = (
    10  # a process started without stdin would otherwise get descriptor 0, and hand it to every child as its stdin
)

gate = threading.RLock()  # held by whoever takes locks in several steps, and during a fork
_held: "set[Lock]" = set()


class Lock:
    """A flock of this process, until `release` or the end of the process."""

    __slots__ = ("_file", "fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self.fd = path, fd
        self._file = os.fstat(fd)
        _held.add(self)

    def release(self) -> None:
        """Give this process's hold back. Never by LOCK_UN, which would take it from everybody who shares it."""
        if self in _held:
            _held.discard(self)
            if self._open():
                os.close(self.fd)

    close = release

    def counts(self) -> bool:
        """Whether it is still held, and on the file that others would lock: not deleted, not closed behind our back."""
        return self in _held and self._open() and self._at_its_path()

    def _open(self) -> bool:
        try:  # a daemon may have closed every descriptor, and use the number for a file of its own by now
            return os.path.samestat(os.fstat(self.fd), self._file)
        except OSError:
            return False

    def _at_its_path(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except FileNotFoundError:
            return False


def opened(path: Path) -> int:
    """A new descriptor of the lock file, made if missing; not locked, closed on exec."""
    first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        return fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, _LOWEST)
    finally:
        os.close(first)


def take(path: Path, kind: int) -> Lock:
    """Wait for the lock, however long its holders live."""
    while True:
        lock = Lock(path, opened(path))
        with contextlib.ExitStack() as undo:
            undo.callback(lock.release)
            fcntl.flock(lock.fd, kind)
            if lock.counts():  # else the file was replaced while we waited: nobody else looks at the old one
                undo.pop_all()
                return lock


def take_if_free(path: Path, kind: int) -> Lock | None:
    """The lock, or None at once when somebody is in the way."""
    lock = Lock(path, opened(path))
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock.fd, kind | fcntl.LOCK_NB)
            undo.pop_all()
            return lock
    return None


@contextlib.contextmanager
def holding(path: Path, kind: int) -> Iterator[Lock]:
    """Hold the lock for the length of a block."""
    lock = take(path, kind)
    try:
        yield lock
    finally:
        lock.release()


def _hold_nothing() -> None:
    for lock in list(_held):
        lock.release()
    gate.release()


os.register_at_fork(before=gate.acquire, after_in_parent=gate.release, after_in_child=_hold_nothing)
