"""What is written about projects is true: examples are projects, and every field is explained."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from pydantic import BaseModel

from metadata_assets.datasets import key_of
from metadata_assets.factory import definitions_for
from metadata_assets.spec import load_project, models
from resources.metadata_store import MetadataStore

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TEXT = (ROOT / "docs" / "project.md").read_text("utf-8")
FILE = re.compile(r"```(?:yaml|python)\n# ([\w/.]+)\n(.*?)```", re.DOTALL)
PARTITIONS = re.findall(r"^partitions: .*$", TEXT, re.MULTILINE)
MODELS = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, BaseModel)]


def write_example(text: str, folder: Path) -> list[str]:
    """Write the files of an example as a reader would; the names of them."""
    (folder / "datasets").mkdir()
    files = FILE.findall(text)
    for file, content in files:
        (folder / file).write_text(content, encoding="utf-8")
    return [file for file, _ in files]


def test_the_complete_example_is_a_project(tmp_path: Path) -> None:
    assert write_example(TEXT, tmp_path) == ["metadata.yml", "datasets/sales.yml", "pipeline.py", "quality.py"]
    project = load_project(tmp_path)
    assert [dataset.name for dataset in project.datasets] == ["customers", "month", "orders"]
    assert len(definitions_for(project)) == 5


def test_the_example_of_the_readme_is_a_project(tmp_path: Path) -> None:
    assert write_example(README, tmp_path) == ["metadata.yml", "datasets/orders.yml", "pipeline.py", "quality.py"]
    project = load_project(tmp_path)
    assert [dataset.name for dataset in project.datasets] == ["orders"]
    assert len(definitions_for(project)) == 2


def test_the_resources_of_the_readme_run_an_asset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: MetadataStore, metadata_url: str
) -> None:
    """As written there, with an asset in the place of the dots; below a home that has nothing yet."""
    (code,) = re.findall(r"```python\n(import dagster as dg\n.*?)```", README, re.DOTALL)
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("METADATA_HOME", str(tmp_path))
    numbers = dg.asset(name="numbers")(lambda: pl.DataFrame({"a": [1, 2]}))
    names: dict[str, Any] = {"numbers": numbers}
    exec(code.replace("[...]", "[numbers]"), names)
    with dg.DagsterInstance.ephemeral() as instance:
        assert names["defs"].resolve_implicit_global_asset_job_def().execute_in_process(instance=instance).success
    assert [one.row_count for one in store.current(key_of(dg.AssetKey("numbers"), None))] == [2]


@pytest.mark.parametrize("partitions", PARTITIONS)
def test_every_way_to_divide_a_dataset_works(tmp_path: Path, partitions: str) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text("name: x\nendpoints: {lake: {system: files}}")
    dataset = f"datasets:\n  - name: a\n    endpoint: lake\n    python: a:b\n    {partitions}\n"
    (tmp_path / "datasets" / "a.yml").write_text(dataset)
    assert load_project(tmp_path).datasets[0].partitions is not None


def test_all_six_ways_are_there() -> None:
    assert {line.split("{")[1].split(":")[0] for line in PARTITIONS} == set(models.PartitionsFields.model_fields)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_explained(model: type[BaseModel]) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if f"`{name}`" not in TEXT and f"{name}:" not in TEXT} == set()
