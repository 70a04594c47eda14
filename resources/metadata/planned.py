"""What a collection changes in a catalog: a plan, written in one transaction."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from typing import Final

from psycopg.types.json import Jsonb

from identity.ids import Entity
from identity.keys import CanonicalKey, key_text
from resources.graph.column_edges import (
    NOTHING_SAID,
    ChangedWords,
    ColumnWord,
    say_of_columns,
    settle_column_edges,
)
from resources.graph.edges import FOLLOWING, EdgeChanges, Link, assert_edges
from resources.metadata.aliases import rename
from resources.metadata.catalogs import CatalogOvertaken, endpoint_parameters
from resources.metadata.columns import (
    bear_fields,
    close_all_fields,
    close_fields,
    fields_to_bear,
    rename_fields,
    write_fields,
)
from resources.metadata.plans import COLLECTED_KEYS, NO_EDGES, Collected, Plan, outcome
from resources.metadata.resolution import births, hold_names, owners, present_key
from resources.models import Asset
from resources.postgres.errors import NameTaken, RenameRefused, UnknownName
from resources.postgres.session import Row, Session

PRODUCER: Final = "collection"
RENAME_REFUSALS: Final = (NameTaken, RenameRefused, UnknownName)

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

_LOCK_ASSETS = """
SELECT a.asset_id FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(ids)s)
ORDER BY a.asset_id FOR NO KEY UPDATE
"""

# Before the rows are written: what is only declared has no type of its own.
_RETYPED = f"""
SELECT metadata.tell_retyped(jsonb_agg(jsonb_build_object('key', {present_key("t.qualified_name")}, 'type', t.now)
  ORDER BY t.qualified_name))
FROM (
  SELECT s.qualified_name, a.type AS now
  FROM jsonb_to_recordset(%(assets)s) AS a (asset_id uuid, type text)
  JOIN metadata.asset s ON s.tenant_id = %(tenant)s AND s.asset_id = a.asset_id
  WHERE s.type NOT IN (a.type, 'DATASET')
  ORDER BY s.asset_id FOR NO KEY UPDATE OF s) t
HAVING count(*) > 0
"""

_CLOSE_ASSETS = """
UPDATE metadata.asset SET deleted_at = clock_timestamp(), metadata = metadata - 'relation', version = version + 1,
  updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND asset_id = ANY (%(ids)s) AND deleted_at IS NULL
"""

# What was declared about a name is meant for whatever has it; what was observed stays with the thing. Edges that follow
# from references did so when the name changed hands.
_OBSERVERS: Final = [PRODUCER, "materialization", FOLLOWING]
_REDECLARE = """
WITH meant AS (
  UPDATE metadata.relationship r SET valid_to = greatest(clock_timestamp(), r.valid_from)
  WHERE r.tenant_id = %(tenant)s AND r.valid_to IS NULL AND r.producer <> ALL (%(observers)s)
    AND (r.source_asset_id = ANY (%(old)s) OR r.target_asset_id = ANY (%(old)s))
  RETURNING r.*
), heirs AS (SELECT * FROM unnest(%(old)s::uuid[], %(new)s::uuid[]) AS h (old, new))
INSERT INTO metadata.relationship
  (tenant_id, source_asset_id, target_asset_id, type, producer, scope, metadata, created_by)
SELECT m.tenant_id, coalesce(s.new, m.source_asset_id), coalesce(t.new, m.target_asset_id), m.type, m.producer, m.scope,
  m.metadata, %(actor)s
