"""A PostgreSQL of our own, from the wheel: started by its first user, shared by all, gone with the last one.

    server = attach(Path(".metadata/postgres"))
    ensure_databases(server, ["metadata", "dagster", "data"])
    engine = create_engine(server.url("metadata", driver="postgresql+psycopg"))

How it is kept, in the files of the home:

| lock              | held by                                                   | how       |
|-------------------|-----------------------------------------------------------|-----------|
| `start.lock`      | who looks whether a server runs, and starts or stops it   | exclusive |
| `users.lock`      | every process that called `attach`, until it ends         | shared    |
| `users.lock`      | the supervisor, while it stops the server; `stop` as well | exclusive |
| `supervisor.lock` | the supervisor, from its birth until it got `users.lock`  | exclusive |

Locks are taken in the order of the table. The supervisor takes none but `users.lock`, and the holder of the start lock
waits for nobody but the supervisor, so there is no circle. What follows:

- Four cold starts at once make one server: the start lock lets them look one after the other.
- A user that ends in any way, kill -9 included, gives its shared lock back, because the kernel does it. Who started
  the server does not matter. When the last one is gone the supervisor gets the exclusive lock, and stops the server.
- A newcomer at that moment waits for the shared lock until the server is down, then starts it. It is never given a
  server that is about to go: from its registration on, no supervisor gets the exclusive lock.
- A supervisor is born holding `supervisor.lock` (it inherits the descriptor), so two newcomers never make two. It gives
  it back as soon as it has nobody left to wait for, so a newcomer never counts on one that is leaving. A killed one is
  replaced by the next `attach`, and by every user that ends normally. Only if it is killed and then every user is too
  does the server stay; the next `attach` finds it and gives it a supervisor.
- The supervisor is started before the server. A starter killed while launching leaves the file `launching`, for which
  the supervisor waits a little for a server that is not visible yet.
- Nobody inherits a user's lock: subprocesses do not see the descriptor, and a process made by fork alone closes it at
  once. Such a child is no user of the server: if it may outlive its parent, it calls `attach` itself. A daemon that
  closes all its descriptors is no user any more either, until it calls `attach` again.

The server listens on a unix socket in a 0700 directory only, and trusts who can enter it. As root it runs as the system
user `postgres`. Its durability is the default: what is committed survives kill -9 and a crash of the machine.
"""

import atexit
import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import errors, sql

from resources.postgres.server import cluster as clusters
from resources.postgres.server import lifecycle, locks, supervisor
from resources.postgres.server.cluster import Cluster
from resources.postgres.server.errors import (
    DataDirectoryLocked,
    EmbeddedServerError,
    ForeignDataDirectory,
    NoPostgresBinaries,
    NoServerAccount,
    ServerDidNotStart,
    WrongPostgresVersion,
)
from resources.postgres.server.postmaster import PORT

__all__ = [
    "DataDirectoryLocked",
    "EmbeddedServerError",
    "ForeignDataDirectory",
    "NoPostgresBinaries",
    "NoServerAccount",
    "Server",
    "ServerDidNotStart",
    "Status",
    "WrongPostgresVersion",
    "abandoned",
    "attach",
    "ensure_databases",
    "status",
    "stop",
]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running server is."""

    socket_directory: Path
    data_directory: Path

    def url(self, database: str, *, user: str = "postgres", driver: str = "postgresql") -> str:
        """The connection URL of one of its databases, without a password: the socket's directory is the lock.

        For SQLAlchemy name the driver, `postgresql+psycopg`, or `postgresql+psycopg2` for dagster-postgres.
        """
        host = quote(os.fsencode(self.socket_directory), safe="")
        where = f"host={host}&port={PORT}"  # the port is part of the socket's name, and PGPORT may name another
        return f"{driver}://{quote(user, safe='')}@/{quote(database, safe='')}?{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is of a home's server, for `metadata-assets doctor`."""

    running: bool
    pid: int | None  # None when it is not running, or not visible from here
    version: int | None  # the major version of the data; None when there are none
    data_directory: Path | None
    socket_directory: Path | None
    user_pids: tuple[int, ...]
    supervisor_pid: int | None  # None while users exist: nobody would stop the server; the next attach repairs it

    @property
    def users(self) -> int:
        return len(self.user_pids)


@dataclass(frozen=True, slots=True)
class _Seat:
    """This process as a user of one home's server."""

    lock: locks.Lock
    cluster: Cluster


_seats: dict[Path, _Seat] = {}


