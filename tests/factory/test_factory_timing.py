"""Schedules, automation conditions, retention and environments of a project."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from metadata_assets.location import code_location
from metadata_assets.spec import Project, ProjectInvalid, load_project

METADATA = """name: shop
endpoints:
  lake: {system: files, root: env:LAKE}
  dwh: {system: postgres, database: dev}
environments:
  dev:
    lake: {root: ./data}
  prod:
    dwh: {url: env:DWH_URL, database: prod}
schedules:
  nightly: {cron: "0 6 * * *", timezone: Europe/Amsterdam, select: "group:sales", environments: [prod]}
  places: {cron: "@daily", select: [places, total]}
  all_of_it: {cron: "0 7 * * 1", select: total, description: Each Monday.}
"""
DATASETS = """datasets:
  - name: orders
    endpoint: lake
    group: sales
    python: code:orders
    partitions: {daily: {start: 2026-01-01}}
    automation: eager
  - name: places
    endpoint: lake
    python: code:orders
    partitions: {static: [a, b]}
    retention: {versions: 3, for: 30d}
  - {name: total, endpoint: lake, group: sales, python: "code:total", automation: {cron: "0 8 * * *"}}
  - {name: seen, endpoint: lake, python: "code:total", automation: on_missing}
"""
CODE = "def orders(partition: str): ...\n\ndef total(): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text(METADATA)
    (tmp_path / "datasets" / "all.yml").write_text(DATASETS)
    (tmp_path / "code.py").write_text(CODE)
    return tmp_path


def ticked(project: Project, name: str, at: datetime, instance: dg.DagsterInstance | None = None) -> list[str | None]:
    """The partitions that a schedule asks for."""
    repository = code_location(project).get_repository_def()
    schedule = repository.get_schedule_def(name)
    context = dg.build_schedule_context(instance, scheduled_execution_time=at, repository_def=repository)
    requests = schedule.evaluate_tick(context).run_requests or ()
    assert len({one.run_key for one in requests}) == len(requests), "of those with one key a tick launches the first"
    return [one.partition_key for one in requests]


def test_a_schedule_asks_for_what_is_complete_by_then(folder: Path) -> None:
    project = load_project(folder)
    assert ticked(project, "nightly", datetime(2026, 3, 5, 5, tzinfo=UTC)) == ["2026-03-04"]
    assert ticked(project, "nightly", datetime(2026, 1, 1, 5, tzinfo=UTC)) == [], "there is no partition yet"
    assert ticked(project, "places", datetime(2026, 3, 5, tzinfo=UTC)) == ["a", "b"]
    assert ticked(project, "all_of_it", datetime(2026, 3, 5, tzinfo=UTC)) == [None]


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")  # Dagster's own, of pairs
def test_a_schedule_asks_for_each_partition_that_was_added(folder: Path) -> None:
    entry = '  - {name: %s, endpoint: lake, python: "code:orders", partitions: %s}\n'
    pairs = "{by: {who: {dynamic: customers}, day: {daily: {start: 2026-01-01}}}}"
    more = entry % ("visits", "{dynamic: customers}") + entry % ("halves", pairs)
    (folder / "datasets" / "all.yml").write_text(DATASETS + more)
    schedules = "".join(f'  {name}: {{cron: "@daily", select: {name}}}\n' for name in ("visits", "halves"))
    (folder / "metadata.yml").write_text(METADATA + schedules)
    project, at = load_project(folder), datetime(2026, 3, 5, tzinfo=UTC)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        assert ticked(project, "visits", at, instance) == []
        instance.add_dynamic_partitions("customers", ["acme", "b"])
        assert ticked(project, "visits", at, instance) == ["acme", "b"]
        assert sorted(map(str, ticked(project, "halves", at, instance))) == ["2026-03-04|acme", "2026-03-04|b"]


def test_a_schedule_is_on_where_it_says(folder: Path) -> None:
    def on(environment: str | None) -> set[str]:
        schedules = code_location(load_project(folder, environment=environment)).get_repository_def().schedule_defs
        return {one.name for one in schedules if one.default_status is dg.DefaultScheduleStatus.RUNNING}

    assert on(None) == on("dev") == {"places", "all_of_it"}
    assert on("prod") == {"nightly", "places", "all_of_it"}


def test_datasets_say_when_they_are_made_by_themselves(folder: Path) -> None:
    repository = code_location(load_project(folder)).get_repository_def()
    graph = repository.asset_graph
    conditions = {key.path[-1]: graph.get(key).automation_condition for key in graph.materializable_asset_keys}
    assert conditions["orders"] == dg.AutomationCondition.eager()
    assert conditions["total"] == dg.AutomationCondition.on_cron("0 8 * * *")
    assert conditions["seen"] == dg.AutomationCondition.on_missing()
    assert conditions["places"] is None
    assert repository.get_sensor_def("automate").default_status is dg.DefaultSensorStatus.RUNNING


def test_retention_is_read(folder: Path) -> None:
    found = {one.name: one.retention for one in load_project(folder).datasets}
    assert found["orders"] is None
    assert found["places"] is not None
    assert (found["places"].versions, found["places"].time) == (3, timedelta(days=30))


def test_endpoints_are_those_of_the_environment(folder: Path) -> None:
    def places(environment: str | None) -> Mapping[str, object]:
        endpoints = load_project(folder, environment=environment).endpoints
        lake, dwh = endpoints["lake"].location, endpoints["dwh"].location
        return {"lake": lake.root, "database": dwh.database, "url": dwh.url}

    assert places(None) == places("dev") == {"lake": "./data", "database": "dev", "url": None}
    assert places("prod") == {"lake": "env:LAKE", "database": "prod", "url": "env:DWH_URL"}
    with pytest.raises(
        ProjectInvalid, match=r"no environment 'prd', which METADATA_ENVIRONMENT names; did you mean prod"
    ):
        load_project(folder, environment="prd")


def test_a_variable_that_is_not_set_is_told_at_its_place(folder: Path) -> None:
    load_project(folder, environment="dev").check_variables({})
    load_project(folder, environment="prod").check_variables({"LAKE": "/l", "DWH_URL": "x"})
    with pytest.raises(ProjectInvalid) as refused:
        load_project(folder, environment="prod").check_variables({"LAKE": ""})
    assert [str(one) for one in refused.value.problems] == [
        "metadata.yml:3:31: endpoints.lake: the environment variable LAKE is not set; set it",
        "metadata.yml:9:16: endpoints.dwh: the environment variable DWH_URL is not set; set it",
    ]
