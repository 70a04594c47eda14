"""An adopted project goes on, and is recorded, where something odd happens beside it."""

from typing import Any

import dagster as dg
import pytest
from adopting import from_log, materialized, outages, records, told

from metadata_assets import with_metadata
from metadata_assets.deliveries import DELIVERY_METADATA
from metadata_assets.mirror import materialized as materialized_module
from metadata_assets.mirror.asset_events import LoggedAsset, asset_events_in
from metadata_assets.mirror.materialized import record_materializations
from metadata_assets.mirror.runs import mirror_runs
from metadata_assets.settling import MATERIALIZATION_METADATA
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from resources.postgres.session import Sessions

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own


def test_late_news_do_not_outrank_a_step_that_runs(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    @dg.asset(name="a")
    def before() -> None: ...

    yesterday = dg.Definitions(assets=[before])
    yesterday.resolve_implicit_global_asset_job_def().execute_in_process(instance=ephemeral)

    @dg.asset
    def a() -> None:
        assert from_log(stored, ephemeral, yesterday) == 1

    materialized(ephemeral, a)
    assert [(one.published_in, one.current) for one in records(stored, "a")] == [(1, False), (2, True)]
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("a"))
    assert from_log(stored, ephemeral, yesterday) == 1
    *_earlier, reported = records(stored, "a")
    assert (reported.intent.startswith("key:"), reported.current) == (True, True), "later news replace older data"


@pytest.mark.parametrize("beside", [False, True])
def test_a_store_that_goes_away_during_a_step_stops_nobody(
    beside: bool,
    ephemeral: dg.DagsterInstance,
    environment: dict[str, str],
    server: Server,
    metadata_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert environment
    monkeypatch.setattr("resources.postgres.session._BEGIN_SECONDS", 0.5)
    with outages(server, metadata_url) as outage:

        @dg.asset
        def a() -> dg.MaterializeResult:
            outage.begin()
            return dg.MaterializeResult(metadata={"n": 1})

        others = [dg.asset(name="b", deps=[a])(lambda: None)] if beside else []
        defs = materialized(ephemeral, a, *others)
    close_all()
    store = MetadataResource().store()
    assert records(store, "a") == []
    assert from_log(store, ephemeral, defs) == 1 + beside
    assert [(one.metadata["n"], one.current) for one in records(store, "a")] == [(1, True)]
    (event,) = told(ephemeral, "a", *ephemeral.get_runs())
    assert "fencing_token" in event[DELIVERY_METADATA], "it says how old the data are"


def test_a_step_that_must_be_recorded_fails_where_the_store_goes_away(
    ephemeral: dg.DagsterInstance,
    environment: dict[str, str],
    server: Server,
    metadata_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert environment
    monkeypatch.setitem(Sessions.call.__kwdefaults__, "deadline_seconds", 0.5)
    after, goes_away = [], [False]
    with outages(server, metadata_url) as outage:

        @dg.asset
        def a() -> None:
            if goes_away.pop():
                outage.begin()

        @dg.asset(deps=[a])
        def b() -> None:
            after.append("b")

        job = with_metadata(dg.Definitions(assets=[a, b]), required=True).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=ephemeral).success, "it is known by then"
        goes_away.append(True)
        result = job.execute_in_process(instance=ephemeral, raise_on_error=False)
    close_all()
    assert [one.step_key for one in result.get_step_failure_events()] == ["a"]
    assert after == ["b"]
    assert len(told(ephemeral, "a", *ephemeral.get_runs())) == 1, "nor does Dagster tell of it"


def test_graphs_may_share_their_ops(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    @dg.op
    def made() -> int:
        return 1

    @dg.graph
    def inner() -> Any:
        return made()

    @dg.graph_asset
    def x() -> Any:
        return inner()

    @dg.graph_asset
    def y() -> Any:
        return inner()

    @dg.op
    def more(made: int) -> int:
        return made + 1

    @dg.graph_asset
    def z() -> Any:
        return more(made())

    materialized(ephemeral, x, y, z)
    assert [len(records(stored, name)) for name in "xyz"] == [1, 1, 1]

    @dg.job
    def beside() -> None:
        more(made())

    defs = with_metadata(dg.Definitions(assets=[x, y, z], jobs=[beside]))
    assert defs.get_repository_def().get_job("beside").execute_in_process(instance=ephemeral).success


def test_an_event_that_cannot_be_recorded_keeps_no_other_from_it(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, caplog: pytest.LogCaptureFixture
) -> None:
    defs = with_metadata(dg.Definitions(assets=[dg.AssetSpec("a")]))
    for odd in ({"intent": {"x": "run:1"}}, {"intent": 1}, {"output": "x"}, {"intent": "run:1", "attempt": "x"}):
        noted = {DELIVERY_METADATA: dg.MetadataValue.json(odd)}
        ephemeral.report_runless_asset_event(dg.AssetMaterialization("a", metadata=noted))
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("a", metadata={MATERIALIZATION_METADATA: "x"}))
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("a", metadata={"n": 1}))
    assert from_log(stored, ephemeral, defs) == 1
    assert [one.metadata["n"] for one in records(stored, "a")] == [1]
    assert caplog.text.count("cannot be recorded") == 5
    assert from_log(stored, ephemeral, defs) == 0


def test_a_log_without_news_is_not_read_again(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_read: list[str] = []

    def noted(instance: dg.DagsterInstance, run_id: str) -> list[LoggedAsset]:
        runs_read.append(run_id)
        return asset_events_in(instance, run_id)

    monkeypatch.setattr(materialized_module, "asset_events_in", noted)

    @dg.asset
    def a() -> None: ...

    for _run in range(3):
        defs = materialized(ephemeral, a)
    stopped = iter([0.0, 0.0, 0.0])
    graph = defs.resolve_asset_graph()
    done = record_materializations(stored, ephemeral, graph, seconds=20, clock=lambda: next(stopped, 99.0))
    assert (done.complete, len(runs_read)) == (False, 1), "no longer than it may"
    assert from_log(stored, ephemeral, defs) == 0
    assert len(runs_read) == len(set(runs_read)) == 3
    assert from_log(stored, ephemeral, defs) == 0
    assert len(runs_read) == 3


def test_deployments_that_have_names_mirror_by_these(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    for names, location in (("a", "shop-dev"), ("ab", "shop-prod"), ("a", "shop-dev")):
        defs = with_metadata(dg.Definitions(assets=[dg.AssetSpec(name) for name in names]), code_location=location)
        (sensor,) = [one for one in defs.sensors or () if one.name == "mirror_runs"]
        with dg.build_sensor_context(ephemeral, repository_def=defs.get_repository_def()) as context:
            sensor(context)  # type: ignore[operator]
    assert [len(stored.dag_versions(one)) for one in ("shop-dev", "shop-prod", "__repository__")] == [1, 1, 0]
    materialized(ephemeral, dg.asset(name="c")(lambda: None))
    mirror_runs(stored, ephemeral, code_location="shop-dev")
    assert [(one.code_location, one.dag_version) for one in stored.runs()] == [
        ("shop-dev", stored.dag_versions("shop-dev")[0].id)
    ]
