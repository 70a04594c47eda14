"""A dataset that moves to another endpoint: what was written before the move is read where it was written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.datasets import KEY_METADATA
from metadata_assets.intent import IDEMPOTENCY_KEY_TAG
from metadata_assets.io_manager import Audited, MetadataIOManager
from resources.configurable import EndpointConfig, MetadataResource
from resources.metadata_store import MetadataStore

OLD, NEW = (dataset_key(slug, schema="nyc", table="flights") for slug in ("lake", "archive"))
COPY = dataset_key("lake", schema="nyc", table="copy")
PARTITIONS = dg.StaticPartitionsDefinition(["a", "b", "c", "d"])
ENDPOINTS = {slug: EndpointConfig(system="files", root=f"{slug} root") for slug in ("lake", "archive")}
Project = Callable[..., "Materialize"]
Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def project(instance: dg.DagsterInstance) -> Project:
    """A function that makes a project: what it calls flights, and the endpoints that it has.

    It answers with a function that materializes flights and copy, or one of them, for some partitions.
    """

    def make(key: CanonicalKey, *endpoints: str) -> Materialize:
        together = {"partitions_def": PARTITIONS, "backfill_policy": dg.BackfillPolicy.single_run()}

        @dg.asset(metadata={KEY_METADATA: str(key)}, **together)
        def flights(context: dg.AssetExecutionContext) -> Any:
            return {one: pl.DataFrame({"on": [f"{key.endpoint} {one}"]}) for one in context.partition_keys}

        @dg.asset(metadata={KEY_METADATA: str(COPY)}, **together)
        def copy(flights: dict[str, pl.DataFrame]) -> Any:
            return flights

        metadata = MetadataResource(endpoints={slug: ENDPOINTS[slug] for slug in endpoints})
        resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}

        def materialize(name: str, first: str, last: str, **options: Any) -> dg.ExecuteInProcessResult:
            tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
            return dg.materialize(
                [flights, copy], selection=[name], instance=instance, resources=resources, tags=tags, **options
            )

        return materialize

    return make


def files(folder: Path) -> int:
    return len(list(folder.rglob("*.parquet")))


def test_one_version_spans_what_was_written_before_and_after_a_move(
    project: Project, stored: MetadataStore, tmp_path: Path
) -> None:
    before = project(OLD, "lake", "archive")
    assert before("flights", "a", "c").success
    stored.rename({OLD: NEW})
    after = project(NEW, "lake", "archive")
    assert after("flights", "c", "d").success
    assert (files(tmp_path / "lake root"), files(tmp_path / "archive root")) == (3, 2)
    (version, _older) = stored.versions(NEW)
    assert (version.partitions, version.number) == (4, 2)
    for reader in (after, before):  # a project that still says the old name means the same dataset
        result = reader("copy", "a", "d")
        paths = [str(one.materialization.metadata["path"].value) for one in result.get_asset_materialization_events()]
        assert {Path(path).is_dir() for path in paths} == {True}
        for one in stored.current(COPY):
            (read,) = stored.inputs(one.materialization_id)
            assert (read.key, read.partition, read.version) == (NEW, one.partition, 2)
    assert values(stored, tmp_path) == {"a": "lake a", "b": "lake b", "c": "archive c", "d": "archive d"}
    assert before("flights", "a", "a").success
    assert after("copy", "a", "d").success
    assert values(stored, tmp_path)["a"] == "lake a"
    assert stored.versions(NEW)[0].number == 3, "written under either name, it is one dataset"


def values(stored: MetadataStore, tmp_path: Path) -> dict[str | None, str]:
    """What the copies hold, by partition: read from the files that are recorded, without our code."""
    found = {}
    for one in stored.current(COPY):
        endpoint, _colon, path = str(one.location).partition(":")
        found[one.partition] = pl.read_parquet(tmp_path / f"{endpoint} root" / path / "data.parquet")["on"].item()
    return found


def test_a_project_without_the_endpoint_is_told_what_to_add(
    project: Project, stored: MetadataStore, tmp_path: Path
) -> None:
    assert project(OLD, "lake")("flights", "a", "b").success
    stored.rename({OLD: NEW})
    assert project(NEW, "archive")("flights", "b", "b").success
    result = project(NEW, "archive")("copy", "a", "b", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = str(failure.step_failure_data.error)
    assert "this project has no endpoint lake, on which they were written; add lake to the project's endpoints" in told
    assert stored.current(COPY) == []
    assert project(NEW, "lake", "archive")("copy", "a", "b").success
    (damaged,) = (tmp_path / "archive root").rglob("data.parquet")
    damaged.unlink()
    result = project(NEW, "lake", "archive")("copy", "a", "b", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "data.parquet is not what was committed: it is missing" in str(failure.step_failure_data.error)


def test_an_endpoint_that_no_project_names_is_in_the_home(
    project: Project, stored: MetadataStore, environment: dict[str, str]
) -> None:
    assert project(OLD)("flights", "a", "b").success
    assert files(Path(environment["METADATA_HOME"]) / "lake" / "lake") == 2
    stored.rename({OLD: NEW})
    assert project(NEW, "archive")("copy", "a", "b").success


def test_a_delivery_from_before_the_move_stands_and_is_read_where_it_is(
    instance: dg.DagsterInstance, stored: MetadataStore
) -> None:
    metadata = MetadataResource(endpoints=ENDPOINTS)
    resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}
    audited = []

    def audit(committed: Any) -> list[dg.AssetCheckResult]:
        audited.append(committed[None]["on"].to_pylist())
        return []

    def deliver(key: CanonicalKey) -> None:
        @dg.asset(metadata={KEY_METADATA: str(key)})
        def flights() -> Any:
            return Audited({None: pl.DataFrame({"on": [key.endpoint]})}, audit)

        tags = {IDEMPOTENCY_KEY_TAG: "once"}
        assert dg.materialize([flights], instance=instance, resources=resources, tags=tags).success

    deliver(OLD)
    stored.rename({OLD: NEW})
    deliver(NEW)
    assert audited == [["lake"], ["lake"]], "the first commit stands"
    (record,) = stored.materializations(NEW)
    assert (record.redeliveries, str(record.location).partition(":")[0]) == (1, "lake")


def test_what_has_the_name_when_it_is_written_gets_it(instance: dg.DagsterInstance, stored: MetadataStore) -> None:
    """The step looked its dataset up when it began; by then the name is another dataset's."""
    metadata = MetadataResource(endpoints=ENDPOINTS)
    resources = {"metadata": metadata, "io_manager": MetadataIOManager(metadata=metadata)}
    taken, away = dataset_key("lake", table="taken"), dataset_key("lake", table="away")

    @dg.asset(metadata={KEY_METADATA: str(taken)})
    def made() -> pl.DataFrame:
        return pl.DataFrame({"of": ["made"]})

    @dg.asset(metadata={KEY_METADATA: str(OLD)})
    def moved(made: pl.DataFrame) -> pl.DataFrame:
        if stored.current(OLD):
            stored.rename({OLD: away, taken: OLD})
        return made

    for _twice in range(2):
        first = stored.entity(OLD)
        for one in (made, moved):  # runs of their own, or they would ask for one thing twice
            done = dg.materialize([made, moved], instance=instance, resources=resources, selection=[one])
            assert done.success
    assert stored.entity(away).id == first.id
    assert [len(stored.versions(one)) for one in (away, OLD)] == [1, 3]
