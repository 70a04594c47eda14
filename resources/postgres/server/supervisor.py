"""The small process that outlives every user of a server and stops it when the last one is gone.

It waits for an exclusive lock on the file on which every user holds a shared one. The kernel gives that to it when
there is no user left, whether they ended, crashed or were killed; as long as it holds it, no new user gets in.
"""

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Sequence
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
    with contextlib.closing(post), _descriptors(home, data) as (users, place):
        roots = [os.fspath(Path(str(module.__file__)).parents[1]) for module in (resources, psutil)]
        facts = [str(fact) for fact in (post.fd, users, place, data, home)]
        command = [sys.executable, "-I", "-S", "-B", "-c", _BOOT, *roots, *facts]
        start_detached(command, keep=[post.fd, users, place])
    # Only our copy of its post was closed: the supervisor was born holding the lock, so there are never two.


def is_one(pid: int) -> bool:
    """Whether this process is a supervisor, also one that has given its post up and stops its server, or has ended."""
    try:
        return _BOOT in psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def launching(home: Path) -> Path:
    """A file that exists while somebody launches a server: after a kill at that moment, one may still appear."""
    return home / "launching"


def main(arguments: Sequence[str]) -> None:
    """Wait until nobody uses the server, then stop it."""
    post, users, place = (int(number) for number in arguments[:3])
    data, home = (Path(path) for path in arguments[3:])
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    fcntl.flock(users, fcntl.LOCK_EX)
    os.close(post)  # before anybody can become a user again: who finds this lock held has a waiting supervisor
    if _is(home / "users.lock", users):
        _finish(_places(place, data), launching(home))
    else:
        shut_down(_places(place))


@contextlib.contextmanager
def _descriptors(home: Path, data: Path) -> Iterator[tuple[int, int]]:
    """The users' lock, opened anew and not locked, and the data directory: held open, its inode is not used again."""
    with contextlib.ExitStack() as opened:
        users = locks.opened(home / "users.lock")
        opened.callback(os.close, users)
        place = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, place)
        yield users, place


def _finish(places: set[Inode], mark: Path) -> None:
    if mark.exists():
        wait_until(lambda: bool(processes(places)), LATE_START)
    shut_down(places)
    with contextlib.suppress(OSError):
        mark.unlink()


def _places(born: int, data: Path | None = None) -> set[Inode]:
    """The data directory of our birth, which may be moved or deleted since, and what has its name now."""
    birth = os.fstat(born)
    named = inode(data) if data is not None else None  # not when the home was made anew: its users are not ours
    return {(birth.st_dev, birth.st_ino), *([named] if named else [])}


def _is(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except OSError:
        return False
