"""Records are made beside a run: nothing is lost or doubled by that, and each step sees what those before it made."""

import gc
import os
import runpy
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from adopting import from_log, held, materialized, records, told
from deployment import PROJECTS, deployed
from run_processes import WORKERS, Strike

from metadata_assets import recorded, with_metadata
from metadata_assets.beside import MOST, Beside
from metadata_assets.mirror.asset_events import asset_events_in
from metadata_assets.mirror.materialized import record_events
from metadata_assets.settling import MATERIALIZATION_METADATA
from resources.configurable import MetadataResource
from resources.metadata_store import MetadataStore

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own


@pytest.mark.parametrize("through", [recorded, lambda function: function], ids=["one by one", "the project"])
def test_a_step_reads_what_the_one_before_it_made(
    through: Callable[[Any], Any], ephemeral: dg.DagsterInstance, stored: MetadataStore, environment: dict[str, str]
) -> None:
    """Though the record of that takes longer than Dagster does."""

    @dg.asset
    @through
    def first() -> None: ...

    @dg.asset(deps=[first])
    @through
    def second() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    @dg.asset(deps=[first, second])
    @through
    def third() -> int:
        return 1

    materialized(ephemeral, first, second, third)
    with held(environment["METADATA_DATABASE_URL"], stored, "first") as waited_for:
        run = threading.Thread(target=materialized, args=(ephemeral, first, second, third))
        run.start()
        while not waited_for():
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(records(stored, "second")) == 1, "it waits"
    run.join()
    (_, one), (_, two), (_, three) = (records(stored, name) for name in ("first", "second", "third"))
    assert [(i.materialization_id, i.version) for i in stored.inputs(two.id)] == [(one.id, 2)]
    assert {(i.materialization_id, i.version) for i in stored.inputs(three.id)} == {(one.id, 2), (two.id, 2)}
    assert one.fencing_token < two.fencing_token < three.fencing_token


def test_other_steps_and_the_end_of_a_run_find_everything_recorded(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, environment: dict[str, str]
) -> None:
    found = []

    @dg.asset
    def a() -> None: ...

    @dg.asset_check(asset=a, blocking=True)
    def good() -> dg.AssetCheckResult:
        found.append(len(records(stored, "a")))
        return dg.AssetCheckResult(passed=True)

    @dg.asset(deps=[a])
    def last() -> int:
        return 1

    job = with_metadata(dg.Definitions(assets=[a, last], asset_checks=[good])).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=ephemeral).success
    for name in ("a", "last"):
        with held(environment["METADATA_DATABASE_URL"], stored, name) as waited_for:
            run = threading.Thread(target=job.execute_in_process, kwargs={"instance": ephemeral})
            run.start()
            while not waited_for():
                time.sleep(0.01)
            run.join(0.7)
            assert run.is_alive(), "it waits"
        run.join()
    assert found == [1, 2, 3]
    assert len(records(stored, "last")) == 3


def test_a_process_killed_with_records_on_their_way_leaves_one_of_each(
    environment: dict[str, str], stored: MetadataStore
) -> None:
    defs = runpy.run_path(str(PROJECTS / "adopted.py"))["defs"]
    halves = [dg.AssetKey("first"), dg.AssetKey("second")]
    with dg.DagsterInstance.ephemeral() as before:
        job = defs.resolve_implicit_job_def_def_for_assets(halves)
        assert job.execute_in_process(instance=before, asset_selection=halves).success
    launcher = ("run_processes", "ProcessRunLauncher")
    with deployed(Path(environment["DAGSTER_HOME"]), "adopted.py", launcher=launcher) as deployment:
        instance = deployment.instance
        try:
            with held(environment["METADATA_DATABASE_URL"], stored, "first"):
                WORKERS.strike = Strike("told", signal.SIGKILL)
                run = deployment.launch("first", "second", "wrote")
                assert WORKERS.by_run[run.run_id].ended() == -signal.SIGKILL
                assert len(records(stored, "first")) == 1, "that of before"
        finally:
            WORKERS.end()
        (event,) = told(instance, "first", run)
        for _look in range(2):
            record_events(stored, instance, defs.resolve_asset_graph(), asset_events_in(instance, run.run_id))
        ours = [one for one in records(stored, "first") if one.intent == f"run:{run.run_id}"]
        assert [(str(one.id), one.current) for one in ours] == [(event[MATERIALIZATION_METADATA], True)]
        assert told(instance, "second", run) == told(instance, "wrote", run) == []


def test_a_process_that_executes_one_step_only_waits_for_its_record(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, environment: dict[str, str]
) -> None:
    """The next step may begin in another process as soon as this one has succeeded."""

    @dg.asset
    def a() -> None: ...

    materialized(ephemeral, a)
    with held(environment["METADATA_DATABASE_URL"], stored, "a") as waited_for:
        run = threading.Thread(target=materialized, args=(ephemeral, a))
        run.start()
        while not waited_for():
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(told(ephemeral, "a", *ephemeral.get_runs())) == 1, "that of before"
    run.join()
    assert len(records(stored, "a")) == 2


def test_two_runs_of_one_intent_at_once_leave_one_record(environment: dict[str, str], stored: MetadataStore) -> None:
    assert environment

    def run(_number: int) -> dg.Definitions:
        @dg.asset
        def a() -> None: ...

        @dg.asset(deps=[a])
        def b() -> int:
            return 1

        defs = with_metadata(dg.Definitions(assets=[a, b]))
        job = defs.resolve_implicit_global_asset_job_def()
        with dg.DagsterInstance.ephemeral() as instance:
            assert job.execute_in_process(instance=instance, tags={"metadata_assets/idempotency_key": "k"}).success
            assert from_log(stored, instance, defs) == 0
        return defs

    with ThreadPoolExecutor(2) as both:
        list(both.map(run, range(2)))
    assert [[(one.intent, one.redeliveries) for one in records(stored, name)] for name in "ab"] == [[("key:k", 1)]] * 2


def test_only_so_many_records_are_on_their_way(metadata: MetadataResource) -> None:
    beside, go_on, done = Beside(metadata), threading.Event(), []
    for number in range(MOST):
        beside.record(lambda number=number: go_on.wait() and done.append(number), pytest.fail)  # type: ignore[misc]
    one_more = threading.Thread(target=lambda: beside.record(lambda: done.append(MOST), pytest.fail))
    one_more.start()
    one_more.join(0.2)
    waits = one_more.is_alive()
    go_on.set()
    one_more.join()
    assert waits, "for the first"
    beside.settled()
    assert done == list(range(MOST + 1)), "in order"


def test_a_child_process_has_a_thread_of_its_own(metadata: MetadataResource) -> None:
    def done_beside() -> list[int]:
        done: list[int] = []
        beside = Beside(metadata)
        beside.record(lambda: done.append(1), pytest.fail)
        beside.settled()
        return done

    assert done_beside() == [1]
    child = os.fork()
    if child == 0:
        os._exit(0 if done_beside() == [1] else 1)
    for _time in range(500):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert status == 0


def test_nothing_of_a_run_stays_in_its_process(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    """However it ended, and though its instance lives on."""

    @dg.asset
    def a() -> None: ...

    @dg.asset(deps=[a])
    def fails() -> None:
        raise RuntimeError("asked to fail")

    def left() -> int:
        gc.collect()
        return sum(isinstance(one, Beside) for one in gc.get_objects())

    before = left()
    materialized(ephemeral, a)
    materialized(ephemeral, a, fails, fails=True)
    assert left() == before
    assert len(records(stored, "a")) == 2
