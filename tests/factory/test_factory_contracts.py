"""Contracts: what a dataset promises is looked at before anybody reads it."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from identity.keys import dataset_key
from metadata_assets import uniqueness
from metadata_assets.factory import asset_spec, definitions_for
from metadata_assets.spec import load_project
from resources.metadata_store import MetadataStore

CUSTOMERS = dataset_key("lake", schema="nyc", table="customers")
ORDERS = dataset_key("lake", schema="nyc", table="orders")
SHOP = """
datasets:
  - name: customers
    endpoint: lake
    schema: nyc
    columns: [{name: id, type: int64, unique: true, not_null: true}]
    python: code:customers
  - name: orders
    endpoint: lake
    schema: nyc
    columns:
      - {name: id, type: int64, unique: true, not_null: true}
      - name: customer
        type: int64
        relationships: {dataset: lake/nyc/customers, column: id}
      - {name: state, type: string, accepted_values: [open, paid], not_null: {severity: warn}}
      - {name: amount, type: decimal}
      - {name: at, type: timestamp}
    contract:
      columns: {others: false}
      row_count: {min: 2, max: 8, max_fall: 50%, max_rise: 100%}
      freshness: {column: at, within: 2d, severity: error, blocking: false}
    python: code:orders
"""
CODE = """
from datetime import datetime, timedelta, timezone
from decimal import Decimal
import polars as pl

NOW = datetime.now(timezone.utc).replace(tzinfo=None)
IDS, CUSTOMERS, STATES, AGE, EXTRA = [1, 2, 3, 4], [1, 1, 2, None], ["open", "paid", "paid", "open"], 1, {}

def customers() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2]})

def orders() -> pl.DataFrame:
    return pl.DataFrame({
        "id": IDS, "customer": CUSTOMERS, "state": STATES, "amount": [Decimal("1.50")] * len(IDS),
        "at": [NOW - timedelta(days=AGE)] * len(IDS), **EXTRA,
    })
