"""From the files of a project to its value, with all their problems at once."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from identity.keys import SLUG, CanonicalKey
from metadata_assets.spec.circles import circles, one_name_each
from metadata_assets.spec.entries import Entry, Known, dataset_of, declared_twice, key_of
from metadata_assets.spec.models import DatasetFields, DatasetsFields, EndpointFields, ProjectFields
from metadata_assets.spec.problems import At, Problem, ProjectInvalid, field_name
from metadata_assets.spec.problems import Path as FieldPath
from metadata_assets.spec.project import Collect, Dataset, Project, ProjectEndpoint
from metadata_assets.spec.references import dependencies
from metadata_assets.spec.sql_files import sql_of
from metadata_assets.spec.validation import Model, validated
from metadata_assets.spec.yaml_source import Source, Value, read_source
from resources.locations import EndpointLocation

METADATA_FILE = "metadata.yml"
DATASETS_FOLDER = "datasets"


def load_project(folder: Path | str) -> Project:
    """The project in `folder`: `metadata.yml`, every `*.yml` and `*.yaml` below `datasets/`, and their SQL.

    Reads these files and nothing else: no network, no Python of the project. Raises ProjectInvalid with every problem.
    """
    folder = Path(folder)
    reading = _Reading(folder)
    name = reading.read_metadata()
    reading.read_datasets()
    datasets = reading.resolve()
    if reading.problems or name is None:
        raise ProjectInvalid(project=str(folder), problems=reading.problems)
    endpoints = dict(sorted(reading.endpoints.items()))
    return Project(folder=folder.resolve(), name=name, endpoints=endpoints, datasets=datasets)


@dataclass(slots=True)
class _Reading:
    """What was read so far.

    `invalid` are the endpoints (jfk) and datasets (lake/nyc/flights) whose own problems are reported, `unread` files
    could not be read: nobody is blamed for naming what may be in them.
    """

    folder: Path
    problems: list[Problem] = field(default_factory=list)
    endpoints: dict[str, ProjectEndpoint] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    invalid: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def read_metadata(self) -> str | None:
        """The endpoints; returns the name of the project."""
        source = self._source(self.folder / METADATA_FILE)
        if source is None:
            return None
        fields = self._validated(ProjectFields, source, source.value)
        endpoints = source.value.get("endpoints") if isinstance(source.value, dict) else None
        for slug, value in endpoints.items() if isinstance(endpoints, dict) else ():
            self._read_endpoint(source, slug, value)
        return fields.name if fields else None

    def _read_endpoint(self, source: Source, slug: str, value: Value) -> None:
        fields = self._validated(EndpointFields, source, value, ("endpoints", slug))
        if fields and SLUG.fullmatch(slug):
            self.endpoints[slug] = _endpoint(slug, fields, source.at(("endpoints", slug)))
        else:
            self.invalid.add(slug)

    def read_datasets(self) -> None:
        for path in sorted((self.folder / DATASETS_FOLDER).rglob("*")):
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
        self.problems.extend([*problems, *read.problems])
        return dataset_of(key, entry, read.depends_on, read.query)

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


def _endpoint(slug: str, fields: EndpointFields, at: At) -> ProjectEndpoint:
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
    return ProjectEndpoint(location=location, collect=collect, at=at)
