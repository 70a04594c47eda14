"""run: datasets of a project, materialized by Dagster in this process, and what became of each."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from cli_calls import Run

from identity.keys import dataset_key, short_name
from metadata_assets.planning import NoSuchPartition, PartitionNeeded, partitions_of, planned
from metadata_assets.spec import Dataset, load_project
from resources.configurable import close_all
from resources.metadata_store import MetadataStore

METADATA = "name: shop\nendpoints:\n  lake: {system: files}\n"
DATASETS = """
datasets:
  - {name: people, endpoint: lake, schema: sales, python: "code:people", columns: [{name: id, not_null: true}]}
  - {name: names, endpoint: lake, schema: sales, sql: names.sql}
  - {name: wrong, endpoint: lake, schema: sales, python: "code:wrong", columns: [{name: id, not_null: true}]}
  - {name: broken, endpoint: lake, schema: sales, python: "code:broken"}
  - {name: report, endpoint: lake, schema: sales, sql: report.sql, partitions: {static: [x, y]}}
  - {name: days, endpoint: lake, schema: sales, python: "code:days", partitions: {static: [a, b, c, d]}}
  - {name: others, endpoint: lake, schema: sales, sql: others.sql, partitions: {static: [a, b, c, d]},
     depends_on: [{dataset: lake/sales/days, missing: skip}]}
"""
CODE = """
import polars as pl

def people() -> pl.DataFrame:
    print("people are counted")
    return pl.DataFrame({"id": [1, 2]})

def wrong() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, None]})

def broken() -> pl.DataFrame:
    raise ValueError("postgresql://me:hunter2@host/db is down")

def days(partition: str) -> pl.DataFrame | None:
    return None if partition == "b" else pl.DataFrame({"day": [partition]})
"""
SQL = {
    "names": "SELECT id FROM {{ ref('people') }}",
    "report": "SELECT 1 AS n FROM {{ ref('broken') }}",
    "others": "SELECT day FROM {{ ref('days') }}",
}


@pytest.fixture
def shop(tmp_path: Path, run: Run, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """`run` in a project; Dagster in this process finds the deployment in its environment."""
    folder = tmp_path / "a project"
    (folder / "datasets").mkdir()
    (folder / "metadata.yml").write_text(METADATA)
    (folder / "code.py").write_text(CODE)
    (folder / "datasets" / "all.yml").write_text(DATASETS)
    for name, text in SQL.items():
        (folder / "datasets" / f"{name}.sql").write_text(text)
    for name in ("METADATA_TENANT", "DAGSTER_HOME", *environ):
        monkeypatch.setenv(name, environ.get(name, os.environ.get(name, "")))
    yield run
    close_all()


def of(answer: Any, field: str) -> dict[str, Any]:
    return {one["name"].rpartition("/")[2]: one[field] for one in answer["datasets"]}


def test_what_is_made_and_what_is_not(shop: Run, store: MetadataStore) -> None:
    ran = shop("run", "--exclude", "days+", "--partition", "all", "--json")
    assert ran.code == 1
    statuses = {"people": "published", "names": "published", "wrong": "failed", "broken": "failed", "report": "skipped"}
    assert of(ran.json, "status") == statuses
    assert of(ran.json, "failed_checks")["wrong"] == ["id_not_null"]
    assert of(ran.json, "not_published")["wrong"] == "failed checks: id_not_null"
    assert of(ran.json, "reason")["report"] == "it needs lake/sales/broken"
    assert of(ran.json, "reason")["broken"].startswith("ValueError: ")
    assert "hunter2" not in ran.out + ran.err
    assert [one.row_count for one in store.current(dataset_key("lake", schema="sales", table="names"))] == [2]

    ran = shop("run", "days+", "--partition", "a...b", "--partition", "d")
    assert ran.code == 0
    days = {one.partition for one in store.current(dataset_key("lake", schema="sales", table="others"))}
    assert days == {"a", "d"}, "two runs of neighbours; nothing is known of b"
    assert "1 of 2 published lake/sales/days; 1 rows in" in ran.err

    ran = shop("run", "--exclude", "people+ wrong broken+ others")
    assert (ran.code, ran.err.partition(";")[0]) == (2, "lake/sales/days is divided (static)"), "nothing else is left"
    ran = shop("run", "--exclude", "wrong broken+ others", "--json")
    assert of(ran.json, "status") == {"people": "published", "names": "published", "days": "left out"}
    said = "it is divided (static), and no partition of it is asked for; name one with --partition"
    assert of(ran.json, "reason")["days"] == said

    refused = shop("run", "days")
    said = "lake/sales/days is divided (static); say which: --partition d, FIRST...LAST, latest or all"
    assert (refused.code, refused.err.strip()) == (2, said)


PICKY = """
datasets:
  - {name: picky, endpoint: lake, schema: few, python: "few:picky", partitions: {static: [a, b, c]}}
  - {name: after, endpoint: lake, schema: few, python: "few:after", partitions: {static: [a, b, c]},
     depends_on: [lake/few/picky]}
  - {name: total, endpoint: lake, schema: few, python: "few:total",
     depends_on: [{dataset: lake/few/after, missing: skip}]}
