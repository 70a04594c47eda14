"""What an adopted project delivers is recorded exactly once, however it is delivered, and nothing else changes."""

import runpy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from adopting import from_log, materialized, records, told
from deployment import PROJECTS, Deployment, deployed
from run_processes import WORKERS, Moment, Strike

from metadata_assets import recorded, with_metadata
from metadata_assets.deliveries import DELIVERY_METADATA, LEFT_OUT, kept
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.mirror.asset_events import asset_events_in
from metadata_assets.mirror.materialized import record_events
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.models import METADATA_DEPTH, Materialization
from resources.postgres.errors import DatabaseUnreachable

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def deployment(environment: dict[str, str]) -> Iterator[Deployment]:
    with deployed(Path(environment["DAGSTER_HOME"]), "adopted.py") as found:
        yield found


def of_run(store: MetadataStore, name: str, run: dg.DagsterRun) -> list[Materialization]:
    """The records of an asset that are this run's intent."""
    return [one for one in records(store, name) if one.intent == f"run:{run.run_id}"]


def test_a_step_that_retries_delivers_once(deployment: Deployment, stored: MetadataStore, tmp_path: Path) -> None:
    (tmp_path / "fail after the first").touch()
    run = deployment.launch("first", "second")
    assert run.status is SUCCESS
    (first,), (second,) = records(stored, "first"), records(stored, "second")
    assert {first.intent, second.intent} == {f"run:{run.run_id}"}
    assert (first.retry_number, first.redeliveries, second.retry_number) == (0, 1, 1)
    assert [one["metadata_assets/replayed"] for one in told(deployment.instance, "first", run)] == [False, True]
    assert [one.materialization_id for one in stored.inputs(second.id)] == [first.id]


def test_a_run_that_goes_on_after_a_failure_delivers_once(
    deployment: Deployment, stored: MetadataStore, tmp_path: Path
) -> None:
    (tmp_path / "fail storing result").touch()
    run = deployment.launch("data", "wrote")
    assert run.status is FAILURE
    assert records(stored, "data") == [], "what was not stored is not recorded"
    assert deployment.reexecute(run, "FROM_FAILURE").status is SUCCESS
    assert [one.intent for one in records(stored, "data")] == [f"run:{run.run_id}"]
    assert deployment.reexecute(run, "ALL_STEPS").status is SUCCESS
    assert [len(records(stored, name)) for name in ("data", "wrote")] == [2, 2], "a person asked for it anew"


def test_a_backfill_delivers_each_partition_once(deployment: Deployment, stored: MetadataStore, tmp_path: Path) -> None:
    (tmp_path / "fail 2026-01-02").touch()
    assert deployment.launch("wrote").status is SUCCESS
    backfill = deployment.backfill("days", "together", partitions=["2026-01-01", "2026-01-02", "2026-01-03"])
    for _round in range(3):
        runs = deployment.work_at(backfill)
    (failed,) = [run for run in runs if run.status is FAILURE]
    assert deployment.reexecute(failed, "FROM_FAILURE").status is SUCCESS
    for name in ("days", "together"):
        found = records(stored, name)
        assert {one.intent for one in found} <= {f"backfill:{backfill}"}
        assert len({one.partition for one in found}) == len(found)
    assert {one.partition for one in records(stored, "days")} == {"2026-01-01", "2026-01-02", "2026-01-03"}
    (wrote,) = records(stored, "wrote")
    for record in records(stored, "together"):
        (day,) = records(stored, "days", record.partition)
        assert [one.materialization_id for one in stored.inputs(record.id)] == [day.id], "partition by partition"
        assert [one.materialization_id for one in stored.inputs(day.id)] == [wrote.id]


