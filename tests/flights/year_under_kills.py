"""A year of flights, backfilled by Dagster while its workers are killed, and read through a pin while a month changes.

`python tests/flights/year_under_kills.py [--days 365] [--workers 3] [--seed N] [--json]`, on a server of its own. The
exit code is 1 unless everything is as it has to be.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for `examples`, which is no installed package
sys.path.append(str(Path(__file__).resolve().parents[1] / "dagster"))

from deployment import deployed
from rich.console import Console
from year_backfill import Backfilled, backfill, rematerialize
from year_counts import FLIGHTS, Counted, count
from year_pins import Pinned, read_throughout
from year_pool import POOLS, Pool

from metadata_assets.cli.output import table
from resources.configurable import MetadataResource, close_all
from resources.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {31: 27_004, 365: 336_776}
"""The flights of January and of the year, known from elsewhere."""
_MISTAKE = '''

_right = flights


def flights(ewr: SourceTable, jfk: SourceTable, lga: SourceTable, partition: str) -> pl.DataFrame:
    """A release with a mistake: every departure is an hour later."""
    return _right(ewr, jfk, lga, partition).with_columns(pl.col("dep_delay") + 60)
'''


@dataclass(frozen=True)
class Year:
    """What happened, and what is there."""

    days: int
    seconds: float
    backfilled: Backfilled
    counted: Counted
    altered: Backfilled
    pinned: Pinned
    wrong: list[str]

    @property
    def document(self) -> dict[str, object]:
        return asdict(self)


def days_of(number: int) -> list[str]:
    return [str(date(2013, 1, 1) + timedelta(days=offset)) for offset in range(number)]


def middle_of(days: Sequence[str]) -> list[str]:
    """The month in the middle; of less than three months a third of the days."""
    if len(days) < 90:
        return list(days[len(days) // 3 : -(len(days) // 3)])
    return [day for day in days if day[:7] == days[len(days) // 2][:7]]


def year(
    settings: Settings, days: int, *, workers: int, seed: int, every: tuple[float, float], console: Console
) -> Year:
    """Backfill so many days, count, and read through a pin while the middle of them is changed and rolled back.

    DAGSTER_HOME and the like are set in this process. The project's files are changed: give a copy of it.
    """
    begun = time.monotonic()
    wanted = days_of(days)
    chance = random.Random(seed)
    place = str(Path(__file__).with_name("year_location.py"))
    launcher = ("year_pool", "PoolRunLauncher")
    home = Path(os.environ["DAGSTER_HOME"])
    with deployed(home, place, launcher=launcher, retries=1) as deployment:
        store = MetadataResource().store()
        with _pool(workers, settings.home, chance, every) as pool:
            console.print(f"backfilling {days} days with {workers} workers, seed {seed}")
            backfilled = backfill(deployment, FLIGHTS, wanted, pool)
            console.print(f"{backfilled.runs} runs, {backfilled.kills} kills, {backfilled.seconds:,.0f} s")
        counted = count(deployment, store, settings, wanted)
        console.print(f"counted after {time.monotonic() - begun:,.0f} s")

        def make_a_mistake() -> Backfilled:
            with (settings.project / "pipeline.py").open("a") as file:
                file.write(_MISTAKE)
            with _pool(workers, settings.home, chance, (0.1, 2.0), most=1) as pool:
                return rematerialize(deployment, FLIGHTS, middle_of(wanted), pool)

        altered, pinned = read_throughout(store, FLIGHTS, make_a_mistake, console)
    found = Year(days, round(time.monotonic() - begun, 1), backfilled, counted, altered, pinned, [])
    found.wrong.extend(wrong_in(found, len(middle_of(wanted))))
    return found


@contextmanager
def _pool(
    size: int, home: Path, chance: random.Random, every: tuple[float, float], most: int = 1_000_000
) -> Iterator[Pool]:
    pool = Pool(size, home / "workers.log", chance, every, most=most)
    POOLS.append(pool)
    try:
        yield pool
    finally:
        pool.end()
        POOLS.pop()


def wrong_in(found: Year, in_the_middle: int) -> list[str]:
    """What is not as it has to be."""
    counted, pinned = found.counted, found.pinned
    has_to_be = {
        "materializations": (counted.materializations, found.days),
        "partitions published": (counted.published, found.days),
        "rows in the files": (counted.rows_in_files, KNOWN.get(found.days, counted.rows_in_sources)),
        "rows in the records": (counted.rows_recorded, counted.rows_in_files),
        "rows in the sources": (counted.rows_in_sources, counted.rows_in_files),
        "lost, doubled or torn": ((counted.lost, counted.doubled, counted.torn), (0, 0, 0)),
        "files that nobody knows": (counted.unknown_files, 0),
        "attempts left running": (counted.attempts.get("running", 0), 0),
        "attempts that succeeded": (counted.attempts.get("succeeded", 0) >= found.days, True),
        "runs that failed by themselves": (found.backfilled.failed_by_themselves, 0),
        "kills": (found.backfilled.kills > 0, True),
        "digests through the pin": (len(set(pinned.through_the_pin)), 1),
        "errors of readers": (pinned.errors, []),
        "what readers saw published": (pinned.published_seen, ["old", "altered", "old"]),
        "collected while pinned": (pinned.collected_before_rollback, 0),
        "collected after the rollback": (pinned.collected_after_rollback, in_the_middle),
    }
    return [f"{what}: {is_now}, not {should}" for what, (is_now, should) in has_to_be.items() if is_now != should]


def tables(found: Year) -> Iterator[object]:
    """The same for people."""
    made, counted, pinned = found.backfilled, found.counted, found.pinned
    rows: list[tuple[object, ...]] = [
        ("runs of Dagster, retried ones included", made.runs),
        ("workers killed with signal 9", made.kills),
        ("of these in the middle of a run", made.given_up),
        ("retried by the daemon", made.retried),
        ("re-executed from failure", made.reexecuted),
        ("the backfill says", made.status),
        ("materializations", counted.materializations),
        ("partitions published", counted.published),
        ("rows in the files", counted.rows_in_files),
        ("lost, doubled, torn", f"{counted.lost}, {counted.doubled}, {counted.torn}"),
        ("redeliveries of what was committed", counted.redeliveries),
        ("folders of killed attempts, all leased", counted.abandoned),
        ("attempts", ", ".join(f"{number} {status}" for status, number in sorted(counted.attempts.items()))),
        ("reads through the pin, distinct results", f"{pinned.reads_through_the_pin}, {len(pinned.through_the_pin)}"),
        ("reads of what is published, saw", f"{pinned.reads_published}, {' → '.join(pinned.published_seen)}"),
        ("kills while the middle was made anew", found.altered.kills),
        (
            "collected before and after the rollback",
            f"{pinned.collected_before_rollback}, {pinned.collected_after_rollback}",
        ),
        ("seconds", found.seconds),
    ]
    yield table(f"{found.days} days of flights", ("", ""), rows)
    yield "\n".join(f"WRONG {one}" for one in found.wrong) or "everything is as it has to be"


@contextmanager
def surroundings() -> Iterator[Settings]:
    """A home, a server and a copy of the project, with the sources loaded; all gone afterwards."""
    from examples.flights.sources import load_sources
    from metadata_assets.cli import surroundings as around
    from resources.postgres.databases import Databases
    from resources.postgres.embedded import stop

    home = Path(tempfile.mkdtemp(prefix="metadata-year-"))
    project = shutil.copytree(ROOT / "examples" / "flights", home / "project")
    variables = {"METADATA_HOME": str(home), "METADATA_PROJECT": str(project), "METADATA_TENANT": "default"}
    settings = Settings.from_env(variables, cwd=ROOT)
    try:
        around.prepare(settings)
        for name in ("METADATA_DATABASE_URL", "DAGSTER_POSTGRES_URL", "DATA_DATABASE_URL"):
            os.environ.pop(name, None)
        os.environ.update(around.variables(settings))
        databases = Databases(settings)
        databases.reach()
        load_sources(databases.data, progress=lambda _done: None)
        yield settings
    finally:
        close_all()
        stop(home / "postgres", remove=True)
        shutil.rmtree(home, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Flights, backfilled while workers are killed.")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--every", type=float, nargs=2, default=(2.0, 8.0), help="seconds between kills, from and to")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    console = Console(stderr=given.json)
    with surroundings() as settings:
        every = (given.every[0], given.every[1])
        found = year(settings, given.days, workers=given.workers, seed=given.seed, every=every, console=console)
    for part in tables(found):
        console.print(part)
    if given.json:
        print(json.dumps(found.document, indent=1))
    return int(bool(found.wrong))


if __name__ == "__main__":
    sys.exit(main())
