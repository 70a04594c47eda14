"""What dbt's relations are called here: the keys that a collection of the same database gives them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, dataset_key
from identity.naming import SYSTEMS, System, column_key, reference_key
from metadata_assets.importers.dbt_manifest import Manifest, Node, Quoting
from metadata_assets.importers.errors import AmbiguousTarget, InvalidManifest, InvalidNode, NoTarget, WrongDatabase

ADAPTERS: Final[Mapping[str, str]] = {
    "starburst": "trino",
    "fabric": "mssql",
    "mysql5": "mysql",
    "ibmdb2": "db2",
}
"""Adapters that go by another name than their system."""

UNQUOTED: Final = frozenset({"snowflake", "oracle", "hive"})
"""Systems whose adapters write names without quotes unless somebody says otherwise."""

_SOMEWHERE: Final = "somewhere"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint that a manifest may be about. `database` is None where it may have any."""

    slug: str
    system: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the databases of a manifest are: `named` ones first, else the one endpoint that has such a database."""

    targets: Sequence[Target]
    named: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises WrongDatabase: what is named would be another table beside the one that is collected there."""
        has = {one.slug: one.database for one in self.targets}
        for database, slug in self.named.items():
            if (own := has.get(slug)) is not None and own != database:
                raise WrongDatabase(endpoint=slug, has=own, database=database)

    def slug(self, database: str | None, node: Node, adapter: str) -> str:
        """The endpoint of a database. Raises NoTarget, AmbiguousTarget."""
        if database is not None and database in self.named:
            return self.named[database]
        own = [one.slug for one in self.targets if database is None or one.database == database]
        found = sorted({*own} or {one.slug for one in self.targets if one.database is None})
        facts = {"node": node.unique_id, "database": database or "(none)"}
        if not found:
            has = ", ".join(f"{one.slug} has {one.database}" for one in self.targets)
            fix = f"declare an endpoint with this database in metadata.yml, or say --endpoint {database}=SLUG"
            raise NoTarget(**facts, adapter=adapter, known=f" ({has})" if has else "", fix=fix)
        if len(found) > 1:
            raise AmbiguousTarget(**facts, candidates=", ".join(found))
        return found[0]


def rules_of(manifest: Manifest) -> System:
    """The naming rules of the system that a manifest was compiled for. Raises InvalidManifest."""
    adapter = manifest.adapter.lower()
    found = SYSTEMS.get(ADAPTERS.get(adapter, adapter))
    if found is None:
        reason = f"nothing is known about the names of the adapter {manifest.adapter}"
        raise InvalidManifest(file=manifest.file, reason=reason, fix=f"the known ones are {', '.join(_known())}")
    return found


def relation_keys(manifest: Manifest, rules: System, targets: Targets) -> dict[str, CanonicalKey]:
    """The key of every node that has a relation, by unique ids. Raises InvalidNode, NoTarget, AmbiguousTarget."""
    keys = {}
    for unique_id, node in manifest.nodes.items():
        if node.has_relation:
            name = _name(node, manifest, rules)
            slug = targets.slug(name.source, node, manifest.adapter)
            keys[unique_id] = dataset_key(slug, source=name.source, schema=name.schema, table=name.table)
    return keys


def column_name(name: str, *, quoted: bool | None, dataset: CanonicalKey, rules: System) -> str:
    """A column as the database spells it, from what a person wrote down about it."""
    try:
        return column_key(_quoted(name, rules) if quoted else name, of=rules, dataset=dataset).name
    except InvalidKey:  # what no statement can have outside quotes is quoted there
        return name


def _name(node: Node, manifest: Manifest, rules: System) -> CanonicalKey:
    """The relation at an endpoint that is not known yet: folded as the statements of dbt are."""
    reference = node.relation_name or _relation_name(node, manifest.quoting, rules)
    try:
        return reference_key(reference, of=rules, endpoint=_SOMEWHERE, source=node.database, schema=node.schema_)
    except InvalidKey as refused:
        named = "relation_name" if node.relation_name else _level_of(node)
        raise InvalidNode(
            file=manifest.file, node=node.unique_id, field=named, reason=refused.reason, fix=refused.fix
        ) from None


def _level_of(node: Node) -> str:
    return f"database, schema, {'identifier' if node.is_source else 'alias'}"


def _relation_name(node: Node, project: Quoting, rules: System) -> str:
    """What dbt will call a relation that it has not compiled: its parts, quoted as the node, the project, the adapter
    say."""
    own = node.quoting if node.is_source else node.config.quoting
    usual = rules.name not in UNQUOTED
    parts: Iterable[tuple[str, str | None, bool | None, bool | None]] = (
        ("source", node.database, own.database, project.database),
        ("schema", node.schema_, own.schema_, project.schema_),
        ("table", node.called, own.identifier, project.identifier),
    )
    said = []
    for level, name, own_quoting, project_quoting in parts:
        if name and level in rules.used:
            quoted = next((one for one in (own_quoting, project_quoting) if one is not None), usual)
            said.append(_quoted(name, rules) if quoted else name)
    return ".".join(said)


def _quoted(name: str, rules: System) -> str:
    if not rules.quotes:
        return name
    opening, closing = rules.quotes[0][0], rules.quotes[0][1]
    return f"{opening}{name.replace(closing, closing * 2)}{closing}"


def _known() -> list[str]:
    return sorted({system.name for system in SYSTEMS.values() if system.quotes})