def attach(home: Path) -> Server:
    """Make sure the server of this home runs, and keep it running until this process ends.

    The first time makes the cluster. May be called again and from several threads: one process counts once. Raises an
    EmbeddedServerError, which says what to do, and then this process does not count.
    """
    home = home.resolve()
    with locks.gate, _own_files(home), contextlib.ExitStack() as undo:
        _make_home(home)
        undo.enter_context(locks.holding(home / "start.lock", locks.EXCLUSIVE))
        user, new = _user_lock(home)
        failed = undo.enter_context(contextlib.ExitStack())
        if new:
            failed.callback(user.release)
        cluster = clusters.locate(home)
        lifecycle.bring_up(cluster)
        failed.pop_all()
        _seats[home] = _Seat(user, cluster)
    return Server(socket_directory=cluster.sockets, data_directory=cluster.data)


def ensure_databases(server: Server, names: Sequence[str]) -> None:
    """Make those of the databases that are missing. Several processes may do so at once."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in dict.fromkeys(names):
            if name not in existing:
                _create_database(connection, name)


def stop(home: Path, *, remove: bool = False) -> bool:
    """Stop the server unless other processes use it; answers whether it is down now.

    With `remove` it is stopped whoever uses it, and its data are deleted. The lock files stay: somebody may be waiting
    on them. This process is no user of it any more, either way.
    """
    home = home.resolve()
    if not (home / "cluster-id").exists():
        return True
    with locks.gate, _own_files(home), locks.holding(home / "start.lock", locks.EXCLUSIVE):
        seat = _seats.pop(home, None)
        if seat is not None:
            seat.lock.release()
        return _stop(home, remove)


def status(home: Path) -> Status:
    """What there is of this home's server; changes nothing, waits for nobody."""
    home = home.resolve()
    openers = lifecycle.openers(home)
    guards = openers.get("supervisor.lock", set())
    with _own_files(home):
        cluster = clusters.find(home)
        return Status(
            running=cluster is not None and lifecycle.runs(cluster),
            pid=lifecycle.pid(cluster) if cluster else None,
            version=clusters.initialised_by(cluster) if cluster else None,
            data_directory=cluster.data if cluster else None,
            socket_directory=cluster.sockets if cluster else None,
            user_pids=_users(openers.get("users.lock", set()) - guards),
            supervisor_pid=next(iter(guards), None),
        )


def _users(openers: Iterable[int]) -> tuple[int, ...]:
    """A supervisor waits for the lock of the users, and has it for as long as it stops the server: it is none."""
    return tuple(sorted(pid for pid in openers if not supervisor.is_one(pid)))


def abandoned() -> tuple[Path, ...]:
    """What root keeps elsewhere for homes that are gone. Nothing deletes it by itself: a home may only be moved."""
    return tuple(root for root in clusters.kept_elsewhere() if not clusters.is_claimed(root))


@contextlib.contextmanager
def _own_files(home: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as denied:
        path = Path(denied.filename or home)
        raise ForeignDataDirectory(path=path, reason=f"is closed to user {os.geteuid()}") from denied


def _user_lock(home: Path) -> tuple[locks.Lock, bool]:
    """This process's registration, and whether it is new. Waits while a supervisor stops the server."""
    seat = _seats.get(home)
    if seat is not None:
        if seat.lock.counts():
            return seat.lock, False
        seat.lock.release()
    return locks.take(home / "users.lock", locks.SHARED), True


def _make_home(home: Path) -> None:
    """A home made by root can be entered, not listed, by the server's user; its data and sockets are 0700 anyway."""
    if not home.exists():
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    found = home.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise ForeignDataDirectory(path=home, reason="is not a directory")
    if "\n" in os.fspath(home):
        raise ForeignDataDirectory(
            path=home, reason="has a line break in its path, which PostgreSQL's pid file cannot hold"
        )
    if os.geteuid() not in (0, found.st_uid):
        raise ForeignDataDirectory(path=home, reason=f"belongs to user {found.st_uid}, not to {os.geteuid()}")


def _create_database(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    """From template0, which nobody can be connected to: a template in use cannot be copied."""
    with contextlib.suppress(errors.DuplicateDatabase, errors.UniqueViolation):  # another process was faster
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def _stop(home: Path, remove: bool) -> bool:
    cluster = clusters.find(home)
    if cluster is None:
        return True
    clusters.initialised_by(cluster)  # refuses data that are not ours
    alone = locks.take_if_free(home / "users.lock", locks.EXCLUSIVE)
    # If a supervisor was faster it is stopping the server: the shared lock waits for it, and keeps it out from then on.
    hold = alone or locks.take(home / "users.lock", locks.SHARED)
    with contextlib.closing(hold):
        if alone is None and not remove and not lifecycle.is_down(cluster):
            return False
        lifecycle.take_down(cluster, checkpoint=not remove)
        if remove:
            clusters.remove(cluster)
        return True


@atexit.register
def _leave_guarded() -> None:
    """Before this user goes: is there a supervisor left to notice that it was the last one?"""
    for home, seat in _seats.items():
        if seat.lock.counts():
            with contextlib.suppress(OSError):  # the home is being deleted
                supervisor.ensure(home, seat.cluster.data)
