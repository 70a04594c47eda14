"""JSON Schema of the project's files, for editors: completion, help and mistakes while people write."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from metadata_assets.spec.models import DatasetFields, DatasetsFields, EndpointFields, ProjectFields
from metadata_assets.spec.texts import Slug, Word
from metadata_assets.spec.timing_fields import ScheduleFields

FileKind = Literal["project", "datasets"]
FILES: Final[Mapping[FileKind, str]] = {"project": ".schema/project.json", "datasets": ".schema/datasets.json"}
"""Where a project keeps them: of `metadata.yml`, and of the files in `datasets/`."""


class _Project(ProjectFields):
    """`metadata.yml`: where data are, and when datasets are made."""

    endpoints: dict[Slug, EndpointFields] = Field(default_factory=dict)  # type: ignore[assignment]
    schedules: dict[Word, ScheduleFields] = Field(default_factory=dict)  # type: ignore[assignment]


class _Datasets(DatasetsFields):
    """A file in `datasets/`."""

    datasets: tuple[DatasetFields, ...]


_MODELS: Final[Mapping[FileKind, type[BaseModel]]] = {"project": _Project, "datasets": _Datasets}
_TEXT: Final = ["string", "number", "boolean"]
"""What an editor takes for a number or a boolean is a text to us, as it is written."""


def schema_of(kind: FileKind) -> dict[str, Any]:
    """The schema, draft 2020-12. It refuses nothing that loading takes; what loading refuses it may allow."""
    schema = _MODELS[kind].model_json_schema(by_alias=True)
    for part in list(_parts(schema)):
        _as_written(part)
    definitions = schema.get("$defs", {})
    if "DatasetFields" in definitions:
        definitions["DatasetFields"]["oneOf"] = [{"required": ["python"]}, {"required": ["sql"]}]
    for name in ("PartitionsFields", "DimensionFields"):
        if name in definitions:
            definitions[name].update(minProperties=1, maxProperties=1)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _as_written(part: dict[str, Any]) -> None:
    """Texts may look like numbers, null may stand for nothing, and names of fields are titles enough."""
    if isinstance(part.get("title"), str):
        del part["title"]
    if part.get("type") == "string" and not {"enum", "const", "pattern", "format"} & part.keys():
        part["type"] = _TEXT
    elif part.get("type") in ("boolean", "integer"):
        part["type"] = [part["type"], "string"]
    part.pop("format", None)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside of a schema; `properties` and `$defs` are none, but have some."""
    if isinstance(value, dict):
        if not all(isinstance(one, dict) for one in value.values()) or "$ref" in value or not value:
            yield value
        for one in value.values():
            yield from _parts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _parts(one)
