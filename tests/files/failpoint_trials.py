"""kill -9 at every failpoint of the I/O manager's and the collection's path; then what was intended is asked for again.

python tests/files/failpoint_trials.py --trials 50 [--places disk s3] [--json]

A trial is a process of its own that runs a Dagster asset for one partition and dies at the failpoint. All partitions
are then asked for again, with the same intents, and the leases end. Counted are partitions that are lost, doubled or
torn in the end, and live files that the collection ate, or garbage that it left.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import polars as pl
import psycopg
import s3fs  # before the forks, so that they need not
from psycopg.rows import dict_row
from upath import UPath

from identity.idempotency import Delivery, Intent
from identity.ids import tenant_id
from metadata_assets.datasets import key_of
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.io_manager import Audited, MetadataIOManager
from resources import failpoints
from resources.collecting import Collected, Collector
from resources.configurable import EndpointConfig, MetadataResource
from resources.failpoints import COLLECTING, LOCAL_ONLY, WRITING
from resources.files import places, staging
from resources.files.marking import MARKER, present_root
from resources.locations import location, place
from resources.metadata.garbage import Garbage, Retention
from resources.metadata_store import MetadataStore
from resources.models import Attempt, Staged
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.storage import FileStorage

ROWS = 50
EAGER = Retention(versions=1, time=timedelta(0))
BETWEEN = ("commit.after", "audit.after", "publish.before")
"""Where only what has an audit passes by."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
KEY = key_of(dg.AssetKey("trial"), None)


def expected(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"partition": [partition] * ROWS, "row": range(ROWS)})