"""
FEW = """
import os
import polars as pl

def picky(partition: str) -> pl.DataFrame:
    if partition == os.environ["PICKY"]:
        raise ValueError(f"{partition} is not liked")
    return pl.DataFrame({"part": [partition]})

def after(picky: pl.DataFrame) -> pl.DataFrame:
    return picky

def total(after: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(after.values())
"""


@pytest.mark.parametrize("refused", ["a", "c"])
def test_of_several_ranges_the_worst_counts(
    shop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    (tmp_path / "a project" / "datasets" / "few.yml").write_text(PICKY)
    (tmp_path / "a project" / "few.py").write_text(FEW)
    monkeypatch.setenv("PICKY", refused)
    ran = shop("run", "picky+", "--partition", "a", "--partition", "c", "--json")
    assert ran.code == 1
    assert of(ran.json, "status") == {"picky": "failed", "after": "skipped", "total": "skipped"}
    assert of(ran.json, "partitions") == {"picky": 1, "after": 1, "total": 0}
    why = {"picky": f"ValueError: {refused} is not liked", "after": "it needs lake/few/picky"}
    assert of(ran.json, "reason") == {**why, "total": "it needs lake/few/after"}


@pytest.fixture
def datasets(shop: Run, tmp_path: Path) -> dict[str, Dataset]:
    assert shop
    return {one.name: one for one in load_project(tmp_path / "a project").datasets}


def test_what_is_divided_alike_is_one_run_and_nothing_comes_before_what_it_needs(datasets: dict[str, Dataset]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ranges = partitions_of(list(datasets.values()), ["all"], instance)
    work = planned(list(datasets.values()), ranges)
    assert [sorted(one.name for one in each.datasets) for each in work] == [
        ["broken", "names", "people", "wrong"],
        ["days", "others"],
        ["report"],
    ]
    assert work[1].partitions == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["a"], (("a",),)),
        (["a", "c", "b"], (("a", "b", "c"),)),
        (["a", "c...d"], (("a",), ("c", "d"))),
        (["latest"], (("d",),)),
        (["all"], (("a", "b", "c", "d"),)),
    ],
)
def test_partitions_by_their_names(datasets: dict[str, Dataset], asked: list[str], found: object) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        both = [datasets["days"], datasets["people"]]
        assert partitions_of(both, asked, instance) == {datasets["days"].key: found, datasets["people"].key: ((None,),)}


@pytest.mark.parametrize(
    ("asked", "error"), [([], PartitionNeeded), (["e"], NoSuchPartition), (["a...e"], NoSuchPartition)]
)
def test_partitions_that_are_not_there_are_refused(
    datasets: dict[str, Dataset], asked: list[str], error: type[Exception]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(error) as refused:
        partitions_of([datasets["days"]], asked, instance)
    assert short_name(datasets["days"].key) in str(refused.value)


CALENDAR = """
datasets:
  - {name: orders, endpoint: lake, python: "few:a", partitions: {daily: {start: 2026-01-01}}}
  - {name: month, endpoint: lake, python: "few:a", partitions: {monthly: {start: 2026-01-01}},
     depends_on: [{dataset: lake/orders, missing: skip}]}
  - {name: year, endpoint: lake, python: "few:a", depends_on: [lake/month]}
  - {name: ports, endpoint: lake, python: "few:a", partitions: {static: [EWR, JFK]}}
"""


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["2026-01-05"], {"orders": (("2026-01-05",),), "month": (("2026-01-01",),)}),
        (["2026-01-30...2026-02-02"], {"month": (("2026-01-01", "2026-02-01"),)}),
        (["2026-01-05", "2026-02-01"], {"month": (("2026-01-01", "2026-02-01"),)}),
        (["2026-03-05"], {"orders": (("2026-03-05",),), "month": None, "ports": None}),
        (["JFK"], {"orders": None, "month": None, "ports": (("JFK",),)}),
        ([], {"orders": None, "month": None, "ports": None}),
    ],
)
def test_a_partition_means_what_is_made_from_it_and_leaves_out_the_rest(
    tmp_path: Path, asked: list[str], found: dict[str, object]
) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text(METADATA)
    (tmp_path / "datasets" / "all.yml").write_text(CALENDAR)
    datasets = load_project(tmp_path).datasets
    with dg.DagsterInstance.ephemeral() as instance:
        ranges = partitions_of(datasets, asked, instance, needed=False, now=datetime(2026, 3, 20, tzinfo=UTC))
    by_name = {one.name: ranges.get(one.key) for one in datasets}
    assert by_name["year"] == ((None,),)
    assert {name: by_name[name] for name in found} == found


def test_dynamic_partitions_are_added_by_hand_and_then_run(shop: Run, tmp_path: Path) -> None:
    entry = '  - {name: %s, endpoint: lake, schema: sales, partitions: %s, python: "code:days"}\n'
    pairs = "{by: {who: {dynamic: customers}, half: {static: [h1, h2]}}}"
    file = tmp_path / "a project" / "datasets" / "all.yml"
    file.write_text("datasets:\n" + entry % ("visits", "{dynamic: customers}") + entry % ("halves", pairs))
    refused = shop("run", "visits", "--partition", "acme")
    assert (refused.code, refused.err.strip().splitlines()[-1]) == (
        3,
        "lake/sales/visits has no partition acme; add it: metadata-assets partitions add customers acme",
    )
    added = shop("partitions", "add", "customers", "acme", "b", "acme", "--json")
    both = ["lake/sales/halves", "lake/sales/visits"]
    assert added.json == {"name": "customers", "added": ["acme", "b"], "datasets": both}
    assert "customers has them already" in shop("partitions", "add", "customers", "b").out
    listed = shop("partitions", "list", "--json").json
    assert listed == [{"name": "customers", "partitions": ["acme", "b"], "datasets": both}]
    ran = shop("run", "visits", "--partition", "acme", "--json")
    assert (ran.code, of(ran.json, "status")) == (0, {"visits": "published"})
    mistaken = shop("run", "visits", "--partition", "acne")
    assert "did you mean acme?, or add it: metadata-assets partitions add customers acne" in mistaken.err
    assert shop("partitions", "add", "customer", "x").err.strip() == (
        "no dataset of the project is divided by dynamic: customer; did you mean customers?"
    )
    unfit = [shop("partitions", "add", "customers", "fit", key).code for key in ("", "a...b", "a\tb", "a|b")]
    assert unfit == [2, 2, 2, 2]
    assert shop("partitions", "list", "customers", "--json").json == listed, "all or none"