"""
GOOD = {
    "id_unique": "holds for all 4 rows",
    "id_not_null": "holds for all 4 rows",
    "customer_relationships": "holds for all 4 rows",
    "state_accepted_values": "holds for all 4 rows",
    "state_not_null": "holds for all 4 rows",
    "columns": "has its 5 columns",
    "row_count": "4 rows",
}


def told(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    found = result.get_asset_check_evaluations()
    return {one.check_name: (one.passed, str(one.description)) for one in found if one.asset_key.path[-1] == "orders"}


def with_code(**values: object) -> str:
    return CODE + "\n".join(f"{name} = {value!r}" for name, value in values.items())


@pytest.fixture
def orders(workbench: Callable[..., Any]) -> Callable[..., dg.ExecuteInProcessResult]:
    """A function that runs orders by a module of its own, for a module is imported once; customers are there."""
    workbench(SHOP, code=CODE).run("customers")
    number = iter(range(100))

    def run(**values: object) -> dg.ExecuteInProcessResult:
        module = f"code_{next(number)}"
        datasets = SHOP.replace("code:orders", f"{module}:orders")
        bench = workbench(datasets, code=CODE, **{module: with_code(**values)})
        result: dg.ExecuteInProcessResult = bench.run("orders", raise_on_error=False)
        return result

    return run


def test_what_keeps_the_contract_is_published_and_what_breaks_it_is_not(
    orders: Callable[..., dg.ExecuteInProcessResult], published: Callable[[str], object], store: MetadataStore
) -> None:
    found = told(orders())
    assert {name: words for name, (passed, words) in found.items() if passed and name != "freshness"} == GOOD
    assert found["freshness"][0]
    assert published("orders") == {None: 4}

    result = orders(
        IDS=[1, 2, 2, None, 5, 6, 7, 8, 9],
        CUSTOMERS=[1, 2, 3, 4, 5, 6, 7, 8, None],
        STATES=["open", "lost", None, *["paid"] * 6],
        AGE=3,
        EXTRA={"late": [1.5] * 9, "amount": [1.5] * 9},
    )
    broken = told(result)
    assert {name: words for name, (passed, words) in broken.items() if not passed and name != "freshness"} == {
        "id_unique": "2 of 9 rows share their id with another: id 2; id 2",
        "id_not_null": "1 of 9 rows have no id: id null",
        "customer_relationships": "6 of 9 rows have a customer that is not in lake/nyc/customers.id: "
        "id 2, customer 3; id 5, customer 5; id 6, customer 6; id 7, customer 7; id 8, customer 8 and 1 more",
        "state_accepted_values": "1 of 9 rows have another state: id 2, state lost",
        "state_not_null": "1 of 9 rows have no state: id 2, state null",
        "columns": "amount is double, not decimal; late is not declared",
        "row_count": "9 rows: more than 8, more than 100% more than 4",
    }
    assert "3 days before" in broken["freshness"][1]
    severities = {one.check_name: one.severity.value for one in result.get_asset_check_evaluations()}
    assert {name for name, severity in severities.items() if severity == "WARN"} == {"state_not_null"}
    (facts,) = [one.metadata for one in result.get_asset_check_evaluations() if one.check_name == "state_not_null"]
    assert (facts["rows"].value, facts["rows_failed"].value) == (9, 1)
    assert published("orders") == {None: 4}, "readers have what was there before"
    newest = max(store.materializations(ORDERS), key=lambda one: one.committed_at)
    assert newest.row_count == 9, "the record of what was refused stays"
    checked = store.checks_of(newest.id)
    assert set(checked.failed) == {
        *("id_unique", "id_not_null", "customer_relationships", "state_accepted_values", "columns", "row_count")
    }

    few = orders(IDS=[1], CUSTOMERS=[1], STATES=["open"])
    assert told(few)["row_count"] == (False, "1 rows: fewer than 2, more than 50% fewer than 4")
    assert orders(IDS=[1, 2], CUSTOMERS=[1, 1], STATES=[None, "open"], AGE=9).success, "only what blocks nothing"
    assert published("orders") == {None: 2}


def test_the_ui_knows_every_check_before_a_run(workbench: Callable[..., Any]) -> None:
    (asset,) = [one for one in definitions_for(workbench(SHOP, code=CODE).project) if "orders" in str(one.key)]
    assert isinstance(asset, dg.AssetsDefinition)
    specs = {one.name: (one.blocking, one.description) for one in asset.check_specs}
    assert specs["customer_relationships"] == (True, "Every customer is in lake/nyc/customers.id.")
    assert specs["state_not_null"] == (False, "state is never null.")
    assert specs["row_count"][1] == (
        "A partition has at least 2 rows, at most 8 rows, at most 50% fewer than published, "
        "at most 100% more than published."
    )


DIVIDED = """
datasets:
  - name: days
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    columns: [{name: n, unique: true}, {name: on, type: date}]
    contract:
      row_count: {max_fall: 50%}
      freshness: {column: on, within: 12h}
    python: code:days
"""
DAYS = """
from datetime import date
import polars as pl

def days(partition: str) -> pl.DataFrame:
    rows = {"2013-01-02": [1, 1], "2013-01-03": []}.get(partition, [1, 2])
    return pl.DataFrame({"n": rows, "on": [date(2013, 1, 1)] * len(rows)}, schema={"n": pl.Int64, "on": pl.Date})