@dataclass(frozen=True)
class Site:
    """A control plane, a place for files, and the partitions that trials are about."""

    url: str = field(repr=False)
    root: str
    home: Path
    partitions: Sequence[str]

    @property
    def variables(self) -> dict[str, str]:
        return {
            "METADATA_DATABASE_URL": self.url,
            "DATA_DATABASE_URL": self.url,
            "METADATA_HOME": str(self.home),
            "METADATA_PROJECT": str(self.home),
        }

    def asset(self, *, audited: bool) -> dg.AssetsDefinition:
        """What is `audited` is committed first and published then; anything else as one step."""
        partitions = dg.StaticPartitionsDefinition(list(self.partitions))

        @dg.asset(partitions_def=partitions, name="trial")
        def trial(context: dg.AssetExecutionContext) -> Any:
            table = expected(context.partition_key)
            return Audited({context.partition_key: table}, lambda _committed: ()) if audited else table

        return trial

    def deliver(self, instance: dg.DagsterInstance, partitions: Sequence[str], failpoint: str | None = None) -> None:
        """Ask Dagster for partitions, each with an intent of its own; die at a failpoint."""
        os.environ.update(self.variables)
        if failpoint is not None:
            os.environ[failpoints.VARIABLE] = failpoint
        metadata = MetadataResource(endpoints={KEY.endpoint: EndpointConfig(system="files", root=self.root)})
        resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}
        for partition in partitions:
            dg.materialize(
                [self.asset(audited=failpoint in BETWEEN)],
                instance=instance,
                resources=resources,
                partition_key=partition,
                run_config=QUIET,
                tags={IDEMPOTENCY_KEY_TAG: f"intent {partition}"},
            )

    def leave_garbage(self, partition: str) -> None:
        """Replace a partition, deliver that again, and abandon an attempt."""
        with self.store() as store:
            kept = self._written(store, partition, uuid.uuid4().hex)
            (one,) = store.commit(kept[0], [kept[1]], {})
            store.publish([one.materialization_id])
            again = self._written(store, partition, kept[1].delivery.intent.value)
            assert store.commit(again[0], [again[1]], {})[0].replayed
            self._written(store, partition, "never")

    def _written(self, store: MetadataStore, partition: str, intent: str) -> tuple[Attempt, Staged]:
        entity = store.entity(KEY)
        by = Attempt(
            id=uuid.uuid4(), run_id="r", step_key="s", retry_number=0, fencing_token=store.next_fencing_token()
        )
        path = staging.path_of(entity.id, partition, by)
        at = location(KEY.endpoint, path)
        store.open_staging(by, {(entity, partition): at}, ttl=timedelta(hours=1))
        written = staging.write(UPath(self.root) / path, expected(partition))
        return by, Staged(
            delivery=Delivery(entity.tenant, entity.id, partition, Intent("key", intent), "result"),
            location=at,
            manifest_sha256=written.manifest_sha256,
            row_count=written.row_count,
            byte_count=written.byte_count,
            data_version=written.data_version,
        )

    def collect(self, failpoint: str | None = None) -> Collected:
        failpoints.arm(failpoint)
        with self.store() as store:
            collector = Collector(Garbage(store.sessions), self.storage_of)
            return collector.collect([store.entity(KEY)], EAGER)

    def folder_of(self, at: str) -> UPath:
        endpoint, path = place(at)
        return present_root(endpoint, UPath(self.root)) / path

    def storage_of(self, endpoint: str) -> FileStorage:
        return FileStorage(endpoint, UPath(self.root))

    @contextmanager
    def store(self) -> Iterator[MetadataStore]:
        engine = app_engine(self.url)
        try:
            yield MetadataStore(Sessions(engine, tenant_id("default"), "trials"))
        finally:
            engine.dispose()

    def rows(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def expire(self) -> None:
        self.rows("UPDATE metadata.staging_lease SET expires_at = clock_timestamp() - interval '1s'")


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own, forked from this one; minus the signal that killed it, or its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 the end of this process: it tells what it was and is gone
            traceback.print_exc()
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def names(where: str) -> list[str]:
    """The failpoints of writing at a kind of place."""
    return [one for one in WRITING if where == "disk" or one not in LOCAL_ONLY]


def try_writing(site: Site, where: str) -> Counter[str]:
    """Kill a delivery of each partition at its failpoint, deliver all again, and let the garbage be collected."""
    points = names(where)
    killed = Counter[str]()
    with dg.DagsterInstance.ephemeral() as instance:  # made once: each process goes on with a copy of it
        for number, partition in enumerate(site.partitions):
            point = points[number % len(points)]
            code = forked(partial(site.deliver, instance, [partition], point))
            assert code == -signal.SIGKILL, f"nothing died at {point}: {code}"
            killed[point] += 1
        assert forked(partial(site.deliver, instance, site.partitions)) == 0
    return killed


def verdict(site: Site) -> Counter[str]:
    """What is wrong with the partitions: each must be there once, published, whole, and what was intended."""
    wrong = Counter[str](lost=0, doubled=0, torn=0)
    found: dict[str, list[dict[str, Any]]] = {one: [] for one in site.partitions}
    for row in site.rows("SELECT * FROM metadata.materialization"):
        found[row["partition_key"]].append(row)
    published = Counter(
        row["materialization_id"]
        for row in site.rows("SELECT materialization_id FROM metadata.version_partition WHERE to_version IS NULL")
    )
    for partition, rows in found.items():
        newest = [row for row in rows if published[row["materialization_id"]]]
        intents = [row["intent"] for row in rows]
        wrong["lost"] += not newest
        wrong["doubled"] += len(newest) > 1 or len(set(intents)) != len(intents) or max(published.values()) > 1
        for row in newest:
            try:
                table = staging.read(site.folder_of(row["location"]), bytes(row["manifest_sha256"]))
            except (staging.DataDamaged, staging.DataUnreadable):
                wrong["torn"] += 1
            else:
                wrong["torn"] += table.to_pydict() != expected(partition).to_dict(as_series=False)
    return wrong


def leftovers(site: Site) -> Counter[str]:
    """Folders on disk that are not what is published, and published ones that are not there."""
    live = {
        row["location"]
        for row in site.rows(
            """SELECT m.location FROM metadata.version_partition p JOIN metadata.materialization m
            USING (tenant_id, materialization_id) WHERE p.to_version IS NULL"""
        )
    }
    there = {
        location(KEY.endpoint, one.path.rpartition("/")[0])
        for one in places.files_below(UPath(site.root))
        if one.path != MARKER
    }
    return Counter(eaten=len(live - there), left=len(there - live))


def try_collecting(site: Site, trials: int) -> Counter[str]:
    """Leave all kinds of garbage and kill the collection at each failpoint; the next one goes on, the last one ends."""
    killed = Counter[str]()
    for number in range(trials * len(COLLECTING)):
        point = COLLECTING[number % len(COLLECTING)]
        assert forked(partial(site.leave_garbage, site.partitions[number % len(site.partitions)])) == 0
        site.expire()
        code = forked(partial(site.collect, point))
        assert code == -signal.SIGKILL, f"nothing died at {point}: {code}"
        killed[point] += 1
        if number % len(COLLECTING) == len(COLLECTING) - 1:
            assert forked(site.collect) == 0
    return killed


def run(url: str, root: str, home: Path, where: str, *, trials: int, collections: int) -> dict[str, Any]:
    """All trials at one place; what was counted."""
    began = time.monotonic()
    site = Site(url, root, home, [f"p{number}" for number in range(trials * len(names(where)))])
    before = dict(os.environ)
    try:
        killed = try_writing(site, where)
        garbage = leftovers(site)["left"]
        wrong = verdict(site)
        site.expire()
        forked(site.collect)
        wrong += leftovers(site)
        wrong += verdict(site)
        collecting = try_collecting(site, collections)
        wrong += leftovers(site) + verdict(site)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {
        "place": where,
        "failpoints": len(killed) + len(collecting),
        "kills": killed.total() + collecting.total(),
        "fewest_at_a_failpoint": min([*killed.values(), *collecting.values()], default=0),
        "garbage_collected": garbage,
        **{name: wrong[name] for name in ("lost", "doubled", "torn", "eaten", "left")},
        "seconds": round(time.monotonic() - began, 1),
    }


def main(arguments: Sequence[str]) -> int:
    """All trials on a server of its own; the exit code is 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--places", nargs="+", choices=("disk", "s3"), default=("disk", "s3"))
    given = parser.parse_args(arguments)
    from object_store import object_store

    store = object_store() if "s3" in given.places else nullcontext({})
    with tempfile.TemporaryDirectory(prefix="failpoints-") as folder, store as s3, served() as make:
        outcomes = []
        for where in given.places:
            root = "s3://lake/trials" if where == "s3" else f"{folder}/lake"
            home = Path(folder, where)
            home.mkdir()
            os.environ.update(s3)
            if where == "s3":
                assert forked(make_bucket) == 0
            outcomes.append(run(make(), root, home, where, trials=given.trials, collections=given.trials))
            print(json.dumps(outcomes[-1]), flush=True)
    return int(any(wrong_in(one) for one in outcomes))


def wrong_in(outcome: Mapping[str, Any]) -> int:
    return sum(outcome[name] for name in ("lost", "doubled", "torn", "eaten", "left"))


def make_bucket() -> None:
    filesystem: s3fs.S3FileSystem = fsspec.filesystem("s3")
    if not filesystem.exists("lake"):
        filesystem.mkdir("lake")


@contextmanager
def served() -> Iterator[Callable[[], str]]:
    """A PostgreSQL of its own; a function that makes a control plane on it."""
    import shutil

    from resources.postgres.embedded import attach, ensure_databases, stop
    from resources.postgres.engine import plain_engine
    from resources.postgres.migrate import migrate

    home = Path(tempfile.mkdtemp(prefix="failpoints-server-"))
    server = attach(home)
    made = []

    def make() -> str:
        name = f"trials{len(made)}"
        ensure_databases(server, [name])
        engine = plain_engine(server.url(name))
        migrate(engine)
        engine.dispose()
        made.append(name)
        return server.url(name)

    try:
        yield make
    finally:
        stop(home, remove=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
