"""Write, audit, publish: Dagster's own asset checks see what was committed first, and decide who else does."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from deployment import deployed

from metadata_assets.datasets import PUBLISH_METADATA, key_of
from metadata_assets.event_log import evaluations_after
from metadata_assets.io_manager_errors import NoChecksToPass
from metadata_assets.sensors import checks_sensor
from metadata_assets.settling import settle_run
from resources.check_models import CheckResult
from resources.metadata_store import MetadataStore

Resources = dict[str, Any]
WAITS = {PUBLISH_METADATA: "when_checks_pass"}
DATA, REPORT = dg.AssetKey("data"), dg.AssetKey("report")
KEY = key_of(DATA, None)
DAILY = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


JOBS = {
    "everything": dg.AssetSelection.assets(DATA, REPORT) | dg.AssetSelection.all_asset_checks(),
    "data": dg.AssetSelection.assets(DATA).without_checks(),
    "report": dg.AssetSelection.assets(REPORT).without_checks(),
    "checks": dg.AssetSelection.all_asset_checks(),
    "first": dg.AssetSelection.checks(dg.AssetCheckKey(DATA, "first")),
    "killed": dg.AssetSelection.assets(DATA, "last") | dg.AssetSelection.all_asset_checks(),
    "no_report": dg.AssetSelection.assets(DATA) | dg.AssetSelection.all_asset_checks(),
}


class World:
    """What the definitions do: the value of the data, the checks that fail, and what everybody saw."""

    def __init__(self) -> None:
        self.value = 1
        self.failing: set[str] = set()
        self.seen: list[tuple[str, Any]] = []
        self.meanwhile: dict[str, list[Callable[[], object]]] = {}

    def look(self, name: str, data: Any) -> None:
        values = (
            tuple((key, one["a"][0]) for key, one in sorted(data.items())) if isinstance(data, dict) else data["a"][0]
        )
        self.seen.append((name, values))

    def result(self, name: str, data: Any = None, **facts: Any) -> dg.AssetCheckResult:
        if data is not None:
            self.look(name, data)
        for meanwhile in self.meanwhile.pop(name, []):
            meanwhile()
        return dg.AssetCheckResult(passed=name not in self.failing, description=f"says {name}", **facts)


@pytest.fixture
def world() -> World:
    return World()


def definitions(world: World, *, partitions: dg.PartitionsDefinition[str] | None = None) -> list[Any]:
    """data, with two blocking checks, one that is not and one in a step of several; and report, made of data."""
    policy = dg.BackfillPolicy.single_run() if partitions else None

    @dg.asset(metadata=WAITS, partitions_def=partitions, backfill_policy=policy)
    def data(context: dg.AssetExecutionContext) -> Any:
        table = pl.DataFrame({"a": [world.value]})
        several = partitions is not None and len(context.partition_keys) > 1
        return dict.fromkeys(context.partition_keys, table) if several else table

    @dg.asset_check(asset=data, blocking=True)
    def first(data: Any) -> dg.AssetCheckResult:
        return world.result("first", data)

    @dg.asset_check(asset=data, blocking=True)
    def blind() -> dg.AssetCheckResult:
        return world.result("blind")

    @dg.asset_check(asset=data)
    def soft(data: Any) -> dg.AssetCheckResult:
        return world.result("soft", data)

    @dg.multi_asset_check(
        specs=[dg.AssetCheckSpec("third", asset=DATA, blocking=True), dg.AssetCheckSpec("fourth", asset=DATA)],
    )
    def several() -> Iterator[dg.AssetCheckResult]:
        yield world.result("third", asset_key=DATA, check_name="third")
        yield world.result("fourth", asset_key=DATA, check_name="fourth")

    @dg.asset(partitions_def=partitions, backfill_policy=policy)
    def report(data: Any) -> Any:
        world.look("report", data)
        return data

    @dg.asset(deps=[data])
    def last() -> None:
        world.result("fifth")

    return [data, first, blind, soft, several, report, last]


class Runs:
    """Runs of the definitions: of everything, of some assets with their checks, or of checks alone."""

    def __init__(self, instance: dg.DagsterInstance, resources: Resources, world: World, partitions: Any = None):
        found = definitions(world, partitions=partitions)
        assets = [one for one in found if not isinstance(one, dg.AssetChecksDefinition)]
        checks = [one for one in found if isinstance(one, dg.AssetChecksDefinition)]
        self.instance, self.metadata = instance, resources["metadata"]
        self.defs = dg.Definitions(
            assets=assets,
            asset_checks=checks,
            resources=resources,
            sensors=[checks_sensor()],
            jobs=[dg.define_asset_job(name, selection) for name, selection in JOBS.items()],
            executor=dg.in_process_executor,
        )

    def run(self, job: str, **facts: Any) -> dg.ExecuteInProcessResult:
        found = self.defs.resolve_job_def(job)
        return found.execute_in_process(instance=self.instance, raise_on_error=False, **facts)

    def tick(self, cursor: str | None = None, *, later: float = 0) -> tuple[str | None, str | None]:
        """What the sensor says, and its cursor; by a clock that is so many seconds ahead."""
        repository = self.defs.get_repository_def()
        resources = {"metadata": self.metadata}
        with dg.build_sensor_context(self.instance, cursor, repository_def=repository, resources=resources) as context:
            answer = checks_sensor(clock=lambda: time.time() + later).evaluate_tick(context)
        return answer.skip_message, answer.cursor


@pytest.fixture
def runs(instance: dg.DagsterInstance, resources: Resources, world: World) -> Runs:
    return Runs(instance, resources, world)


def published(store: MetadataStore) -> tuple[int, ...]:
    return tuple(one.number for one in store.versions(KEY))


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def not_published(result: dg.ExecuteInProcessResult) -> list[Any]:
    """What Dagster shows: why the data of a run are not published yet."""
    return [
        event.materialization.metadata["metadata_assets/not_published"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == DATA
    ]


def test_what_passes_is_published_before_it_is_read(runs: Runs, world: World, stored: MetadataStore) -> None:
    assert runs.run("everything").success
    assert set(world.seen) == {("first", 1), ("soft", 1), ("report", 1)}
    assert published(stored) == (1,)


def test_what_is_refused_is_seen_by_its_checks_only(runs: Runs, world: World, stored: MetadataStore) -> None:
    assert runs.run("everything").success
    world.value, world.failing, world.seen = 2, {"blind"}, []
    result = runs.run("everything")
    assert not result.success
    assert materialized(result) == {"data"}
    assert not_published(result) == ["waits for its checks: blind, first, third"]
    assert set(world.seen) == {("first", 2), ("soft", 2)}
    assert published(stored) == (1,)
    world.seen = []
    assert runs.run("report").success
    assert world.seen == [("report", 1)]


def test_a_later_run_of_checks_alone_publishes_what_was_refused(
    runs: Runs, world: World, stored: MetadataStore
) -> None:
    world.failing = {"first", "soft"}
    assert not runs.run("no_report").success
    (record,) = stored.materializations(KEY)
    assert published(stored) == ()
    found = stored.checks_of(record.id)
    assert (found.awaited, found.failed) == (("blind", "first", "third"), ("first",))
    assert found.latest["soft"].description == "says soft"
    world.failing, world.seen = {"soft"}, []
    runs.run("checks")
    assert set(world.seen) == {("first", 1), ("soft", 1)}
    assert published(stored) == (1,)
    assert (stored.checks_of(record.id).failed, stored.checks_of(record.id).latest["soft"].passed) == ((), False)
    runs.run("checks")
    assert published(stored) == (1,), "what is published is checked again, and not published again"


def test_one_check_of_three_does_not_publish(runs: Runs, world: World, stored: MetadataStore) -> None:
    world.failing = {"first", "blind"}
    assert not runs.run("no_report").success
    world.failing = set()
    assert runs.run("first").success
    (record,) = stored.materializations(KEY)
    assert stored.checks_of(record.id).failed == ("blind",)
    assert published(stored) == ()


def test_a_run_that_was_overtaken_meanwhile_publishes_nothing(runs: Runs, world: World, stored: MetadataStore) -> None:
    def overtake() -> None:
        world.value = 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(runs.run, "everything").result().success

    world.meanwhile["first"] = [overtake]
    assert runs.run("everything").success
    assert {seen for seen in world.seen if seen[0] != "soft"} == {("first", 1), ("first", 2), ("report", 2)}
    assert published(stored) == (1,)
    (current,) = stored.current(KEY)
    assert current.row_count == 1
    newest, oldest = stored.materializations(KEY)
    assert (newest.current, oldest.published_in) == (True, None)


def test_what_a_person_publishes_is_checked_before(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore, world: World
) -> None:
    @dg.asset(metadata={PUBLISH_METADATA: "manually"})
    def draft() -> pl.DataFrame:
        return pl.DataFrame({"a": [world.value]})

    @dg.asset_check(asset=draft, blocking=True)
    def first(draft: pl.DataFrame) -> dg.AssetCheckResult:
        return world.result("first", draft)

    for value in (1, 2):
        world.value = value
        assert dg.materialize([draft, first], instance=instance, resources=resources).success
        assert world.seen.pop() == ("first", value)
    assert stored.versions(key_of(draft.key, None)) == []


def test_checks_in_the_step_of_the_asset_decide_too_and_a_retry_may_pass(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore, world: World
) -> None:
    tries: list[int] = []

    @dg.asset(
        metadata=WAITS,
        check_specs=[dg.AssetCheckSpec("own", asset="data", blocking=True)],
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def data() -> Iterator[Any]:
        tries.append(len(stored.versions(KEY)))
        yield dg.Output(pl.DataFrame({"a": [1]}))
        yield dg.AssetCheckResult(passed=len(tries) > 1)
        if len(tries) == 1:
            raise ConnectionError

    @dg.asset
    def report(data: pl.DataFrame) -> None:
        world.look("report", data)

    assert dg.materialize([data, report], instance=instance, resources=resources).success
    assert (tries, world.seen) == ([0, 0], [("report", 1)])
    (record,) = stored.materializations(KEY)
    assert [one.result.passed for one in stored.checks_of(record.id).results] == [True, False]
    assert published(stored) == (1,)


def test_an_asset_without_a_blocking_check_cannot_wait_for_one(
    instance: dg.DagsterInstance, resources: Resources
) -> None:
    @dg.asset(metadata=WAITS)
    def data() -> pl.DataFrame:
        return pl.DataFrame({"a": [1]})

    with pytest.raises(NoChecksToPass, match="knows no blocking check"):
        dg.materialize([data], instance=instance, resources=resources)


RANGE = {"dagster/asset_partition_range_start": "mon", "dagster/asset_partition_range_end": "tue"}


def test_partitions_of_one_run_are_published_together(
    instance: dg.DagsterInstance, resources: Resources, world: World, stored: MetadataStore
) -> None:
    runs = Runs(instance, resources, world, DAILY)
    world.failing = {"blind"}
    assert not runs.run("everything", tags=RANGE).success
    assert set(world.seen) == {("first", (("mon", 1), ("tue", 1))), ("soft", (("mon", 1), ("tue", 1)))}
    assert published(stored) == ()
    world.failing, world.seen, world.value = set(), [], 2
    assert runs.run("everything", partition_key="tue").success
    assert set(world.seen) == {("first", 2), ("soft", 2), ("report", 2)}, "a check sees what its run delivered"
    assert [one.partition for one in stored.current(KEY)] == ["tue"]
    world.seen = []
    runs.run("checks")
    assert set(world.seen) == {("first", 1), ("soft", 1)}, "what waits: not what is published, nor what was overtaken"
    assert [one.partition for one in stored.current(KEY)] == ["mon", "tue"]
    assert published(stored) == (2, 1)


def test_the_sensor_reads_again_what_is_young(runs: Runs, stored: MetadataStore) -> None:
    assert runs.run("no_report").success
    said, cursor = runs.tick()
    assert said is not None
    assert said.endswith(" 0 versions published")
    newest = max(one.number for one in evaluations_after(runs.instance, -1, limit=10_000))
    assert json.loads(str(cursor))["after"] < newest
    _said, cursor = runs.tick(later=10_000)
    assert json.loads(str(cursor))["after"] == newest, "what is old is read once"
    assert published(stored) == (1,)


KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}]
import dagster as dg
from test_asset_checks import Runs, World
from metadata_assets.io_manager import MetadataIOManager
from resources.configurable import MetadataResource

world = World()
world.meanwhile["fifth"] = [lambda: os.kill(os.getpid(), signal.SIGKILL)]
metadata = MetadataResource()
resources = {{"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}}
with dg.DagsterInstance.get() as instance:
    Runs(instance, resources, world).run("killed")
"""


