"""A dbt manifest and its catalog as values: read, checked node by node, and nothing decided.

The fields are those of the schemas v4 to v12 (schemas.getdbt.com/dbt/manifest); what others they have is not read.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from metadata_assets.importers.errors import InvalidManifest, InvalidNode

VERSIONS: Final = range(4, 13)
RELATIONS: Final = ("model", "seed", "snapshot", "source")
"""The kinds of nodes that are, or stand for, a relation of the database."""

_M = TypeVar("_M", bound=BaseModel)
_SCHEMA: Final = "https://schemas.getdbt.com/dbt/{}/v"


def _or(empty: Callable[[], Any]) -> BeforeValidator:
    return BeforeValidator(lambda given: empty() if given is None else given)


Texts = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given or ())]
Document = Annotated[dict[str, Any], _or(dict)]
Text = Annotated[str, _or(str)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Quoting(_Read):
    """Whether each part of a name is quoted; None where nobody said."""

    database: bool | None = None
    schema_: bool | None = Field(default=None, alias="schema")
    identifier: bool | None = None
    column: bool | None = None


class ColumnEntry(_Read):
    """A column as a person wrote it down."""

    name: str
    description: Text = ""
    data_type: str | None = None
    quote: bool | None = None
    meta: Document = {}
    tags: Texts = ()
    constraints: Annotated[tuple[dict[str, Any], ...], _or(tuple)] = ()


class Config(_Read):
    """What is configured for a node."""

    materialized: str | None = None
    quoting: Annotated[Quoting, _or(Quoting)] = Quoting()
    severity: str | None = None
    meta: Document = {}


class DependsOn(_Read):
    """What a node reads, by unique ids."""

    nodes: Texts = ()


class TestMetadata(_Read):
    """What a generic test is made from."""

    name: str
    namespace: str | None = None
    arguments: Document = Field(default={}, validation_alias=AliasChoices("kwargs"))


class Node(_Read):
    """A model, seed, snapshot or source."""

    unique_id: str
    resource_type: str
    name: str
    package_name: str
    schema_: str | None = Field(alias="schema")
    database: str | None = None
    alias: str | None = None
    identifier: str | None = None
    relation_name: str | None = None
    description: Text = ""
    columns: Annotated[dict[str, ColumnEntry], _or(dict)] = {}
    tags: Texts = ()
    meta: Document = {}
    config: Annotated[Config, _or(Config)] = Config()
    quoting: Annotated[Quoting, _or(Quoting)] = Quoting()
    depends_on: Annotated[DependsOn, _or(DependsOn)] = DependsOn()
    group: str | None = None
    access: str | None = None
    source_name: str | None = None
    original_file_path: str | None = None

    @property
    def is_source(self) -> bool:
        return self.resource_type == "source"

    @property
    def has_relation(self) -> bool:
        """An ephemeral model has none: it is written into what reads it."""
        return self.config.materialized != "ephemeral"

    @property
    def called(self) -> str | None:
        """Its name in the database."""
        return self.identifier if self.is_source else self.alias


class Test(_Read):
    """A test of one or several relations."""

    unique_id: str
    name: str
    config: Annotated[Config, _or(Config)] = Config()
    depends_on: Annotated[DependsOn, _or(DependsOn)] = DependsOn()
    test_metadata: TestMetadata | None = None
    column_name: str | None = None
    attached_node: str | None = None


class CatalogColumn(_Read):
    """A column as the database has it."""

    name: str
    type: str
    index: int
    comment: str | None = None


class CatalogTable(_Read):
    """A relation as the database has it."""

    columns: dict[str, CatalogColumn]


class Owner(_Read):
    """Who answers for a group."""

    name: str | None = None
    email: Annotated[str | None, BeforeValidator(lambda given: ", ".join(given) if isinstance(given, list) else given)]


class Group(_Read):
    """A group of models."""

    name: str
    package_name: str
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A project of dbt as it was compiled for one target. `project` is None where the file does not say it."""

    file: str
    version: int
    adapter: str
    project: str | None
    quoting: Quoting
    nodes: Mapping[str, Node]
    tests: tuple[Test, ...]
    groups: Mapping[str, Group]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises InvalidManifest, InvalidNode."""
    file, document = path.name, _document(path, "manifest")
    version = _version(file, document, "manifest", VERSIONS)
    head = document["metadata"]
    adapter = head.get("adapter_type")
    if not isinstance(adapter, str):
        _refuse(file, "its metadata has no adapter_type", "compile it again with dbt")
    nodes: dict[str, Node] = {}
    tests: list[Test] = []
    for section in ("nodes", "sources"):
        for unique_id, entry in _entries(file, document, section):
            kind = entry.get("resource_type")
            if kind == "test":
                tests.append(_read(Test, entry, file, unique_id))
            elif kind in RELATIONS:
                nodes[unique_id] = _node(entry, file, unique_id)
            elif not isinstance(kind, str):
                _refuse_node(file, unique_id, "resource_type", "it is missing")
    groups = [_read(Group, entry, file, name) for name, entry in _entries(file, document, "groups", needed=False)]
    project = head.get("project_name")
    return Manifest(
        file=file,
        version=version,
        adapter=adapter,
        project=project if isinstance(project, str) and project else None,
        quoting=_read(Quoting, head.get("quoting") or {}, file, "metadata"),
        nodes=nodes,
        tests=tuple(tests),
        groups={group.name: group for group in groups},
    )


def read_catalog(path: Path) -> Mapping[str, CatalogTable]:
    """What `dbt docs generate` found in the database, by unique ids. Raises InvalidManifest, InvalidNode."""
    file, document = path.name, _document(path, "catalog")
    _version(file, document, "catalog", range(1, 2))
    return {
        unique_id: _read(CatalogTable, entry, file, unique_id)
        for section in ("nodes", "sources")
        for unique_id, entry in _entries(file, document, section)
    }


def _document(path: Path, kind: str) -> dict[str, Any]:
    make = "run `dbt compile`" if kind == "manifest" else "run `dbt docs generate`"
    fix = f"{make}, and give its target/{kind}.json"
    try:
        found = json.loads(path.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        _refuse(path.name, f"it cannot be read, {(error.strerror or 'of unknown cause').lower()}", fix)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        _refuse(path.name, f"it is not JSON{where}", fix)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        _refuse(path.name, f"it is not a dbt {kind}, it has no metadata", fix)
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _version(file: str, document: Mapping[str, Any], kind: str, known: range) -> int:
    said = document["metadata"].get("dbt_schema_version")
    start = _SCHEMA.format(kind)
    number = said[len(start) :].removesuffix(".json") if isinstance(said, str) and said.startswith(start) else ""
    if not number.isdecimal():
        _refuse(file, f"it is not a dbt {kind}, its metadata has no dbt_schema_version of one", f"give a {kind}.json")
    if int(number) not in known:
        span = f"v{known[0]} to v{known[-1]}"
        newer = "use a release of metadata-assets that knows it"
        fix = newer if int(number) > known[-1] else "compile the project with dbt 1.0 or newer"
        _refuse(file, f"it is of schema v{number}, and {span} can be read", fix)
    return int(number)


def _entries(
    file: str, document: Mapping[str, Any], section: str, *, needed: bool = True
) -> list[tuple[str, dict[str, Any]]]:
    found = document.get(section, None if needed else {})
    if not isinstance(found, dict):
        _refuse(file, f"it has no {section}", "it was cut or changed: compile it again with dbt")
    for unique_id, entry in found.items():
        if not isinstance(entry, dict):
            _refuse_node(file, unique_id, section, "it is no object")
    return list(found.items())


def _node(entry: Mapping[str, Any], file: str, unique_id: str) -> Node:
    node = _read(Node, entry, file, unique_id)
    if not node.called:
        _refuse_node(file, unique_id, "identifier" if node.is_source else "alias", "it is missing")
    if node.unique_id != unique_id:
        _refuse_node(file, unique_id, "unique_id", "it is another one than the name of the entry")
    return node


def _read(model: type[_M], entry: Mapping[str, Any], file: str, unique_id: str) -> _M:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "entry"
        reason = "it is missing" if first["type"] == "missing" else first["msg"][:1].lower() + first["msg"][1:]
        _refuse_node(file, unique_id, field, reason)


def _refuse(file: str, reason: str, fix: str) -> NoReturn:
    raise InvalidManifest(file=file, reason=reason, fix=fix)


def _refuse_node(file: str, unique_id: str, field: str, reason: str) -> NoReturn:
    raise InvalidNode(
        file=file, node=unique_id, field=field, reason=reason, fix="compile the project again, or correct the file"
    )
