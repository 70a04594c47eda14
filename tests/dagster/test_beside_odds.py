"""What is recorded beside a run where the store goes away, sensors look, other runs go on or the process ends."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
import pytest
from adopting import from_log, held, materialized, outages, records, told
from run_processes import end_before_a_run

from metadata_assets import recording, with_metadata
from metadata_assets.mirror.materialized import record_materializations
from resources.configurable import MetadataResource, close_all
from resources.metadata_store import MetadataStore
from resources.postgres.embedded import Server
from resources.postgres.session import Sessions

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own


def test_a_store_that_is_away_is_asked_once_for_all_that_is_on_its_way(
    ephemeral: dg.DagsterInstance,
    environment: dict[str, str],
    server: Server,
    metadata_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However many records that are: what could not be reached a moment ago is left alone for a minute."""
    assert environment
    monkeypatch.setitem(Sessions.call.__kwdefaults__, "deadline_seconds", 0.5)
    goes_away = [False]
    with outages(server, metadata_url) as outage:

        @dg.multi_asset(specs=[dg.AssetSpec(one) for one in "abcd"])
        def several() -> Iterator[Any]:
            if goes_away.pop():
                outage.begin()
            for one in "abcd":
                yield dg.MaterializeResult(asset_key=one)

        @dg.asset(deps=["d"])
        def after() -> None: ...

        materialized(ephemeral, several, after)
        goes_away.append(True)
        defs = materialized(ephemeral, several, after)
    close_all()
    assert capsys.readouterr().err.count("not recorded yet") == 1
    assert from_log(MetadataResource().store(), ephemeral, defs) == 5


def test_a_name_that_is_none_is_told_and_stops_nobody(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the step of an asset that has it, nor one that is made from that."""

    @dg.asset
    def a() -> None: ...

    @dg.asset(deps=[a], metadata={"metadata_assets/key": "orders"})
    def b() -> None: ...

    @dg.asset(deps=[b])
    def c() -> None: ...

    materialized(ephemeral, a, b, c)
    assert len(records(stored, "a")) == 1
    assert capsys.readouterr().err.count("not recorded yet") == 2


def test_a_sensor_leaves_to_a_step_what_is_on_its_way(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, environment: dict[str, str]
) -> None:
    """Else the record would not say what it was made from. It does so for a minute, if the run does not end."""

    @dg.asset
    def a() -> None: ...

    @dg.asset(deps=[a])
    def b() -> None: ...

    @dg.asset
    def c() -> None: ...

    defs = materialized(ephemeral, a, b, c)
    graph = defs.resolve_asset_graph()
    assert from_log(stored, ephemeral, defs) == 0
    with held(environment["METADATA_DATABASE_URL"], stored, "b") as waited_for:
        run = threading.Thread(target=materialized, args=(ephemeral, a, b, c))
        run.start()
        while not waited_for():
            time.sleep(0.01)
        run.join(1.0)  # it writes no more
        going_on, _before = ephemeral.get_runs()
        while not told(ephemeral, "b", going_on):
            run.join(0.5)
        assert len(records(stored, "b")) == 1, "that of before"
        assert from_log(stored, ephemeral, defs) == 0
    run.join()
    assert from_log(stored, ephemeral, defs) == 0
    _of_before, one = records(stored, "b")
    assert (len(stored.inputs(one.id)), one.redeliveries) == (1, 0)
    assert record_materializations(stored, ephemeral, graph).seen == 0, "all of it was looked at"


def test_what_a_run_that_goes_on_has_told_is_left_to_it_for_a_minute(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    seen = []

    @dg.asset
    def a() -> None: ...

    @dg.asset(deps=[a])
    def b() -> None:
        graph = with_metadata(dg.Definitions(assets=[a, b])).resolve_asset_graph()
        for later in (0.0, 61.0):
            looked = record_materializations(stored, ephemeral, graph, now=lambda later=later: time.time() + later)  # type: ignore[misc]
            seen.append(looked.seen)

    materialized(ephemeral, a, b)
    assert seen == [0, 1]


def test_a_step_does_not_claim_to_have_read_what_its_run_has_replaced(
    ephemeral: dg.DagsterInstance,
    environment: dict[str, str],
    server: Server,
    metadata_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where that has no record yet, the one of before is not what it read."""
    assert environment
    monkeypatch.setitem(Sessions.call.__kwdefaults__, "deadline_seconds", 0.5)
    monkeypatch.setattr(recording, "_REST_SECONDS", 0.0)
    goes_away: list[bool] = []
    with outages(server, metadata_url) as outage:

        @dg.asset
        def a() -> None:
            if goes_away:
                outage.begin()

        @dg.asset(deps=[a])
        def b() -> None:
            outage.end()

        @dg.asset(deps=[a, b])
        def c() -> None: ...

        materialized(ephemeral, a, b, c)
        goes_away.append(True)
        materialized(ephemeral, a, b, c)
    store = MetadataResource().store()
    assert [len(records(store, one)) for one in "abc"] == [1, 1, 2]
    before, now = records(store, "c")
    assert [one.materialization_id is None for one in store.inputs(before.id)] == [False, False]
    assert [one.materialization_id is None for one in store.inputs(now.id)] == [True, True]


def test_several_runs_at_once_do_not_meet(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, environment: dict[str, str]
) -> None:
    """Each waits for its own records before its next step and its end, though one project recorded them all."""
    together = threading.Barrier(2)

    @dg.asset
    def a() -> None: ...

    @dg.asset(deps=[a])
    def b() -> None:
        together.wait(10)

    job = with_metadata(dg.Definitions(assets=[a, b])).resolve_implicit_global_asset_job_def()

    def run(_number: int) -> int:
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(instance=instance)
            assert done.success
            return len(instance._subscribers[done.run_id])

    assert environment
    assert ephemeral
    with ThreadPoolExecutor(2) as both:
        assert list(both.map(run, range(2))) == [1, 1], "each is heard once"
    for one in records(stored, "b"):
        (read,) = stored.inputs(one.id)
        assert read.materialization_id is not None


def test_a_run_may_outlive_the_main_thread(environment: dict[str, str], stored: MetadataStore) -> None:
    """Python begins no work in threads any more then: the run records as it goes."""
    assert environment
    assert end_before_a_run("kinds.py", "specs") == 0
    assert [len(records(stored, name)) for name in ("first", "second", "after_halves")] == [1, 1, 1]