def test_the_sensor_publishes_what_a_killed_run_had_passed(runs: Runs, world: World, stored: MetadataStore) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -signal.SIGKILL
    (record,) = stored.materializations(KEY)
    assert published(stored) == ()
    assert runs.tick()[0].endswith(" 1 versions published")
    assert published(stored) == (1,)
    assert runs.tick()[0].endswith(" 0 versions published")
    assert stored.checks_of(record.id).failed == ()
    assert len(stored.checks_of(record.id).latest) == 5
    told = [one.asset_observation for one in runs.instance.fetch_observations(DATA, limit=10).records]
    mine = [one.metadata for one in told if one and one.metadata["metadata_assets/run_id"].value == record.run_id]
    assert [one["metadata_assets/version"].value for one in mine] == [1]
    assert runs.run("report").success
    assert world.seen == [("report", 1)]


def test_what_is_published_with_something_else_is_told_to_dagster(
    runs: Runs, world: World, stored: MetadataStore
) -> None:
    """A step downstream of another asset settles the whole run: the asset that it did not ask about says so, too."""
    world.failing = {"first"}
    run_id = runs.run("no_report").run_id
    (record,) = stored.materializations(KEY)
    assert published(stored) == ()
    passed = CheckResult(name="first", run_id=run_id, evaluation=10**9, passed=True, blocking=True)
    stored.record_checks([record.id], [passed])
    settle_run(runs.instance, runs.metadata, run_id, {REPORT: key_of(REPORT, None)})
    assert published(stored) == (1,)
    every = [one.asset_observation for one in runs.instance.fetch_observations(DATA, limit=10).records]
    (told,) = [one for one in every if one and one.metadata["metadata_assets/run_id"].value == run_id]
    assert (told.metadata["metadata_assets/version"].value, told.metadata["metadata_assets/run_id"].value) == (
        1,
        run_id,
    )


