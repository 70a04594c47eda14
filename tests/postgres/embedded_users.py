"""Other processes that use an embedded server, and homes that leave no server behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from resources.postgres import embedded
from resources.postgres.server.postmaster import alive

REPOSITORY = Path(__file__).resolve().parents[2]

# Attaches, says when the server it can query was started, and stays until its stdin is closed.
USER = """
import sys
from pathlib import Path
import psycopg
from resources.postgres import embedded
server = embedded.attach(Path(sys.argv[1]))
with psycopg.connect(server.url("postgres")) as connection:
    print(connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the server of a home."""

    started: ClassVar[list["User"]] = []

    def __init__(self, home: Path, script: str = USER, *, command: Sequence[str] = (sys.executable,)) -> None:
        self.process = subprocess.Popen(
            [*command, "-c", script, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self.started.append(self)

    def says(self) -> str:
        """Its next line; when it was attached, for USER."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    @classmethod
    def kill_all(cls) -> None:
        while cls.started:
            cls.started.pop().kill()


@contextlib.contextmanager
def new_homes() -> Iterator[Callable[..., Path]]:
    """A function that names homes for servers; in the end their servers and data are removed, and none is left."""
    base = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    base.chmod(0o755)  # else root would keep every cluster elsewhere
    homes: list[Path] = []

    def new_home(name: str = "home") -> Path:
        homes.append(base / name)
        return homes[-1]

    try:
        yield new_home
    finally:
        User.kill_all()
        places = {base, *(place for home in homes for place in _places(home))}
        for home in homes:
            with contextlib.suppress(embedded.EmbeddedServerError):
                embedded.stop(home, remove=True)
        left = [process for place in places for process in servers_below(place)]
        for process in left:
            process.send_signal(signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)
        assert not left


def _places(home: Path) -> Iterator[Path]:
    with contextlib.suppress(embedded.EmbeddedServerError):
        data = embedded.status(home).data_directory
        if data is not None:
            yield data


def servers_below(place: Path) -> list[psutil.Process]:
    """The live processes of PostgreSQL that work somewhere in a directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            works_here = Path(process.cwd()).is_relative_to(place)
            if process.name() == "postgres" and works_here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_for(happened: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll until it happened; a test fails that waits in vain."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.03)


def runs(home: Path) -> bool:
    return embedded.status(home).running


def is_down(home: Path) -> bool:
    """Of a home whose cluster is in it."""
    return not servers_below(home)


def starts(home: Path) -> int:
    """How often a server was started on this home."""
    data = embedded.status(home).data_directory
    assert data is not None
    return (data / "server.log").read_text().count("starting PostgreSQL")


def kill(pid: int | None, signal_number: int = signal.SIGKILL) -> None:
    assert pid is not None
    os.kill(pid, signal_number)
    if signal_number == signal.SIGKILL:
        wait_for(lambda: not alive(pid))


def initdb_was_killed(home: Path) -> bool:
    """Whether it was: on a busy machine it may be done before it is killed."""
    starter = User(home)
    wait_for(lambda: any(home.glob("data.new-*/base")) or (home / "data").exists())
    starter.kill()
    for process in psutil.process_iter(["name", "cmdline"]):  # leaves out what ends meanwhile
        if "initdb" in process.info["name"] and str(home) in " ".join(process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    return bool(list(home.glob("data.new-*")))
