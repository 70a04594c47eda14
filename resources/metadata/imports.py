"""Imports: what another tool says about data, its assets, columns and edges, written as one look in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from identity.ids import Entity
from identity.keys import CanonicalKey, check_name
from resources.graph.column_edges import settle_column_edges
from resources.graph.edges import EdgeChanges, Link, assert_edges
from resources.metadata.assets import registered, said_by_callers
from resources.metadata.columns import close_fields, write_fields
from resources.metadata.endpoints import register_endpoints
from resources.metadata.noun import Noun
from resources.metadata.plans import Column, Plan
from resources.metadata.resolution import hold_names
from resources.models import Asset, Edge, Endpoint, Field, Gap
from resources.postgres.session import Row, Session

BY: Final = "declared_by"
"""What the metadata of a column have that was declared and not collected: whose it is."""

ALSO: Final = "also_declared_by"
"""Who else declares it, in the order in which it is theirs when those before them declare it no more."""

_LOCK = """
SELECT a.asset_id FROM metadata.asset a
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s) ORDER BY a.asset_id FOR NO KEY UPDATE
"""

_COLUMNS = """
SELECT a.asset_id, a.metadata ? 'relation' OR a.deleted_at IS NOT NULL AS collected, f.name, f.type, f.nullable,
  f.position, f.metadata, f.deleted_at IS NULL AS open
FROM metadata.asset a
LEFT JOIN metadata.schema_field f ON f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id
WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s)
ORDER BY a.asset_id, f.deleted_at NULLS LAST, f.field_id
"""

_TAKE_BACK = """
UPDATE metadata.asset a SET metadata = a.metadata - %(slot)s, version = a.version + 1, updated_at = clock_timestamp(),
  description = CASE WHEN a.description = a.metadata -> %(slot)s ->> 'description' THEN a.metadata ->> 'comment'
    ELSE a.description END
FROM (
  SELECT k.asset_id FROM metadata.asset k
  JOIN metadata.endpoint e ON e.tenant_id = k.tenant_id AND e.endpoint_id = k.endpoint_id
  WHERE k.tenant_id = %(tenant)s AND e.slug = ANY (%(endpoints)s) AND k.metadata ? %(slot)s
    AND k.asset_id <> ALL (%(assets)s)
  ORDER BY k.asset_id FOR NO KEY UPDATE OF k) gone
WHERE a.tenant_id = %(tenant)s AND a.asset_id = gone.asset_id
RETURNING a.asset_id, a.qualified_name, a.key_sha256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One look of another tool. `producer` and `project` say whose; `endpoints` are the registered ones it is about.

    Each asset's metadata have one entry, under `slot`: what is there belongs to this look. What an edge's source reads
    belongs to the endpoint of the source. `described` are the assets that are the project's own; of others its
    description counts where nobody else gave one. `new_endpoints` are registered with it.
    """

    producer: str
    project: str
    endpoints: tuple[str, ...]
    assets: tuple[Asset, ...]
    described: frozenset[CanonicalKey]
    edges: frozenset[Edge]
    gaps: tuple[Gap, ...] = ()
    new_endpoints: tuple[Endpoint, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.producer)
        check_name(self.project)

    @property
    def slot(self) -> str:
        return f"{self.producer}:{self.project}"

    @property
    def complete(self) -> bool:
        """Whether it names everything. If not, it closes nothing."""
        return not self.gaps

    def scope(self, endpoint: str) -> str:
        """The scope of the edges whose sources are at an endpoint."""
        return f"{self.project}@{endpoint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did. `taken_back` are assets that it does not name any more; they stay, its word on them goes."""

    rows_written: int
    edges: EdgeChanges
    columns_written: int
    taken_back: int


@dataclass(frozen=True, slots=True)
class Imports(Noun):
    """Write what other tools say."""

    def write_import(self, look: Import) -> Imported:
        """Bring assets, columns and edges to what a look says: all of it or nothing.

        The same look again writes nothing. What a collection saw of a table's columns stands; other producers' edges
        and metadata stay as they are. As many statements for a thousand assets as for one. Raises ReservedMetadata,
        OneThingTwice.
        """
        look = replace(look, assets=tuple(said_by_callers(asset) for asset in look.assets))
        return self.sessions.perform(lambda session: _write(session, look))


def _write(session: Session, look: Import) -> Imported:
    if look.new_endpoints:
        hold_names(session, exclusive=False)  # names come before all rows
    endpoints = register_endpoints(session, look.new_endpoints)
    assets = [replace(asset, description=asset.description or None) for asset in look.assets]
    written, entities = registered(session, assets, slot=look.slot, leading=look.described)
    gone = _taken_back(session, look, entities)
    fields = {entities[asset.key]: asset.fields or () for asset in assets}
    fields |= {one: () for one in gone if one.key not in entities}
    columns, described = declare_columns(session, fields, by=look.slot, complete=look.complete)
    settle_column_edges(session, columns=described)
    edges = _edges(session, look, entities)
    return Imported(
        rows_written=endpoints + written + len(gone) + columns + edges.opened + edges.closed,
        edges=edges,
        columns_written=columns,
        taken_back=len(gone),
    )


def _taken_back(session: Session, look: Import, entities: Mapping[CanonicalKey, Entity]) -> list[Entity]:
    if not look.complete:
        return []
    ids = [entity.id.value for entity in entities.values()]
    parameters = {"tenant": session.tenant_value, "slot": look.slot, "endpoints": list(look.endpoints), "assets": ids}
    return [
        Entity.from_database(
            session.tenant, CanonicalKey.parse(row["qualified_name"]), row["asset_id"], row["key_sha256"]
        )
        for row in session.rows(_TAKE_BACK, parameters)
    ]


