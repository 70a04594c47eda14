"""What a step does when its files cannot be written, or are not what was committed."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from metadata_assets.datasets import key_of
from resources.metadata_store import MetadataStore

Resources = dict[str, Any]


@dg.asset
def numbers() -> pl.DataFrame:
    return pl.DataFrame({"a": [1, 2, 3]})


@dg.asset
def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
    return numbers * 2


KEY, DOUBLED = key_of(numbers.key, None), key_of(doubled.key, None)


@pytest.fixture
def lake(environment: dict[str, str]) -> Path:
    """The folder of all data."""
    return Path(environment["METADATA_HOME"]) / "lake"


def failure(result: dg.ExecuteInProcessResult, step: str) -> str:
    """The error that a step failed with."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_key == step
    return str(event.step_failure_data.error)


def test_a_disk_that_refuses_leaves_what_was_published(
    instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore, lake: Path
) -> None:
    assert dg.materialize([numbers], instance=instance, resources=resources).success
    hidden = lake.rename(lake.with_name("hidden"))
    lake.write_text("no folder any more")
    result = dg.materialize([numbers], instance=instance, resources=resources, raise_on_error=False)
    assert "Not a directory; nothing was committed, make room or give access" in failure(result, "numbers")
    assert result.get_asset_materialization_events() == []
    lake.unlink()
    hidden.rename(lake)
    assert len(stored.materializations(KEY)) == len(stored.versions(KEY)) == 1
    assert dg.materialize([doubled, numbers], selection=[doubled], instance=instance, resources=resources).success
    assert dg.materialize([numbers], instance=instance, resources=resources).success
    assert len(stored.materializations(KEY)) == len(stored.versions(KEY)) == 2


@pytest.mark.parametrize("file", ["data.parquet", "manifest.json"])
def test_damaged_data_stops_its_readers_until_it_is_made_again(
    file: str, instance: dg.DagsterInstance, resources: Resources, stored: MetadataStore, lake: Path
) -> None:
    assert dg.materialize([numbers], instance=instance, resources=resources).success
    (path,) = lake.rglob(file)
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])

    def read() -> dg.ExecuteInProcessResult:
        assets = [numbers, doubled]
        return dg.materialize(assets, selection=[doubled], instance=instance, resources=resources, raise_on_error=False)

    assert f"{file} is not what was committed" in failure(read(), "doubled")
    assert stored.materializations(DOUBLED) == []
    assert dg.materialize([numbers], instance=instance, resources=resources).success
    assert read().success
    (current,) = stored.current(DOUBLED)
    (made_from,) = stored.inputs(current.materialization_id)
    assert made_from.version == 2
