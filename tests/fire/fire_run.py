"""One fire: writers, the proxy, the killers and a subscriber, and the evidence that is left."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from fire_evidence import Evidence, Row, gather
from fire_plan import EVERYTHING, Plan
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from upath import UPath

from resources.files.marking import claim

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
Crashing = Callable[[Plan, float, list[int]], None]
"""Crashes the server until the end of the plan, with this pause, and counts."""

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'metadata-assets' ORDER BY random() LIMIT 1
"""

_HEAR = "SELECT xid::text, seq, topic, payload FROM metadata.outbox_after(%(xid)s::xid8, %(seq)s, 500)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blaze:
    """How hot a fire is, and what it does to whom. Zero seconds between two deaths: nobody dies."""

    seconds: float
    items_per_second: float = 25.0
    seconds_between_terminations: float = 0.06
    seconds_between_kills: float = 0.6
    seconds_between_crashes: float = 6.0
    swallowed_share: float = 0.02
    acts: Mapping[str, float] = field(default_factory=lambda: EVERYTHING)
    processes: int = 4
    threads: int = 4
    datasets: int = 3
    keep_versions: int = 3
    mutant: str = ""

    def plan(self, url: str, folder: str) -> Plan:
        begin = time.monotonic()
        return Plan(
            url=url,
            folder=folder,
            begin=begin,
            end=begin + self.seconds,
            items_per_second=self.items_per_second,
            seconds_between_kills=self.seconds_between_kills,
            acts=dict(self.acts),
            processes=self.processes,
            threads=self.threads,
            datasets=self.datasets,
            keep_versions=self.keep_versions,
            mutant=self.mutant,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """The control plane as its three users see it."""

    admin: str
    app: str
    relay: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt:
    """The evidence, and what the fire did."""

    evidence: Evidence
    backends_terminated: int
    writers_killed: int
    servers_crashed: int
    acknowledgements_swallowed: int

    def counts(self) -> dict[str, int]:
        """Numbers for people."""
        noted = Counter(line["what"] for line in self.evidence.journal)
        committed, collected = self.evidence.noted("committed"), self.evidence.noted("collected")
        answers = ("committed", "published", "rolled back", "pinned", "unpinned", "released", "retracted", "collected")
        refused = Counter(line["error"] for line in self.evidence.noted("refused"))
        return {
            "backends terminated": self.backends_terminated,
            "clients killed": self.writers_killed,
            "servers crashed": self.servers_crashed,
            "acknowledgements swallowed": self.acknowledgements_swallowed,
            "answers acknowledged": sum(noted[what] for what in (*answers, "read")),
            "commits": noted["committed"],
            "of these replayed": sum(line["replayed"] for line in committed),
            "publishes": noted["published"],
            "rollbacks": noted["rolled back"],
            "pins": noted["pinned"],
            "reads": noted["read"],
            "releases": noted["released"],
            "retractions": noted["retracted"],
            "collections": noted["collected"],
            "tasks done": noted["completed"],
            "folders collected": sum(line["replaced"] + line["abandoned"] for line in collected),
            "of these abandoned": sum(line["abandoned"] for line in collected),
            "publishes refused as unusable": noted["unusable"],
            **{f"refused with {name}": count for name, count in sorted(refused.items())},
            "materializations": len(self.evidence.materializations),
            "versions": len(self.evidence.versions),
            "condemned": len(self.evidence.condemned),
            "fenced": sum(len(line["fenced"]) for line in self.evidence.noted("published")),
            "events heard": len(self.evidence.heard),
        }


def burn(urls: Urls, blaze: Blaze, crashing: Crashing = lambda _plan, _pause, _crashed: None) -> Burnt:
    """Run the clients under fire until its time is over, then gather what they were told and what is stored."""
    stop, terminated, crashed, heard = threading.Event(), [0], [0], list[Row]()
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="fire-", dir=memory if memory.is_dir() else None) as folder,
        _proxy(urls.app, folder, blaze.swallowed_share) as (url, swallowed),
        _clients() as clients,
    ):
        for name in ("journals", "lake"):
            (Path(folder) / name).mkdir()
        claim("lake", UPath(folder, "lake"))
        plan = blaze.plan(url, folder)  # the clients are ready: the time begins
        threads = [
            threading.Thread(target=target, args=arguments)
            for target, arguments in (
                (_terminate, (urls.admin, plan, blaze.seconds_between_terminations, terminated)),
                (crashing, (plan, blaze.seconds_between_crashes, crashed)),
                (_listen, (urls.relay, stop, heard)),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            killed = clients(plan)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        journal = [json.loads(line) for file in plan.journals.iterdir() for line in file.read_text().splitlines()]
        evidence = gather(urls.admin, plan, journal, heard)
    return Burnt(
        evidence=evidence,
        backends_terminated=terminated[0],
        writers_killed=killed,
        servers_crashed=crashed[0],
        acknowledgements_swallowed=swallowed(),
    )


@contextmanager
def _clients() -> Iterator[Callable[[Plan], int]]:
    """What carries out a plan, and answers how many clients were killed."""
    command = [sys.executable, str(HERE / "fire_writers.py")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield lambda plan: int(process.communicate(json.dumps(asdict(plan)))[0])
    assert process.returncode == 0


@contextmanager
def _proxy(url: str, folder: str, share: float) -> Iterator[tuple[str, Callable[[], int]]]:
    """The URL through the proxy, and how many acknowledgements it swallowed, once it is closed."""
    told = conninfo_to_dict(url)
    name = f".s.PGSQL.{told.get('port', 5432)}"
    target = f"{told['host']}/{name}"
    command = [sys.executable, str(HERE / "fire_proxy.py"), f"{folder}/{name}", target, str(share)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    rest: list[str] = []
    try:
        address = f"host={quote(folder, safe='')}&port={told.get('port', 5432)}"
        yield f"postgresql://{told['user']}@/{told['dbname']}?{address}", lambda: int(rest[0])
    finally:
        process.send_signal(signal.SIGTERM)
        rest.append(process.communicate(timeout=60)[0])


def _terminate(url: str, plan: Plan, pause: float, terminated: list[int]) -> None:
    """End random backends in the middle of whatever they do; the clients finish what they began in peace."""
    while pause and time.monotonic() < plan.end:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
            while time.monotonic() < plan.end:
                time.sleep(random.uniform(0.2, 1.8) * pause)
                terminated[0] += len(connection.execute(_TERMINATE).fetchall())
        time.sleep(0.05)  # the server crashed


def _listen(url: str, stop: threading.Event, heard: list[Row]) -> None:
    """Subscribe as a relay does: from the last position, until nothing is left; again when the server was gone."""
    position: dict[str, Any] = {"xid": "0", "seq": 0}
    done = False
    while not done:
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection,
        ):
            while not done:
                last_look = stop.is_set()
                events = connection.execute(_HEAR, position).fetchall()
                heard.extend(events)
                position = events[-1] if events else position
                done = last_look and not events
                time.sleep(0.002)
