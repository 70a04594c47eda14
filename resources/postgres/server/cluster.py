"""Where a home keeps its server, whether what lies there is ours, and making it the first time.

Usually everything is in the home: `data`, and `run-…` with the socket. When root starts a server whose system user
cannot enter the home (a clone under a 0700 directory), parents are not opened for it: the cluster then is in
/var/lib/metadata-assets/<cluster id>. The id is random and kept in the home, so a home that was deleted and made again
at the same path does not meet the old data.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from resources.postgres.server import binaries
from resources.postgres.server.account import Account, server_account
from resources.postgres.server.binaries import Binaries
from resources.postgres.server.errors import ForeignDataDirectory, ServerDidNotStart, WrongPostgresVersion

_MARKER = "metadata-assets"  # a file in the data directory: we made it, and finished making it
_LONGEST_SOCKET_DIRECTORY = 85  # a socket's path has 103 bytes on macOS, 107 on Linux, and a name and a NUL follow
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./ +@=~-]+")  # libpq would take a comma in a host for a list of hosts
_SETTINGS = """
# Set when this cluster was made; yours to change.
max_connections = 200
shared_buffers = 128MB
autovacuum_naptime = 5s  # it may run for the seconds of a run only, and plans need statistics
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The places of one server, and the account it runs as."""

    home: Path
    root: Path
    sockets: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.data / "server.log"


def find(home: Path) -> Cluster | None:
    """The cluster of a home, writing nothing; None when it never had one."""
    try:
        cluster_id = (home / "cluster-id").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not re.fullmatch(r"[0-9a-f]{16}", cluster_id):
        raise ForeignDataDirectory(path=home / "cluster-id", reason="does not hold the id of a cluster")
    account = server_account()
    root = _root(home, cluster_id, account)
    return Cluster(home=home, root=root, sockets=_sockets(root, home, cluster_id), account=account)


def locate(home: Path) -> Cluster:
    """The cluster of a home, its id made if need be. Only under the home's start lock."""
    if not (home / "cluster-id").exists():
        fresh = home / "cluster-id.new"
        fresh.write_text(secrets.token_hex(8) + "\n")
        fresh.rename(home / "cluster-id")
    cluster = find(home)
    if cluster is None:
        raise ForeignDataDirectory(path=home, reason="was removed while a server was being started in it")
    if cluster.root != home:
        _claim(cluster)
    return cluster


def initialised_by(cluster: Cluster) -> int | None:
    """The major version that made the data; None when there are none yet; ForeignDataDirectory when not ours."""
    data = cluster.data
    if not os.path.lexists(data) or (data.is_dir() and not any(data.iterdir())):
        return None
    if not data.is_dir():
        raise ForeignDataDirectory(path=data, reason="is not a directory")
    _refuse_foreign_owner(data, {cluster.account.uid})
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise ForeignDataDirectory(path=data, reason="is not the data directory of a PostgreSQL") from None
    if not version.isdigit():
        raise ForeignDataDirectory(path=data, reason=f"has the unknown PG_VERSION {version[:20]!r}")
    if not (data / _MARKER).exists():
        raise ForeignDataDirectory(path=data, reason="is a PostgreSQL that was not made by us")
    return int(version)


def fitting_binaries(cluster: Cluster, made_by: int | None) -> Binaries:
    """The programs to run this cluster with: of the version that made it, or the best ones when it is new."""
    usable = binaries.find(cluster.account)
    chosen = binaries.choose(usable, made_by)
    if chosen is None and made_by is not None:
        available = ", ".join(dict.fromkeys(str(one.major) for one in usable))
        raise WrongPostgresVersion(data_directory=cluster.data, data_version=made_by, available=available)
    return chosen or usable[0]


