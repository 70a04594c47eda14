"""From the files of a project to its value, with all their problems at once."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from identity.errors import shown
from identity.keys import SLUG, CanonicalKey
from metadata_assets.spec.circles import circles, one_name_each
from metadata_assets.spec.contracts import Promise, check_of, promises, same_names
from metadata_assets.spec.docs_blocks import Block, described, read_blocks
from metadata_assets.spec.entries import Entry, Known, dataset_of, declared_twice, key_of
from metadata_assets.spec.models import (
    CheckFields,
    ColumnFields,
    DatasetFields,
    DatasetsFields,
    EndpointFields,
    ProjectFields,
)
from metadata_assets.spec.problems import At, Problem, ProjectInvalid, did_you_mean, field_name
from metadata_assets.spec.problems import Path as FieldPath
from metadata_assets.spec.project import Collect, Dataset, Project, ProjectEndpoint, Schedule
from metadata_assets.spec.references import dependencies
from metadata_assets.spec.schedules import ScheduleEntry, scheduled
from metadata_assets.spec.sql_files import sql_of
from metadata_assets.spec.timing_fields import ScheduleFields
from metadata_assets.spec.validation import Model, validated
from metadata_assets.spec.yaml_source import Source, Value, read_source
from resources.locations import EndpointLocation

METADATA_FILE = "metadata.yml"
Described = TypeVar("Described", DatasetFields, ColumnFields, CheckFields)
DATASETS_FOLDER = "datasets"


def load_project(folder: Path | str, *, environment: str | None = None) -> Project:
    """The project in `folder`: `metadata.yml`, every `*.yml` and `*.yaml` below `datasets/`, and their SQL.

    Its endpoints are those of the environment, by default the first that it declares. Reads these files and nothing
    else: no network, no Python of the project. Raises ProjectInvalid with every problem.
    """
    folder = Path(folder)
    reading = _Reading(folder, environment)
    name = reading.read_metadata()
    reading.read_datasets()
    datasets = reading.resolve()
    endpoints = dict(sorted(reading.endpoints.items()))
    project = Project(
        folder=folder.resolve(),
        name=name or "",
        endpoints=endpoints,
        datasets=datasets,
        environment=reading.environment,
    )
    incomplete = bool(reading.unread or reading.invalid) or len(datasets) < len(reading.entries)
    schedules = list(scheduled(reading.schedules, project, reading.environments, may_be_more=incomplete))
    reading.problems.extend(one for one in schedules if isinstance(one, Problem))
    if reading.problems or name is None:
        raise ProjectInvalid(project=str(folder), problems=reading.problems)
    return replace(project, schedules=tuple(one for one in schedules if isinstance(one, Schedule)))


@dataclass(slots=True)
class _Reading:
    """What was read so far.

    `invalid` are the endpoints (jfk) and datasets (lake/nyc/flights) whose own problems are reported, `unread` files
    could not be read: nobody is blamed for naming what may be in them.
    """

    folder: Path
    environment: str | None = None
    problems: list[Problem] = field(default_factory=list)
    endpoints: dict[str, ProjectEndpoint] = field(default_factory=dict)
    schedules: list[ScheduleEntry] = field(default_factory=list)
    environments: tuple[str, ...] = ()
    blocks: dict[str, Block] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    invalid: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def read_metadata(self) -> str | None:
        """The endpoints and schedules; returns the name of the project."""
        source = self._source(self.folder / METADATA_FILE)
        if source is None:
            return None
        fields = self._validated(ProjectFields, source, source.value)
        endpoints = source.value.get("endpoints") if isinstance(source.value, dict) else None
        others = self._environment(source, fields)
        for slug, value in endpoints.items() if isinstance(endpoints, dict) else ():
            self._read_endpoint(source, slug, value, others)
        written = source.value.get("environments") if isinstance(source.value, dict) else None
        self.environments = tuple(written) if isinstance(written, dict) else ()
        schedules = source.value.get("schedules") if isinstance(source.value, dict) else None
        for name, value in schedules.items() if isinstance(schedules, dict) else ():
            schedule = self._validated(ScheduleFields, source, value, ("schedules", name))
            if schedule:
                self.schedules.append(ScheduleEntry(source, name, schedule))
        return fields.name if fields else None

    def _environment(self, source: Source, fields: ProjectFields | None) -> FieldPath:
        """Where the endpoints of this environment are written, as far as they are others."""
        declared = fields.environments if fields else {}
        path: FieldPath = ("environments",)
        for name, endpoints in declared.items():
            for slug in endpoints.keys() - (fields.endpoints.keys() if fields else ()):
                at, known = (*path, name, slug), list(fields.endpoints if fields else ())
                fix = did_you_mean(slug, known)
                self.problems.append(Problem(source.key_at(at), field_name(at), f"no endpoint {shown(slug)!r}", fix))
        if self.environment is None or not declared:
            self.environment = next(iter(declared), None)
        elif self.environment not in declared:
            reason = f"no environment {shown(self.environment)!r}, which METADATA_ENVIRONMENT names"
            fix = did_you_mean(self.environment, list(declared))
            self.problems.append(Problem(source.key_at(path), field_name(path), reason, fix))
        return (*path, self.environment or "")

    def _read_endpoint(self, source: Source, slug: str, value: Value, environment: FieldPath) -> None:
        path: FieldPath = ("endpoints", slug)
        fields = self._validated(EndpointFields, source, value, path)
        other = _value_at(source.value, (*environment, slug))
        if fields and isinstance(value, dict) and isinstance(other, dict):
            fields = self._validated(EndpointFields, source, {**value, **other}, (*environment, slug))
        if fields and SLUG.fullmatch(slug):
            places = {**dict.fromkeys(value, path), **dict.fromkeys(other or (), (*environment, slug))}
            variables = [
                (text.removeprefix("env:"), source.at((*places[field], field)))
                for field, text in (("url", fields.url), ("root", fields.root), ("file", fields.file))
                if text and text.startswith("env:")
            ]
            self.endpoints[slug] = _endpoint(slug, fields, source.at(path), variables)
        else:
            self.invalid.add(slug)

    def read_datasets(self) -> None:
        paths = sorted((self.folder / DATASETS_FOLDER).rglob("*"))
        for found in read_blocks(self.folder, (path for path in paths if path.suffix == ".md")):
            if isinstance(found, Problem):
                self.problems.append(found)
                self.unread.add(found.at.file)
            elif found.name in self.blocks:
                fix = f"rename one of them, the other is at {self.blocks[found.name].at}"
                self.problems.append(Problem(found.at, "", f"the block {found.name} is there twice", fix))
            else:
                self.blocks[found.name] = found
        for path in paths:
            source = self._source(path) if path.suffix in (".yml", ".yaml") and path.name[0] != "." else None
            fields = self._validated(DatasetsFields, source, source.value) if source else None
            if source and fields:
                for index, value in enumerate(fields.datasets):
                    self._read_dataset(source, index, value)

    def _read_dataset(self, source: Source, index: int, value: Value) -> None:
        path = ("datasets", index)
        before = len(self.problems)
        fields = self._validated(DatasetFields, source, value, path)
        if fields is None and isinstance(value, dict):
            wrong = {_top_field(problem, path) for problem in self.problems[before:]}
            fields = validated(DatasetFields, source, _rest(value, wrong), path)[0]
        if fields:
            self.entries.append(Entry(source, path, fields))
        elif isinstance(value, dict) and value.get("name"):
            parts = (value.get("endpoint"), value.get("schema"), value["name"])
            self.invalid.add("/".join(part for part in parts if isinstance(part, str)))

    def resolve(self) -> tuple[Dataset, ...]:
        """The datasets in the order of their keys, as far as they can be resolved."""
        keys: dict[CanonicalKey, Entry] = {}
        known = Known(self.endpoints, keys, self.invalid, METADATA_FILE in self.unread, bool(self.unread))
        for entry in self.entries:
            match key_of(entry, known):
                case CanonicalKey() as key if key in keys:
                    self.problems.append(declared_twice(key, entry, keys[key]))
                case CanonicalKey() as key:
                    keys[key] = entry
                case Problem() as problem:
                    self.problems.append(problem)
        datasets = {key: self._dataset(key, entry, known) for key, entry in sorted(keys.items())}
        self.problems.extend(one_name_each(datasets.values(), known))
        self.problems.extend(circles(datasets, known))
        return tuple(datasets.values())

    def _dataset(self, key: CanonicalKey, entry: Entry, known: Known) -> Dataset:
        depends_on, problems = dependencies(entry, known)
        read = sql_of(self.folder, entry, known, depends_on)
        entry = self._described(entry)
        promised = list(promises(entry, known))
        kept = [one for one in promised if isinstance(one, Promise)]
        broken = [one for one in promised if isinstance(one, Problem)]
        self.problems.extend([*problems, *read.problems, *broken, *same_names(entry, kept)])
        return dataset_of(key, entry, read.depends_on, read.query, [check_of(one) for one in kept])

    def _described(self, entry: Entry) -> Entry:
        """The entry with the texts of docs blocks in the place of their names."""

        def text(fields: Described, *path: str | int) -> Described:
            found = described(fields.description, self.blocks, may_be_more=bool(self.unread))
            if isinstance(found, tuple):
                self.problems.append(entry.problem((*path, "description"), *found))
                return fields
            return fields if found == fields.description else fields.model_copy(update={"description": found})

        fields = text(entry.fields)
        columns = tuple(text(one, "columns", n) for n, one in enumerate(fields.columns))
        checks = tuple(text(one, "checks", n) for n, one in enumerate(fields.checks))
        return replace(entry, fields=fields.model_copy(update={"columns": columns, "checks": checks}))

    def _source(self, path: Path) -> Source | None:
        file = path.relative_to(self.folder).as_posix()
        source, problems = read_source(path, file)
        self.problems.extend(problems)
        if source is None:
            self.unread.add(file)
        return source

    def _validated(self, model: type[Model], source: Source, value: Value, path: FieldPath = ()) -> Model | None:
        fields, problems = validated(model, source, value, path)
        already = {(problem.at, problem.field) for problem in self.problems}
        self.problems.extend(problem for problem in problems if (problem.at, problem.field) not in already)
        return fields


def _top_field(problem: Problem, path: FieldPath) -> str:
    """Which field of a dataset it is about: `owners` for `datasets[0].owners[1]`."""
    return re.split(r"[.\[]", problem.field.removeprefix(field_name(path)).removeprefix("."))[0]


def _rest(value: dict[str, Value], wrong: Set[str]) -> Value:
    """A dataset without its wrong fields, for what it says about others; None when that is among the wrong ones."""
    if wrong & {"name", "endpoint", "schema", "partitions", "depends_on"}:
        return None
    made = {} if {"python", "sql"} & (value.keys() - wrong) else {"python": "module:function"}
    return {**made, **{name: part for name, part in value.items() if name not in wrong}}


def _value_at(value: Value, path: FieldPath) -> Value:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _endpoint(slug: str, fields: EndpointFields, at: At, variables: Sequence[tuple[str, At]]) -> ProjectEndpoint:
    location = EndpointLocation(
        slug=slug,
        system=fields.system,
        url=fields.url,
        database=fields.database,
        root=fields.root,
        file=fields.file,
    )
    said = fields.collect
    collect = (
        Collect(schemas=said.schemas, tables=said.tables, every=said.every, profile=said.profile) if said else None
    )
    return ProjectEndpoint(location=location, collect=collect, at=at, variables=tuple(variables))
