"""Catalogs: what is known of an endpoint's tables, for whoever looks at them again."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from identity.errors import MetadataError
from identity.ids import Entity, EntityId
from identity.keys import CanonicalKey, endpoint_key
from resources.metadata.met import merged, met, moved
from resources.metadata.noun import Noun
from resources.metadata.plans import Collected as Collected  # part of what `apply_plan` promises
from resources.metadata.plans import Known, KnownAsset
from resources.metadata.resolution import present_key
from resources.models import Field
from resources.postgres.session import Row, Session


class EndpointNotRegistered(MetadataError):
    """endpoint {endpoint} is not registered; nothing was written"""

    endpoint: str


class CatalogOvertaken(MetadataError):
    """another collection of endpoint {endpoint} was faster; nothing was written, collect again"""

    endpoint: str


_FINGERPRINT = """
SELECT schema_fingerprint FROM metadata.endpoint WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s
"""

# What is called so, and what else the endpoint sees or saw. The ids first, and what hangs off each is looked up by
# itself: joined, or compared with all of them, a database without statistics looked at every asset for each column.
_OF_ENDPOINT = """unnest(ARRAY(
  SELECT a.asset_id FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.endpoint_id = %(endpoint)s
  UNION SELECT unnest(%(also)s::uuid[]))) AS o (asset_id)"""

_COUNT_FIELDS = """
SELECT count(*) AS fields FROM metadata.schema_field f
WHERE f.tenant_id = %(tenant)s AND f.deleted_at IS NULL AND f.asset_id = ANY (ARRAY(
  SELECT a.asset_id FROM metadata.asset a
  WHERE a.tenant_id = %(tenant)s AND a.endpoint_id = %(endpoint)s AND NOT a.metadata ? 'merged'))
"""

# Of those that have their names: what is gone, and whose name something else has, is history.
_ASSETS = f"""
SELECT a.asset_id, {present_key("a.qualified_name")} AS name, a.type, a.description, a.metadata,
  a.deleted_at IS NULL AS open,
  EXISTS (SELECT 1 FROM metadata.dataset d WHERE d.tenant_id = a.tenant_id AND d.dataset_id = a.asset_id)
    AS materialized, coalesce(a.metadata ->> 'moved_from', %(slug)s) = %(slug)s AS here
FROM {_OF_ENDPOINT}
CROSS JOIN LATERAL (
  SELECT * FROM metadata.asset b WHERE b.tenant_id = %(tenant)s AND b.asset_id = o.asset_id LIMIT 1) a
CROSS JOIN LATERAL (
  SELECT x.entity_id FROM metadata.alias x
  WHERE x.tenant_id = %(tenant)s AND x.entity_id = o.asset_id AND x.kind = 'primary' AND x.valid_to IS NULL LIMIT 1) x
ORDER BY a.qualified_name
"""

_FIELDS = f"""
SELECT f.asset_id::text, f.deleted_at IS NULL AS open, f.name, f.type, f.nullable, f.position,
  nullif(f.metadata, '{{}}') AS metadata
FROM {_OF_ENDPOINT}
CROSS JOIN LATERAL (
  SELECT * FROM metadata.schema_field g WHERE g.tenant_id = %(tenant)s AND g.asset_id = o.asset_id OFFSET 0) f
ORDER BY f.deleted_at NULLS LAST, f.field_id
"""

_FORMER = f"""
SELECT x.entity_id, array_agg(x.key) AS names
FROM {_OF_ENDPOINT}
CROSS JOIN LATERAL (
  SELECT * FROM metadata.alias y WHERE y.tenant_id = %(tenant)s AND y.entity_id = o.asset_id OFFSET 0) x
WHERE x.kind <> 'primary' AND x.valid_to IS NULL
GROUP BY x.entity_id ORDER BY x.entity_id
"""

_LOCK = "SELECT pg_advisory_xact_lock(%(lock)s)"


@dataclass(frozen=True, slots=True)
class Catalogs(Noun):
    """Read what is stored of an endpoint. Writing it takes a session: `lock_catalog`, then `apply_plan` of a plan."""

    def catalog_fingerprint(self, endpoint: str) -> str | None:
        """The fingerprint of the look that is stored; None before the first. Raises EndpointNotRegistered.

        To be asked before a source is looked at: `lock_catalog` refuses a look that another one overtook since.
        """
        with self.session() as session:
            return _fingerprint(session, endpoint)

    def known_catalog(self, endpoint: str) -> Known:
        """The stored assets of an endpoint without their fields. Raises EndpointNotRegistered."""
        with self.session() as session:
            fingerprint = _fingerprint(session, endpoint)
            parameters = _with_moved(session, endpoint)
            (fields,) = (row["fields"] for row in session.rows(_COUNT_FIELDS, parameters))
            assets = _known_assets(session, parameters)
            by_name = {asset.name: asset for asset in assets.values()}
            return Known(fingerprint=fingerprint, assets=by_name, fields=fields)

    def joined(
        self, endpoint: str, keys: Collection[CanonicalKey], *, place: str | None
    ) -> Mapping[CanonicalKey, CanonicalKey]:
        """Which of these names of an endpoint lead to what another one collects of this place, and its names."""
        with self.session() as session:
            found = met(session, endpoint_parameters(session, endpoint), keys)
            return {one.key: one.name for one in found if one.is_elsewhere(place)}


def lock_catalog(session: Session, endpoint: str, *, expected: str | None) -> None:
    """Make this transaction the only one that writes the endpoint's catalog, until it ends.

    `expected` is the stored fingerprint from before the source was looked at. Raises CatalogOvertaken when another
    look has been stored since: applying an older one over it would bring the past back.
    """
    session.rows(_LOCK, {"lock": int.from_bytes(_endpoint_id(session, endpoint).value.bytes[:8], signed=True)})
    if _fingerprint(session, endpoint) != expected:
        raise CatalogOvertaken(endpoint=endpoint)


def current_catalog(session: Session, endpoint: str, *, also: Collection[UUID] = ()) -> Sequence[KnownAsset]:
    """The stored assets of an endpoint with their fields and former names, closed ones included: four statements.

    With what somebody moved to another endpoint since it was seen here, and with the things in `also`.
    """
    parameters = _with_moved(session, endpoint, also)
    assets = _known_assets(session, parameters)
    if not assets:
        return []
    fields = _known_fields(session, parameters)
    former = {row["entity_id"]: frozenset(row["names"]) for row in session.rows(_FORMER, parameters)}
    return [
        replace(_with_fields(asset, fields.get(str(identifier), ())), former=former.get(identifier, frozenset()))
        for identifier, asset in assets.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a look is compared with: `current_catalog`, and the seen names of what another endpoint has open.

    `joined` are those names with the names there. Those of them in `renamed` do not lead there yet.
    """

    current: Sequence[KnownAsset]
    joined: Mapping[CanonicalKey, CanonicalKey]
    renamed: frozenset[CanonicalKey]


