"""What assets return is stored once, published, read back and recorded."""

import json
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from identity.errors import MetadataError
from metadata_assets.datasets import key_of
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.io_manager_errors import NothingToDeliver
from resources.metadata_store import MetadataStore

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-08")
Resources = dict[str, Any]


def entries(result: dg.ExecuteInProcessResult, asset: str) -> list[dict[str, Any]]:
    """The metadata of an asset's materialization events."""
    return [
        {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset)
    ]


@pytest.mark.parametrize(
    "table",
    [pl.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}), pa.table({"a": [1, 2]}), pl.LazyFrame({"a": [1, 2]})],
    ids=["polars", "pandas", "arrow", "lazy"],
)
def test_a_table_comes_back_as_its_reader_wants_it(
    table: object, instance: dg.DagsterInstance, resources: Resources
) -> None:
    seen = {}

    @dg.asset
    def numbers() -> Any:
        return table

    @dg.asset
    def readers(numbers: pl.DataFrame) -> None:
        seen["polars"] = numbers

    @dg.asset
    def pandas_reader(numbers: pd.DataFrame) -> None:
        seen["pandas"] = numbers

    @dg.asset
    def arrow_reader(numbers: pa.Table) -> None:
        seen["arrow"] = numbers

    assets = [numbers, readers, pandas_reader, arrow_reader]
    assert dg.materialize(assets, instance=instance, resources=resources).success
    assert isinstance(seen["polars"], pl.DataFrame)
    assert seen["polars"].to_dict(as_series=False) == {"a": [1, 2]}
    assert isinstance(seen["pandas"], pd.DataFrame)
    assert list(seen["pandas"]["a"]) == [1, 2]
    assert isinstance(seen["arrow"], pa.Table)
    assert seen["arrow"].to_pydict() == {"a": [1, 2]}


def test_the_event_names_the_record(instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore) -> None:
    @dg.asset(code_version="7")
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"a": [1, 2, 3]})

    result = dg.materialize([numbers], instance=instance, resources=resources)
    (details,) = entries(result, "numbers")
    (record,) = stored.materializations(key_of(numbers.key, None))
    assert details["metadata_assets/materialization_id"] == str(record.id)
    assert details["metadata_assets/version"] == record.published_in == 1
    assert details["dagster/row_count"] == record.row_count == 3
    assert details["metadata_assets/bytes"] == record.byte_count
    assert details["path"].endswith(str(record.location).replace("dagster:", "/dagster/"))
    assert (record.code_version, record.run_id, record.step_key) == ("7", result.run_id, "numbers")
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.tags["dagster/data_version"] == record.data_version


