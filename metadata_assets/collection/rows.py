"""From the rows of pg_catalog to the values of a catalog: pure, nothing is asked here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from identity.errors import InvalidKey, shown
from identity.keys import CanonicalKey, check_name, dataset_key
from resources.models import Asset, AssetType, Edge, Field, Gap

Row = Sequence[Any]
Name = tuple[str, str]
"""Schema and name of a relation."""
Reads = Iterable[tuple[str, str, str, str]]
"""Which view reads what: schema and name of both."""

_KINDS: Final[Mapping[str, tuple[AssetType, str]]] = {
    "r": (AssetType.TABLE, "table"),
    "p": (AssetType.TABLE, "partitioned table"),
    "v": (AssetType.VIEW, "view"),
    "m": (AssetType.MATERIALIZED_VIEW, "materialized view"),
    "f": (AssetType.FOREIGN_TABLE, "foreign table"),
    "x": (AssetType.TABLE, "virtual table"),
}
_IDENTITIES: Final = {"a": "always", "d": "by default"}


@dataclass(frozen=True, slots=True)
class Names:
    """How the relations of one database are called. A relation that no key can name is a gap."""

    endpoint: str
    database: str | None
    _kept: dict[Name, CanonicalKey] = field(default_factory=dict, repr=False, compare=False)

    def key(self, name: Name) -> CanonicalKey:
        """The key of a relation, made once. Raises InvalidKey."""
        found = self._kept.get(name)
        if found is None:
            schema, table = name
            found = dataset_key(self.endpoint, source=self.database, schema=schema, table=table)
            self._kept[name] = found
        return found

    def keys(self, names: Iterable[Name]) -> tuple[dict[Name, CanonicalKey], list[Gap]]:
        """The keys of those relations that can have one, and gaps for the others."""
        keys, gaps = {}, []
        for name in names:
            try:
                keys[name] = self.key(name)
            except InvalidKey as refused:
                gaps.append(self.gap(name, f"it cannot be named: {refused.reason}"))
        return keys, gaps

    def gap(self, name: tuple[str | None, str | None], reason: str) -> Gap:
        parts = (self.endpoint, *(shown(part) for part in name if part is not None))
        return Gap(name="/".join(parts), reason=reason)


def assets(
    keys: Mapping[Name, CanonicalKey],
    *,
    relations: Iterable[Row],
    fields: Mapping[Name, Sequence[Field]],
    constraints: Iterable[Row],
    estimates: Mapping[Name, int | None],
    place: str | None = None,
) -> Iterator[Asset]:
    """One asset for each relation that has a key, with its fields and what else is known of it.

    `place` says of what database the relations' oids are. Of a view whose query does not work any more, and of a
    virtual table whose module is not here, nobody knows the columns: what was known of them stays.
    """
    constraints_of = _constraints(constraints)
    for schema, table, kind, comment, definition, partition_key, partitions, oid in relations:
        name = schema, table
        if name not in keys:
            continue
        asset_type, relation = _KINDS[kind]
        metadata = {
            "relation": relation,
            "object": f"{place}/{oid}" if place else None,
            "comment": comment,
            "row_estimate": estimates.get(name),
            "definition": definition,
            "partition_key": partition_key,
            "partitions": partitions,
            "broken": (kind == "v" and name not in fields) or None,
            **constraints_of.get(name, {}),
        }
        yield Asset(
            key=keys[name],
            type=asset_type,
            description=comment,
            fields=None if kind in ("v", "x") and name not in fields else tuple(fields.get(name, ())),
            metadata={fact: value for fact, value in metadata.items() if value is not None},
        )


def edges(keys: Mapping[Name, CanonicalKey], reads: Reads) -> frozenset[Edge]:
    """Which view reads what, where both have keys."""
    ends = (((schema, view), (base_schema, base)) for schema, view, base_schema, base in reads)
    return frozenset(Edge(keys[view], keys[base]) for view, base in ends if view in keys and base in keys)


def unnamable_columns(names: Names, columns: Iterable[Row]) -> list[Gap]:
    """Gaps for columns that no id can be made of; `assets` leaves them out."""
    rows = list(columns)
    refused = _unnamable(rows)
    return [
        names.gap((schema, table), "the name of one of its columns looks like a credential")
        for schema, table, _position, column, *_ in (rows if refused else ())
        if column in refused
    ]


def _unnamable(columns: Iterable[Row]) -> set[str]:
    """Each name is looked at once: many tables have the same ones."""
    return {column for column in {row[3] for row in columns} if not _namable(column)}


def _namable(column: str) -> bool:
    try:
        check_name(column)
    except InvalidKey:
        return False
    return True


def fields_of(columns: Iterable[Row]) -> Mapping[Name, Sequence[Field]]:
    """The columns of each relation in their order, without those that `unnamable_columns` tells."""
    rows = list(columns)
    refused = _unnamable(rows)
    found: dict[Name, list[Field]] = defaultdict(list)
    plain: dict[tuple[Any, ...], Field] = {}  # values that are equal are made, and searched for credentials, once
    for schema, table, position, column, kind, nullable, expression, identity, generated, comment in rows:
        if column in refused:
            continue
        facts = (column, kind, nullable, position)
        is_plain = not (expression or identity or generated or comment)
        field = plain.get(facts) if is_plain else None
        if field is None:
            metadata = {} if is_plain else _field_metadata(expression, identity, generated, comment)
            field = Field(name=column, type=kind, nullable=nullable, position=position, metadata=metadata)
            if not metadata:
                plain[facts] = field
        found[schema, table].append(field)
    for fields in found.values():
        fields.sort(key=lambda field: field.position)
    return found


def _field_metadata(expression: str | None, identity: str, generated: str, comment: str | None) -> dict[str, Any]:
    """What there is besides the type; `generated` is "s" for a stored column and "v" for a virtual one."""
    metadata = {
        "comment": comment,
        "default": None if generated else expression,
        "generated": expression if generated else None,
        "virtual": generated == "v" or None,
        "identity": _IDENTITIES.get(identity),
    }
    return {fact: value for fact, value in metadata.items() if value is not None}


def _constraints(rows: Iterable[Row]) -> Mapping[Name, dict[str, Any]]:
    """Primary, unique and foreign keys by relation, sorted by their columns; what they are called does not count."""
    found: dict[Name, dict[str, Any]] = defaultdict(dict)
    for schema, table, kind, columns, to_schema, to_table, to_columns in sorted(rows, key=_by_content):
        of_table = found[schema, table]
        match kind:
            case "p":
                of_table["primary_key"] = columns
            case "u":
                of_table.setdefault("unique_keys", []).append(columns)
            case "f":
                references = {"schema": to_schema, "table": to_table, "columns": to_columns}
                of_table.setdefault("foreign_keys", []).append({"columns": columns, "references": references})
    return found


def _by_content(row: Row) -> tuple[Any, ...]:
    schema, table, kind, columns, to_schema, to_table, to_columns = row
    return schema, table, kind, columns, to_schema or "", to_table or "", to_columns