def compared_catalog(session: Session, endpoint: str, objects: Mapping[CanonicalKey, str | None]) -> Compared:
    """What a look is compared with.

    `objects` are the source's own ids of what was seen. What another endpoint has open as the same object stays its
    own, under a new name as well; what it gave up is known here, and so is what was named before this endpoint was
    registered.
    """
    parameters = endpoint_parameters(session, endpoint)
    found = met(session, parameters, objects)
    same = [one for one in found if one.object and one.object == objects[one.key]]
    known = [one for one in merged(session, parameters, objects) if one.key not in {other.key for other in same}]
    ours = {one.id for one in found if one.own} | {one.id for one in (*same, *known) if not one.open}
    current = current_catalog(session, endpoint, also=sorted(ours))
    mine = {asset.object for asset in current if asset.collected}
    joined = {one.key: one.name for one in same if one.open and not one.own and one.object not in mine}
    seen = {one: str(key) for key, one in objects.items() if one is not None}
    taken = {asset.name for asset in current if asset.open and seen.get(asset.object or "", asset.name) == asset.name}
    renamed = {one.key: one.name for one in known if one.open and one.object not in mine and str(one.key) not in taken}
    return Compared(current=current, joined=joined | renamed, renamed=frozenset(renamed))


def _endpoint_id(session: Session, endpoint: str) -> EntityId:
    return Entity(session.tenant, endpoint_key(endpoint)).id


def endpoint_parameters(session: Session, endpoint: str) -> Row:
    """What statements about an endpoint are given: the tenant, the actor, the endpoint's id and its slug."""
    return {
        "tenant": session.tenant_value,
        "actor": session.actor,
        "endpoint": _endpoint_id(session, endpoint).value,
        "slug": endpoint,
    }


def _with_moved(session: Session, endpoint: str, also: Collection[UUID] = ()) -> Row:
    parameters = endpoint_parameters(session, endpoint)
    return {**parameters, "also": [*moved(session, parameters), *also]}


def _fingerprint(session: Session, endpoint: str) -> str | None:
    rows = session.rows(_FINGERPRINT, endpoint_parameters(session, endpoint))
    if not rows:
        raise EndpointNotRegistered(endpoint=endpoint)
    fingerprint: str | None = rows[0]["schema_fingerprint"]
    return fingerprint


def _known_assets(session: Session, parameters: Row) -> dict[UUID, KnownAsset]:
    return {row.pop("asset_id"): KnownAsset(**row) for row in session.rows(_ASSETS, parameters)}


def _known_fields(session: Session, parameters: Row) -> Mapping[str, Sequence[tuple[bool, Field]]]:
    """The columns of each asset by its id's text, and which are open. Values that are equal are made once."""
    found: dict[str, list[tuple[bool, Field]]] = defaultdict(list)
    plain: dict[tuple[Any, ...], Field] = {}
    for asset, is_open, name, kind, nullable, position, metadata in session.values(_FIELDS, parameters):
        field = None if metadata else plain.get((name, kind, nullable, position))
        if field is None:
            field = Field(name=name, type=kind, nullable=nullable, position=position, metadata=metadata or {})
            if not metadata:
                plain[name, kind, nullable, position] = field
        found[asset].append((is_open, field))
    return found


def _with_fields(asset: KnownAsset, columns: Iterable[tuple[bool, Field]]) -> KnownAsset:
    fields: dict[str, Field] = {}
    closed: set[str] = set()
    for is_open, field in columns:
        closed.discard(field.name)  # open ones come last: of several columns of one name the newest counts
        fields[field.name] = field
        if not is_open:
            closed.add(field.name)
    return replace(asset, fields=fields, closed_fields=frozenset(closed))
