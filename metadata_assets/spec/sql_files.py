"""The `sql:` of a dataset: its file read, the names in it looked up, its inputs added to those that it depends on."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from identity.errors import MetadataError, shown
from identity.ids import sha256_of
from identity.keys import CanonicalKey, dataset_key, short_name
from metadata_assets.spec.entries import Entry, Known, partitions_of
from metadata_assets.spec.partitions import default_mapping, mapping_problem
from metadata_assets.spec.problems import At, Problem, did_you_mean
from metadata_assets.spec.project import Dependency
from metadata_assets.spec.queries import Query, Reference, Relation, place, references
from metadata_assets.spec.references import RESERVED, SCHEMAS, parsed_key
from metadata_assets.spec.yaml_source import NO_PASSWORDS, PASSWORD_IN_URL


@dataclass(slots=True)
class SqlFile:
    """What was read of the file that a dataset names. `query` is None while anything is wrong with it."""

    depends_on: list[Dependency]
    query: Query | None = None
    problems: list[Problem] = field(default_factory=list)


def sql_of(folder: Path, entry: Entry, known: Known, depends_on: Sequence[Dependency]) -> SqlFile:
    """The SELECT of a dataset, with everything it depends on: `depends_on`, and what the SELECT reads."""
    read = SqlFile(list(depends_on))
    if entry.fields.sql is None:
        return read
    file = posixpath.normpath(posixpath.join(posixpath.dirname(entry.source.file), entry.fields.sql))
    text = _text(folder, file, entry)
    if isinstance(text, Problem):
        read.problems.append(text)
        return read
    found = list(_resolved(file, text, entry, known, read))
    if read.problems or len(found) < sum(1 for _ in references(file, text)):
        return read
    query = _query(file, text, found)
    from metadata_assets.sql.statements import statement_problems  # whoever has no SQL need not wait for DuckDB

    checked, problems = statement_problems(query, is_divided=entry.fields.partitions is not None)
    read.query, read.problems = checked, list(problems)
    return read


def _text(folder: Path, file: str, entry: Entry) -> str | Problem:
    try:
        if file.startswith(("..", "/")):
            return entry.problem(("sql",), "it is outside of the project", "move the file below the project's folder")
        text = (folder / file).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        beside = Path(entry.source.file).parent
        names = [path.relative_to(folder / beside).as_posix() for path in (folder / beside).rglob("*.sql")]
        hint = did_you_mean(str(entry.fields.sql), names) if names else f"create {shown(file)}"
        return entry.problem(("sql",), f"there is no file {shown(file)}", hint)
    except UnicodeDecodeError as error:
        return Problem(At(file), "", f"byte {error.start} is not UTF-8", "save the file as UTF-8")
    except (OSError, ValueError) as error:
        reason = f"it cannot be read ({getattr(error, 'strerror', None) or 'not a path'})"
        return entry.problem(("sql",), reason, "make it a readable file")
    secret = PASSWORD_IN_URL.search(text)
    if secret:
        return Problem(place(file, text, secret.start()), "", "it holds a URL with a password", NO_PASSWORDS)
    return text


def _resolved(file: str, text: str, entry: Entry, known: Known, read: SqlFile) -> Iterator[tuple[Reference, Relation]]:
    """Each reference with what it means. Fills in the inputs and the problems."""
    for one in references(file, text):
        if isinstance(one, Problem):
            read.problems.append(one)
            continue
        at = place(file, text, one.start)
        key = _named(one.arguments[0], known) if one.function == "ref" else _source(known, *one.arguments)
        if isinstance(key, tuple):
            read.problems.append(Problem(at, "", *key))
        elif key is not None:
            input_ = _input(key, at, entry, known, read)
            if input_ is not None:
                yield one, Relation(key=key, name=input_.name)


def _input(key: CanonicalKey, at: At, entry: Entry, known: Known, read: SqlFile) -> Dependency | None:
    """The input, declared already or added. None where it cannot be one."""
    declared = {one.key: one for one in read.depends_on}
    if key in declared:
        return declared[key]
    for other in _alike(key, read.depends_on):
        reason = f"{short_name(key)} and {short_name(other.key)} are one name to DuckDB, which ignores case"
        read.problems.append(Problem(at, "", reason, "rename one of them, or read one of them through Python"))
        return None
    upstream = known.keys.get(key)
    own, its = partitions_of(entry), partitions_of(upstream) if upstream else None
    mapping = default_mapping(own, its)
    problem = mapping_problem(mapping, own, its, may_miss=False) if mapping else None
    if problem:
        name = short_name(key)
        fix = f"{problem[1]}; say so with depends_on: [{{dataset: {name}, partitions: …}}]"
        read.problems.append(Problem(at, "", f"the partitions of {name}: {problem[0]}", fix))
        return None
    name = _input_name(key, {one.name for one in read.depends_on})
    dependency = Dependency(key=key, name=name, mapping=mapping, missing="fail", at=at)
    read.depends_on.append(dependency)
    return dependency


def _alike(key: CanonicalKey, depends_on: Sequence[Dependency]) -> list[Dependency]:
    return [one for one in depends_on if short_name(one.key).lower() == short_name(key).lower() and one.key != key]


def _input_name(key: CanonicalKey, taken: set[str]) -> str:
    """The name of the table where Dagster and Python take it and it is free, else one with a digest."""
    name = re.sub("[^A-Za-z0-9_]", "_", key.table)
    if name == key.table and not name[0].isdigit() and name not in RESERVED and name not in taken:
        return name
    return f"input_{name}_{sha256_of(str(key)).hex()[:8]}"


Refusal = tuple[str, str]
"""A reason and its fix."""


def _named(name: str, known: Known) -> CanonicalKey | Refusal | None:
    """The declared dataset that `ref(name)` means; None when nobody is to blame, because not everything was read."""
    if "/" not in name and not name.startswith("mid1:"):
        return _short(name, known)
    key = parsed_key(name, known)
    if isinstance(key, str):
        return f"{shown(name)!r} is not the name of a dataset", key
    if key in known.keys:
        return key
    if short_name(key) in known.invalid or known.datasets_unread or key.endpoint in known.invalid:
        return None
    endpoint = known.endpoints.get(key.endpoint)
    if endpoint is not None and endpoint.location.system != "files":
        form = f"{{{{ source('{key.endpoint}', '{key.schema or SCHEMAS[endpoint.location.system]}', '{key.table}') }}}}"
        return f"no dataset {shown(short_name(key))!r} is declared", f"for a table of {key.endpoint} write {form}"
    return _unknown(short_name(key), known, [short_name(one) for one in known.keys])


def _short(name: str, known: Known) -> CanonicalKey | Refusal | None:
    found = sorted(key for key in known.keys if key.table == name)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(short_name(key) for key in found[:5])
        return f"{shown(name)!r} is the name of {len(found)} datasets: {names}", "write the whole name of one of them"
    if known.datasets_unread or any(one.rpartition("/")[2] == name for one in known.invalid):
        return None
    return _unknown(name, known, [key.table for key in known.keys])


def _unknown(name: str, known: Known, names: Sequence[str]) -> Refusal:
    return f"no dataset {shown(name)!r}", did_you_mean(name, sorted(set(names))) if known.keys else "declare it first"


def _source(known: Known, slug: str, schema: str, table: str) -> CanonicalKey | Refusal | None:
    endpoint = known.endpoints.get(slug)
    if endpoint is None:
        blameless = slug in known.invalid or known.endpoints_unread
        return None if blameless else (f"no endpoint {shown(slug)!r}", did_you_mean(slug, list(known.endpoints)))
    if endpoint.location.system == "files":
        return f"{slug} is no database, so it has no source tables", "write {{ ref('…') }} for a dataset"
    try:
        key = dataset_key(slug, schema=schema, table=table, source=endpoint.location.database)
    except MetadataError as error:
        return str(error), "write {{ source('endpoint', 'schema', 'table') }}"
    if key in known.keys:
        return f"{short_name(key)} is a dataset of this project", f"write {{{{ ref('{short_name(key)}') }}}}"
    return key


def _query(file: str, text: str, found: Sequence[tuple[Reference, Relation]]) -> Query:
    statement, pieces, done = "", [(0, 0, False)], 0
    for reference, relation in found:
        statement += text[done : reference.start]
        pieces.append((len(statement), reference.start, True))
        statement += str(relation)
        done = reference.end
        pieces.append((len(statement), done, False))
    relations = {relation.key: relation for _reference, relation in found}
    return Query(
        file=file,
        written=text,
        statement=statement + text[done:],
        pieces=tuple(pieces),
        relations=tuple(relations[key] for key in sorted(relations)),
    )