FROM meant m LEFT JOIN heirs s ON s.old = m.source_asset_id LEFT JOIN heirs t ON t.old = m.target_asset_id
ORDER BY 2, 3
ON CONFLICT (tenant_id, source_asset_id, target_asset_id, type, producer, scope) WHERE valid_to IS NULL DO NOTHING
"""

_COLUMNS_MEANT = "SELECT metadata.inherit_column_words(%(old)s, %(new)s)"

# Things that got the name they have by a rename, or had it before and got it back.
_CALLED_BEFORE = """
SELECT 1 FROM metadata.alias x
WHERE x.tenant_id = %(tenant)s AND x.entity_id = ANY (%(ids)s) AND x.kind = 'primary' AND x.valid_to IS NOT NULL LIMIT 1
"""

_CALLED_SO: Final = "its source calls it so: it is the same object there"
_NAME_JOINED = "SELECT metadata.name_joined(%(keys)s, %(ids)s, %(reason)s) AS named"

_SET_FINGERPRINT = """
UPDATE metadata.endpoint SET schema_fingerprint = %(fingerprint)s, updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND endpoint_id = %(endpoint)s AND schema_fingerprint IS DISTINCT FROM %(fingerprint)s
"""


def apply_plan(session: Session, plan: Plan) -> Collected:
    """Write a plan: one statement per kind of change, none for a kind that has none.

    Raises CatalogOvertaken when somebody renamed something since the plan was made; then the transaction is lost.
    """
    hold_names(session, exclusive=bool(plan.renamed or plan.replaced or plan.joined_anew))
    before = _own(session, plan, set(plan.replaced))
    written = _close_things(session, before.values()) + _rename_assets(session, plan)
    born = _births(session, plan)
    made = _asset_parameters(session, plan.endpoint, plan.created, born)
    with ThreadPoolExecutor(1) as beside:
        to_bear = beside.submit(fields_to_bear, plan, born)  # while the database writes the assets
        created = session.count(_CREATE_ASSETS, made) if born else 0
    declared = plan.created if created < len(plan.created) else ()  # by somebody, meanwhile
    ids = born | _own(session, plan, _keys_of(plan) - born.keys())
    touched = {ids[key] for key in _touched(plan)}
    _lock_assets(
        session,
        touched
        | {ids[key] for key in (*(one.key for one in (*declared, *plan.changed, *plan.reopened)), *plan.closed)},
    )
    written += created
    ids |= {key: ids[name] for key, name in plan.joined}
    written += _name_joined(session, plan, ids)
    written += _redeclare(session, before, ids)
    written += sum(
        (
            _merge_assets(session, plan.endpoint, declared, born),
            _merge_assets(session, plan.endpoint, (*plan.changed, *plan.reopened), ids),
            close_fields(session, plan.fields_closed, ids),
            rename_fields(session, plan, ids),
            write_fields(session, plan, ids, born={} if declared else born),
            0 if declared else bear_fields(session, to_bear.result()),
            _close_assets(session, [ids[key] for key in plan.closed]),
        )
    )
    described = {one.id.value for one in (*touched, *before.values())}
    columns = settle_column_edges(session, _say_of_columns(session, plan, ids), columns=described)
    written += columns.opened + columns.closed
    edges = _write_edges(session, plan, ids)
    parameters = endpoint_parameters(session, plan.endpoint)
    written += session.count(_SET_FINGERPRINT, {**parameters, "fingerprint": plan.fingerprint})
    return outcome(plan, edges=edges, rows_written=written + edges.opened + edges.closed)


def _own(session: Session, plan: Plan, keys: Collection[CanonicalKey]) -> dict[CanonicalKey, Entity]:
    """The things of these names. A plan is about what it found under a name, not about who got it meanwhile."""
    found = owners(session, keys)
    if len(found) < len(keys):
        raise CatalogOvertaken(endpoint=plan.endpoint)
    return found


def _keys_of(plan: Plan) -> set[CanonicalKey]:
    """Every name that a plan speaks of, as things are called after its renames."""
    return {
        *(asset.key for asset in (*plan.changed, *plan.reopened)),
        *plan.closed,
        *(now for _was, now in plan.renamed),
        *_touched(plan),
        *(key for edge in plan.edges or () for key in (edge.source, edge.target)),
        *(name for _key, name in plan.joined),
    } - {key for key, _name in plan.joined}


def _touched(plan: Plan) -> set[CanonicalKey]:
    """What has other columns than before."""
    columns = (*plan.fields_created, *plan.fields_changed, *plan.fields_reopened, *plan.fields_closed)
    renamed = (column for _was, column in plan.fields_renamed)
    return {key for key, _some in groupby((*columns, *renamed), key=itemgetter(0))}


def _close_things(session: Session, things: Collection[Entity]) -> int:
    """Close assets with all that hangs off them."""
    if not things:
        return 0
    return _close_assets(session, things) + close_all_fields(session, things)


def _rename_assets(session: Session, plan: Plan) -> int:
    if not plan.renamed:
        return 0
    try:
        return len(rename(session, dict(plan.renamed), reason=_CALLED_SO))
    except RENAME_REFUSALS:
        raise CatalogOvertaken(endpoint=plan.endpoint) from None


def _name_joined(session: Session, plan: Plan, ids: Mapping[CanonicalKey, Entity]) -> int:
    if not plan.joined_anew:
        return 0
    keys = sorted(plan.joined_anew)
    parameters = {"keys": list(map(key_text, keys)), "ids": [ids[key].id.value for key in keys], "reason": _CALLED_SO}
    (row,) = session.rows(_NAME_JOINED, parameters)
    if row["named"] < len(keys):
        raise CatalogOvertaken(endpoint=plan.endpoint)
    return len(keys)


def _births(session: Session, plan: Plan) -> dict[CanonicalKey, Entity]:
    """The entities of what is new: of their own names where somebody declared them, or else born now."""
    keys = {asset.key for asset in plan.created}
    if not keys:
        return {}
    expected = births(session, keys)  # counted before it is looked: a declaration in between is the one expected
    found = owners(session, keys - set(plan.replaced))
    ids = [entity.id.value for entity in found.values()]
    if found and session.rows(_CALLED_BEFORE, {"tenant": session.tenant_value, "ids": ids}):
        raise CatalogOvertaken(endpoint=plan.endpoint)  # nothing had the name when the plan was made
    return expected | found


def _redeclare(session: Session, old: Mapping[CanonicalKey, Entity], new: Mapping[CanonicalKey, Entity]) -> int:
    heirs = {entity.id.value: new[key].id.value for key, entity in old.items() if key in new}
    if not heirs:
        return 0
    parameters = {"tenant": session.tenant_value, "actor": session.actor, "observers": _OBSERVERS}
    parameters |= {"old": list(heirs), "new": list(heirs.values())}
    session.rows(_COLUMNS_MEANT, parameters)
    return session.count(_REDECLARE, parameters)


def _lock_assets(session: Session, things: Collection[Entity]) -> None:
    """All at once, in the order of their ids and after what is born: as whoever declares them does."""
    if things:
        ids = sorted(thing.id.value for thing in things)
        session.rows(_LOCK_ASSETS, {"tenant": session.tenant_value, "ids": ids})


def _merge_assets(
    session: Session, endpoint: str, assets: Collection[Asset], ids: Mapping[CanonicalKey, Entity]
) -> int:
    if not assets:
        return 0
    parameters = _asset_parameters(session, endpoint, assets, ids)
    session.rows(_RETYPED, parameters)
    return session.count(_MERGE_ASSETS, {**parameters, "ours": sorted(COLLECTED_KEYS)})


def _asset_parameters(
    session: Session, endpoint: str, assets: Iterable[Asset], ids: Mapping[CanonicalKey, Entity]
) -> Row:
    rows = [_asset_row(ids[asset.key], asset) for asset in assets]
    return {**endpoint_parameters(session, endpoint), "assets": Jsonb(rows)}


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


def _close_assets(session: Session, things: Collection[Entity]) -> int:
    if not things:
        return 0
    ids = sorted(thing.id.value for thing in things)
    return session.count(_CLOSE_ASSETS, {"tenant": session.tenant_value, "ids": ids})


def _say_of_columns(session: Session, plan: Plan, ids: Mapping[CanonicalKey, Entity]) -> ChangedWords:
    if plan.edges is None:
        return NOTHING_SAID
    words = [
        ColumnWord(ids[view].id.value, name, origin, column, plan.endpoint, ids[origin].id.value)
        for view, columns in plan.origins.items()
        for name, origins in columns.items()
        for origin, column in origins
    ]
    of = None if plan.complete else ()
    return say_of_columns(session, words, producer=PRODUCER, scope=plan.endpoint, of=of)


def _write_edges(session: Session, plan: Plan, ids: Mapping[CanonicalKey, Entity]) -> EdgeChanges:
    if plan.edges is None:
        return NO_EDGES
    links = [Link(ids[edge.source], ids[edge.target]) for edge in plan.edges]
    return assert_edges(session, links, producer=PRODUCER, scope=plan.endpoint, complete=plan.complete)
