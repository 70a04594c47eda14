"""Declared datasets, materialized by Dagster: what the functions get, what is committed, what is told."""

from typing import Any

import dagster as dg
import pytest

from identity.keys import dataset_key
from metadata_assets.io_manager_errors import NothingPublished
from resources.metadata_store import MetadataStore

FLIGHTS = """
datasets:
  - name: flights
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    depends_on: [{dataset: jfk/public/flights, as: jfk}]
    python: code:flights
    checks: [{name: two_carriers, python: code:two_carriers}]
"""
CODE = """
import polars as pl
from metadata_assets.source_table import SourceTable

def flights(jfk: SourceTable, partition: str) -> pl.DataFrame | None:
    found = jfk.query("SELECT * FROM {table} WHERE day = %s", [partition])
    return None if found.is_empty() else found

def two_carriers(data: pl.DataFrame, jfk, partition: str) -> bool:
    return data.height == 2 and str(data["day"][0]) == partition
"""
TOGETHER = """
import polars as pl

def flights(jfk, partitions: list[str]):
    everything = jfk.query("SELECT * FROM {table}")
    return {day: everything for day in partitions}

def two_carriers(data: pl.DataFrame):
    return True
"""


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str, str | None]]:
    return {
        one.check_name: (one.passed, one.severity.value, one.description)
        for one in result.get_asset_check_evaluations()
    }


