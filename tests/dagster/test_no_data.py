"""Partitions of a run that have no data: nothing is recorded for them, and Dagster reports nothing of them."""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import polars as pl
import pytest

from metadata_assets.datasets import key_of
from metadata_assets.writing import WrongPartitions
from resources.metadata_store import MetadataStore

Resources = dict[str, Any]
DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
RANGE = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
ROW = pl.DataFrame({"a": [1]})
KEY = key_of(dg.AssetKey("days"), None)
Produce = Callable[..., dict[str | None, dict[str, Any]]]


@pytest.fixture
def produce(instance: dg.DagsterInstance, resources: Resources) -> Produce:
    """A function that materializes partitions from a value, and answers with what Dagster's events say of each."""

    def run(value: Any, **how: Any) -> dict[str | None, dict[str, Any]]:
        @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
        def days() -> Any:
            return value

        result = dg.materialize([days], instance=instance, resources=resources, **how)
        return {
            event.partition: {name: one.value for name, one in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
        }

    return run


@pytest.mark.parametrize("missing", [{DAYS[1]: None}, {}], ids=["none", "left out"])
def test_a_partition_without_data_is_missing(produce: Produce, stored: MetadataStore, missing: Any) -> None:
    told = produce({DAYS[0]: ROW, DAYS[2]: ROW, **missing}, tags=RANGE)
    assert sorted(one.partition or "" for one in stored.current(KEY)) == [DAYS[0], DAYS[2]]
    assert sorted(told) == [DAYS[0], DAYS[2]]
    assert [told[day]["metadata_assets/version"] for day in (DAYS[0], DAYS[2])] == [1, 1]


def test_one_partition_of_a_run_over_several_keeps_its_facts(produce: Produce, stored: MetadataStore) -> None:
    told = produce({DAYS[1]: ROW}, tags=RANGE)
    assert [one.partition for one in stored.current(KEY)] == [DAYS[1]]
    assert list(told) == [DAYS[1]]
    assert "metadata_assets/materialization_id" in told[DAYS[1]]


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (dict.fromkeys(DAYS), {"tags": RANGE}),
        ({}, {"tags": RANGE}),
        ({DAYS[1]: None}, {"partition_key": DAYS[1]}),
    ],
    ids=["all none", "nothing", "one"],
)
def test_a_run_without_any_data_records_nothing(
    produce: Produce, stored: MetadataStore, value: Any, how: Mapping[str, Any]
) -> None:
    assert produce(value, **how) == {}
    assert stored.materializations(KEY) == []


@pytest.mark.parametrize("value", [ROW, {DAYS[0]: ROW}, {"other": 1}, [], {}], ids=str)
def test_what_one_partition_returns_is_its_value(produce: Produce, stored: MetadataStore, value: Any) -> None:
    told = produce(value, partition_key=DAYS[0])
    assert told[DAYS[0]]["metadata_assets/version"] == 1
    (record,) = stored.materializations(KEY)
    assert (record.partition, record.row_count) == (DAYS[0], 1 if ROW is value or DAYS[0] in value else None)


def test_a_table_for_several_partitions_is_refused(produce: Produce, stored: MetadataStore) -> None:
    with pytest.raises(WrongPartitions, match="asks for 3 partitions, the function returned DataFrame"):
        produce(ROW, tags=RANGE)
    assert stored.materializations(KEY) == []
