"""Catalogs: what collections know of an endpoint's tables, and what one of them changes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from identity.errors import MetadataError
from identity.ids import Entity, EntityId, child_id
from identity.keys import CanonicalKey, endpoint_key
from resources.graph.edges import EdgeChanges, Link, assert_edges
from resources.metadata.noun import Noun
from resources.metadata.plans import COLLECTED_KEYS, NO_EDGES, Column, Known, KnownAsset, Plan, outcome
from resources.metadata.plans import Collected as Collected  # part of what `apply_plan` promises
from resources.models import Asset, Field
from resources.postgres.session import Row, Session

PRODUCER: Final = "collection"


class EndpointNotRegistered(MetadataError):
    """endpoint {endpoint} is not registered; nothing was written"""

    endpoint: str


class CatalogOvertaken(MetadataError):
    """another collection of endpoint {endpoint} was faster; nothing was written, collect again"""

    endpoint: str


_FINGERPRINT = """
SELECT schema_fingerprint FROM metadata.endpoint WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s
"""

_COUNT_FIELDS = """
SELECT count(*) AS fields FROM metadata.schema_field f
JOIN metadata.asset a ON a.tenant_id = f.tenant_id AND a.asset_id = f.asset_id
WHERE a.tenant_id = %(tenant)s AND a.endpoint_id = %(endpoint)s AND f.deleted_at IS NULL
"""

_ASSETS = """
SELECT qualified_name AS name, type, description, metadata, deleted_at IS NULL AS open
FROM metadata.asset WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s
ORDER BY qualified_name
"""

_FIELDS = """
SELECT a.qualified_name AS asset,
  jsonb_agg(jsonb_build_array(f.deleted_at IS NULL, f.name, f.type, f.nullable, f.position, f.metadata)) AS fields
FROM metadata.asset a
JOIN metadata.schema_field f ON f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id
WHERE a.tenant_id = %(tenant)s AND a.endpoint_id = %(endpoint)s
GROUP BY a.qualified_name ORDER BY a.qualified_name
"""

_LOCK = "SELECT pg_advisory_xact_lock(%(lock)s)"

_INSERT_ASSETS = """
INSERT INTO metadata.asset
  (tenant_id, asset_id, endpoint_id, type, name, qualified_name, key_sha256, description, metadata, created_by)
SELECT %(tenant)s, a.asset_id, %(endpoint)s, a.type, a.name, a.qualified_name, decode(a.key_sha256, 'hex'),
  a.description, a.metadata, %(actor)s
FROM jsonb_to_recordset(%(assets)s) AS a (asset_id uuid, type text, name text, qualified_name text, key_sha256 text,
  description text, metadata jsonb)
ORDER BY a.asset_id
"""

# An asset can be declared by somebody else in this very moment. DO UPDATE would settle a conflict on one unique key
# and break on another one, so new assets are written with DO NOTHING, which waits and settles all; what it left out
# exists by then.
_CREATE_ASSETS = _INSERT_ASSETS + "ON CONFLICT DO NOTHING"

# Merges with what a declaration wrote: its other metadata and its description stay. A description that is the last
# collection's comment is the collection's, so it follows the comment.
_MERGE_ASSETS = (
    _INSERT_ASSETS
    + """
ON CONFLICT (tenant_id, asset_id) DO UPDATE SET
  endpoint_id = excluded.endpoint_id, type = excluded.type,
  description = CASE WHEN asset.description = asset.metadata ->> 'comment' OR asset.description IS NULL
    THEN excluded.description ELSE asset.description END,
  metadata = (asset.metadata - %(ours)s::text[]) || excluded.metadata,
  version = asset.version + 1, updated_at = clock_timestamp(), deleted_at = NULL
WHERE metadata.is_collision(
    asset.asset_id, asset.qualified_name, asset.key_sha256, excluded.qualified_name, excluded.key_sha256)
  OR asset.endpoint_id IS DISTINCT FROM excluded.endpoint_id
  OR asset.type <> excluded.type OR asset.deleted_at IS NOT NULL
  OR asset.metadata <> (asset.metadata - %(ours)s::text[]) || excluded.metadata
  OR (asset.description IS NULL AND excluded.description IS NOT NULL)
