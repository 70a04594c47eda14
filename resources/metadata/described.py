"""Datasets as they were when a run wrote or read them: their columns, and where these came from."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from identity.keys import CanonicalKey, ColumnKey
from resources.metadata.resolution import present_key
from resources.models import Field
from resources.postgres.session import Session
from resources.told_runs import ToldDataset

Moment = tuple[UUID, datetime | None]
"""An asset, and when; None for what is known now."""

_CHANGED = """
SELECT a.asset_id, a.description, greatest(
  (SELECT max(f.updated_at) FROM metadata.schema_field f
   WHERE f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id),
  (SELECT max(greatest(e.valid_from, e.valid_to)) FROM metadata.schema_field f
   JOIN metadata.column_edge e ON e.tenant_id = f.tenant_id AND e.source_field_id = f.field_id
   WHERE f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id)) AS changed
FROM metadata.asset a WHERE a.tenant_id = %(tenant)s AND a.asset_id = ANY (%(assets)s)
"""

_ASKED = "unnest(%(assets)s::uuid[], %(moments)s::timestamptz[]) AS p (asset_id, at)"


def _then(column: str) -> str:
    """What a column was at the moment p.at, as JSON: the audit has every state that it was in."""
    return f"""(CASE WHEN p.at IS NULL OR {column}.updated_at <= p.at THEN to_jsonb({column}) ELSE (
      SELECT u.after_state FROM metadata.audit u
      WHERE u.tenant_id = %(tenant)s AND u.entity_type = 'SCHEMA_FIELD' AND u.entity_id = {column}.field_id
        AND u.at <= p.at
      ORDER BY u.audit_id DESC LIMIT 1) END)"""


_FIELDS: Final = f"""
SELECT p.asset_id, p.at, jsonb_agg(s.state ORDER BY (s.state ->> 'position')::integer, s.state ->> 'name') AS fields
FROM {_ASKED}
JOIN metadata.schema_field f ON f.tenant_id = %(tenant)s AND f.asset_id = p.asset_id
CROSS JOIN LATERAL (SELECT {_then("f")} AS state) s
WHERE s.state IS NOT NULL AND s.state ->> 'deleted_at' IS NULL
GROUP BY p.asset_id, p.at
"""

_ORIGINS: Final = f"""
SELECT DISTINCT p.asset_id, p.at, {_then("s")} ->> 'name' AS name, {present_key("a.qualified_name")} AS origin,
  {_then("t")} ->> 'name' AS origin_name
FROM {_ASKED}
JOIN metadata.schema_field s ON s.tenant_id = %(tenant)s AND s.asset_id = p.asset_id
JOIN metadata.column_edge e ON e.tenant_id = s.tenant_id AND e.source_field_id = s.field_id
  AND CASE WHEN p.at IS NULL THEN e.valid_to IS NULL
    ELSE e.valid_from <= p.at AND (e.valid_to IS NULL OR e.valid_to > p.at) END
JOIN metadata.schema_field t ON t.tenant_id = e.tenant_id AND t.field_id = e.target_field_id
JOIN metadata.asset a ON a.tenant_id = t.tenant_id AND a.asset_id = t.asset_id
ORDER BY p.asset_id, p.at, name, origin, origin_name
"""


def described_at(
    session: Session, moments: Iterable[tuple[UUID, datetime]]
) -> dict[tuple[UUID, datetime], ToldDataset]:
    """What was known of assets; what nobody knew of their columns at a moment is told as it is known now.

    Three statements however many they are. Descriptions are those of now.
    """
    asked = set(moments)
    if not asked:
        return {}
    given = {"tenant": session.tenant_value, "assets": sorted({asset for asset, _at in asked})}
    rows = {row["asset_id"]: row for row in session.rows(_CHANGED, given)}
    then = {(asset, at) for asset, at in asked if (changed := rows[asset]["changed"]) is not None and changed > at}
    wanted: list[Moment] = sorted({*then, *((asset, None) for asset, _at in asked)}, key=str)
    fields, origins = _fields(session, wanted), _origins(session, wanted)

    def told(asset: UUID, at: datetime) -> ToldDataset:
        when: Moment = (asset, at if (asset, at) in then else None)
        now: Moment = (asset, None)
        columns = fields.get(when) or fields.get(now, ())
        names = {one.name for one in columns}
        known = origins.get(when) or origins.get(now, {})
        return ToldDataset(
            description=rows[asset]["description"],
            fields=columns,
            origins={name: some for name, some in known.items() if name in names},
        )

    return {(asset, at): told(asset, at) for asset, at in asked}


def _given(session: Session, wanted: Collection[Moment]) -> Mapping[str, Any]:
    return {
        "tenant": session.tenant_value,
        "assets": [asset for asset, _at in wanted],
        "moments": [at for _asset, at in wanted],
    }


def _fields(session: Session, wanted: Collection[Moment]) -> dict[Moment, tuple[Field, ...]]:
    return {
        (row["asset_id"], row["at"]): tuple(
            Field(**{name: one[name] for name in ("name", "type", "nullable", "position", "metadata")})
            for one in row["fields"]
        )
        for row in session.rows(_FIELDS, _given(session, wanted))
    }


def _origins(session: Session, wanted: Collection[Moment]) -> dict[Moment, dict[str, list[ColumnKey]]]:
    found: dict[Moment, dict[str, list[ColumnKey]]] = {}
    for row in session.rows(_ORIGINS, _given(session, wanted)):
        columns = found.setdefault((row["asset_id"], row["at"]), {}).setdefault(row["name"], [])
        columns.append(ColumnKey(CanonicalKey.parse(row["origin"]), row["origin_name"]))
    return found