"""


def test_each_partition_is_looked_at_for_itself(workbench: Callable[..., Any]) -> None:
    result = workbench(DIVIDED, code=DAYS).run_range("2013-01-01", "2013-01-03", "days", raise_on_error=False)
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert found["row_count"].passed, "nothing was published before"
    assert (found["n_unique"].passed, found["freshness"].passed) == (False, False)
    assert found["n_unique"].metadata["failed_partitions"].value == ["2013-01-02"]
    assert "2 of 2 rows share their n with another" in str(found["n_unique"].description)
    assert found["freshness"].metadata["failed_partitions"].value == ["2013-01-01", "2013-01-02", "2013-01-03"]


def test_a_relation_is_asked_at_the_pin_that_the_run_reads(workbench: Callable[..., Any], store: MetadataStore) -> None:
    first = workbench(SHOP, code=CODE)
    first.run("customers")
    store.pin("then", {CUSTOMERS: None})
    now = SHOP.replace("code:customers", "fewer:customers")
    fewer = CODE.replace('"id": [1, 2]', '"id": [1]')
    second = workbench(now, code=CODE, fewer=fewer)
    second.run("customers")
    assert told(second.run("orders", raise_on_error=False))["customer_relationships"] == (
        False,
        "1 of 4 rows have a customer that is not in lake/nyc/customers.id: id 3, customer 2",
    )
    pinned = second.run("orders", tags={"metadata_assets/pin": "then"})
    assert told(pinned)["customer_relationships"][0]


def test_what_is_no_table_and_what_has_no_such_column_break_the_contract(workbench: Callable[..., Any]) -> None:
    datasets = """
    datasets:
      - {name: orders, endpoint: lake, schema: nyc, python: "code:orders", columns: [{name: id, unique: true}]}
    """
    for module, returned, words in [
        ("other", 'pl.DataFrame({"other": [1]})', "there is no column id"),
        ("plain", '{"id": 1}', "cannot be checked: it is no table (dict)"),
    ]:
        code = f"import polars as pl\n\ndef orders():\n    return {returned}\n"
        bench = workbench(datasets.replace("code:", f"{module}:"), **{module: code})
        assert told(bench.run("orders", raise_on_error=False)) == {"id_unique": (False, words)}


def test_what_duckdb_refuses_is_told_in_its_words(workbench: Callable[..., Any]) -> None:
    datasets = """
    datasets:
      - {name: orders, endpoint: lake, schema: nyc, python: "code:orders",
         columns: [{name: id, accepted_values: [open]}]}
    """
    bench = workbench(datasets, code='import polars as pl\n\ndef orders():\n    return pl.DataFrame({"id": [1]})\n')
    ((passed, words),) = told(bench.run("orders", raise_on_error=False)).values()
    assert not passed
    assert words.startswith("cannot be checked: Could not convert string 'open' to INT64 when casting from")
    assert "{" not in words


ACROSS = """
datasets:
  - name: days
    endpoint: lake
    schema: nyc
    partitions: {static: [a, "b'", c, d, e]}
    columns: [{name: n, unique: {across: dataset}}]
    python: code:days
"""
PAIRS = """
import polars as pl

VALUES = {"a": [1, 2, None], "b'": [2, 3, None], "c": [4, 5], "d": [5, 6]}

def days(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"n": VALUES[partition]} if partition in VALUES else {"other": [1]})
"""


def test_unique_across_partitions_is_as_against_all_that_is_published_and_made(
    workbench: Callable[..., Any], published: Callable[[str], dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uniqueness, "TOGETHER", 1)
    bench = workbench(ACROSS, code=PAIRS)

    def found(result: dg.ExecuteInProcessResult) -> tuple[bool, str, object]:
        (one,) = result.get_asset_check_evaluations()
        failed = one.metadata.get("failed_partitions")
        return one.passed, str(one.description), failed and failed.value

    assert found(bench.run("days", partition_key="a"))[0]
    words = "1 of 3 rows share their n with another, of this or another partition: n 2"
    passed, told_, _failed = found(bench.run("days", partition_key="b'", raise_on_error=False))
    assert (passed, words in told_) == (False, True)
    assert found(bench.run("days", partition_key="a"))[0], "what it replaces is no other partition"
    assert found(bench.run_range("c", "d", "days", raise_on_error=False))[::2] == (False, ["c", "d"])
    assert found(bench.run("days", partition_key="d"))[0], "what was refused is not published"
    assert not found(bench.run("days", partition_key="c", raise_on_error=False))[0]
    assert set(published("days")) == {"a", "d"}
    _passed, told_, _failed = found(bench.run("days", partition_key="e", raise_on_error=False))
    assert "there is no column n" in told_


WAITED = ACROSS.replace(
    "python: code:days",
    """checks: [{name: meanwhile, python: "code:meanwhile"}]
    python: code:days""",
)
RACING = """
import happening
import polars as pl

