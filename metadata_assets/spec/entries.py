"""A dataset between its file and its value: valid fields that refer to things not looked up yet."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, dataset_key, short_name
from metadata_assets.spec.models import DatasetFields
from metadata_assets.spec.partitions import Partitions
from metadata_assets.spec.problems import At, Path, Problem, did_you_mean, field_name
from metadata_assets.spec.project import Check, Column, Dataset, Dependency, Function, ProjectEndpoint
from metadata_assets.spec.yaml_source import Source


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset as it is written in a file: its fields are valid, what they refer to is not known yet."""

    source: Source
    path: Path
    fields: DatasetFields

    def at(self, *path: str | int) -> At:
        return self.source.at((*self.path, *path))

    def problem(self, path: Path, reason: str, fix: str) -> Problem:
        return Problem(self.at(*path), field_name((*self.path, *path)), reason, fix)


@dataclass(frozen=True, slots=True)
class Known:
    """What entries may refer to. `invalid` are names that exist but have problems of their own, reported elsewhere.

    `endpoints_unread`, `datasets_unread`: there may be more of them, in files that could not be read.
    """

    endpoints: Mapping[str, ProjectEndpoint]
    keys: Mapping[CanonicalKey, Entry]
    invalid: Set[str]
    endpoints_unread: bool
    datasets_unread: bool

    def endpoint(self, slug: str, entry: Entry, path: Path) -> ProjectEndpoint | Problem | None:
        """The endpoint that the entry names at `path`; None when it is invalid or unread, which is reported already."""
        if slug in self.endpoints:
            return self.endpoints[slug]
        if slug in self.invalid or self.endpoints_unread:
            return None
        return entry.problem(path, f"no endpoint {shown(slug)!r}", did_you_mean(slug, list(self.endpoints)))


def key_of(entry: Entry, known: Known) -> CanonicalKey | Problem | None:
    """The key that the entry declares; None when its endpoint is invalid."""
    slug = entry.fields.endpoint
    endpoint = known.endpoint(slug, entry, ("endpoint",))
    if not isinstance(endpoint, ProjectEndpoint):
        return endpoint
    if endpoint.location.system != "files":
        files = [name for name, other in known.endpoints.items() if other.location.system == "files"]
        fix = f"write one of system files: {', '.join(files) or 'add one to metadata.yml'}"
        return entry.problem(
            ("endpoint",), f"{slug} is a {endpoint.location.system} endpoint, data is written to files", fix
        )
    try:
        return dataset_key(slug, schema=entry.fields.schema_, table=entry.fields.name)
    except MetadataError as error:
        return entry.problem(("name",), str(error), "use another name")


def declared_twice(key: CanonicalKey, entry: Entry, other: Entry) -> Problem:
    fix = f"rename one of them, the other is at {other.at('name')}"
    return entry.problem(("name",), f"{short_name(key)} is declared twice", fix)


def partitions_of(entry: Entry) -> Partitions | None:
    return entry.fields.partitions.value if entry.fields.partitions else None


def dataset_of(key: CanonicalKey, entry: Entry, depends_on: Sequence[Dependency]) -> Dataset:
    fields = entry.fields
    checks = tuple(_check(entry, index) for index in range(len(fields.checks)))
    return Dataset(
        key=key,
        description=fields.description,
        owners=fields.owners,
        tags=fields.tags,
        group=fields.group,
        columns=tuple(Column(name=c.name, type=c.type, description=c.description) for c in fields.columns),
        partitions=partitions_of(entry),
        depends_on=tuple(depends_on),
        python=_function(fields.python, entry.at("python")),
        code_version=fields.code_version,
        checks=checks,
        publish=fields.publish or ("when_checks_pass" if checks else "immediately"),
        at=entry.at(),
    )


def _check(entry: Entry, index: int) -> Check:
    fields = entry.fields.checks[index]
    function = _function(fields.python, entry.at("checks", index, "python"))
    return Check(name=fields.name, python=function, blocking=fields.blocking, description=fields.description)


def _function(reference: str, at: At) -> Function:
    module, _, name = reference.partition(":")
    return Function(module=module, name=name, at=at)