@pytest.mark.parametrize(
    ("asset", "moment", "left"),
    [
        ("wrote", "published at once", 1),
        ("data", "told", 0),
        ("data", "published at once", 1),
    ],
)
def test_a_killed_process_leaves_one_record(
    environment: dict[str, str], stored: MetadataStore, asset: str, moment: Moment, left: int
) -> None:
    """Between the record and the event, between the event and the record, and after both."""
    home = Path(environment["DAGSTER_HOME"])
    with deployed(home, "adopted.py", launcher=("run_processes", "ProcessRunLauncher")) as deployment:
        try:
            WORKERS.strike = Strike(moment, signal.SIGKILL)
            run = deployment.launch(asset)
            assert WORKERS.by_run[run.run_id].ended() == -signal.SIGKILL
            assert len(records(stored, asset)) == left
            had_event = bool(told(deployment.instance, asset, run))
            assert had_event == (asset == "data")
            graph = runpy.run_path(str(PROJECTS / "adopted.py"))["defs"].resolve_asset_graph()
            record_events(stored, deployment.instance, graph, asset_events_in(deployment.instance, run.run_id))
            (record,) = of_run(stored, asset, run)
            assert deployment.monitor(run).status is FAILURE
            again = deployment.reexecute(run, "FROM_FAILURE")
            assert WORKERS.by_run[again.run_id].ended() == 0
            record_events(stored, deployment.instance, graph, asset_events_in(deployment.instance, again.run_id))
        finally:
            WORKERS.end()
        (kept_one,) = of_run(stored, asset, run)
        assert of_run(stored, asset, again) == []
        assert (kept_one.id, kept_one.intent, kept_one.run_id) == (record.id, f"run:{run.run_id}", run.run_id)
        assert kept_one.redeliveries == 1
        assert kept_one.published_in is not None
        assert len(told(deployment.instance, asset, run, again)) == 1 + had_event, (
            "Dagster itself tells of it each time"
        )


def test_what_nobody_recorded_comes_from_the_event_log_once(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    @dg.asset
    def a() -> None: ...

    @dg.op
    def reports() -> None:
        dg.get_dagster_logger()
        dg.OpExecutionContext.get().log_event(dg.AssetMaterialization("outside", metadata={"dagster/row_count": 5}))

    @dg.job
    def reporting() -> None:
        reports()

    before = dg.Definitions(assets=[a, dg.AssetSpec("outside")], jobs=[reporting])
    for _time in range(2):
        before.resolve_implicit_global_asset_job_def().execute_in_process(instance=ephemeral)
    reporting.execute_in_process(instance=ephemeral)
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("outside", partition=None))
    ephemeral.report_runless_asset_event(dg.AssetObservation("outside", tags={"dagster/data_version": "7"}))
    ephemeral.report_runless_asset_event(dg.AssetObservation("outside", tags={"dagster/data_version": "7"}))
    ephemeral.report_runless_asset_event(dg.AssetObservation("a"))
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("of nobody"))
    defs = with_metadata(before)
    assert from_log(stored, ephemeral, defs) == 6
    assert from_log(stored, ephemeral, defs) == 0
    stored.record_runs(f"dagster-events:{ephemeral.run_storage.get_run_storage_id()}", position={"after": -1})
    assert from_log(stored, ephemeral, defs) == 0, "a log that is read anew"
    assert [one.current for one in records(stored, "a")] == [False, True], "the newest is published"
    by_op, reported, seen, seen_again = records(stored, "outside")
    assert by_op.row_count == 5
    assert [one.published_in for one in (by_op, reported)] == [1, 2]
    assert {seen.published_in, seen_again.published_in} == {3, None}, "the same data are no new version"
    assert all(one.redeliveries == 0 for one in records(stored, "outside"))