def test_a_run_over_several_partitions_is_one_version(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def days(context: dg.AssetExecutionContext) -> dict[str, pl.DataFrame]:
        return {day: pl.DataFrame({"day": [day]}) for day in context.partition_keys}

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def copies(days: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        return days

    tags = {
        "dagster/asset_partition_range_start": "2026-01-02",
        "dagster/asset_partition_range_end": "2026-01-04",
    }
    result = dg.materialize([days, copies], instance=instance, resources=resources, tags=tags)
    assert result.success
    key = key_of(copies.key, None)
    (version,) = stored.versions(key)
    assert (version.number, version.partitions, version.row_count) == (1, 3, 3)
    records = stored.materializations(key)
    assert sorted(record.partition or "" for record in records) == ["2026-01-02", "2026-01-03", "2026-01-04"]
    for record in records:
        (read,) = stored.inputs(record.id)
        assert (read.partition, read.version) == (record.partition, 1), "a partition is made from its own day"
    assert {row["metadata_assets/version"] for row in entries(result, "copies")} == {1}


def test_the_same_intent_is_recorded_once(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    calls = []

    @dg.asset
    def numbers() -> pl.DataFrame:
        calls.append(1)
        return pl.DataFrame({"a": [len(calls)]})

    def run(tags: dict[str, str]) -> dict[str, Any]:
        (details,) = entries(dg.materialize([numbers], instance=instance, resources=resources, tags=tags), "numbers")
        return details

    key = key_of(numbers.key, None)
    first, again = run({IDEMPOTENCY_KEY_TAG: "k"}), run({IDEMPOTENCY_KEY_TAG: "k"})
    assert again["metadata_assets/materialization_id"] == first["metadata_assets/materialization_id"]
    assert (first["metadata_assets/replayed"], again["metadata_assets/replayed"]) == (False, True)
    (record,) = stored.materializations(key)
    assert record.redeliveries == 1
    assert len(stored.versions(key)) == 1
    other = run({})
    assert other["metadata_assets/version"] == 2
    assert len(stored.materializations(key)) == 2


def test_unpublished_data_is_not_read(instance: dg.DagsterInstance, resources: Resources) -> None:
    @dg.asset(metadata={"metadata_assets/publish": "manually"})
    def draft() -> pl.DataFrame:
        return pl.DataFrame({"a": [1]})

    @dg.asset
    def reader(draft: pl.DataFrame) -> None:
        raise AssertionError(f"must not be called, and was with {draft}")

    result = dg.materialize([draft, reader], instance=instance, resources=resources, raise_on_error=False)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "reader"
    assert "has no published data" in str(failure.step_failure_data.error)
    (details,) = entries(result, "draft")
    assert details["metadata_assets/not_published"] == "publish: manually"


def test_ops_of_a_graph_asset_hand_on_their_values(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.op
    def three() -> int:
        return 3

    @dg.op
    def rows(three: int) -> pl.DataFrame:
        return pl.DataFrame({"a": list(range(three))})

    @dg.graph_asset
    def counted() -> Any:
        return rows(three())

    assert dg.materialize([counted], instance=instance, resources=resources).success
    (record,) = stored.materializations(key_of(counted.key, None))
    assert record.row_count == 3


def test_what_cannot_be_stored_is_refused(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset
    def odd() -> Any:
        return {"a": object()}

    result = dg.materialize([odd], instance=instance, resources=resources, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "cannot be stored" in str(failure.step_failure_data.error)
    assert stored.materializations(key_of(odd.key, None)) == []


def test_what_an_asset_notes_is_kept_and_found(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset
    def trained(context: dg.AssetExecutionContext) -> pl.DataFrame:
        context.add_output_metadata({"model": "b7", "rmse": float("nan"), "where": dg.MetadataValue.path("/x")})
        return pl.DataFrame({"a": [1]})

    @dg.asset(io_manager_key="io_manager")
    def returned() -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(value=pl.DataFrame({"a": [1]}), metadata={"model": "b8", "metadata_assets/job": 1})

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def divided(context: dg.AssetExecutionContext) -> Any:
        context.add_asset_metadata({"model": "b9", "day": "any"})
        for day in context.partition_keys:
            context.add_asset_metadata({"day": day}, partition_key=day)
        return {day: pl.DataFrame({"a": [1]}) for day in context.partition_keys}

    assert dg.materialize([trained, returned], instance=instance, resources=resources).success
    days = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-02"}
    assert dg.materialize([divided], instance=instance, resources=resources, tags=days).success
    (one,) = stored.materializations_with("model", "b7")
    assert (one.metadata["rmse"], one.metadata["where"]) == ("nan", "/x")
    assert set(one.metadata) == {"model", "rmse", "where", "metadata_assets/job"}
    (one,) = stored.materializations_with("model", "b8")
    assert one.metadata["metadata_assets/job"] != 1
    assert {(one.partition, one.metadata["day"]) for one in stored.materializations_with("model", "b9")} == {
        ("2026-01-01", "2026-01-01"),
        ("2026-01-02", "2026-01-02"),
    }


@pytest.mark.parametrize(
    ("much", "refusal"), [({"text": "x" * 70_000}, "70"), ({"deep": json.loads("[" * 40 + "]" * 40)}, "deeper than 32")]
)
def test_too_much_to_note_is_refused(
    much: dict[str, Any], refusal: str, instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset
    def much_noted(context: dg.AssetExecutionContext) -> int:
        context.add_output_metadata(much)
        return 1

    with pytest.raises(MetadataError, match=refusal):
        dg.materialize([much_noted], instance=instance, resources=resources)
    assert stored.materializations(key_of(much_noted.key, None)) == []


def test_what_was_retracted_is_not_delivered_again(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset
    def taken() -> int:
        return 1

    key, tags = key_of(taken.key, None), {IDEMPOTENCY_KEY_TAG: "taken"}
    assert dg.materialize([taken], instance=instance, resources=resources, tags=tags).success
    (one,) = stored.current(key)
    stored.retract(one.materialization_id, reason="bad")
    with pytest.raises(NothingToDeliver, match=r"is retracted, .* run it as a new intent"):
        dg.materialize([taken], instance=instance, resources=resources, tags=tags)
    assert dg.materialize([taken], instance=instance, resources=resources).success
    assert len(stored.current(key)) == 1


def test_what_readers_do_not_have_any_more_is_not_told_as_published(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore
) -> None:
    @dg.asset
    def number(context: dg.AssetExecutionContext) -> int:
        return int(context.run.tags[IDEMPOTENCY_KEY_TAG])

    def deliver(intent: int) -> dict[str, Any]:
        tags = {IDEMPOTENCY_KEY_TAG: str(intent)}
        (details,) = entries(dg.materialize([number], instance=instance, resources=resources, tags=tags), "number")
        return {name: details.get(f"metadata_assets/{name}") for name in ("replayed", "version", "not_published")}

    key = key_of(number.key, None)
    for intent in (1, 2):
        assert deliver(intent) == {"replayed": False, "version": intent, "not_published": None}
    assert deliver(2) == {"replayed": True, "version": 2, "not_published": None}
    stored.rollback(key, to=1, expected=2)
    told = "published in version 2 and rolled back in version 3; to bring it back, publish it by hand"
    assert deliver(2) == {"replayed": True, "version": None, "not_published": told}
    assert deliver(3) == {"replayed": False, "version": 4, "not_published": None}
    told = "published in version 3 and replaced in version 4; to bring it back, publish it by hand"
    assert deliver(1) == {"replayed": True, "version": None, "not_published": told}
    assert stored.version_at(key) == 4
