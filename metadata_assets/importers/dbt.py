"""A dbt project as it was compiled: its relations, columns, tests and lineage, under the names that collection gives.

What dbt says is what is declared: which relations there are, what people wrote about them, who reads whom. It never
looked at the database, so types, nullability and columns that a collection saw stand.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, check_name, check_text
from identity.naming import System
from metadata_assets.importers.dbt_manifest import (
    RELATIONS,
    CatalogColumn,
    CatalogTable,
    ColumnEntry,
    Group,
    Manifest,
    Node,
    read_catalog,
    read_manifest,
)
from metadata_assets.importers.dbt_relations import Targets, column_name, relation_keys, rules_of
from metadata_assets.importers.dbt_tests import tests_of
from metadata_assets.importers.errors import InvalidManifest, InvalidNode
from resources.metadata.imports import Import, Imported
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge, Endpoint, Field, Gap

PRODUCER: Final = "dbt"
UNKNOWN: Final = "unknown"
"""The type of a column that neither the catalog nor the project tells."""

_LEADING: Final = ("model", "snapshot", "seed", "source")
"""Of several nodes for one relation, whose words count: who makes it before who reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A manifest and, where it was given, the catalog of the same target."""

    manifest: Manifest
    catalog: Mapping[str, CatalogTable]
    rules: System
    name: str


def read_project(manifest: Path, catalog: Path | None = None, *, name: str | None = None) -> Project:
    """What dbt wrote, checked; nothing is asked and nothing is written.

    `name` is the project's, for manifests that do not say it. Raises InvalidManifest, InvalidNode.
    """
    read = read_manifest(manifest)
    project = name or read.project or _only_package(read)
    try:
        check_name(project)
    except InvalidKey as refused:
        raise InvalidManifest(file=read.file, reason=f"its project: {refused.reason}", fix=refused.fix) from None
    return Project(manifest=read, catalog=read_catalog(catalog) if catalog else {}, rules=rules_of(read), name=project)


def import_project(
    store: MetadataStore, project: Project, targets: Targets, *, endpoints: Sequence[Endpoint] = ()
) -> tuple[Import, Imported]:
    """Bring the store to what a project says, in one transaction: what was said, and what that wrote.

    `endpoints` are registered in the same transaction, before what is written below them.
    The same project again writes nothing. Edges, columns and words of the last import that it does not have any more
    are closed, unless it reads nodes that the manifest lacks (the gaps): then nothing is. Raises what reading its
    names does, and then nothing was written.
    """
    look = replace(look_of(project, targets), new_endpoints=tuple(endpoints))
    return look, store.write_import(look)


def look_of(project: Project, targets: Targets) -> Import:
    """A project as assets and edges; pure. Raises InvalidManifest, InvalidNode, NoTarget, AmbiguousTarget."""
    manifest = project.manifest
    keys = relation_keys(manifest, project.rules, targets)
    if not keys:
        reason = "it has no model, seed, snapshot or source with a table, so everything of the project would be closed"
        raise InvalidManifest(file=manifest.file, reason=reason, fix="compile the whole project again with dbt")
    facts = tests_of(manifest)
    nodes: dict[CanonicalKey, list[Node]] = defaultdict(list)
    for unique_id, key in keys.items():
        nodes[key].append(manifest.nodes[unique_id])
    assets = []
    for key, here in sorted(nodes.items()):
        here.sort(key=lambda node: (_LEADING.index(node.resource_type), node.unique_id))
        tests = [test for node in here for test in facts.get(node.unique_id, ())]
        assets.append(_asset(project, key, here, tests))
    reads = {unique_id: list(_reads(manifest, unique_id)) for unique_id in keys}
    return Import(
        producer=PRODUCER,
        project=project.name,
        endpoints=tuple(sorted({key.endpoint for key in keys.values()} | {one.slug for one in targets.targets})),
        assets=tuple(assets),
        described=frozenset(key for key, here in nodes.items() if not here[0].is_source),
        edges=frozenset(
            Edge(keys[unique_id], keys[read])
            for unique_id, found in reads.items()
            for read in found
            if read in keys and keys[read] != keys[unique_id]
        ),
        gaps=(
            *(
                Gap(name=unique_id, reason=f"it reads {read}, which the manifest lacks")
                for unique_id, found in reads.items()
                for read in found
                if read not in keys
            ),
            *(
                Gap(name=test.unique_id, reason=f"it tests {read}, which the manifest lacks")
                for test in manifest.tests
                for read in dict.fromkeys((*test.depends_on.nodes, *filter(None, [test.attached_node])))
                if read.partition(".")[0] in RELATIONS and read not in manifest.nodes
            ),
        ),
    )


def _only_package(manifest: Manifest) -> str:
    packages = sorted({node.package_name for node in manifest.nodes.values()})
    if len(packages) != 1:
        reason = f"it does not say which of its packages is the project ({', '.join(packages) or 'it has none'})"
        raise InvalidManifest(file=manifest.file, reason=reason, fix="say it with --name")
    return packages[0]


def _reads(manifest: Manifest, unique_id: str) -> Iterator[str]:
    """The relations that a node reads: through ephemeral models, which have none. Also those that are not there."""
    seen: set[str] = set()
    ahead = list(manifest.nodes[unique_id].depends_on.nodes)
    while ahead:
        read = ahead.pop()
        if read in seen or read.partition(".")[0] not in RELATIONS:
            continue
        seen.add(read)
        node = manifest.nodes.get(read)
        if node is not None and not node.has_relation:
            ahead.extend(node.depends_on.nodes)
        else:
            yield read


def _asset(project: Project, key: CanonicalKey, nodes: list[Node], tests: list[dict[str, Any]]) -> Asset:
    node = nodes[0]
    columns = {name: entry for one in reversed(nodes) for name, entry in _columns(project, key, one).items()}
    seen = next((project.catalog[one.unique_id] for one in nodes if one.unique_id in project.catalog), None)
    description = node.description or next((one.description for one in nodes if one.description), "")
    said = {
        "unique_id": node.unique_id,
        "also": [one.unique_id for one in nodes[1:]],
        "resource_type": node.resource_type,
        "materialized": node.config.materialized,
        "source": node.source_name,
        "package": node.package_name,
        "path": node.original_file_path,
        "description": description,
        "tags": sorted(node.tags),
        "owners": _owners(node, project.manifest.groups),
        "group": node.group,
        "access": node.access,
        "meta": node.config.meta | node.meta,
        "columns": {name: words for name, entry in sorted(columns.items()) if (words := _words(entry))},
        "tests": tests,
    }
    facts = {name: value for name, value in said.items() if value}
    fields = _fields(columns, seen)
    _check(project.manifest.file, node, [description, facts, *([one.name, one.type] for one in fields)])
    for one in fields:
        _check_column(project.manifest.file, node, one.name)
    return Asset(
        key=key,
        type=AssetType.DATASET,  # what it is, the next collection sees; a name that dbt gives a strategy is no type
        description=description or None,
        fields=tuple(fields),
        metadata={f"{PRODUCER}:{project.name}": facts},
    )


def _owners(node: Node, groups: Mapping[str, Group]) -> list[str]:
    owner = (node.config.meta | node.meta).get("owner")
    found = [owner] if isinstance(owner, str) else [one for one in owner or () if isinstance(one, str)]
    if node.group is not None and node.group in groups:
        of_group = groups[node.group].owner
        found.append(of_group.email or of_group.name or "")
    return sorted({one for one in found if one})


def _columns(project: Project, key: CanonicalKey, node: Node) -> dict[str, ColumnEntry]:
    """What people wrote about columns, by the names that the database has."""
    return {
        column_name(entry.name, quoted=entry.quote, dataset=key, rules=project.rules): entry
        for entry in node.columns.values()
    }


def _words(entry: ColumnEntry) -> dict[str, Any]:
    words = {
        "description": entry.description,
        "type": entry.data_type,
        "tags": sorted(entry.tags),
        "meta": entry.meta,
        "constraints": list(entry.constraints),
    }
    return {name: value for name, value in words.items() if value}


def _fields(written: Mapping[str, ColumnEntry], seen: CatalogTable | None) -> list[Field]:
    """The columns as the catalog has them, else those that people wrote down, in that order."""
    found = sorted(seen.columns.values(), key=lambda one: one.index) if seen else []
    spelled = {name.casefold(): name for name in (one.name for one in found)}
    by_name = {
        name if name in spelled.values() else spelled.get(name.casefold(), name): e for name, e in written.items()
    }
    fields = [_field(one.name, position, one, by_name.get(one.name)) for position, one in enumerate(found, 1)]
    only_written = [name for name in by_name if name not in spelled.values()] if not found else []
    return fields + [_field(name, position, None, by_name[name]) for position, name in enumerate(only_written, 1)]


def _field(name: str, position: int, seen: CatalogColumn | None, written: ColumnEntry | None) -> Field:
    comment = (written.description if written else "") or (seen.comment if seen else None)
    return Field(
        name=name,
        type=seen.type if seen else (written.data_type if written and written.data_type else UNKNOWN),
        nullable=not any(
            one.get("type") in ("not_null", "primary_key") for one in (written.constraints if written else ())
        ),
        position=position,
        metadata={"comment": comment} if comment else {},
    )


def _check(file: str, node: Node, said: object) -> None:
    """Refuses what PostgreSQL cannot store, wherever in the node it is: some texts, and numbers that are none."""
    if any(isinstance(one, float) and not math.isfinite(one) for one in _values(said)):
        fix = "correct it in the project"
        reason = "it is larger than a number can be"
        raise InvalidNode(file=file, node=node.unique_id, field="a number", reason=reason, fix=fix)
    try:
        for one in _values(said):
            if isinstance(one, str):
                check_text(one)
    except InvalidKey as refused:
        raise InvalidNode(
            file=file, node=node.unique_id, field="a text", reason=refused.reason, fix="correct it in the project"
        ) from None


def _check_column(file: str, node: Node, name: str) -> None:
    try:
        check_name(name)
    except InvalidKey as refused:
        raise InvalidNode(
            file=file, node=node.unique_id, field="columns", reason=refused.reason, fix="correct it in the project"
        ) from None


def _values(said: object) -> Iterator[object]:
    """Everything that is in a document, its names too."""
    match said:
        case dict():
            for name, value in said.items():
                yield str(name)
                yield from _values(value)
        case list() | tuple():
            for value in said:
                yield from _values(value)
        case _:
            yield said