"""
)

_CLOSE_ASSETS = """
UPDATE metadata.asset SET deleted_at = clock_timestamp(), metadata = metadata - 'relation', version = version + 1,
  updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND asset_id = ANY (%(ids)s) AND deleted_at IS NULL
"""

_WRITE_FIELDS = """
INSERT INTO metadata.schema_field (tenant_id, field_id, asset_id, name, type, nullable, position, metadata)
SELECT %(tenant)s, f.*
FROM jsonb_to_recordset(%(fields)s) AS f (field_id uuid, asset_id uuid, name text, type text, nullable boolean,
  position integer, metadata jsonb)
ORDER BY f.asset_id, f.position
ON CONFLICT (tenant_id, field_id) DO UPDATE SET
  type = excluded.type, nullable = excluded.nullable, position = excluded.position, metadata = excluded.metadata,
  updated_at = clock_timestamp(), deleted_at = NULL
WHERE (schema_field.type, schema_field.nullable, schema_field.position, schema_field.metadata)
    IS DISTINCT FROM (excluded.type, excluded.nullable, excluded.position, excluded.metadata)
  OR schema_field.deleted_at IS NOT NULL
"""

_CLOSE_FIELDS = """
UPDATE metadata.schema_field SET deleted_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND field_id = ANY (%(ids)s) AND deleted_at IS NULL
"""

_SET_FINGERPRINT = """
UPDATE metadata.endpoint SET schema_fingerprint = %(fingerprint)s, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s AND schema_fingerprint IS DISTINCT FROM %(fingerprint)s
"""


@dataclass(frozen=True, slots=True)
class Catalogs(Noun):
    """Read what is stored of an endpoint. Writing it takes a session: `lock_catalog`, then `apply_plan`."""

    def known_catalog(self, endpoint: str) -> Known:
        """The stored assets of an endpoint without their fields. Raises EndpointNotRegistered."""
        with self.session() as session:
            fingerprint = _fingerprint(session, endpoint)
            (fields,) = (row["fields"] for row in session.rows(_COUNT_FIELDS, _parameters(session, endpoint)))
            return Known(fingerprint=fingerprint, assets=_known_assets(session, endpoint), fields=fields)


def lock_catalog(session: Session, endpoint: str, *, expected: str | None) -> None:
    """Make this transaction the only one that writes the endpoint's catalog, until it ends.

    `expected` is the stored fingerprint from before the source was looked at. Raises CatalogOvertaken when another
    look has been stored since: applying an older one over it would bring the past back.
    """
    session.rows(_LOCK, {"lock": int.from_bytes(_endpoint_id(session, endpoint).value.bytes[:8], signed=True)})
    if _fingerprint(session, endpoint) != expected:
        raise CatalogOvertaken(endpoint=endpoint)


def current_catalog(session: Session, endpoint: str) -> Sequence[KnownAsset]:
    """The stored assets of an endpoint with their fields, closed ones included, in two statements."""
    fields = {row["asset"]: row["fields"] for row in session.rows(_FIELDS, _parameters(session, endpoint))}
    return [
        _with_fields(asset, fields[asset.name]) if asset.name in fields else asset
        for asset in _known_assets(session, endpoint).values()
    ]


def apply_plan(session: Session, plan: Plan) -> Collected:
    """Write a plan: one statement per kind of change, none for a kind that has none."""
    written = sum(
        (
            _create_assets(session, plan),
            _merge_assets(session, plan.endpoint, (*plan.changed, *plan.reopened)),
            _write_fields(session, (*plan.fields_created, *plan.fields_changed, *plan.fields_reopened)),
            _close_fields(session, plan.fields_closed),
            _close_assets(session, plan.closed),
        )
    )
    edges = _write_edges(session, plan)
    parameters = _parameters(session, plan.endpoint)
    written += session.count(_SET_FINGERPRINT, {**parameters, "fingerprint": plan.fingerprint})
    return outcome(plan, edges=edges, rows_written=written + edges.opened + edges.closed)


def _endpoint_id(session: Session, endpoint: str) -> EntityId:
    return Entity(session.tenant, endpoint_key(endpoint)).id


def _parameters(session: Session, endpoint: str) -> Row:
    return {
        "tenant": session.tenant_value,
        "actor": session.actor,
        "endpoint": _endpoint_id(session, endpoint).value,
    }


def _fingerprint(session: Session, endpoint: str) -> str | None:
    rows = session.rows(_FINGERPRINT, _parameters(session, endpoint))
    if not rows:
        raise EndpointNotRegistered(endpoint=endpoint)
    fingerprint: str | None = rows[0]["schema_fingerprint"]
    return fingerprint


def _known_assets(session: Session, endpoint: str) -> dict[str, KnownAsset]:
    parameters = _parameters(session, endpoint)
    return {row["name"]: KnownAsset(**row) for row in session.rows(_ASSETS, parameters)}


def _with_fields(asset: KnownAsset, rows: Iterable[Sequence[Any]]) -> KnownAsset:
    fields, closed = {}, set()
    for is_open, name, kind, nullable, position, metadata in rows:
        fields[name] = Field(name=name, type=kind, nullable=nullable, position=position, metadata=metadata)
        if not is_open:
            closed.add(name)
    return KnownAsset(
        name=asset.name,
        type=asset.type,
        description=asset.description,
        metadata=asset.metadata,
        open=asset.open,
        fields=fields,
        closed_fields=frozenset(closed),
    )


def _create_assets(session: Session, plan: Plan) -> int:
    if not plan.created:
        return 0
    created = session.count(_CREATE_ASSETS, _asset_parameters(session, plan.endpoint, plan.created))
    if created == len(plan.created):
        return created
    return created + _merge_assets(session, plan.endpoint, plan.created)


def _merge_assets(session: Session, endpoint: str, assets: Collection[Asset]) -> int:
    if not assets:
        return 0
    parameters = _asset_parameters(session, endpoint, assets)
    return session.count(_MERGE_ASSETS, {**parameters, "ours": sorted(COLLECTED_KEYS)})


def _asset_parameters(session: Session, endpoint: str, assets: Iterable[Asset]) -> Row:
    rows = [_asset_row(Entity(session.tenant, asset.key), asset) for asset in assets]
    return {**_parameters(session, endpoint), "assets": Jsonb(rows)}


def _asset_row(entity: Entity, asset: Asset) -> Row:
    return {
        "asset_id": str(entity.id),
        "type": asset.type,
        "name": asset.key.table,
        "qualified_name": str(asset.key),
        "key_sha256": entity.key_sha256.hex(),
        "description": asset.description,
        "metadata": dict(asset.metadata),
    }


def _close_assets(session: Session, keys: Collection[CanonicalKey]) -> int:
    if not keys:
        return 0
    ids = sorted(Entity(session.tenant, key).id.value for key in keys)
    return session.count(_CLOSE_ASSETS, {"tenant": session.tenant_value, "ids": ids})


def _write_fields(session: Session, columns: Collection[Column]) -> int:
    if not columns:
        return 0
    parents = {key: Entity(session.tenant, key).id for key in dict.fromkeys(key for key, _ in columns)}
    rows = [_field_row(parents[key], field) for key, field in columns]
    return session.count(_WRITE_FIELDS, {"tenant": session.tenant_value, "fields": Jsonb(rows)})


def _field_row(asset: EntityId, field: Field) -> Row:
    return {
        "field_id": str(child_id(asset, "column", field.name)),
        "asset_id": str(asset),
        "name": field.name,
        "type": field.type,
        "nullable": field.nullable,
        "position": field.position,
        "metadata": dict(field.metadata),
    }


def _close_fields(session: Session, columns: Collection[Column]) -> int:
    if not columns:
        return 0
    ids = sorted(child_id(Entity(session.tenant, key).id, "column", field.name) for key, field in columns)
    return session.count(_CLOSE_FIELDS, {"tenant": session.tenant_value, "ids": ids})


def _write_edges(session: Session, plan: Plan) -> EdgeChanges:
    if plan.edges is None:
        return NO_EDGES
    links = [Link(Entity(session.tenant, edge.source), Entity(session.tenant, edge.target)) for edge in plan.edges]
    return assert_edges(session, links, producer=PRODUCER, scope=plan.endpoint, complete=plan.complete)
