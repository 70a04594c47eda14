"""A step that dies or is overtaken leaves one record, one version, whole data, and garbage that is leased.

Runs are processes of their own here, killed with signal 9 or stopped; what happens to their runs afterwards is done by
the code of Dagster's daemon and webserver.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import psycopg
import pytest
from deployment import Deployment, deployed
from run_processes import WORKERS, Moment, Strike, Worker
from upath import UPath

from metadata_assets.datasets import key_of
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.writing import stored as read_back
from resources.configurable import MetadataResource
from resources.files.marking import MARKER
from resources.locations import location as recorded
from resources.metadata_store import MetadataStore
from resources.models import Materialization

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning"),  # Dagster's own
    pytest.mark.proof,
]

KEY = key_of(dg.AssetKey("data"), None)
ROWS = 1_000
PROCESSES = ("run_processes", "ProcessRunLauncher")
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
BEFORE_COMMIT: list[Moment] = ["leased", "half written", "without manifest", "written"]
AFTER_COMMIT: list[Moment] = ["committed", "published", "published at once", "told"]
PUBLISHED: list[Moment] = ["published", "published at once", "told"]


@dataclass(frozen=True)
class Scene:
    """A deployment whose runs are processes, and what can be seen of its dataset from outside."""

    deployment: Deployment
    store: MetadataStore
    root: UPath
    url: str = field(repr=False)

    def start(self, strike: Strike | None = None, *, key: str | None = None) -> tuple[dg.DagsterRun, Worker]:
        """Ask for the dataset, by a process that is about to strike."""
        WORKERS.strike = strike or Strike()
        run = self.deployment.launch("data", tags={IDEMPOTENCY_KEY_TAG: key} if key else {})
        return run, WORKERS.by_run[run.run_id]

    def stop(self, moment: Moment, *, key: str | None = None) -> tuple[dg.DagsterRun, Worker]:
        """Ask for the dataset, by a process that stops at this moment; it has."""
        run, worker = self.start(Strike(moment, signal.SIGSTOP), key=key)
        eventually(lambda: worker.stopped, f"the stop when {moment}")
        return run, worker

    def produce(self) -> dg.DagsterRun:
        """Ask for the dataset and get it."""
        run, worker = self.start()
        return self.ended(run, worker)

    def ended(self, run: dg.DagsterRun, worker: Worker | None = None) -> dg.DagsterRun:
        """A run after its process has ended by itself."""
        assert (worker or WORKERS.by_run[run.run_id]).ended() == 0
        return self.deployment.run(run.run_id)

    def seen(self) -> list[int]:
        """What a reader gets now: the distinct values of the published data, verified to be whole."""
        (current,) = self.store.current(KEY)
        table = read_back(MetadataResource(), current)
        assert table.num_rows == ROWS
        return sorted(set(table["computed"].to_pylist()))

    @contextmanager
    def a_reader(self) -> Iterator[set[int]]:
        """Somebody who reads all the time, and fails when what is read is not whole."""
        found: set[int] = set()
        problems: list[Exception] = []
        done = threading.Event()

        def read() -> None:
            while not done.wait(0.005):
                try:
                    found.update(self.seen())
                except Exception as error:  # noqa: BLE001 the test's own thread: whatever it is fails the test
                    problems.append(error)
                    return

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield found
        finally:
            done.set()
            thread.join()
        assert problems == []

    def records(self) -> list[Materialization]:
        """All materializations, the oldest first."""
        return self.store.materializations(KEY)[::-1]

    def versions(self) -> int:
        return len(self.store.versions(KEY))

    def leases(self) -> dict[str, str]:
        """Who still holds a lease: the location, by run."""
        with psycopg.connect(self.url) as connection:
            return dict(connection.execute("SELECT run_id, location FROM metadata.staging_lease").fetchall())

    def folders(self) -> set[str]:
        """Where there are any files."""
        return {
            recorded(KEY.endpoint, str(path.parent.relative_to(str(self.root))))
            for path in Path(str(self.root)).rglob("*")
            if path.is_file() and path.name != MARKER
        }

    def replayed(self, run: dg.DagsterRun) -> list[tuple[bool, Any]]:
        """What the events of a run say: whether it was delivered before, and the version or why there is none."""
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        page = self.deployment.instance.get_records_for_run(run.run_id, of_type=kind)
        events = [record.event_log_entry.asset_materialization for record in page.records]
        told = [{name: value.value for name, value in event.metadata.items()} for event in events if event is not None]
        version, why = "metadata_assets/version", "metadata_assets/not_published"
        return [(one["metadata_assets/replayed"], one.get(version, one.get(why))) for one in told]


def eventually(happened: Callable[[], bool], what: str) -> None:
    """Wait for something that happens soon; fail when it does not within a minute."""
    give_up = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < give_up, f"{what} did not happen"
        time.sleep(0.01)


@pytest.fixture
def scene(environment: dict[str, str], stored: MetadataStore, metadata_url: str) -> Iterator[Scene]:
    """The deployment, with one version published."""
    root = UPath(environment["METADATA_HOME"]) / "lake" / KEY.endpoint
    with deployed(Path(environment["DAGSTER_HOME"]), "killed.py", launcher=PROCESSES, retries=1) as deployment:
        try:
            found = Scene(deployment, stored, root, metadata_url)
            assert found.produce().status is SUCCESS
            assert found.seen() == [1]
            yield found
        finally:
            WORKERS.end()


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        *((moment, "FROM_FAILURE") for moment in BEFORE_COMMIT + AFTER_COMMIT),
        ("committed", "FROM_ASSET_FAILURE"),
        ("committed", "by the daemon"),
    ],
)
def test_a_killed_step_is_delivered_once(
    scene: Scene, moment: Moment, how: Literal["FROM_FAILURE", "FROM_ASSET_FAILURE", "by the daemon"]
) -> None:
    with scene.a_reader() as read:
        run, worker = scene.start(Strike(moment, signal.SIGKILL))
        assert worker.ended() == -signal.SIGKILL
        assert scene.deployment.monitor(run).status is FAILURE
        assert scene.seen() == ([2] if moment in PUBLISHED else [1])
        assert len(scene.records()) == (2 if moment in AFTER_COMMIT else 1)
        assert list(scene.leases()) == ([] if moment in AFTER_COMMIT else [run.run_id])
        if how == "by the daemon":
            again = scene.ended(scene.deployment.retry(run))
        else:
            again = scene.ended(scene.deployment.reexecute(run, how))
    assert again.status is SUCCESS
    first, delivered = scene.records()
    assert delivered.intent == f"run:{run.run_id}"
    assert delivered.run_id == (run if moment in AFTER_COMMIT else again).run_id, "the first commit stands"
    assert scene.versions() == 2
    assert scene.seen() == ([2] if moment in AFTER_COMMIT else [3])
    assert read == {1, *scene.seen()}
    assert scene.replayed(again) == [(moment in AFTER_COMMIT, 2)]
    garbage = scene.leases()
    assert list(garbage) == [(again if moment in AFTER_COMMIT else run).run_id], "whoever did not commit"
    kept = {first.location, delivered.location}
    assert kept.isdisjoint(garbage.values())
    assert scene.folders() <= kept | set(garbage.values()), "whatever is on disk is committed or leased"


def test_a_step_killed_while_the_database_commits_is_delivered_once(scene: Scene) -> None:
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'metadata.materialization'::regclass"
    with psycopg.connect(scene.url) as holding, psycopg.connect(scene.url, autocommit=True) as watching:
        holding.execute("LOCK TABLE metadata.materialization IN SHARE MODE")
        run, worker = scene.start()
        eventually(lambda: watching.execute(blocked).fetchone() != (0,), "the commit")
        worker.process.kill()
        assert worker.ended() == -signal.SIGKILL
    again = scene.ended(scene.deployment.reexecute(scene.deployment.monitor(run), "FROM_FAILURE"))
    assert again.status is SUCCESS
    assert [record.intent for record in scene.records()][1:] == [f"run:{run.run_id}"]
    assert scene.versions() == 2
    assert scene.seen() in ([2], [3])


def test_a_run_that_was_given_up_goes_on_and_changes_nothing(scene: Scene) -> None:
    run, zombie = scene.stop("committed")
    assert scene.deployment.monitor(run).status is FAILURE
    again = scene.ended(scene.deployment.reexecute(run, "FROM_FAILURE"))
    zombie.go_on()
    assert zombie.ended() == 0
    assert [record.run_id for record in scene.records()][1:] == [run.run_id]
    assert scene.versions() == 2
    assert scene.seen() == [2]
    assert scene.replayed(run) == [(False, 2)]
    assert scene.replayed(again) == [(True, 2)]


@pytest.mark.parametrize("moment", ["computing", "written", "committed"])
def test_an_attempt_that_was_overtaken_replaces_nothing(
    scene: Scene, moment: Literal["computing", "written", "committed"], tmp_path: Path
) -> None:
    if moment == "computing":
        (tmp_path / "stop while computing").touch()
        run, zombie = scene.start()
        eventually(lambda: zombie.stopped, "the stop")
    else:
        run, zombie = scene.stop(moment)
    later = scene.produce()
    assert scene.seen() == [3]
    zombie.go_on()
    assert zombie.ended() == 0
    assert scene.seen() == [3], "older data never replaces newer data"
    assert scene.versions() == 2
    assert {record.run_id for record in scene.records()} >= {run.run_id, later.run_id}, "it stays a fact"
    assert scene.replayed(run) == [(False, "a later attempt is published already")]


@pytest.mark.parametrize("moment", ["written", "committed"])
def test_two_deliveries_of_one_intent_at_once_are_one(scene: Scene, moment: Moment) -> None:
    both = [scene.stop(moment, key="twice") for _twice in range(2)]
    for _run, worker in both:
        worker.go_on()
    told = [scene.replayed(scene.ended(run)) for run, _worker in both]
    assert sorted(told) == [[(False, 2)], [(True, 2)]]
    assert [record.intent for record in scene.records()][1:] == ["key:twice"]
    assert scene.records()[1].redeliveries == 1
    assert scene.versions() == 2
    assert scene.seen() in ([2], [3])
