"""Columns: the fields of an asset in a catalog. Their ids hang off the asset's, and stay when they are renamed."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import count, groupby
from operator import itemgetter
from typing import ClassVar
from uuid import UUID

from psycopg.types.json import Jsonb

from identity.errors import MetadataError, shown
from identity.ids import Entity, EntityId, column_id, column_ids
from identity.keys import CanonicalKey, ColumnKey, key_text, short_name
from resources.metadata.assets import UnknownKey
from resources.metadata.noun import Noun
from resources.metadata.plans import Column, Plan
from resources.metadata.resolution import HOLDER, asked, present_key
from resources.models import Field, StoredColumn
from resources.postgres.session import Row, Session

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

# Of things that nobody else can see yet: nothing is in the way, and nobody waits.
_BEAR_FIELDS = """
INSERT INTO metadata.schema_field (tenant_id, asset_id, field_id, name, type, nullable, position, metadata)
SELECT %(tenant)s, a.asset_id, f.*
FROM jsonb_to_recordset(%(assets)s::jsonb) AS a (asset_id uuid, field_ids uuid[], names text[], types text[],
  nullable boolean[], positions integer[], metadata jsonb[])
CROSS JOIN LATERAL unnest(a.field_ids, a.names, a.types, a.nullable, a.positions, a.metadata) AS f
"""

_CLOSE_FIELDS = """
UPDATE metadata.schema_field f SET deleted_at = clock_timestamp(), updated_at = clock_timestamp()
FROM unnest(%(assets)s::uuid[], %(names)s::text[]) AS gone (asset_id, name)
WHERE f.tenant_id = %(tenant)s AND f.asset_id = gone.asset_id AND f.name = gone.name AND f.deleted_at IS NULL
"""

_CLOSE_ALL_FIELDS = """
UPDATE metadata.schema_field SET deleted_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND asset_id = ANY (%(ids)s) AND deleted_at IS NULL
"""

# In two steps where columns change names among themselves: a unique index looks at every row as it is written.
_RENAME_FIELDS = """
UPDATE metadata.schema_field f SET name = {name}, updated_at = clock_timestamp(){former}
FROM unnest(%(assets)s::uuid[], %(was)s::text[], %(now)s::text[]) AS r (asset_id, was, now)
WHERE f.tenant_id = %(tenant)s AND f.asset_id = r.asset_id AND f.name = {found} AND f.deleted_at IS NULL
"""
_FORMER = ",\n  former_names = array_remove(array_remove(f.former_names, r.now), r.was) || r.was"
_LAY_DOWN = _RENAME_FIELDS.format(name="f.name || '#' || f.field_id", found="r.was", former="")
_PICK_UP = _RENAME_FIELDS.format(name="r.now", found="r.was || '#' || f.field_id", former=_FORMER)
_RENAME = _RENAME_FIELDS.format(name="r.now", found="r.was", former=_FORMER)

# A present name comes before an old one, an open column before a closed one, and what changed last before the rest.
_FIND = f"""
SELECT {present_key("a.qualified_name")} AS qualified_name,
  f.field_id, f.name, f.type, f.nullable, f.position, f.metadata, f.former_names,
  f.deleted_at IS NULL AS open
FROM metadata.asset a
LEFT JOIN metadata.schema_field f ON f.tenant_id = a.tenant_id AND f.asset_id = a.asset_id
  AND (f.name = %(name)s OR %(name)s = ANY (f.former_names))
