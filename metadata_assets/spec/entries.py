"""A dataset between its file and its value: valid fields that refer to things not looked up yet."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, dataset_key, short_name
from metadata_assets.spec.models import DatasetFields
from metadata_assets.spec.partitions import Partitions
from metadata_assets.spec.problems import At, Path, Problem, did_you_mean, field_name
from metadata_assets.spec.project import (
    Automation,
    Check,
    Column,
    Dataset,
    Dependency,
    Function,
    Keeping,
    ProjectEndpoint,
)
from metadata_assets.spec.queries import Query
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
    in_database = endpoint.location.system == "postgres"
    if not in_database and endpoint.location.system != "files":
        reason = f"{slug} is a {endpoint.location.system} endpoint, to which no dataset is written"
        return entry.problem(("endpoint",), reason, "write to an endpoint of system files or postgres")
    problem = _not_a_place(entry, endpoint) if in_database else None
    if problem is not None:
        return problem
    try:
        source = endpoint.location.database if in_database else None
        return dataset_key(slug, schema=entry.fields.schema_, table=entry.fields.name, source=source)
    except MetadataError as error:
        return entry.problem(("name",), str(error), "use another name")


_LONGEST_SCHEMA = 63 - len("__versions")
_LONGEST_NAME = 63


def _not_a_place(entry: Entry, endpoint: ProjectEndpoint) -> Problem | None:
    """Why a dataset cannot be a table of this endpoint."""
    schema, name = entry.fields.schema_, entry.fields.name
    if endpoint.collect is not None:
        fix = "let another endpoint of the same database collect its other schemas, or write to another endpoint"
        return entry.problem(("endpoint",), f"{endpoint.slug} is collected, so datasets are not written to it", fix)
    if schema is None:
        return entry.problem(("endpoint",), "a table needs a schema", "add `schema: …`, such as the project's name")
    if len(schema.encode()) > _LONGEST_SCHEMA or schema.startswith("pg_") or schema.endswith("__versions"):
        reason = f"the schema of a table has at most {_LONGEST_SCHEMA} bytes, and not a name that has a meaning"
        return entry.problem(("schema",), reason, "use another name: neither pg_… nor …__versions")
    if schema in _RESERVED_SCHEMAS:
        return entry.problem(("schema",), f"{schema} is not for datasets", "use another name")
    if len(name.encode()) > _LONGEST_NAME:
        return entry.problem(("name",), f"the name of a table has at most {_LONGEST_NAME} bytes", "use a shorter one")
    return None


_RESERVED_SCHEMAS = frozenset(["information_schema", "metadata_registry", "metadata"])


def declared_twice(key: CanonicalKey, entry: Entry, other: Entry) -> Problem:
    fix = f"rename one of them, the other is at {other.at('name')}"
    return entry.problem(("name",), f"{short_name(key)} is declared twice", fix)


def partitions_of(entry: Entry) -> Partitions | None:
    return entry.fields.partitions.value if entry.fields.partitions else None


def dataset_of(
    key: CanonicalKey, entry: Entry, depends_on: Sequence[Dependency], sql: Query | None, promised: Sequence[Check]
) -> Dataset:
    fields = entry.fields
    checks = (*(_check(entry, index) for index in range(len(fields.checks))), *promised)
    return Dataset(
        key=key,
        description=fields.description,
        owners=fields.owners,
        tags=fields.tags,
        group=fields.group,
        columns=tuple(Column(name=c.name, type=c.type, description=c.description) for c in fields.columns),
        partitions=partitions_of(entry),
        depends_on=tuple(depends_on),
        python=_function(fields.python, entry.at("python")) if fields.python else None,
        sql=sql,
        code_version=fields.code_version or (sql.digest if sql else None),
        checks=checks,
        publish=fields.publish or ("when_checks_pass" if checks else "immediately"),
        automation=(
            Automation(when=fields.automation.when, cron=fields.automation.cron, timezone=fields.automation.timezone)
            if fields.automation
            else None
        ),
        retention=(
            Keeping(versions=fields.retention.versions, time=fields.retention.time) if fields.retention else None
        ),
        at=entry.at(),
    )


def _check(entry: Entry, index: int) -> Check:
    fields = entry.fields.checks[index]
    function = _function(fields.python, entry.at("checks", index, "python"))
    warns = fields.severity == "warn" or (fields.severity is None and not fields.blocking)
    return Check(
        name=fields.name,
        python=function,
        rule=None,
        blocking=fields.blocking and not warns,
        warns=warns,
        description=fields.description,
    )


def _function(reference: str, at: At) -> Function:
    module, _, name = reference.partition(":")
    return Function(module=module, name=name, at=at)
