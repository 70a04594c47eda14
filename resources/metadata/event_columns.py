"""What events say of columns, brought to the catalog: the newest schema of a dataset, and where columns come from."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from identity.errors import InvalidKey
from identity.ids import Entity
from identity.keys import CanonicalKey, check_name, short_name
from resources.graph.column_edges import ColumnLink, assert_column_edges
from resources.lineage_records import KEYS
from resources.metadata.imports import declare_columns
from resources.metadata.resolution import writable
from resources.models import Field
from resources.postgres.session import Session

UNKNOWN: Final = "unknown"
"""The type of a column that nobody told."""
NO_JOB: Final = "datasets"
"""The scope of edges between columns that no job told."""

_LOCK = """
SELECT a.asset_id FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s) ORDER BY a.asset_id FOR NO KEY UPDATE
"""
_SAID = """
SELECT f.asset_id, f.name, f.document, j.qualified_name AS job
FROM metadata.facet f LEFT JOIN metadata.asset j ON j.tenant_id = f.tenant_id AND j.asset_id = f.said_by
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s) AND f.about = 'dataset'
  AND f.name IN ('schema', 'columnLineage')
ORDER BY f.asset_id, f.as_of DESC, f.sha256 DESC, f.facet_id
"""
_THINGS = """
SELECT a.asset_id, a.qualified_name, a.key_sha256 FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s)
"""
_FIELDS = """
SELECT f.asset_id, f.name, f.field_id FROM metadata.schema_field f
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s) AND f.deleted_at IS NULL
"""
# What columns of these assets are computed from, and which of their columns something is computed from.
_READ_BY = """
SELECT DISTINCT t.asset_id FROM metadata.schema_field s
JOIN metadata.column_edge e ON e.tenant_id = s.tenant_id AND e.source_field_id = s.field_id
JOIN metadata.schema_field t ON t.tenant_id = e.tenant_id AND t.field_id = e.target_field_id
WHERE s.tenant_id = %(tenant)s AND s.asset_id = ANY (%(assets)s) AND e.producer = %(producer)s AND e.valid_to IS NULL
"""
_USED = """
SELECT DISTINCT f.asset_id, f.name FROM metadata.schema_field f
JOIN metadata.column_edge e ON e.tenant_id = f.tenant_id AND e.target_field_id = f.field_id
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s) AND e.producer = %(producer)s AND e.valid_to IS NULL
"""

Origin = tuple[CanonicalKey, str]


@dataclass(slots=True)
class _Said:
    """What is said of one dataset: its columns by the newest schema, and by job where its columns come from."""

    fields: tuple[Field, ...] | None = None
    origins: dict[str, dict[str, set[Origin]]] = field(default_factory=dict)


def bring_columns(session: Session, things: Collection[Entity], *, producer: str) -> tuple[int, int]:
    """Bring columns and their edges to what the facets of these datasets say; how many rows of each that wrote.

    As many statements for a thousand datasets as for one. What a collection saw of columns stands, and a column that it
    did not see has no edges.
    """
    ids = {one.id.value for one in things}
    if not ids:
        return 0, 0
    _lock(session, ids)  # who told something of them before is read whole: nobody tells anything meanwhile
    said = _read(session, ids)
    names = {origin[0] for one in said.values() for by in one.origins.values() for got in by.values() for origin in got}
    sources = {key: entity.id.value for key, entity in writable(session, names).items()}
    around = ids | set(sources.values()) | _read_by(session, ids, producer)
    _lock(session, around - ids)
    known = _things(session, around)

    everything = said | _read(session, around - ids)
    own = {asset: {column for column, _origins in _columns(one)} for asset, one in everything.items()}

    def brought(used: Mapping[UUID, set[str]], *, complete: bool) -> int:
        fields = {}
        for asset, entity in known.items():
            schema = everything[asset].fields if asset in everything else None
            fields[entity] = _fields(schema or (), own.get(asset, set()) | used.get(asset, set()))
        return declare_columns(session, fields, by=producer, complete=complete)

    named = _used(session, around, producer)
    for one in said.values():
        for _column, origins in _columns(one):
            for key, name in origins:
                if key in sources:
                    named.setdefault(sources[key], set()).add(name)
    written = brought(named, complete=False)
    edges = assert_column_edges(session, list(_links(session, said, sources, around)), producer=producer, of=ids)
    written += brought(_used(session, around, producer), complete=True)
    return written, edges.opened + edges.closed


def _lock(session: Session, assets: Collection[UUID]) -> None:
    if assets:
        session.rows(_LOCK, {"tenant": session.tenant_value, "assets": sorted(assets)})


def _read(session: Session, assets: Collection[UUID]) -> dict[UUID, _Said]:
    found: dict[UUID, _Said] = {}
    for row in session.rows(_SAID, {"tenant": session.tenant_value, "assets": sorted(assets)}):
        one = found.setdefault(row["asset_id"], _Said())
        document = {} if row["document"].get("_deleted") is True else row["document"]
        if row["name"] == "schema" and one.fields is None:
            one.fields = schema_fields(document)
        elif row["name"] == "columnLineage":
            scope = short_name(CanonicalKey.parse(row["job"])) if row["job"] else NO_JOB
            one.origins.setdefault(scope, column_origins(document))
    return found


def schema_fields(document: Mapping[str, Any]) -> tuple[Field, ...]:
    """The columns that a schema facet has, in order; what has no name that a column can have is left out."""
    given = document.get("fields")
    found: dict[str, Field] = {}
    for one in given if isinstance(given, list) else ():
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or name in found or not _is_name(name):
            continue
        kind, comment = one.get("type"), one.get("description")
        found[name] = Field(
            name=name,
            type=kind if isinstance(kind, str) and kind else UNKNOWN,
            nullable=True,
            position=len(found) + 1,
            metadata={"comment": comment} if isinstance(comment, str) and comment else {},
        )
    return tuple(found.values())


def column_origins(document: Mapping[str, Any]) -> dict[str, set[Origin]]:
    """From which columns of which datasets each column comes, as a columnLineage facet and the keys in it say."""
    fields, keys = document.get("fields"), document.get(KEYS, [])
    known = {(namespace, name): CanonicalKey.parse(key) for namespace, name, key in keys}
    return {
        column: set(_origins(told, known))
        for column, told in (fields.items() if isinstance(fields, dict) else ())
        if _is_name(column)
    }


def _origins(told: object, known: Mapping[tuple[str, str], CanonicalKey]) -> Iterator[Origin]:
    inputs = told.get("inputFields") if isinstance(told, dict) else None
    for one in inputs if isinstance(inputs, list) else ():
        match one:
            case {"namespace": str(namespace), "name": str(name), "field": str(column)} if _is_name(column):
                if (namespace, name) in known:
                    yield known[namespace, name], column


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidKey:
        return False
    return bool(name)


def _columns(one: _Said) -> Iterator[tuple[str, set[Origin]]]:
    for by in one.origins.values():
        yield from by.items()


def _fields(schema: tuple[Field, ...], names: Collection[str]) -> tuple[Field, ...]:
    """The columns of a schema, and behind them those that are only named somewhere, in the order of their names."""
    told = {one.name for one in schema}
    only_named = sorted(set(names) - told)
    return schema + tuple(
        Field(name=name, type=UNKNOWN, nullable=True, position=number)
        for number, name in enumerate(only_named, len(schema) + 1)
    )


def _links(
    session: Session, said: Mapping[UUID, _Said], sources: Mapping[CanonicalKey, UUID], assets: Collection[UUID]
) -> Iterator[ColumnLink]:
    rows = session.rows(_FIELDS, {"tenant": session.tenant_value, "assets": sorted(assets)})
    fields = {(row["asset_id"], row["name"]): row["field_id"] for row in rows}
    for asset, one in said.items():
        for scope, columns in one.origins.items():
            for column, origins in columns.items():
                for key, name in origins:
                    ends = fields.get((asset, column)), fields.get((sources.get(key), name))
                    if ends[0] is not None and ends[1] is not None:
                        yield ColumnLink(ends[0], ends[1], scope)


def _read_by(session: Session, assets: Collection[UUID], producer: str) -> set[UUID]:
    given = {"tenant": session.tenant_value, "assets": sorted(assets), "producer": producer}
    return {row["asset_id"] for row in session.rows(_READ_BY, given)}


def _used(session: Session, assets: Collection[UUID], producer: str) -> dict[UUID, set[str]]:
    given = {"tenant": session.tenant_value, "assets": sorted(assets), "producer": producer}
    found: dict[UUID, set[str]] = {}
    for row in session.rows(_USED, given):
        found.setdefault(row["asset_id"], set()).add(row["name"])
    return found


def _things(session: Session, assets: Collection[UUID]) -> dict[UUID, Entity]:
    return {
        row["asset_id"]: Entity.from_database(
            session.tenant, CanonicalKey.parse(row["qualified_name"]), row["asset_id"], row["key_sha256"]
        )
        for row in session.rows(_THINGS, {"tenant": session.tenant_value, "assets": sorted(assets)})
    }