WHERE a.tenant_id = %(tenant)s AND a.asset_id = {HOLDER}
ORDER BY f.deleted_at DESC NULLS FIRST, f.name = %(name)s DESC, f.updated_at DESC, f.field_id LIMIT 1
"""

_FIELDS_OF = """
SELECT h.key, f.name, f.type, f.nullable, f.position, f.metadata
FROM metadata.holders_of(%(keys)s::text[]) AS h
JOIN metadata.schema_field f ON f.tenant_id = %(tenant)s AND f.asset_id = h.entity_id AND f.deleted_at IS NULL
ORDER BY h.key, f.position, f.name
"""

_STORED_FIELDS = """
SELECT f.asset_id, f.field_id, f.name FROM metadata.schema_field f
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s)
ORDER BY f.deleted_at NULLS LAST, f.field_id
"""


class UnknownColumn(MetadataError):
    """{dataset} has and had no column {name}; `metadata-assets dataset show` lists its columns"""

    dataset: str
    name: str
    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Columns(Noun):
    """Find columns by their names, old and new."""

    def column(self, key: ColumnKey) -> StoredColumn:
        """What a column is called and has as its id now, by any name that its dataset and it have or had.

        An old name leads to the column that had it until another one has it. Raises UnknownColumn; UnknownKey when
        nothing has the dataset's name.
        """
        parameters = {"tenant": self.tenant.value, **asked(key.dataset), "name": key.name}
        rows = self.sessions.call(_FIND, parameters)
        if not rows:
            raise UnknownKey(name=short_name(key.dataset), hint="see: metadata-assets datasets --all")
        (row,) = rows
        dataset = CanonicalKey.parse(row["qualified_name"])
        if row["field_id"] is None:
            raise UnknownColumn(dataset=short_name(dataset), name=shown(key.name))
        field = Field(**{name: row[name] for name in ("name", "type", "nullable", "position", "metadata")})
        return StoredColumn(
            key=ColumnKey(dataset, row["name"]),
            id=row["field_id"],
            field=field,
            former_names=tuple(row["former_names"]),
            open=row["open"],
        )

    def fields_of(self, keys: Collection[CanonicalKey]) -> dict[CanonicalKey, tuple[Field, ...]]:
        """The open columns of many assets in their order. A key of nothing, or of what has no columns, is not there.

        However many they are, one round trip.
        """
        texts = {key_text(key): key for key in keys}
        rows = self.sessions.call(_FIELDS_OF, {"tenant": self.tenant.value, "keys": sorted(texts)}) if texts else []
        found: dict[CanonicalKey, tuple[Field, ...]] = {}
        for row in rows:
            key = texts[row.pop("key")]
            found[key] = (*found.get(key, ()), Field(**row))
        return found


def close_all_fields(session: Session, things: Collection[Entity]) -> int:
    """Close every open column of some assets; how many."""
    ids = sorted(thing.id.value for thing in things)
    return session.count(_CLOSE_ALL_FIELDS, {"tenant": session.tenant_value, "ids": ids})


def rename_fields(session: Session, plan: Plan, ids: Mapping[CanonicalKey, Entity]) -> int:
    """Give columns the names that their source gave them; they keep their ids."""
    if not plan.fields_renamed:
        return 0
    parameters = {
        "tenant": session.tenant_value,
        "assets": [ids[key].id.value for _was, (key, _field) in plan.fields_renamed],
        "was": [was for was, _column in plan.fields_renamed],
        "now": [field.name for _was, (_key, field) in plan.fields_renamed],
    }
    taken = {(key, was) for was, (key, _field) in plan.fields_renamed}
    if not any((key, field.name) in taken for _was, (key, field) in plan.fields_renamed):
        return session.count(_RENAME, parameters)
    session.count(_LAY_DOWN, parameters)
    return session.count(_PICK_UP, parameters)


def write_fields(
    session: Session, plan: Plan, ids: Mapping[CanonicalKey, Entity], *, born: Collection[CanonicalKey] = ()
) -> int:
    """Write the columns that are new, changed or back. What is gone is closed before, so names are free.

    Those of what was `born` in this very transaction are for `bear_fields`.
    """
    known = (*plan.fields_changed, *plan.fields_reopened)
    created = groupby(plan.fields_created, key=itemgetter(0))
    there = [column for key, some in created if key not in born for column in some]
    if not there and not known:
        return 0
    assets = {key: ids[key].id for key in {key for key, _field in (*there, *known)}}
    parents = sorted(asset.value for asset in assets.values())
    stored = session.rows(_STORED_FIELDS, {"tenant": session.tenant_value, "assets": parents})
    names = {(row["asset_id"], row["name"]): row["field_id"] for row in stored}  # an open one last, so it stays
    taken = {row["field_id"] for row in stored}
    rows = [_field_row(assets[key], field, names[assets[key].value, field.name]) for key, field in known]
    rows += [_field_row(assets[key], field, _new_field(assets[key], field.name, taken)) for key, field in there]
    return session.count(_WRITE_FIELDS, {"tenant": session.tenant_value, "fields": Jsonb(rows)})


def fields_to_bear(plan: Plan, born: Mapping[CanonicalKey, Entity]) -> str | None:
    """The new columns of what is `born`, as `bear_fields` takes them; None where there are none.

    Column by column, not row by row: there are tens of thousands at a time.
    """
    assets = []
    for key, some in groupby(plan.fields_created, key=itemgetter(0)):
        if key not in born:
            continue
        fields = [field for _key, field in some]
        assets.append(
            {
                "asset_id": born[key].id.value.hex,
                "field_ids": column_ids(born[key].id, [field.name for field in fields]),
                "names": [field.name for field in fields],
                "types": [field.type for field in fields],
                "nullable": [field.nullable for field in fields],
                "positions": [field.position for field in fields],
                "metadata": [field.metadata for field in fields],
            }
        )
    return json.dumps(assets) if assets else None


def bear_fields(session: Session, fields: str | None) -> int:
    """Write the columns of what was born in this very transaction, so that it has none yet."""
    return session.count(_BEAR_FIELDS, {"tenant": session.tenant_value, "assets": fields}) if fields else 0


def _new_field(asset: EntityId, name: str, taken: Collection[UUID]) -> UUID:
    """The id of a column that is born now, when another one may have been born under its name."""
    first = column_id(asset, name)
    return first if first not in taken else _later(asset, name, taken)


def _later(asset: EntityId, name: str, taken: Collection[UUID]) -> UUID:
    generations = (column_id(asset, name, generation=number) for number in count(2))
    return next(identifier for identifier in generations if identifier not in taken)


def _field_row(asset: EntityId, field: Field, identifier: UUID) -> Row:
    return {
        "field_id": str(identifier),
        "asset_id": str(asset),
        "name": field.name,
        "type": field.type,
        "nullable": field.nullable,
        "position": field.position,
        "metadata": dict(field.metadata),
    }


def close_fields(session: Session, columns: Collection[Column], ids: Mapping[CanonicalKey, Entity]) -> int:
    """Close columns by their names."""
    if not columns:
        return 0
    parameters = {
        "tenant": session.tenant_value,
        "assets": [ids[key].id.value for key, _field in columns],
        "names": [field.name for _key, field in columns],
    }
    return session.count(_CLOSE_FIELDS, parameters)