def initialise(cluster: Cluster, programs: Binaries) -> None:
    """Make the cluster beside its place and rename it into it: killed half-way leaves a directory nobody uses."""
    for leftover in cluster.root.glob("data.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = cluster.root / f"data.new-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    cluster.account.own(fresh)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if programs.major >= 17 else []
    rules = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--data-checksums", "--locale=C", *locale]
    made = cluster.account.run(programs.initdb, "--pgdata", fresh, *rules)
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ServerDidNotStart(data_directory=cluster.data, reason="initdb failed", log=made.stdout + made.stderr)
    _append(fresh / "postgresql.conf", _SETTINGS)
    _append(fresh / _MARKER, "Made by metadata-assets.\n")
    cluster.account.own(fresh / _MARKER)
    fresh.rename(cluster.data)
    _sync_directory(cluster.root)


def prepare_sockets(cluster: Cluster) -> None:
    """Make the socket directory: 0700, because whoever can enter it is a superuser of the server.

    It may be in /tmp, where others could have made it before us: one that is a link, or somebody else's, is refused.
    """
    if not os.path.lexists(cluster.sockets):
        cluster.sockets.mkdir(mode=0o700)
        cluster.account.own(cluster.sockets)
    check_sockets(cluster)
    cluster.account.own(cluster.sockets)  # a killed start may have left it to root


def check_sockets(cluster: Cluster) -> None:
    """Refuse a socket directory that others could have put their own server into."""
    found = cluster.sockets.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ForeignDataDirectory(path=cluster.sockets, reason="is not a directory")
    _refuse_foreign_owner(cluster.sockets, {cluster.account.uid, os.geteuid()})
    if found.st_mode & 0o077:
        raise ForeignDataDirectory(path=cluster.sockets, reason="is open to other users")


def remove(cluster: Cluster) -> None:
    """Delete the cluster, its sockets and its id. Only under the home's start lock, with no server left."""
    for leftover in cluster.root.glob("data.new-*"):
        shutil.rmtree(leftover)
    for directory in (cluster.data, cluster.sockets):
        if os.path.lexists(directory):
            shutil.rmtree(directory)
    if cluster.root != cluster.home and cluster.root.exists():
        shutil.rmtree(cluster.root)
    for name in ("launching", "cluster-id"):
        (cluster.home / name).unlink(missing_ok=True)


def kept_elsewhere() -> list[Path]:
    """The roots of all clusters of this machine that are not in their homes."""
    return sorted(path.parent for path in binaries.SYSTEM_DIRECTORY.glob("*/home"))


def is_claimed(root: Path) -> bool:
    """Whether the home that last used it still does."""
    return _id_of(Path((root / "home").read_text())) == root.name


def _root(home: Path, cluster_id: str, account: Account) -> Path:
    elsewhere = binaries.SYSTEM_DIRECTORY / cluster_id
    if not account.dropped:
        return home
    if elsewhere.exists():
        return elsewhere
    return home if (home / "data").exists() or account.reaches(home) else elsewhere


def _claim(cluster: Cluster) -> None:
    """Note whose cluster it is. A copied home brings the id of its original along, whose data it must not share."""
    binaries.make_public(cluster.root)
    note = cluster.root / "home"
    cluster_id = cluster.root.name
    before = Path(note.read_text()) if note.exists() else cluster.home
    if before != cluster.home and _id_of(before) == cluster_id:
        reason = f"names a cluster that belongs to {before}; delete this file to start with an empty one"
        raise ForeignDataDirectory(path=cluster.home / "cluster-id", reason=reason)
    if before != cluster.home or not note.exists():
        note.write_text(os.fspath(cluster.home))


def _id_of(home: Path) -> str | None:
    try:
        return (home / "cluster-id").read_text().strip()
    except OSError:
        return None


def _sockets(root: Path, home: Path, cluster_id: str) -> Path:
    """In the root, or a short directory in /tmp (not $TMPDIR: all processes must find the same one).

    Never the one of an earlier cluster of the same home: its server, if it still lives, removes its socket by name.
    """
    usual = root / f"run-{cluster_id[:8]}"
    text = os.fspath(usual)
    if len(os.fsencode(text)) <= _LONGEST_SOCKET_DIRECTORY and _PLAIN_PATH.fullmatch(text):
        return usual
    name = hashlib.sha256(os.fsencode(home) + b"\0" + cluster_id.encode()).hexdigest()[:16]
    return Path("/tmp") / f"metadata-assets-{name}"


def _refuse_foreign_owner(path: Path, allowed: set[int]) -> None:
    owner = path.lstat().st_uid
    if owner not in allowed:
        raise ForeignDataDirectory(path=path, reason=f"belongs to user {owner}, not to {min(allowed)}")


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
