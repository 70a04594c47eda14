"""Datasets that are divided in two dimensions, and what they are made from and into."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from identity.keys import dataset_key
from metadata_assets.partitioning import end_of_partition, partitions_definition
from metadata_assets.planning import partitions_of
from metadata_assets.scheduling import due_partitions
from metadata_assets.spec import MultiPartitions, ProjectInvalid, load_project
from resources.metadata_store import MetadataStore

DATASETS = """
datasets:
  - {name: days, endpoint: lake, schema: nyc, python: "code:days", partitions: JANUARY}
  - name: pairs
    endpoint: lake
    schema: nyc
    python: code:pairs
    partitions: {by: {day: JANUARY, airport: {static: [EWR, JFK]}}}
    depends_on: [lake/nyc/days]
    columns: [{name: airport, not_null: true}]
  - {name: shifted, endpoint: lake, schema: nyc, sql: shifted.sql,
     partitions: {by: {day: JANUARY, airport: {static: [EWR, JFK]}}}}
  - {name: by_airport, endpoint: lake, schema: nyc, python: "code:by_airport", partitions: {static: [EWR, JFK]},
     depends_on: [{dataset: lake/nyc/pairs, missing: skip}]}
  - {name: everything, endpoint: lake, schema: nyc, python: "code:everything", depends_on: [lake/nyc/pairs]}
"""
CODE = """
import polars as pl

def days(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"day": [partition]})

def pairs(days: pl.DataFrame, partition: str) -> pl.DataFrame:
    airport, day = partition.split("|")
    assert days["day"].to_list() == [day]
    return pl.DataFrame({"airport": [airport], "day": [day]})

def by_airport(pairs: dict[str, pl.DataFrame], partition: str) -> pl.DataFrame:
    return pl.DataFrame({"pair": sorted(pairs)})

def everything(pairs: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.DataFrame({"pair": sorted(pairs)})
"""


@pytest.fixture
def bench(workbench: Callable[..., Any], tmp_path: Path) -> Any:
    (tmp_path / "project" / "datasets").mkdir(parents=True)
    shifted = "SELECT airport, day, $partition AS pair FROM {{ ref('pairs') }}"
    (tmp_path / "project" / "datasets" / "shifted.sql").write_text(shifted)
    return workbench(DATASETS, code=CODE)


def test_pairs_get_their_day_and_give_what_shares_a_dimension(bench: Any, store: MetadataStore) -> None:
    def rows(name: str) -> dict[str | None, int | None]:
        return {one.partition: one.row_count for one in store.current(dataset_key("lake", schema="nyc", table=name))}

    for day in ("2013-01-01", "2013-01-02"):
        bench.run("days", partition_key=day)
        bench.run("pairs", "shifted", partition_key=f"EWR|{day}")
    bench.run("pairs", partition_key="JFK|2013-01-02")
    assert rows("pairs") == {"EWR|2013-01-01": 1, "EWR|2013-01-02": 1, "JFK|2013-01-02": 1}
    assert rows("shifted") == {"EWR|2013-01-01": 1, "EWR|2013-01-02": 1}
    bench.run("by_airport", partition_key="EWR")
    assert rows("by_airport") == {"EWR": 2}
    found = bench.resources["metadata"].read("lake/nyc/by_airport", partition_column=None)
    assert found["pair"].to_list() == ["EWR|2013-01-01", "EWR|2013-01-02"]


def test_pairs_are_planned_and_due_by_their_newest_day(bench: Any) -> None:
    pairs = next(one for one in bench.project.datasets if one.name == "pairs")
    assert isinstance(pairs.partitions, MultiPartitions)
    planned = partitions_of([pairs], ["EWR|2013-01-01", "EWR|2013-01-02"], bench.instance)
    assert planned == {pairs.key: (("EWR|2013-01-01",), ("EWR|2013-01-02",))}
    definition = partitions_definition(pairs.partitions)
    assert isinstance(definition, dg.MultiPartitionsDefinition)
    at = datetime(2013, 1, 5, 6, tzinfo=UTC)
    assert sorted(map(str, due_partitions(definition, at))) == ["EWR|2013-01-04", "JFK|2013-01-04"]
    assert end_of_partition(pairs.partitions, "EWR|2013-01-04") == datetime(2013, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("partitions", "said"),
    [
        ("{by: {day: JANUARY}}", "it does not have two dimensions; name two"),
        (
            "{by: {day: {}, a: {static: [x]}}}",
            "partitions.by.day: a dataset is divided in exactly one way; keep one of",
        ),
        ("{by: {day: JANUARY, a: {static: ['x|y']}}}", "a partition of a has a | in its name; rename it"),
        (
            "{by: {day: {monthly: {start: 2013-01-01}}, a: {static: [x]}}}",
            "none of these dimensions is the other's; give",
        ),
    ],
)
def test_what_cannot_be_is_refused(write_project: Callable[..., Path], partitions: str, said: str) -> None:
    datasets = DATASETS.replace("{by: {day: JANUARY, airport: {static: [EWR, JFK]}}}", partitions, 1)
    with pytest.raises(ProjectInvalid) as refused:
        load_project(write_project(datasets, code=CODE))
    assert said in str(refused.value)