def declare_columns(
    session: Session, fields: Mapping[Entity, tuple[Field, ...]], *, by: str, complete: bool
) -> tuple[int, set[UUID]]:
    """Bring the columns that `by` declares of assets to what it says; how many rows that wrote, and of which assets.

    Columns that a collection or somebody else described stand. What is not complete closes nothing.
    """
    if not undeclared(session, fields, by=by, complete=complete):
        return 0, set()
    assets = sorted(entity.id.value for entity in fields)
    session.rows(_LOCK, {"tenant": session.tenant_value, "assets": assets})  # before a collection describes them
    plan, ids = _column_plan(session, fields, by=by, complete=complete)
    written = close_fields(session, plan.fields_closed, ids) + write_fields(session, plan, ids)
    return written, _described(plan, ids)


def undeclared(session: Session, fields: Mapping[Entity, tuple[Field, ...]], *, by: str, complete: bool) -> set[UUID]:
    """The assets whose columns are not yet what `by` declares: those that `declare_columns` would write."""
    return _described(*_column_plan(session, fields, by=by, complete=complete))


def _described(plan: Plan, ids: Mapping[CanonicalKey, Entity]) -> set[UUID]:
    changes = (*plan.fields_closed, *plan.fields_created, *plan.fields_changed, *plan.fields_reopened)
    return {ids[key].id.value for key, _field in changes}


def _column_plan(
    session: Session, fields: Mapping[Entity, tuple[Field, ...]], *, by: str, complete: bool
) -> tuple[Plan, Mapping[CanonicalKey, Entity]]:
    """What changes in the columns that were declared; those that a collection or another look described stand."""
    assets = sorted(entity.id.value for entity in fields)
    stored: dict[Any, dict[str, Row]] = {}
    collected = set()
    for row in session.rows(_COLUMNS, {"tenant": session.tenant_value, "assets": assets}):
        known = stored.setdefault(row["asset_id"], {})
        if row["collected"]:
            collected.add(row["asset_id"])
        if row["name"] is not None:
            known.setdefault(row["name"], row)  # an open one comes first
    created: list[Column] = []
    changed: list[Column] = []
    reopened: list[Column] = []
    closed: list[Column] = []
    for entity, wanted in fields.items():
        if entity.id.value in collected:
            continue
        known = stored.get(entity.id.value, {})
        for given in wanted:
            there: Row | None = known.get(given.name)
            if there is None:
                created.append((entity.key, _declared(by, given)))
            elif not there["open"]:
                reopened.append((entity.key, _declared(by, given)))
            elif (now := _declared_again(by, there, given)) is not None:
                changed.append((entity.key, now))
        names = {field.name for field in wanted}
        for name, row in known.items() if complete else ():
            if name not in names and row["open"] and by in _declarers(row):
                (changed if len(_declarers(row)) > 1 else closed).append((entity.key, _declared_no_more(by, row)))
    plan = Plan(
        endpoint="",
        fingerprint="",
        complete=complete,
        fields_created=tuple(created),
        fields_changed=tuple(changed),
        fields_reopened=tuple(reopened),
        fields_closed=tuple(closed),
    )
    return plan, {entity.key: entity for entity in fields}


def _declared(by: str, field: Field) -> Field:
    return _of(field, [by])


def _declared_again(by: str, row: Row, field: Field) -> Field | None:
    """What a stored column becomes when somebody declares it; None where it stays, as what nobody declared does.

    Values are compared: to make fields of all is slow.
    """
    declarers = _declarers(row)
    if not declarers:
        return None
    if declarers[0] != by:
        return None if by in declarers else _of(_field(row), [*declarers, by])
    now = (row["type"], row["nullable"], row["position"], row["metadata"])
    if now == (field.type, field.nullable, field.position, _of(field, declarers).metadata):
        return None
    return _of(field, declarers)


def _declared_no_more(by: str, row: Row) -> Field:
    """What a stored column becomes when somebody does not declare it any more: it is the next one's."""
    return _of(_field(row), [one for one in _declarers(row) if one != by])


def _declarers(row: Row) -> list[str]:
    """Who declares a stored column, first whose it is; nobody declares what a collection saw."""
    owner = row["metadata"].get(BY)
    return [] if owner is None else [owner, *row["metadata"].get(ALSO, ())]


def _of(field: Field, declarers: Sequence[str]) -> Field:
    said = {name: value for name, value in field.metadata.items() if name not in (BY, ALSO)}
    whose = {BY: declarers[0]} if declarers else {}
    return replace(field, metadata={**said, **whose, **({ALSO: list(declarers[1:])} if declarers[1:] else {})})


def _field(row: Row) -> Field:
    return Field(**{name: row[name] for name in ("name", "type", "nullable", "position", "metadata")})


def _edges(session: Session, look: Import, entities: Mapping[CanonicalKey, Entity]) -> EdgeChanges:
    links: dict[str, list[Link]] = {endpoint: [] for endpoint in sorted(look.endpoints)}
    for edge in look.edges:
        if edge.source.endpoint in links:
            links[edge.source.endpoint].append(Link(entities[edge.source], entities[edge.target]))
    opened = closed = 0
    for endpoint, said in links.items():
        done = assert_edges(session, said, producer=look.producer, scope=look.scope(endpoint), complete=look.complete)
        opened, closed = opened + done.opened, closed + done.closed
    return EdgeChanges(opened, closed)
