"""docs/project.md says what is true: its example is a project, and it names every field."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from metadata_assets.factory import definitions_for
from metadata_assets.spec import load_project, models

DOCS = Path(__file__).resolve().parents[2] / "docs" / "project.md"
TEXT = DOCS.read_text("utf-8")
FILES = re.findall(r"```(?:yaml|python)\n# ([\w/.]+)\n(.*?)```", TEXT, re.DOTALL)
PARTITIONS = re.findall(r"^partitions: .*$", TEXT, re.MULTILINE)
MODELS = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, BaseModel)]


def write_example(folder: Path) -> Path:
    (folder / "datasets").mkdir()
    for file, text in FILES:
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def test_the_complete_example_is_a_project(tmp_path: Path) -> None:
    project = load_project(write_example(tmp_path))
    assert [file for file, _ in FILES] == ["metadata.yml", "datasets/sales.yml", "pipeline.py", "quality.py"]
    assert [dataset.name for dataset in project.datasets] == ["customers", "month", "orders"]
    assert len(definitions_for(project)) == 5


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
