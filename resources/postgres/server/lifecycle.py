"""Bringing a cluster's server up and taking it down. The caller holds the home's start lock."""

import os
import time
from pathlib import Path

import psutil

from resources.postgres.server import cluster as clusters
from resources.postgres.server import supervisor
from resources.postgres.server.account import SYSTEM_USER
from resources.postgres.server.binaries import Binaries
from resources.postgres.server.cluster import Cluster
from resources.postgres.server.errors import DataDirectoryLocked, ForeignDataDirectory, ServerDidNotStart
from resources.postgres.server.postmaster import (
    PORT,
    State,
    alive,
    inode,
    judge,
    look,
    remove_stale_files,
    shut_down,
    wait_until,
)

_RECOVERY = 600.0  # seconds; after a crash the log is replayed before the first connection
_UNNAMED = 5.0  # seconds; a server that starts writes its pid file in a few milliseconds
_LONGEST_LOG = 10_000_000  # bytes


def bring_up(cluster: Cluster) -> None:
    """A server that accepts connections, and a supervisor that stops it when nobody uses it any more."""
    if _settled(cluster) is State.RUNNING:
        clusters.check_sockets(cluster)
        supervisor.ensure(cluster.home, cluster.data)
        return
    made_by = clusters.initialised_by(cluster)
    if not cluster.account.reaches(cluster.root):
        raise ForeignDataDirectory(path=cluster.root, reason=f"is closed to the system user {SYSTEM_USER}")
    programs = clusters.fitting_binaries(cluster, made_by)
    if made_by is None:
        clusters.initialise(cluster, programs)
    clusters.prepare_sockets(cluster)
    supervisor.ensure(cluster.home, cluster.data)
    _start(cluster, programs)


def take_down(cluster: Cluster, *, checkpoint: bool = True) -> None:
    """No server of this cluster any more; one that is not ours is left alone."""
    if _seen(cluster) is not State.ABSENT:
        _stop_all(cluster, checkpoint=checkpoint)


def runs(cluster: Cluster) -> bool:
    """Whether the server accepts connections."""
    return _state(cluster) is State.RUNNING


def is_down(cluster: Cluster) -> bool:
    """Whether there is no server, in whatever state."""
    return _state(cluster) is State.ABSENT


def pid(cluster: Cluster) -> int | None:
    """The main process of the server, if there is one to be seen."""
    return look(cluster.data, cluster.sockets).postmaster


def openers(directory: Path) -> dict[str, set[int]]:
    """Which processes have which file of this directory open, by its name, as far as we may look."""
    found: dict[str, set[int]] = {}
    for process in psutil.process_iter():
        for path in _open_files(process):
            if path.parent == directory:
                found.setdefault(path.name, set()).add(process.pid)
    return found


def _open_files(process: psutil.Process) -> list[Path]:
    try:
        return [Path(file.path) for file in process.open_files()]
    except psutil.Error:
        return []


def _settled(cluster: Cluster) -> State:
    """RUNNING or ABSENT, after waiting for what is under way and clearing away what is left of a dead server."""
    since = time.monotonic()
    mark = supervisor.launching(cluster.home)  # left by a starter that was killed: its server may still appear
    while (state := _seen(cluster)) is not State.RUNNING:
        waited = time.monotonic() - since
        if state is State.ABSENT and (waited > supervisor.LATE_START or not mark.exists()):
            break
        if state is State.ORPHANED or (state is State.UNNAMED and waited > _UNNAMED):
            _stop_all(cluster)
        elif waited > _RECOVERY:
            raise _failed(cluster, "it is still recovering or stopping")
        time.sleep(0.02)
    return state


def _state(cluster: Cluster) -> State:
    return judge(look(cluster.data, cluster.sockets), cluster.sockets)


def _seen(cluster: Cluster) -> State:
    """The state, of a server that is ours; DataDirectoryLocked when it is not."""
    sight = look(cluster.data, cluster.sockets)
    state = judge(sight, cluster.sockets)
    if state is State.FOREIGN and sight.postmaster is not None:
        raise DataDirectoryLocked(data_directory=cluster.data, pid=sight.postmaster)
    return state


def _start(cluster: Cluster, programs: Binaries) -> None:
    remove_stale_files(cluster.data, cluster.sockets)
    _rotate(cluster.log)
    written = cluster.log.stat().st_size if cluster.log.exists() else 0
    supervisor.launching(cluster.home).touch()
    _launch(cluster, programs, written)


def _launch(cluster: Cluster, programs: Binaries, written: int) -> None:
    """Start and wait until it is ready. By ourselves: `pg_ctl start` quotes paths badly and looks every 100 ms only."""
    rules = {
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_directories": os.fspath(cluster.sockets),
        "unix_socket_permissions": "0700",
    }
    options = [part for name, value in rules.items() for part in ("-c", f"{name}={value}")]
    process = cluster.account.start(programs.postgres, "-D", cluster.data, *options, log=cluster.log)
    ended = wait_until(lambda: _state(cluster) is State.RUNNING or not alive(process), _RECOVERY)
    supervisor.launching(cluster.home).unlink(missing_ok=True)  # not after a Ctrl-C: then nobody knows how it went
    if not ended or not alive(process):
        raise _failed(cluster, "it ended" if ended else "it is still starting", written)


def _stop_all(cluster: Cluster, *, checkpoint: bool = True) -> None:
    place = inode(cluster.data)
    if place is not None and not shut_down({place}, checkpoint=checkpoint):
        raise _failed(cluster, "an old one does not end")


def _failed(cluster: Cluster, reason: str, written: int = 0) -> ServerDidNotStart:
    return ServerDidNotStart(data_directory=cluster.data, reason=reason, log=_tail(cluster.log, written))


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        log.rename(log.with_suffix(".log.1"))


def _tail(log: Path, start: int) -> str:
    """The last lines that were written after `start`."""
    try:
        content = log.read_bytes()[start:]
    except FileNotFoundError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-12:])
