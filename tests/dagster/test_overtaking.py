"""Newer data replace older data: an attempt is as old as the start of its step, whatever its process did before."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from metadata_assets.datasets import key_of
from metadata_assets.io_manager import MetadataIOManager
from resources.metadata_store import MetadataStore

KEY = key_of(dg.AssetKey("data"), None)
WHY = "metadata_assets/not_published"


class Between(dg.ConfigurableIOManager):
    """An I/O manager of a user, which leaves the work to ours."""

    ours: dg.ResourceDependency[MetadataIOManager]

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        self.ours.handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> object:
        return self.ours.load_input(context)


class World:
    """A run of two steps in one process, the second of which makes `data`, and a run of that one alone."""

    def __init__(self, instance: dg.DagsterInstance, resources: dict[str, Any]) -> None:
        self.instance, self.delivered = instance, 0
        self.hooks: dict[str, Callable[[], object]] = {}

        @dg.asset
        def slow() -> int:
            self.hooks.pop("slow", int)()
            return 1

        @dg.asset(deps=["slow"], retry_policy=dg.RetryPolicy(max_retries=1))
        def data(context: dg.AssetExecutionContext) -> pl.DataFrame:
            self.delivered += 1
            mine = self.delivered
            self.hooks.pop(f"data {context.retry_number}", int)()
            return pl.DataFrame({"a": [mine]})

        self.definitions = dg.Definitions(
            assets=[slow, data],
            resources=resources,
            executor=dg.in_process_executor,
            jobs=[dg.define_asset_job("both", ["slow", "data"]), dg.define_asset_job("one", ["data"])],
        )

    def run(self, job: str) -> list[Any]:
        """Why what it made was not published."""
        result = self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance)
        events = [one.materialization for one in result.get_asset_materialization_events()]
        return [one.metadata[WHY].value for one in events if WHY in one.metadata]


@pytest.fixture
def world(instance: dg.DagsterInstance, resources: dict[str, Any]) -> World:
    return World(instance, resources)


@pytest.fixture
def read(metadata: Any) -> Callable[[], list[int]]:
    """A function that gives what readers get."""
    return lambda: metadata.read(KEY)["a"].to_list()


def test_a_step_that_starts_after_another_run_delivered_replaces_it(world: World, read: Any) -> None:
    world.hooks["slow"] = lambda: world.run("one")
    assert world.run("both") == []
    assert read() == [2]


def test_a_step_that_another_run_overtakes_replaces_nothing(world: World, read: Any, stored: MetadataStore) -> None:
    world.hooks["data 0"] = lambda: world.run("one")
    assert world.run("both") == ["a later attempt is published already"]
    assert read() == [2]
    assert len(stored.materializations(KEY)) == 2


def test_a_retry_of_a_step_is_as_old_as_its_own_start(world: World, read: Any) -> None:
    def fail() -> None:
        world.run("one")
        raise RuntimeError

    world.hooks["data 0"] = fail
    assert world.run("both") == []
    assert read() == [3]


def test_behind_another_io_manager_an_attempt_is_as_old_as_its_process_and_says_so(
    instance: dg.DagsterInstance, resources: dict[str, Any], read: Any
) -> None:
    world = World(instance, {**resources, "io_manager": Between(ours=resources["io_manager"])})
    world.hooks["slow"] = lambda: world.run("one")
    assert world.run("both") == ["a later attempt than the start of this process is published already"]
    assert read() == [1]
