"""An asset that tells Dagster of itself, beside what it delivers, is recorded once for each intent."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from adopting import from_log, materialized, records, told

from metadata_assets import with_metadata
from resources.metadata_store import MetadataStore

pytestmark = pytest.mark.filterwarnings("ignore:.* will be removed in 2.0:DeprecationWarning")  # Dagster's own
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04")


def logged(name: str, **noted: Any) -> None:
    dg.OpExecutionContext.get().log_event(dg.AssetMaterialization(name, **noted))


@dg.asset
def a() -> int:
    logged("a", metadata={"rows": 1})
    return 1


@dg.multi_asset(specs=[dg.AssetSpec("b", deps=["a"]), dg.AssetSpec("c")])
def bs() -> Iterator[Any]:
    yield dg.AssetMaterialization("b", metadata={"rows": 2})
    yield dg.MaterializeResult(asset_key="b")
    yield dg.MaterializeResult(asset_key="c")
    yield dg.AssetMaterialization("b")


@dg.op(out={"table": dg.Out()})
def made() -> int:
    logged("d")
    return 1


@dg.graph_asset
def d() -> Any:
    return made()


def test_what_an_asset_logs_is_no_record_more(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    defs = materialized(ephemeral, a, bs, d)
    assert [len(told(ephemeral, name, *ephemeral.get_runs())) for name in "abcd"] == [2, 3, 1, 2]
    assert from_log(stored, ephemeral, defs) == 0
    assert [[one.redeliveries for one in records(stored, name)] for name in "abcd"] == [[0]] * 4
    assert len(stored.inputs(records(stored, "b")[0].id)) == 1, "the record is the step's"


def test_a_sensor_does_not_come_before_the_step(ephemeral: dg.DagsterInstance, stored: MetadataStore) -> None:
    looked = []

    @dg.asset
    def a() -> int:
        logged("a")
        looked.append(from_log(stored, ephemeral, with_metadata(dg.Definitions(assets=[a]))))
        return 1

    defs = materialized(ephemeral, a)
    assert looked == [0]
    assert from_log(stored, ephemeral, defs) == 0
    assert len(records(stored, "a")) == 1


def test_an_asset_that_only_logged_before_it_failed_is_not_recorded_again(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    fails = [True]

    @dg.asset
    def a() -> int:
        logged("a", metadata={"n": 1})
        if fails.pop():
            raise RuntimeError
        return 1

    defs = with_metadata(dg.Definitions(assets=[a]))
    job, tags = defs.resolve_implicit_global_asset_job_def(), {"metadata_assets/idempotency_key": "k"}
    assert not job.execute_in_process(instance=ephemeral, raise_on_error=False, tags=tags).success
    assert from_log(stored, ephemeral, defs) == 1, "Dagster knows of it"
    fails.append(False)
    assert job.execute_in_process(instance=ephemeral, tags=tags).success
    assert from_log(stored, ephemeral, defs) == 0
    assert [(one.metadata["n"], one.redeliveries) for one in records(stored, "a")] == [(1, 1)]


def test_a_log_of_partitions_without_their_names_is_no_record(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    @dg.asset(partitions_def=DAYS)
    def days() -> None:
        logged("days")

    defs = with_metadata(dg.Definitions(assets=[days]))
    job = defs.resolve_implicit_job_def_def_for_assets([dg.AssetKey("days")])
    assert job is not None
    assert job.execute_in_process(instance=ephemeral, partition_key="2026-01-02").success
    assert from_log(stored, ephemeral, defs) == 0
    assert [one.partition for one in records(stored, "days")] == ["2026-01-02"]
