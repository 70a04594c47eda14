"""Columns as somebody tells them, brought to the catalog: which ones there are, and from which they are computed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey, check_name
from resources.graph.column_edges import ColumnLink, assert_column_edges
from resources.lineage_records import Origin
from resources.metadata.imports import declare_columns
from resources.metadata.noun import Noun
from resources.metadata.resolution import writable
from resources.models import Field
from resources.postgres.session import Session

UNKNOWN: Final = "unknown"
"""The type of a column that nobody told."""

_LOCK = """
SELECT a.asset_id FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s) ORDER BY a.asset_id FOR NO KEY UPDATE
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldColumns:
    """What is told of one dataset: its columns where somebody knows them, and by scope where each comes from."""

    fields: tuple[Field, ...] | None = None
    origins: Mapping[str, Mapping[str, frozenset[Origin]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnWords(Noun):
    """Record what a producer says of columns."""

    def record_columns(self, told: Mapping[CanonicalKey, ToldColumns], *, producer: str, scope: str) -> tuple[int, int]:
        """Record all that a producer says of columns in its scope; how many rows of columns, and of edges, that wrote.

        One transaction. What it said there before and does not say any more is closed; what is as it was writes
        nothing. Datasets that nobody registered are left out.
        """
        check_name(producer)
        check_name(scope)
        return self.sessions.perform(lambda session: _recorded(session, told, producer=producer, scope=scope))


def _recorded(
    session: Session, told: Mapping[CanonicalKey, ToldColumns], *, producer: str, scope: str
) -> tuple[int, int]:
    held = {entity.id.value: told[key] for key, entity in writable(session, told.keys()).items()}

    def read(assets: Iterable[UUID]) -> dict[UUID, ToldColumns]:
        return {one: held[one] for one in assets if one in held}

    return bring_columns(session, held.keys(), read, producer=producer, by=f"{producer}:{scope}", scope=scope)


def bring_columns(
    session: Session,
    ids: Collection[UUID],
    read: Callable[[Collection[UUID]], Mapping[UUID, ToldColumns]],
    *,
    producer: str,
    by: str,
    scope: str | None = None,
) -> tuple[int, int]:
    """Bring the columns of some datasets and their edges to what is told; how many rows of each that wrote.

    As many statements for a thousand datasets as for one. `read` answers what is told of datasets; it is asked while
    these are held. With a `scope` it is all that the producer has to say there: edges of that scope which are not told
    are closed, of whatever dataset. What a collection saw of columns stands, and a column that it did not see has no
    edges.
    """
    ids = set(ids)
    if not ids and scope is None:
        return 0, 0
    _lock(session, ids)  # who told something of them before is read whole: nobody tells anything meanwhile
    said = read(ids)
    names = {key for one in said.values() for _column, origins in _columns(one) for key, _name in origins}
    sources = {key: entity.id.value for key, entity in writable(session, names).items()}
    around = ids | set(sources.values()) | _read_by(session, ids, producer)
    _lock(session, around - ids)
    known = _things(session, around)

    everything = {**said, **read(around - ids)}
    own = {asset: {column for column, _origins in _columns(one)} for asset, one in everything.items()}

    def brought(used: Mapping[UUID, set[str]], *, complete: bool) -> int:
        fields = {}
        for asset, entity in known.items():
            schema = everything[asset].fields if asset in everything else None
            fields[entity] = _fields(schema or (), own.get(asset, set()) | used.get(asset, set()))
        return declare_columns(session, fields, by=by, complete=complete)

    named = _used(session, around, producer)
    for one in said.values():
        for _column, origins in _columns(one):
            for key, name in origins:
                if key in sources:
                    named.setdefault(sources[key], set()).add(name)
    written = brought(named, complete=False)
    links = list(_links(session, said, sources, around))
    edges = assert_column_edges(session, links, producer=producer, scope=scope, of=None if scope else ids)
    written += brought(_used(session, around, producer), complete=True)
    return written, edges.opened + edges.closed


def _lock(session: Session, assets: Collection[UUID]) -> None:
    if assets:
        session.rows(_LOCK, {"tenant": session.tenant_value, "assets": sorted(assets)})


def _columns(one: ToldColumns) -> Iterator[tuple[str, frozenset[Origin]]]:
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
    session: Session, said: Mapping[UUID, ToldColumns], sources: Mapping[CanonicalKey, UUID], assets: Collection[UUID]
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
