"""A server of the fire's own, which may crash: its postmaster is killed in the middle of everything."""

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from fire_plan import Plan

from resources.postgres import embedded
from resources.postgres.engine import plain_engine
from resources.postgres.migrate import migrate

DATABASE = "metadata"


@dataclass(frozen=True)
class Crashable:
    """A migrated control plane on a server that nobody else uses."""

    home: Path
    server: embedded.Server

    def url(self, user: str) -> str:
        return self.server.url(DATABASE, user=user)

    def crash(self) -> None:
        """kill -9 of the postmaster, then a new one, which replays the log."""
        pid = embedded.status(self.home).pid
        assert pid is not None, "a crash leaves a running server behind"
        os.kill(pid, signal.SIGKILL)
        while embedded.status(self.home).pid == pid:  # a dying one still looks like one that runs
            time.sleep(0.005)
        embedded.attach(self.home)

    def keep_crashing(self, plan: Plan, pause: float, crashed: list[int]) -> None:
        while pause and time.monotonic() < plan.end - pause:
            time.sleep(random.uniform(0.5, 1.5) * pause)
            self.crash()
            crashed[0] += 1


@contextmanager
def crashable() -> Iterator[Crashable]:
    """The server is gone afterwards, with its data."""
    home = Path(tempfile.mkdtemp(prefix="metadata-fire-"))
    try:
        server = embedded.attach(home)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            # What a process wrote survives its kill; only a crash of the machine would need more.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        embedded.ensure_databases(server, [DATABASE])
        engine = plain_engine(server.url(DATABASE))
        migrate(engine)
        engine.dispose()
        yield Crashable(home, server)
    finally:
        with contextlib.suppress(embedded.EmbeddedServerError):
            embedded.stop(home, remove=True)
        shutil.rmtree(home, ignore_errors=True)
