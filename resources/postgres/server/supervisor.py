"""The small process that outlives every user of a server and stops it when the last one is gone.

It waits for an exclusive lock on the file on which every user holds a shared one. The kernel gives that to it when
there is no user left, whether they ended, crashed or were killed; as long as it holds it, no new user gets in.
"""

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

import resources
from resources.postgres.server import locks
from resources.postgres.server.account import start_detached
from resources.postgres.server.postmaster import Inode, inode, processes, shut_down, wait_until

LATE_START = 3.0  # seconds within which a server that was launched shows up

# Isolated from the user's environment and site-packages (no .pth file runs); it finds us and psutil by these two paths.
_BOOT = (
    "import sys; sys.path += sys.argv[1:3]; from resources.postgres.server.supervisor import main; main(sys.argv[3:])"
)


def ensure(home: Path, data: Path) -> None:
    """Start a supervisor for the server of this home unless it has one. The caller is a registered user."""
    post = locks.take_if_free(home / "supervisor.lock", locks.EXCLUSIVE)
    if post is None:
        return
    users = locks.opened(home / "users.lock")
    try:
        roots = [os.fspath(Path(str(module.__file__)).parents[1]) for module in (resources, psutil)]
        place = inode(data) or (0, 0)
        facts = [post.fd, users, *place, data, launching(home)]
        start_detached(
            [sys.executable, "-I", "-S", "-B", "-c", _BOOT, *roots, *(str(fact) for fact in facts)],
            keep=[post.fd, users],
        )
    finally:
        os.close(users)
        post.release()  # our copy of it: the supervisor was born holding the lock, so there are never two


def launching(home: Path) -> Path:
    """A file that exists while somebody launches a server: after a kill at that moment, one may still appear."""
    return home / "launching"


def main(arguments: Sequence[str]) -> None:
    """Wait until nobody uses the server, then stop it."""
    post, users, device, number, data, mark = arguments
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    fcntl.flock(int(users), fcntl.LOCK_EX)
    os.close(int(post))  # before anybody can become a user again: who finds this lock held has a waiting supervisor
    _finish(Path(data), (int(device), int(number)), Path(mark))


def _finish(data: Path, born: Inode, mark: Path) -> None:
    if mark.exists():
        wait_until(lambda: bool(processes(_places(data, born))), LATE_START)
    shut_down(_places(data, born))
    with contextlib.suppress(OSError):
        mark.unlink()


def _places(data: Path, born: Inode) -> set[Inode]:
    """The data directory when we came (it may be moved or deleted since) and what has its name now (if made anew)."""
    return {place for place in (born, inode(data)) if place is not None}
