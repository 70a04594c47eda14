"""The project as it is declared: valid, and its functions take what it says they get."""

import importlib
import inspect
from pathlib import Path

import polars as pl
import pytest

import examples.flights.pipeline as pipeline
from identity.keys import short_name
from metadata_assets.spec.loading import load_project
from metadata_assets.spec.project import Project

FOLDER = Path(pipeline.__file__).parent


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(FOLDER)


def test_the_three_airports_are_collected_and_the_lake_is_written(project: Project) -> None:
    assert {slug: (one.location.system, one.location.database) for slug, one in project.endpoints.items()} == {
        "ewr": ("postgres", "ewr"),
        "jfk": ("postgres", "jfk"),
        "lga": ("postgres", "lga"),
        "lake": ("files", None),
    }
    assert [slug for slug, one in project.endpoints.items() if one.collect] == ["ewr", "jfk", "lga"]


def test_what_comes_from_what(project: Project) -> None:
    inputs = {short_name(one.key): [short_name(dep.key) for dep in one.depends_on] for one in project.datasets}
    assert inputs == {
        "lake/nyc/flights": ["ewr/public/flights", "jfk/public/flights", "lga/public/flights"],
        "lake/nyc/weather": ["ewr/public/weather", "jfk/public/weather", "lga/public/weather"],
        "lake/nyc/daily_delays": ["lake/nyc/flights", "lake/nyc/weather"],
        "lake/nyc/carrier_month": ["lake/nyc/daily_delays"],
    }


def test_functions_take_the_inputs_by_their_names(project: Project) -> None:
    for dataset in project.datasets:
        given = {dependency.name for dependency in dataset.depends_on} | {"partition"}
        for function in (dataset.python, *(check.python for check in dataset.checks)):
            found = getattr(importlib.import_module(f"examples.flights.{function.module}"), function.name)
            wanted = set(inspect.signature(found).parameters)
            assert wanted <= given | ({"data"} if function is not dataset.python else set()), function


def test_the_declared_columns_are_those_that_are_written(project: Project) -> None:
    declared = {one.name: [column.name for column in one.columns] for one in project.datasets}
    delays = pipeline.daily_delays(pipeline.FLIGHTS.to_frame(), None)
    month = pipeline.carrier_month({"2013-01-01": delays.to_pandas()}, "2013-01-01")
    assert month is not None
    assert declared == {
        "flights": pipeline.FLIGHTS.names(),
        "weather": pipeline.WEATHER.names(),
        "daily_delays": delays.columns,
        "carrier_month": pl.from_pandas(month).columns,
    }


def test_blocking_checks_hold_a_publish_back(project: Project) -> None:
    for dataset in project.datasets:
        blocking = [check.name for check in dataset.checks if check.blocking]
        assert bool(blocking) == (dataset.publish == "when_checks_pass"), dataset.name
