"""The JSON Schema for editors: it takes every project that loads, and names what is wrong as loading does."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from metadata_assets.spec import models
from metadata_assets.spec.schema import FileKind, schema_of

ROOT = Path(__file__).resolve().parents[2]
INVALID = YAML(typ="safe").load(Path(__file__).with_name("invalid_projects.yml").read_text("utf-8"))
TEXT = (ROOT / "docs" / "project.md").read_text("utf-8")
MODELS = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, BaseModel)]
NEVER_A_FILE = {"Declared"}


def refusals(kind: FileKind, text: str) -> list[str]:
    """What an editor would underline."""
    import jsonschema  # seconds of work, which no other test waits for

    value = YAML(typ="safe").load(text)
    return [one.message for one in jsonschema.Draft202012Validator(schema_of(kind)).iter_errors(_as_json(value))]


def _as_json(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _as_json(item) for name, item in value.items()}
        case list():
            return [_as_json(item) for item in value]
        case None | bool() | int() | float():
            return value
    return str(value)


@pytest.mark.parametrize("kind", get_args(FileKind))
def test_it_is_a_schema(kind: FileKind) -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("folder", ["metadata_assets/new_project", "examples/flights"])
def test_projects_that_load_are_taken(folder: str) -> None:
    assert refusals("project", (ROOT / folder / "metadata.yml").read_text("utf-8")) == []
    files = list((ROOT / folder / "datasets").glob("*.yml"))
    assert files
    for file in files:
        assert refusals("datasets", file.read_text("utf-8")) == [], file


EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "type: metadata_assets." not in text]
"""Without those of a Dagster component."""


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_documentation_are_taken(text: str) -> None:
    if "datasets:" in text:
        assert refusals("datasets", text) == []
    elif re.search("^(endpoints|schedules):", text, re.MULTILINE):
        assert refusals("project", text if "name:" in text.split("\n", 2)[1] else f"name: x\n{text}") == []
    else:
        for line in re.findall("^partitions: .*$", text, re.MULTILINE) or [
            re.sub("^    ", "", text, flags=re.MULTILINE)
        ]:
            dataset = (
                f"datasets:\n- name: a\n  endpoint: lake\n  python: a:b\n{re.sub('^', '  ', line, flags=re.MULTILINE)}"
            )
            assert refusals("datasets", dataset) == []


UNKNOWN = [one for one in INVALID if any("no such field" in said for said in one["says"])]


@pytest.mark.parametrize("project", UNKNOWN, ids=lambda project: project["case"])
def test_fields_that_are_not_there_are_underlined(project: dict[str, Any]) -> None:
    said = refusals("project", project.get("metadata", "name: x")) + refusals("datasets", project.get("datasets", "{}"))
    assert said


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_in_it(model: type[BaseModel]) -> None:
    text = str([schema_of(kind) for kind in get_args(FileKind)])
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for name in names if f"'{name}'" not in text} == set()


def test_numbers_and_shorthands_are_texts_and_mappings() -> None:
    dataset = (
        "datasets:\n- {name: a, endpoint: e, python: 'a:b', code_version: 1.10, columns: [{name: 1, unique: true}]}"
    )
    assert refusals("datasets", dataset) == []
    assert refusals("datasets", dataset.replace("unique: true", "unique: [1]")) != []
    assert refusals("datasets", dataset.replace("python: 'a:b', ", "")) != []
    assert refusals("datasets", dataset.replace("python", "sql: x.sql, python")) != []
