"""From a project to definitions: what they say, that they are the same again, and what does not fit is refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from ruamel.yaml import YAML

from identity.keys import dataset_key
from metadata_assets.factory import definitions_for, step_name
from metadata_assets.spec import ProjectInvalid, asset_key, load_project

DATASETS = """
datasets:
  - name: flights
    endpoint: lake
    schema: nyc
    description: Departures.
    owners: [team:data-eng, a@example.com]
    tags: [operations]
    group: nyc
    columns: [{name: day, type: date, description: Local.}, {name: carrier}]
    partitions: JANUARY
    depends_on: [{dataset: jfk/public/flights, as: jfk}]
    python: code:flights
    code_version: "7"
    checks: [{name: some, python: code:some, description: There are some., blocking: false}]
    publish: manually
  - name: month
    endpoint: lake
    schema: nyc
    partitions: {monthly: {start: 2013-01-01, end: 2013-02-01}}
    depends_on: [{dataset: lake/nyc/flights, missing: skip}]
    python: code:month
"""
CODE = """
import pandas as pd
import polars as pl
from metadata_assets.source_table import SourceTable

def flights(jfk: SourceTable, partition: str, context, limit: int = 10) -> pl.DataFrame: ...
def month(flights: dict[str, pd.DataFrame]) -> pl.DataFrame: ...
def some(data: pl.DataFrame) -> bool: ...
"""
Write = Callable[..., Path]


def assets(folder: Path) -> dict[str, dg.AssetsDefinition | dg.AssetSpec]:
    return {one.key.to_user_string(): one for one in definitions_for(load_project(folder))}


def problems(folder: Path) -> list[str]:
    with pytest.raises(ProjectInvalid) as refused:
        definitions_for(load_project(folder))
    assert refused.value.exit_code == 2
    return [str(problem) for problem in refused.value.problems]


def test_an_asset_says_what_the_project_says(write_project: Write) -> None:
    found = assets(write_project(DATASETS, code=CODE))
    assert list(found) == ["jfk/public/flights", "lake/nyc/flights", "lake/nyc/month"]
    flights = found["lake/nyc/flights"]
    assert isinstance(flights, dg.AssetsDefinition)
    (spec,) = flights.specs
    assert (spec.description, spec.group_name, spec.code_version) == ("Departures.", "nyc", "7")
    assert list(spec.owners) == ["team:data-eng", "a@example.com"]
    assert spec.tags["operations"] == ""
    assert spec.kinds == {"python", "parquet"}
    assert spec.metadata["metadata_assets/key"] == "mid1:dataset:lake:~/nyc/flights"
    assert spec.metadata["metadata_assets/publish"] == "manually"
    columns = spec.metadata["dagster/column_schema"].columns
    assert [(one.name, one.type, one.description) for one in columns] == [
        ("day", "date", "Local."),
        ("carrier", "", None),
    ]
    (check,) = flights.check_specs
    assert (check.name, check.description, check.blocking) == ("some", "There are some.", False)


def test_a_source_table_is_an_external_asset(write_project: Write) -> None:
    source = assets(write_project(DATASETS, code=CODE))["jfk/public/flights"]
    assert isinstance(source, dg.AssetSpec)
    assert source.kinds == {"postgres", "table"}
    assert source.metadata["metadata_assets/key"] == "mid1:dataset:jfk:jfk/public/flights"
    assert source.metadata["dagster/table_name"] == "jfk.public.flights"


def test_the_same_project_gives_the_same_definitions(write_project: Write) -> None:
    project = load_project(write_project(DATASETS, code=CODE))
    resources = {"metadata": dg.ResourceDefinition.none_resource(), "metadata_io_manager": dg.InMemoryIOManager()}
    graphs = [dg.Definitions(definitions_for(project), resources=resources).resolve_asset_graph() for _ in range(2)]
    for key in graphs[0].get_all_asset_keys():
        one, other = (graph.get(key) for graph in graphs)
        assert (one.metadata, one.tags, one.parent_keys) == (other.metadata, other.tags, other.parent_keys)
        assert (one.partitions_def, one.partition_mappings) == (other.partitions_def, other.partition_mappings)
        assert (one.code_version, one.backfill_policy) == (other.code_version, other.backfill_policy)


@pytest.mark.parametrize(
    ("partitions", "first", "last", "count"),
    [
        ("{daily: {start: 2013-01-01, end: 2014-01-01}}", "2013-01-01", "2013-12-31", 365),
        ("{monthly: {start: 2013-01-01, end: 2014-01-01}}", "2013-01-01", "2013-12-01", 12),
        ("{weekly: {start: 2013-01-01, end: 2013-01-29}}", "2013-01-01", "2013-01-22", 4),
        ("{weekly: {start: 2013-01-06, end: 2013-01-20}}", "2013-01-06", "2013-01-13", 2),
        ("{hourly: {start: 2013-01-01 22:00, end: 2013-01-02}}", "2013-01-01-22:00", "2013-01-01-23:00", 2),
        (
            "{hourly: {start: 2013-11-03, end: 2013-11-04, timezone: America/New_York}}",
            "2013-11-03-00:00",
            "2013-11-03-23:00",
            25,
        ),
        ("{static: [EWR, '01', no]}", "EWR", "no", 3),
    ],
)
def test_partitions_are_those_that_are_written(
    write_project: Write, partitions: str, first: str, last: str, count: int
) -> None:
    datasets = DATASETS.replace("JANUARY", partitions).partition("  - name: month")[0]
    flights = assets(write_project(datasets, code=CODE))["lake/nyc/flights"]
    assert isinstance(flights, dg.AssetsDefinition)
    assert flights.partitions_def is not None
    keys = flights.partitions_def.get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == (first, last, count)


REFUSED = YAML(typ="safe", pure=True).load(Path(__file__).with_name("refused_functions.yml").read_text("utf-8"))


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused["case"])
def test_what_does_not_fit_is_refused_at_its_line(write_project: Write, refused: dict[str, Any]) -> None:
    code = f"{CODE}\n{refused.get('code', '')}\n"
    line = CODE.count("\n") + 2
    folder = write_project(DATASETS.replace(*refused.get("write", ("", ""))), code=code)
    found = [problem.replace(f"code.py:{line}", "code.py:LINE") for problem in problems(folder)]
    assert found == [problem.replace("line LINE", f"line {line}") for problem in refused["says"]]


def test_all_problems_are_told_at_once(write_project: Write) -> None:
    code = CODE.replace("jfk: SourceTable", "jkf").replace("dict[str, pd.DataFrame]", "pd.DataFrame")
    assert len(problems(write_project(DATASETS, code=code))) == 3


def test_modules_of_a_project_import_each_other_and_nothing_stays_behind(write_project: Write) -> None:
    helpers = "LIMIT = 5\ndef ready(): return True"
    code = f"import helpers\nfrom . import helpers as again\nassert helpers.LIMIT == again.LIMIT == 5\n{CODE}"
    before, modules = list(sys.path), set(sys.modules)
    assets(write_project(DATASETS, code=code, helpers=helpers))
    assert sys.path == before
    left = {name for name in set(sys.modules) - modules if not name.startswith("metadata_project_")}
    assert "helpers" not in left


def test_two_projects_in_one_process_do_not_share_modules(write_project: Write, tmp_path: Path) -> None:
    first = write_project(
        DATASETS, code=f"import helpers\nassert helpers.NAME == 'one'\n{CODE}", helpers="NAME = 'one'"
    )
    first = first.rename(tmp_path / "first")
    second = write_project(
        DATASETS, code=f"import helpers\nassert helpers.NAME == 'two'\n{CODE}", helpers="NAME = 'two'"
    )
    assert assets(first).keys() == assets(second).keys()


def test_step_names_are_different_for_different_datasets() -> None:
    names = [
        ("a-b", "c"),
        ("a_b", "c"),
        ("a__b", "c"),
        ("a", "b__c"),
        ("a", "b.c"),
        ("_a", "c"),
        ("a_", "c"),
        ("a", "_c"),
    ]
    keys = [dataset_key("lake", schema=schema, table=table) for schema, table in names]
    assert len({step_name(key) for key in keys}) == len(keys)
    assert step_name(dataset_key("lake", schema="nyc", table="daily_delays")) == "lake__nyc__daily_delays"
    assert asset_key(keys[0]) == dg.AssetKey(["lake", "a-b", "c"])