def materialized(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    return [(event.asset_key.path[-1], event.partition) for event in result.get_asset_materialization_events()]


def test_one_partition_is_computed_committed_checked_and_published(workbench: Any, published: Any) -> None:
    result = workbench(FLIGHTS, code=CODE).run("flights", partition_key="2013-01-02")
    assert materialized(result) == [("flights", "2013-01-02")]
    assert evaluations(result) == {"two_carriers": (True, "ERROR", None)}
    assert published("flights") == {"2013-01-02": 2}


def test_rows_read_are_counted_for_the_partition_that_they_were_read_for(workbench: Any, store: MetadataStore) -> None:
    """Two queries for each day, of a run over several days; a function that takes all days at once tells no number."""
    once = CODE.replace("    return None if", "    jfk.query('SELECT count(*) FROM {table}')\n    return None if")
    together = FLIGHTS.replace("code:", "together:")
    workbench(FLIGHTS, code=once).run_range("2013-01-02", "2013-01-04", "flights")
    assert rows_read(store) == {"2013-01-02": 3, "2013-01-03": 3, "2013-01-04": 3}
    workbench(together, together=TOGETHER).run_range("2013-01-02", "2013-01-03", "flights")
    assert rows_read(store) == {"2013-01-02": None, "2013-01-03": None, "2013-01-04": 3}
    workbench(together, together=TOGETHER).run("flights", partition_key="2013-01-02")
    assert rows_read(store) == {"2013-01-02": 20, "2013-01-03": None, "2013-01-04": 3}


def rows_read(store: MetadataStore) -> dict[str | None, int | None]:
    """Of the source, for each current partition of flights."""
    current = store.current(dataset_key("lake", schema="nyc", table="flights"))
    inputs = {one.partition: store.inputs(one.materialization_id) for one in current}
    return {partition: one.metadata.get("rows_read") for partition, (one,) in inputs.items()}


def test_a_partition_without_data_stays_missing_and_its_checks_say_so(workbench: Any, published: Any) -> None:
    result = workbench(FLIGHTS, code=CODE).run("flights", partition_key="2013-01-20")
    assert result.success
    assert materialized(result) == []
    missing = "missing: no data for partition 2013-01-20"
    assert evaluations(result) == {"two_carriers": (False, "WARN", missing)}
    assert published("flights") == {}


def test_a_run_of_several_partitions_calls_the_function_for_each_and_makes_one_version(
    workbench: Any, published: Any, store: MetadataStore
) -> None:
    result = workbench(FLIGHTS, code=CODE).run_range("2013-01-02", "2013-01-04", "flights")
    assert evaluations(result) == {"two_carriers": (True, "ERROR", "passed in all 3 partitions")}
    assert published("flights") == {"2013-01-02": 2, "2013-01-03": 2, "2013-01-04": 2}
    assert len(store.versions(dataset_key("lake", schema="nyc", table="flights"))) == 1


def test_of_a_run_of_several_partitions_those_without_data_stay_missing(workbench: Any, published: Any) -> None:
    result = workbench(FLIGHTS, code=CODE).run_range("2013-01-09", "2013-01-12", "flights")
    missing = "missing: no data for partitions 2013-01-11, 2013-01-12; passed in all 2 partitions"
    assert evaluations(result) == {"two_carriers": (False, "WARN", missing)}
    assert materialized(result) == [("flights", "2013-01-09"), ("flights", "2013-01-10")]
    assert published("flights") == {"2013-01-09": 2, "2013-01-10": 2}


CHAIN = f"""{FLIGHTS}
  - name: twice
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    depends_on: [{{dataset: lake/nyc/flights, missing: MISSING}}]
    python: chain:twice
    checks: [{{name: doubled, python: chain:doubled, blocking: false}}]
  - name: month
    endpoint: lake
    schema: nyc
    partitions: {{monthly: {{start: 2013-01-01, end: 2013-02-01}}}}
    depends_on: [{{dataset: lake/nyc/twice, missing: skip}}]
    python: chain:month
    checks: [{{name: adds_up, python: chain:adds_up}}]
"""
CHAIN_CODE = """
import polars as pl
import pandas as pd
import pyarrow as pa

def twice(flights: pa.TableOR_NONE, partition: str) -> pa.Table:
    assert flights is None or str(flights["day"][0]) == partition
    if flights is None:
        return pa.table({"day": [partition] * 2})
    return pa.concat_tables([flights, flights]).select(["day"])

def doubled(data: pl.DataFrame, flights: pd.DataFrame | None) -> bool:
    return flights is not None and data.height == 2 * len(flights)

def month(twice: dict[str, pd.DataFrame], partition: str) -> pd.DataFrame:
    assert all(isinstance(day, pd.DataFrame) for day in twice.values())
    return pd.DataFrame({"month": [partition], "days": [len(twice)], "rows": [sum(map(len, twice.values()))]})

def adds_up(data: pa.Table, twice: dict[str, pl.DataFrame]) -> bool:
    assert all(isinstance(day, pl.DataFrame) for day in twice.values())
    return data["rows"][0].as_py() == sum(day.height for day in twice.values())
"""


def chain(workbench: Any, *, missing: str, optional: bool) -> Any:
    code = CHAIN_CODE.replace("OR_NONE", " | None" if optional else "")
    return workbench(CHAIN.replace("MISSING", missing), code=CODE, chain=code)


def test_each_function_gets_the_kind_of_table_and_the_partitions_that_it_asks_for(
    workbench: Any, published: Any
) -> None:
    bench = chain(workbench, missing="fail", optional=False)
    bench.run_range("2013-01-01", "2013-01-03", "flights", "twice")
    result = bench.run("month", partition_key="2013-01-01")
    assert evaluations(result) == {"adds_up": (True, "ERROR", None)}
    assert published("twice") == {"2013-01-01": 4, "2013-01-02": 4, "2013-01-03": 4}
    assert published("month") == {"2013-01-01": 1}


def test_a_run_of_several_partitions_records_for_each_what_it_was_made_from(
    workbench: Any, store: MetadataStore
) -> None:
    bench = chain(workbench, missing="fail", optional=False)
    bench.run_range("2013-01-01", "2013-01-03", "flights", "twice")
    (made,) = store.current(dataset_key("lake", schema="nyc", table="twice"), ["2013-01-02"])
    inputs = store.inputs(made.materialization_id)
    assert [(one.key.table, one.partition) for one in inputs] == [("flights", "2013-01-02")]


def test_an_input_that_must_be_there_and_is_not_fails_the_run_clearly(workbench: Any, published: Any) -> None:
    with pytest.raises(NothingPublished, match="has no published data for 2013-01-01"):
        chain(workbench, missing="fail", optional=False).run("twice", partition_key="2013-01-01")
    assert published("twice") == {}


def test_an_input_that_may_miss_is_none_where_the_function_takes_none(workbench: Any, published: Any) -> None:
    result = chain(workbench, missing="skip", optional=True).run("twice", partition_key="2013-01-01")
    assert evaluations(result) == {"doubled": (False, "WARN", None)}
    assert published("twice") == {"2013-01-01": 2}


def test_a_step_that_can_do_without_an_input_runs_after_one_that_has_no_data(workbench: Any, published: Any) -> None:
    bench = chain(workbench, missing="skip", optional=True)
    result = bench.run("flights", "twice", partition_key="2013-01-20")
    assert materialized(result) == [("twice", "2013-01-20")]
    assert published("flights") == {}
    assert published("twice") == {"2013-01-20": 2}


def test_a_step_that_cannot_do_without_fails_instead_of_being_left_out_silently(workbench: Any) -> None:
    bench = chain(workbench, missing="fail", optional=False)
    with pytest.raises(NothingPublished, match="has no published data for 2013-01-20"):
        bench.run("flights", "twice", partition_key="2013-01-20")


def test_where_the_function_takes_no_none_its_partition_is_missing_like_the_input(
    workbench: Any, published: Any
) -> None:
    result = chain(workbench, missing="skip", optional=False).run("twice", partition_key="2013-01-01")
    missing = "missing: no data for partition 2013-01-01 (its input flights has none)"
    assert evaluations(result) == {"doubled": (False, "WARN", missing)}
    assert published("twice") == {}


WHOLE_RUNS = """
datasets:
  - name: numbers
    endpoint: lake
    schema: nyc
    partitions: {static: [a, b, c]}
    python: code:numbers
    checks: [{name: positive, python: code:positive}]
  - name: squares
    endpoint: lake
    schema: nyc
    partitions: {static: [a, b]}
    depends_on: [lake/nyc/numbers]
    python: code:squares
  - name: total
    endpoint: lake
    schema: nyc
    depends_on: [lake/nyc/numbers]
    python: code:total
"""
WHOLE_CODE = """
from collections.abc import Sequence
import numpy as np
import polars as pl

def numbers(partitions: Sequence[str]) -> dict[str, pl.DataFrame | None]:
    return {one: None if one == "b" else pl.DataFrame({"n": [ord(one)]}) for one in partitions}

def positive(data: pl.DataFrame) -> np.bool_:
    return np.bool_(data["n"][0] > 0)

def squares(numbers: dict[str, pl.DataFrame], partitions: list[str]) -> dict[str, pl.DataFrame]:
    return {one: table.select(pl.col("n") ** 2) for one, table in numbers.items()}

def total(numbers: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(numbers.values()).sum()
"""


def test_a_function_may_compute_all_partitions_of_a_run_at_once(workbench: Any, published: Any) -> None:
    bench = workbench(
        WHOLE_RUNS.replace("[lake/nyc/numbers]", "[{dataset: lake/nyc/numbers, missing: skip}]"), code=WHOLE_CODE
    )
    result = bench.run_range("a", "c", "numbers")
    assert evaluations(result) == {
        "positive": (False, "WARN", "missing: no data for partition b; passed in all 2 partitions")
    }
    assert published("numbers") == {"a": 1, "c": 1}
    assert bench.run_range("a", "b", "squares").success
    assert published("squares") == {"a": 1}
    assert bench.run("total").success
    assert published("total") == {None: 1}


def test_a_dataset_without_partitions_may_have_no_data(workbench: Any, published: Any) -> None:
    code = ROWS.replace("-> pl.DataFrame", "-> pl.DataFrame | None").replace('pl.DataFrame({"a": [1, 2]})', "None")
    result = workbench(CHECKED.replace("    checks:\n", ""), code=code).run("rows")
    assert result.success
    assert materialized(result) == []
    assert published("rows") == {}


def test_what_is_not_by_partition_is_refused(workbench: Any, published: Any) -> None:
    code = "def numbers(partitions):\n    return [1]\n\ndef positive(data: 'pl.DataFrame'): ...\nimport polars as pl"
    datasets = WHOLE_RUNS.partition("  - name: squares")[0]
    with pytest.raises(Exception, match="takes `partitions`, so it returns a dict by partition; it returned list"):
        workbench(datasets, code=code).run("numbers", partition_key="a")
    assert published("numbers") == {}


def test_partitions_that_nobody_asked_for_are_refused(workbench: Any, published: Any) -> None:
    code = WHOLE_CODE.replace("for one in partitions}", "for one in 'abcd'}", 1)
    datasets = WHOLE_RUNS.partition("  - name: squares")[0]
    with pytest.raises(Exception, match="code:numbers returned partitions that the run did not ask for: c, d"):
        workbench(datasets, code=code).run_range("a", "b", "numbers")
    assert published("numbers") == {}


CHECKED = """
datasets:
  - name: rows
    endpoint: lake
    schema: nyc
    python: code:rows
    checks:
"""
ROWS = """
import dagster as dg
import polars as pl

def rows() -> pl.DataFrame:
    return pl.DataFrame({"a": [1, 2]})
"""
HIDDEN = "<withheld, it may hold a credential>"
FAILING = {
    "false": ("return False", None),
    "key_error": ("raise KeyError('carrier')", "the check raised KeyError: 'carrier' at code.py:LINE"),
    "zero": ("1 / 0", "the check raised ZeroDivisionError: division by zero at code.py:LINE"),
    "secret": ("raise OSError('postgresql://me:hunter2@db')", f"the check raised OSError: {HIDDEN} at code.py:LINE"),
    "exit": ("raise SystemExit(1)", "the check raised SystemExit: 1 at code.py:LINE"),
    "text": ("return 'yes'", "the check returned str, not a bool or an AssetCheckResult"),
    "nothing": ("return None", "the check returned NoneType, not a bool or an AssetCheckResult"),
    "own_words": ("return dg.AssetCheckResult(passed=False, description='2 rows')", "2 rows"),
}


def checked(workbench: Any, bodies: dict[str, str], *, blocking: bool) -> Any:
    """One dataset with these checks, each on three lines of code.py that begin after those of ROWS."""
    code = "".join(f"def {name}(data: pl.DataFrame):\n    {body}\n\n" for name, body in bodies.items())
    checks = "".join(
        f"      - {{name: {name}, python: code:{name}, blocking: {str(blocking).lower()}}}\n" for name in bodies
    )
    return workbench(CHECKED + checks, code=ROWS + code)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_check_that_fails_in_any_way_never_loses_the_commit(
    workbench: Any, published: Any, store: MetadataStore, blocking: bool
) -> None:
    bench = checked(workbench, {name: body for name, (body, _) in FAILING.items()}, blocking=blocking)
    result = bench.run("rows", raise_on_error=False)
    lines = {name: str(ROWS.count("\n") + 2 + 3 * place) for place, name in enumerate(FAILING)}
    severity = "ERROR" if blocking else "WARN"
    assert evaluations(result) == {
        name: (False, severity, description and description.replace("LINE", lines[name]))
        for name, (_, description) in FAILING.items()
    }
    assert result.success is not blocking
    assert len(store.materializations(dataset_key("lake", schema="nyc", table="rows"))) == 1
    assert published("rows") == ({} if blocking else {None: 2})


def test_metadata_of_a_check_are_shown_and_its_name_is_the_declared_one(workbench: Any) -> None:
    body = "return dg.AssetCheckResult(passed=True, check_name='other', metadata={'rows': data.height})"
    result = checked(workbench, {"odd": body}, blocking=True).run("rows")
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.check_name == "odd"
    assert {name: value.value for name, value in evaluation.metadata.items()} == {"rows": 2}


def test_an_exception_of_a_function_names_the_partition(workbench: Any) -> None:
    code = CODE.replace("    found =", "    1 / (0 if partition == '2013-01-03' else 1)\n    found =")
    with pytest.raises(ZeroDivisionError) as raised:
        workbench(FLIGHTS, code=code).run_range("2013-01-02", "2013-01-04", "flights")
    assert raised.value.__notes__ == ["while computing lake/nyc/flights, partition 2013-01-03"]


OFFSET = """
datasets:
  - name: days
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    python: code:days
  - name: changes
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    depends_on: [{dataset: lake/nyc/days, as: before, partitions: {offset: -1}, missing: skip}]
    python: code:changes
"""
OFFSET_CODE = """
import polars as pl

def days(partition: str) -> pl.DataFrame:
    return pl.DataFrame({"day": [partition]})

def changes(before: pl.DataFrame | None, partition: str) -> pl.DataFrame:
    return pl.DataFrame({"from": ["" if before is None else before["day"][0]], "to": [partition]})
"""


def test_an_offset_looks_at_another_partition(workbench: Any, store: MetadataStore) -> None:
    bench = workbench(OFFSET, code=OFFSET_CODE)
    bench.run_range("2013-01-01", "2013-01-03", "days")
    assert bench.run_range("2013-01-02", "2013-01-03", "changes").success
    (made,) = store.current(dataset_key("lake", schema="nyc", table="changes"), ["2013-01-03"])
    assert [one.partition for one in store.inputs(made.materialization_id)] == ["2013-01-02"]


def test_the_first_partition_has_no_partition_before_it(workbench: Any, published: Any) -> None:
    assert workbench(OFFSET, code=OFFSET_CODE).run("changes", partition_key="2013-01-01").success
    assert published("changes") == {"2013-01-01": 1}


def test_dynamic_partitions(workbench: Any, published: Any) -> None:
    datasets = OFFSET.partition("  - name: changes")[0].replace("JANUARY", "{dynamic: customers}")
    bench = workbench(datasets, code=OFFSET_CODE)
    bench.instance.add_dynamic_partitions("customers", ["acme"])
    assert bench.run("days", partition_key="acme").success
    assert published("days") == {"acme": 1}