VALUES = {"a": 1, "b'": 2, "c": 2, "d": 5, "e": 6}

def days(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"n": [VALUES[partition]]})

def meanwhile(partition: str) -> bool:
    happening.checked(partition)
    return True
"""


def test_unique_across_partitions_holds_for_what_is_published_at_the_same_time(
    workbench: Callable[..., Any],
    published: Callable[[str], dict[str, object]],
    store: MetadataStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One run publishes while another one has been checked and is not published yet."""
    checked: list[str] = []
    happening = ModuleType("happening")
    monkeypatch.setitem(sys.modules, "happening", happening)
    bench = workbench(WAITED, code=RACING)

    def race(first: str, last: str, other: str) -> dg.ExecuteInProcessResult:
        """Let the other begin and end while the last of these is checked: all that was there is compared by then."""

        def look(partition: str) -> None:
            checked.append(partition)
            if partition == last:
                with ThreadPoolExecutor(1) as beside:
                    assert beside.submit(bench.run, "days", partition_key=other).result().success

        happening.checked = look  # type: ignore[attr-defined]
        return bench.run_range(first, last, "days", raise_on_error=False)

    lost = race("a", "b'", "c")
    assert not lost.success
    told_ = {one.check_name: one.passed for one in lost.get_asset_check_evaluations()}
    assert told_ == {"n_unique": False, "meanwhile": True}
    assert set(published("days")) == {"c"}
    key = dataset_key("lake", schema="nyc", table="days")
    (refused,) = store.materializations(key, partition="b'")
    results = [one.result for one in store.checks_of(refused.id).results if one.result.name == "n_unique"]
    assert [one.passed for one in results] == [False, True], "the last one counts"
    assert race("d", "e", "c").success, "nothing of that is there twice"
    assert set(published("days")) == {"c", "d", "e"}
    assert checked == ["a", "b'", "c", "d", "e", "c"], "no other check is asked twice"


def test_values_of_partitions_with_other_types_are_compared_as_they_are(workbench: Callable[..., Any]) -> None:
    """The first partition has nothing but nulls, the next an integer; none of that rounds what comes after."""
    values = """VALUES = {"a": [None, None], "b'": [1], "c": [1.4, None], "d": [1.4], "e": [2.4]}"""
    bench = workbench(ACROSS, code=PAIRS.replace(PAIRS.splitlines()[3], values))
    (one,) = bench.run_range("a", "c", "days").get_asset_check_evaluations()
    assert (one.passed, one.description) == (True, "passed in all 3 partitions")
    (one,) = bench.run_range("b'", "d", "days", raise_on_error=False).get_asset_check_evaluations()
    assert (one.passed, one.metadata["failed_partitions"].value) == (False, ["c", "d"])
    (one,) = bench.run("days", partition_key="e").get_asset_check_evaluations()
    assert one.passed, "2.4 is not what was refused, nor what is published"


@pytest.mark.parametrize(
    ("partitions", "more", "hours"),
    [
        ("", "", 12),
        ("partitions: {static: [a]}", "", 12),
        ("partitions: {daily: {start: 2026-01-01}}", "", 36),
        ("partitions: {daily: {start: 2026-01-01, end: 2026-02-01}}", "", None),
        ("", ", severity: warn", None),
        ("", ", blocking: false", 12),
    ],
)
def test_freshness_is_a_policy_of_the_asset_too(
    write_project: Callable[..., Path], partitions: str, more: str, hours: int | None
) -> None:
    entry = f"""
    datasets:
      - name: days
        endpoint: lake
        python: "code:days"
        contract: {{freshness: {{column: at, within: 12h{more}}}}}
        {partitions}
    """
    project = load_project(write_project(entry, code="def days(): ..."))
    spec = asset_spec(project.datasets[0])
    expected = None if hours is None else dg.FreshnessPolicy.time_window(timedelta(hours=hours))
    assert spec.freshness_policy == expected
    (asset,) = definitions_for(project)
    assert isinstance(asset, dg.AssetsDefinition)
    assert [one.freshness_policy for one in asset.specs] == [expected]
