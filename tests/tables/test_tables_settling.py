"""What checks publish is shown by the view, whoever published it and whatever became of them."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dying_steps import TableProject
from warehouse import Warehouse, flights

from metadata_assets.location import code_location
from metadata_assets.settling import settle_run
from metadata_assets.spec import load_project
from resources.check_models import CheckEvaluation, CheckResult
from resources.tables import switching

ASSET = dg.AssetKey("flights")
Settle = Callable[[], tuple[int, int]]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def settled(project: TableProject, shop: Warehouse, instance: dg.DagsterInstance) -> Settle:
    """Settle the run: how many versions that published, and how many Dagster was told of in all."""
    metadata: Any = code_location(load_project(project.folder)).resources["metadata"]  # type: ignore[index]

    def settle() -> tuple[int, int]:
        found = settle_run(instance, metadata, shop.schema, {ASSET: shop.key("flights")})
        told = instance.fetch_observations(ASSET, limit=10).records
        return sum(one.settled for one in found), len(told)

    return settle


def passed(shop: Warehouse) -> CheckResult:
    return CheckResult(name="rows", run_id=shop.schema, evaluation=1, passed=True, blocking=True)


def waiting(shop: Warehouse) -> Any:
    """A second version that waits for a check of the run."""
    shop.show(flights(1))
    made = shop.commit(flights(2))
    shop.store.await_checks(shop.schema, [made], ["rows"])
    return made


def test_what_was_recorded_before_is_told_and_shown(shop: Warehouse, settled: Settle) -> None:
    shop.store.record_checks([waiting(shop)], [passed(shop)])
    assert settled() == (1, 1)
    assert shop.rows() == [(2, "AA")]
    assert settled() == (0, 1)


def died(shop: Warehouse) -> None:
    """A process published, and died before the view followed."""
    waiting(shop)
    (one,) = shop.store.settle_checks([CheckEvaluation(dataset=shop.entity().id, result=passed(shop))])
    assert one.settled
    assert shop.rows() == [(1, "AA")]


def test_the_next_one_who_settles_lets_the_view_follow(shop: Warehouse, settled: Settle) -> None:
    died(shop)
    assert settled() == (0, 0)
    assert shop.rows() == [(2, "AA")]


def test_the_sensor_lets_views_follow_and_says_what_keeps_some_behind(
    project: TableProject, shop: Warehouse, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = code_location(load_project(project.folder))
    repository = location.get_repository_def()
    resources = {"metadata": (location.resources or {})["metadata"]}

    def tick() -> str:
        with dg.build_sensor_context(instance, repository_def=repository, resources=resources) as context:
            return str(repository.get_sensor_def("settle_checks").evaluate_tick(context).skip_message)

    died(shop)
    shop.ask(f"CREATE VIEW {shop.schema}.mine AS SELECT * FROM {shop.view()}")
    shop.publish(shop.commit(flights(3).drop(["carrier"])))
    assert f"view {shop.schema}.mine would be lost" in tick()
    shop.ask(f"DROP VIEW {shop.schema}.mine")
    assert shop.schema not in tick()
    assert shop.ask(f"SELECT * FROM {shop.view()}") == [(3,)]
    monkeypatch.setattr(switching, "settle", unreachable)
    assert "cannot reach the endpoint warehouse" in tick()


def unreachable(_tables: object) -> None:
    raise switching.registry.TablesUnreachable(endpoint="warehouse", reason="it is gone")