def test_a_deployment_publishes_by_a_person_who_runs_again_and_by_its_daemon(
    environment: dict[str, str], stored: MetadataStore
) -> None:
    failing = Path(environment["METADATA_PROJECT"]) / "failing"
    with deployed(Path(environment["DAGSTER_HOME"]), "audited.py") as deployment:
        assert deployment.launch("data", checks=[]).status is dg.DagsterRunStatus.SUCCESS
        (record,) = stored.materializations(KEY)
        assert stored.checks_of(record.id).waiting == ("first", "second"), "also those that the run leaves out"
        assert deployment.launch(checks=["second"]).status is dg.DagsterRunStatus.SUCCESS
        deployment.tick_sensor("settle_checks")
        assert stored.checks_of(record.id).waiting == ("first",), "a check that reads nothing is about the latest data"
        assert published(stored) == ()
        failing.write_text("first")
        run = deployment.launch("data", "report")
        assert (run.status, published(stored)) == (dg.DagsterRunStatus.FAILURE, ())
        failing.write_text("")
        assert deployment.reexecute(run, "FROM_FAILURE").status is dg.DagsterRunStatus.SUCCESS
        newest, oldest = stored.materializations(KEY)
        assert (newest.published_in, oldest.published_in) == (1, None)
        (read,) = stored.inputs(stored.materializations(key_of(REPORT, None))[0].id)
        assert (read.materialization_id, read.version) == (newest.id, 1)
