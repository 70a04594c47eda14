"""Runs read at the pin that they name, and who is no run reads the same data as a table or a scan."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from upath import UPath

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.datasets import KEY_METADATA, key_of
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.pinned import PIN_TAG, PinNotOpen
from resources.configurable import EndpointConfig, MetadataResource
from resources.files.staging import DataDamaged
from resources.locations import place
from resources.metadata.assets import UnknownKey
from resources.metadata_store import MetadataStore
from resources.postgres.refusals import UnknownPin, UnknownVersion
from resources.reading import NothingToRead, PartitionColumnTaken, Reader

DAYS = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])
RANGE = {"dagster/asset_partition_range_start": "mon", "dagster/asset_partition_range_end": "tue"}
LEFT, RIGHT = key_of(dg.AssetKey("left"), None), key_of(dg.AssetKey("right"), None)


class Pair:
    """left and right, which say a number, and reader, which notes what it gets of them."""

    def __init__(self, instance: dg.DagsterInstance, metadata: MetadataResource) -> None:
        self.number, self.seen, self.failing = 0, (0, 0), False

        @dg.asset
        def left() -> pl.DataFrame:
            return pl.DataFrame({"a": [self.number]})

        @dg.asset
        def right() -> pl.DataFrame:
            return pl.DataFrame({"a": [self.number]})

        @dg.asset
        def reader(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
            if self.failing:
                self.failing = False
                raise ConnectionError
            self.seen = (left["a"][0], right["a"][0])
            return left

        self.instance = instance
        self.defs = dg.Definitions(
            assets=[left, right, reader],
            resources={"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)},
            executor=dg.in_process_executor,
            jobs=[dg.define_asset_job("write", ["left", "right"]), dg.define_asset_job("read", ["reader"])],
        )

    def write(self) -> None:
        self.number += 1
        assert self.defs.resolve_job_def("write").execute_in_process(instance=self.instance).success

    def run(self, job: str, **facts: Any) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False, **facts)

    def read(self, **facts: Any) -> tuple[int, int]:
        found = self.defs.resolve_job_def("read").execute_in_process(instance=self.instance, **facts)
        assert found.success
        return self.seen


@pytest.fixture
def pair(instance: dg.DagsterInstance, metadata: MetadataResource) -> Pair:
    return Pair(instance, metadata)


def test_a_run_reads_at_the_pin_that_it_names(pair: Pair, stored: MetadataStore) -> None:
    pair.write()
    stored.pin("june", {LEFT: 1})
    pair.write()
    assert pair.read() == (2, 2)
    assert pair.read(tags={PIN_TAG: "june"}) == (1, 2), "what the pin has not is read as published"
    newest, *_older = stored.materializations(key_of(dg.AssetKey("reader"), None))
    assert {one.key: one.version for one in stored.inputs(newest.id)} == {LEFT: 1, RIGHT: 2}
    assert pair.read(run_config={"resources": {"io_manager": {"config": {"pin": "june"}}}}) == (1, 2)
    with pytest.raises(UnknownPin, match="no pin july"):
        pair.read(tags={PIN_TAG: "july"})
    stored.unpin("june")
    with pytest.raises(Exception, match="reads at pin june, which is removed"):
        pair.read(tags={PIN_TAG: "june"})


@pytest.fixture
def lake(instance: dg.DagsterInstance, environment: dict[str, str]) -> Iterator[MetadataResource]:
    """An endpoint whose files are no local ones, with two days of a dataset, of which the later has a column more."""
    assert environment
    metadata = MetadataResource(endpoints={"lake": EndpointConfig(system="files", root="memory://lake")})

    @dg.asset(
        partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), metadata={KEY_METADATA: str(key("days"))}
    )
    def days() -> dict[str, pl.DataFrame]:
        return {"mon": pl.DataFrame({"a": [1, 2]}), "tue": pl.DataFrame({"a": [3], "b": ["x"]})}

    @dg.asset(metadata={KEY_METADATA: str(key("words"))})
    def words() -> Any:
        return {"partition": [1]}

    resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}
    assert dg.materialize([days], instance=instance, resources=resources, tags=RANGE).success
    assert dg.materialize([words], instance=instance, resources=resources).success
    yield metadata
    UPath("memory://lake").rmdir(recursive=True)


def key(name: str) -> CanonicalKey:
    return dataset_key("lake", table=name)


def test_a_dataset_is_read_outside_a_run(lake: MetadataResource) -> None:
    rows = [
        {"a": 1, "b": None, "partition": "mon"},
        {"a": 2, "b": None, "partition": "mon"},
        {"a": 3, "b": "x", "partition": "tue"},
    ]
    polars = lake.read(key("days"))
    assert isinstance(polars, pl.DataFrame)
    assert polars.select("a", "b", "partition").to_dicts() == rows
    arrow, pandas = lake.read(key("days"), frame="arrow"), lake.read(key("days"), frame="pandas")
    assert isinstance(arrow, pa.Table)
    assert isinstance(pandas, pd.DataFrame)
    assert (arrow.num_rows, len(pandas)) == (3, 3)
    scan = lake.read("lake/days", frame="lazy")
    assert isinstance(scan, pl.LazyFrame)
    assert scan.select("a", "b", "partition").collect().to_dicts() == rows
    assert scan.filter(pl.col("partition") == "tue").select("b").collect()["b"].to_list() == ["x"]
    assert lake.read(key("days"), partitions=["tue"], partition_column=None).columns == ["a", "b"]
    assert lake.read(key("days"), partitions="tue")["b"].to_list() == ["x"], "a text is one partition, not its letters"
    assert lake.read(key("words")) == {"partition": [1]} == lake.read(key("words"), frame="lazy")
    store = lake.store()
    assert Reader(store, lake.storage_of).read(key("days"), at=1).height == 3
    assert store.read(key("days"), storages=lake.storage_of, at=datetime.now(UTC)).height == 3
    store.pin("june", {key("days"): 1})
    assert lake.read(key("days"), at="june").height == 3


def test_what_cannot_be_read_is_told(lake: MetadataResource) -> None:
    with pytest.raises(NothingToRead, match="has no data published for wed"):
        lake.read(key("days"), partitions=["mon", "wed"])
    with pytest.raises(NothingToRead, match="lake/nothing has no data published;"):
        lake.read(key("nothing"))
    with pytest.raises(UnknownKey):
        lake.read("lake/nothing")
    with pytest.raises(UnknownVersion):
        lake.read(key("days"), at=7)
    with pytest.raises(UnknownVersion):
        lake.read(key("days"), at=datetime.now(UTC) - timedelta(days=1))
    lake.store().pin("june", {key("days"): 1})
    lake.store().unpin("june")
    with pytest.raises(UnknownPin, match="june"):
        lake.read(key("days"), at="june")
    for frame in ("polars", "lazy"):
        with pytest.raises(PartitionColumnTaken, match="has a column a of its own"):
            lake.read(key("days"), partition_column="a", frame=frame)


def test_a_scan_verifies_manifests_and_reads_no_data(lake: MetadataResource) -> None:
    (one,) = lake.store().current(key("days"), ["mon"])
    endpoint, path = place(str(one.location))
    folder = lake.root_of(endpoint) / path
    content = (folder / "data.parquet").read_bytes()
    (folder / "data.parquet").unlink()
    (folder / "data.parquet").write_bytes(content)
    lake.read(key("days"), frame="lazy", partitions=["mon"])
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(manifest.replace(b'"rows": 2', b'"rows": 3'))
    with pytest.raises(DataDamaged, match="differs from the commit"):
        lake.read(key("days"), frame="lazy")
    (folder / "manifest.json").unlink()
    with pytest.raises(DataDamaged, match="it is missing"):
        lake.read(key("days"), frame="lazy")


def test_a_pin_that_is_made_anew_meanwhile_is_not_read(
    instance: dg.DagsterInstance, resources: dict[str, object], stored: MetadataStore
) -> None:
    pinned = {key_of(dg.AssetKey(name), None): 1 for name in ("early", "late")}

    @dg.asset
    def early() -> pl.DataFrame:
        return pl.DataFrame({"a": [1]})

    @dg.asset
    def late() -> pl.DataFrame:
        return pl.DataFrame({"a": [1]})

    @dg.asset
    def middle(early: pl.DataFrame) -> pl.DataFrame:
        stored.unpin("anew")
        stored.pin("anew", pinned, reason="another one")
        return early

    @dg.asset(deps=[middle])
    def last(late: pl.DataFrame) -> pl.DataFrame:
        return late

    assert dg.materialize([early, late], instance=instance, resources=resources).success
    stored.pin("anew", pinned)
    everything, reading = [early, late, middle, last], [middle, last]
    with pytest.raises(PinNotOpen, match=r"reads at pin anew, which is removed; .*start a new run"):
        dg.materialize(
            everything, selection=reading, instance=instance, resources=resources, tags={"metadata_assets/pin": "anew"}
        )


def test_who_goes_on_with_a_run_reads_its_pin(pair: Pair, stored: MetadataStore) -> None:
    pair.write()
    pair.write()
    stored.pin("june", {LEFT: 1, RIGHT: 1})
    pair.failing = True
    failed = pair.run("read", tags={PIN_TAG: "june"})
    assert not failed.success
    parent = {"dagster/parent_run_id": failed.run_id, "dagster/root_run_id": failed.run_id, PIN_TAG: "june"}
    resumed = {**parent, "dagster/is_resume_retry": "true"}
    assert pair.read(tags=resumed) == (1, 1)
    stored.unpin("june")
    stored.pin("june", {LEFT: 2, RIGHT: 2})
    with pytest.raises(PinNotOpen, match="reads at pin june, which is removed"):
        pair.read(tags=resumed)
    assert pair.read(tags=parent) == (2, 2), "a person who executes all again asks for something new"
    assert pair.read(tags={PIN_TAG: "june"}) == (2, 2)
