"""What a dataset depends on, by the names in its file."""

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, Kind, dataset_key, short_name
from metadata_assets.spec.entries import Entry, Known, partitions_of
from metadata_assets.spec.models import DependencyFields
from metadata_assets.spec.partitions import default_mapping, mapping_problem
from metadata_assets.spec.problems import Path, Problem, did_you_mean, field_name
from metadata_assets.spec.project import Dependency, ProjectEndpoint
from resources.locations import System


def dependencies(entry: Entry, known: Known) -> tuple[list[Dependency], list[Problem]]:
    """The inputs of a dataset, without those that cannot be resolved."""
    found: list[Dependency] = []
    problems: list[Problem] = []
    for index, fields in enumerate(entry.fields.depends_on):
        match _dependency(entry, index, fields, known):
            case Dependency() as dependency:
                found.append(dependency)
            case Problem() as problem:
                problems.append(problem)
    return found, problems + list(_same_parameter(entry, found))


def _dependency(entry: Entry, index: int, fields: DependencyFields, known: Known) -> Dependency | Problem | None:
    """The input, the problem with it, or None when it depends on something whose problems are reported elsewhere."""
    place: Path = ("depends_on", index)
    key = _input_key(entry, place, fields.dataset, known)
    if not isinstance(key, CanonicalKey):
        return key
    name = fields.alias or key.table
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in RESERVED:
        fix = f"choose the name of the parameter: {{dataset: {short_name(key)}, as: …}}"
        return entry.problem(place, f"{shown(name)!r} cannot be the name of a parameter", fix)
    upstream = known.keys.get(key)
    own, its = partitions_of(entry), partitions_of(upstream) if upstream else None
    mapping = fields.partitions or default_mapping(own, its)
    problem = mapping_problem(mapping, own, its, may_miss=fields.missing == "skip") if mapping else None
    if problem:
        return entry.problem((*place, "partitions"), f"the partitions of {short_name(key)}: {problem[0]}", problem[1])
    return Dependency(key=key, name=name, mapping=mapping, missing=fields.missing, at=entry.at(*place))


RESERVED = frozenset(
    [
        *("partition", "partitions", "context", "data"),
        *("conf", "config", "meta", "arg_dict", "dict", "input_arg_dict", "output_arg_dict"),
        *("int", "str", "float", "bool", "input", "output", "type"),
        *keyword.kwlist,
    ]
)
"""Names of parameters that mean something else: to us, to Dagster, to Python."""


def _input_key(entry: Entry, place: Path, text: str, known: Known) -> CanonicalKey | Problem | None:
    at = (*place, "dataset")
    parsed = parsed_key(text, known)
    if isinstance(parsed, str):
        return entry.problem(at, f"{shown(text)!r} is not the name of a dataset", parsed)
    endpoint = known.endpoint(parsed.endpoint, entry, at)
    if not isinstance(endpoint, ProjectEndpoint):
        return endpoint
    if endpoint.location.system != "files":
        return _table_of(endpoint, parsed) or entry.problem(at, *_not_a_table(endpoint, parsed))
    if parsed in known.keys:
        return parsed
    if short_name(parsed) in known.invalid or known.datasets_unread:
        return None
    names = [short_name(key) for key in known.keys]
    return entry.problem(at, f"no dataset {shown(short_name(parsed))!r}", did_you_mean(short_name(parsed), names))


def parsed_key(text: str, known: Known) -> CanonicalKey | str:
    """The key that a reference names, in full or as endpoint/schema/table or endpoint/table; else how to write it."""
    shape = "write endpoint/schema/table, such as jfk/public/flights, or a full key"
    try:
        if text.startswith("mid1:"):
            key = CanonicalKey.parse(text)
            return key if key.kind is Kind.DATASET else shape
        endpoint, *names = text.split("/")
        if len(names) not in (1, 2) or not all(names):
            return shape
        location = known.endpoints[endpoint].location if endpoint in known.endpoints else None
        source = location.database if location else None
        return dataset_key(endpoint, table=names[-1], schema=names[0] if names[1:] else None, source=source)
    except MetadataError:
        return shape


SCHEMAS: Final[Mapping[System, str]] = {
    "postgres": "public",
    "duckdb": "main",
    "sqlite": "main",
    "mysql": "DATABASE",
    "mariadb": "DATABASE",
}
"""What stands for the schema of a table in an example."""


def _table_of(endpoint: ProjectEndpoint, key: CanonicalKey) -> CanonicalKey | None:
    return key if key.source == endpoint.location.database and key.schema is not None else None


def _not_a_table(endpoint: ProjectEndpoint, key: CanonicalKey) -> tuple[str, str]:
    if key.schema is None:
        return (
            "the schema of the table is missing",
            f"write {endpoint.slug}/{SCHEMAS[endpoint.location.system]}/{key.table}",
        )
    database = endpoint.location.database
    if database is None:
        return f"{endpoint.slug} has no database in the names of its tables", "leave the source out"
    return f"{endpoint.slug} is the database {database}, not {key.source}", f"write {database} as the source"


def _same_parameter(entry: Entry, found: Sequence[Dependency]) -> Iterator[Problem]:
    first: dict[CanonicalKey | str, Dependency] = {}
    for dependency in found:
        key, name = short_name(dependency.key), dependency.name
        twice, other = first.setdefault(dependency.key, dependency), first.setdefault(name, dependency)
        field = field_name((*entry.path, "depends_on"))
        if twice is not dependency:
            yield Problem(dependency.at, field, f"{key} is there twice", "name each input once")
        elif other is not dependency:
            reason = f"{key} and {short_name(other.key)} would both be the parameter {name}"
            yield Problem(dependency.at, field, reason, f"name one of them: {{dataset: {key}, as: …}}")
