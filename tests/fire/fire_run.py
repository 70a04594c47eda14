"""One fire: writers, the proxy, the killers and a subscriber, and the evidence that is left."""

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from fire_verdict import Evidence, Row
from fire_writers import Plan
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'metadata-assets' ORDER BY random() LIMIT 1
"""

_HEAR = "SELECT xid::text, seq, topic, payload FROM metadata.outbox_after(%s::xid8, %s, 500)"

_TABLES = {
    "materializations": """SELECT materialization_id::text AS id, (metadata ->> 'item')::int AS item, location,
      attempt_id::text AS attempt, data_version AS data, fencing_token AS token FROM metadata.materialization""",
    "inputs": "SELECT materialization_id::text FROM metadata.materialization_input",
    "versions": "SELECT dataset_id::text, version FROM metadata.version",
    "intervals": """SELECT dataset_id::text, partition_key, from_version, to_version, materialization_id::text
      FROM metadata.version_partition""",
    "outbox": "SELECT topic, payload FROM metadata.outbox ORDER BY xid, seq",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blaze:
    """How hot a fire is, and what it does to whom. Zero seconds between two deaths: nobody dies."""

    seconds: float
    items_per_second: float = 25.0
    seconds_between_terminations: float = 0.06
    seconds_between_kills: float = 0.6
    swallowed_share: float = 0.02
    fresh_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt:
    """The evidence, and what the fire did."""

    evidence: Evidence
    backends_terminated: int
    writers_killed: int
    acknowledgements_swallowed: int

    def counts(self) -> dict[str, int]:
        """Numbers for people."""
        committed = self.evidence.noted("committed")
        return {
            "backends terminated": self.backends_terminated,
            "writers killed": self.writers_killed,
            "acknowledgements swallowed": self.acknowledgements_swallowed,
            "commits acknowledged": len(committed),
            "of these replayed": sum(line["replayed"] for line in committed),
            "publishes acknowledged": len(self.evidence.noted("published")),
            "other requests refused": len(self.evidence.noted("refused")),
            "materializations": len(self.evidence.materializations),
            "versions": len(self.evidence.versions),
            "fenced": sum(len(line["fenced"]) for line in self.evidence.noted("published")),
            "events heard": len(self.evidence.heard),
        }


def burn(admin_url: str, app_url: str, relay_url: str, blaze: Blaze) -> Burnt:
    """Run the writers under fire until its time is over, then gather what they were told and what is stored."""
    stop, terminated, heard = threading.Event(), [0], list[Row]()
    with tempfile.TemporaryDirectory(prefix="fire-") as folder:
        journals = Path(folder) / "journals"
        journals.mkdir()
        with _proxy(app_url, folder, blaze.swallowed_share) as (url, swallowed):
            begin = time.monotonic()
            plan = Plan(
                url=url,
                journals=str(journals),
                begin=begin,
                end=begin + blaze.seconds,
                items_per_second=blaze.items_per_second,
                seconds_between_kills=blaze.seconds_between_kills,
                fresh_keys=blaze.fresh_keys,
            )
            pause = blaze.seconds_between_terminations
            threads = [
                threading.Thread(target=_terminate, args=(admin_url, plan, pause, terminated)),
                threading.Thread(target=_listen, args=(relay_url, stop, heard)),
            ]
            for thread in threads:
                thread.start()
            try:
                killed = _write(plan)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
        journal = [json.loads(line) for file in journals.iterdir() for line in file.read_text().splitlines()]
    return Burnt(
        evidence=_gather(admin_url, journal, heard),
        backends_terminated=terminated[0],
        writers_killed=killed,
        acknowledgements_swallowed=swallowed(),
    )


def _write(plan: Plan) -> int:
    command = [sys.executable, str(HERE / "fire_writers.py"), json.dumps(asdict(plan))]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


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
    """End random backends in the middle of whatever they do; the writers finish what they began in peace."""
    with psycopg.connect(url, autocommit=True) as connection:
        while pause and time.monotonic() < plan.end:
            time.sleep(random.uniform(0.2, 1.8) * pause)
            terminated[0] += len(connection.execute(_TERMINATE).fetchall())


def _listen(url: str, stop: threading.Event, heard: list[Row]) -> None:
    """Subscribe as a relay does: from the last position, until nothing is left."""
    xid, seq = "0", 0
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        while True:
            last_look = stop.is_set()
            events = connection.execute(_HEAR, (xid, seq)).fetchall()
            heard.extend(events)
            if events:
                xid, seq = events[-1]["xid"], events[-1]["seq"]
            elif last_look:
                return
            time.sleep(0.002)


def _gather(url: str, journal: list[Row], heard: list[Row]) -> Evidence:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables: dict[str, Any] = {
            name: connection.execute(statement.encode()).fetchall() for name, statement in _TABLES.items()
        }
        datasets = connection.execute("SELECT dataset_id::text, published_version FROM metadata.dataset").fetchall()
    return Evidence(
        journal=journal,
        heard=heard,
        published_versions={row["dataset_id"]: row["published_version"] for row in datasets},
        **tables,
    )