def test_late_news_of_old_data_replace_nothing(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    @dg.asset
    def a() -> None: ...

    before = dg.Definitions(assets=[a])
    before.resolve_implicit_global_asset_job_def().execute_in_process(instance=ephemeral)
    defs = materialized(ephemeral, a)
    (now,) = records(stored, "a")
    assert from_log(stored, ephemeral, defs) == 1
    assert [one.id for one in records(stored, "a") if one.current] == [now.id]
    assert len(stored.versions(now.key)) == 1


def test_a_store_that_is_away_stops_nobody(
    ephemeral: dg.DagsterInstance,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = environment["METADATA_DATABASE_URL"]

    @dg.asset
    def a() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"n": 1})

    @dg.asset(deps=[a])
    def b() -> None: ...

    monkeypatch.setenv("METADATA_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    close_all()
    defs = materialized(ephemeral, a, b)
    monkeypatch.setenv("METADATA_DATABASE_URL", url)
    close_all()
    output = capsys.readouterr().err
    assert "this materialization is not recorded yet, cannot reach the metadata database" in output
    assert "METADATA_DATABASE_URL" in output
    assert output.count("not recorded yet") == 1, "the store is left alone for a while"
    store = MetadataResource().store()
    assert from_log(store, ephemeral, defs) == 2
    (record,) = records(store, "a")
    event = ephemeral.get_latest_materialization_event(dg.AssetKey("a"))
    assert event is not None
    assert event.asset_materialization is not None
    told_of: Any = event.asset_materialization.metadata[DELIVERY_METADATA].value
    assert (record.intent, record.metadata["n"], record.current) == (told_of["intent"], 1, True)


def test_a_project_may_require_its_records(
    ephemeral: dg.DagsterInstance, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    @dg.asset
    @recorded(required=True)
    def a() -> None:
        computed.append("a")

    assert environment
    monkeypatch.setenv("METADATA_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    close_all()
    with pytest.raises(DatabaseUnreachable, match="check that it runs and that METADATA_DATABASE_URL names it"):
        dg.materialize([a], instance=ephemeral)
    assert computed == [], "it fails before the work"


def test_the_decorator_alone_records_and_a_function_stays_a_function(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    @dg.asset
    @recorded
    def a() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"n": 1})

    @dg.asset
    @recorded
    async def b(context: dg.AssetExecutionContext) -> int:
        return len(context.asset_key.path)

    @dg.multi_asset(specs=[dg.AssetSpec("c")])
    @recorded
    async def cs() -> Any:
        yield dg.MaterializeResult(asset_key="c", data_version=dg.DataVersion("v"))

    assert dg.materialize([a, b, cs], instance=ephemeral).success
    assert [records(stored, name)[0].metadata.get("n") for name in "abc"] == [1, None, None]
    assert records(stored, "c")[0].data_version == "v"
    assert a().metadata == {"n": 1}
    twice = with_metadata(with_metadata(dg.Definitions(assets=[a])))
    assert twice.resolve_assets_def("a").op.compute_fn.decorated_fn is a.op.compute_fn.decorated_fn  # type: ignore[union-attr]
    assert len(twice.sensors or ()) == 4
    assert twice.resolve_assets_def("a")().metadata == {"n": 1}


def test_what_our_io_manager_stores_is_its_own(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, metadata: MetadataResource
) -> None:
    @dg.asset
    def a() -> dict[str, int]:
        return {"n": 1}

    @dg.asset
    def b(a: dict[str, int]) -> None: ...

    materialized(ephemeral, a, b, io_manager=MetadataIOManager(metadata=metadata))
    (first,), (second,) = records(stored, "a"), records(stored, "b")
    assert (first.location is not None, first.redeliveries) == (True, 0)
    assert [one.materialization_id for one in stored.inputs(second.id)] == [first.id]


def test_metadata_never_keep_data_from_being_recorded(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    deep: Any = 1
    for _level in range(2 * METADATA_DEPTH):
        deep = [deep]

    @dg.asset
    def a() -> dg.MaterializeResult:
        return dg.MaterializeResult(
            metadata={"plot": dg.MetadataValue.md("x" * 100_000), "deep": dg.JsonMetadataValue(deep), "n": 1}
        )

    materialized(ephemeral, a)
    (record,) = records(stored, "a")
    assert {"n": 1, LEFT_OUT: ["deep", "plot"]}.items() <= record.metadata.items()
    assert kept({"n": 1}) == {"n": 1}


def test_checks_keep_what_they_refuse_from_being_published(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    def checked(name: str, passes: bool) -> dg.AssetsDefinition:
        @dg.asset(
            name=name,
            check_specs=[dg.AssetCheckSpec("good", asset=name, blocking=True)],
            metadata={"metadata_assets/publish": "when_checks_pass"},
        )
        def one() -> dg.MaterializeResult:
            return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=passes)])

        return one

    defs = materialized(ephemeral, checked("bad", False), checked("fine", True), fails=True)
    repository = defs.get_repository_def()
    with dg.build_sensor_context(ephemeral, repository_def=repository) as context:
        (sensor,) = [one for one in defs.sensors or () if one.name == "settle_checks"]
        sensor(context)  # type: ignore[operator]
    assert [records(stored, name)[0].current for name in ("bad", "fine")] == [False, True]
