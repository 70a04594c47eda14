"""What an asset's metadata say of its columns: `dagster/column_schema` and `dagster/column_lineage`. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, check_name
from metadata_assets.datasets import key_of
from metadata_assets.noted import COLUMN_LINEAGE, as_text, value_of
from resources.lineage_records import Origin
from resources.metadata.told_columns import UNKNOWN, ToldColumns
from resources.models import Field

_HERE = ""
"""The scope, as long as nobody says in which code location this is."""


def columns_of(metadata: Mapping[str, Any], keys: Mapping[dg.AssetKey, CanonicalKey]) -> ToldColumns | None:
    """The columns that an asset declares, and where they come from; None where it says nothing of them.

    `keys` are those of the code location's assets; another one is called as an asset that declares no key. A column
    whose name no column can have is left out.
    """
    schema = value_of(metadata, "dagster/column_schema")
    lineage = value_of(metadata, COLUMN_LINEAGE)
    fields = _fields(schema) if isinstance(schema, dg.TableSchema) else None
    origins: dict[str, frozenset[Origin]] = {}
    if isinstance(lineage, dg.TableColumnLineage):
        for column, deps in lineage.deps_by_column.items():
            named = ((keys.get(one.asset_key) or key_of(one.asset_key, None), one.column_name) for one in deps)
            if _is_name(column) and (found := frozenset(one for one in named if _is_name(one[1]))):
                origins[column] = found
    if fields is None and not origins:
        return None
    return ToldColumns(fields=fields, origins={_HERE: origins} if origins else {})


def scoped(told: ToldColumns, code_location: str) -> ToldColumns:
    """The same, said by a code location."""
    return replace(told, origins={code_location: told.origins[_HERE]} if told.origins else {})


def columns_text(told: ToldColumns) -> list[object]:
    """All that is told as JSON, equal where it is equal."""
    fields = [[one.name, one.type, one.nullable, dict(one.metadata)] for one in told.fields or ()]
    origins = {
        column: sorted([str(key), name] for key, name in named)
        for said in told.origins.values()
        for column, named in said.items()
    }
    return [fields, origins]


def _fields(schema: dg.TableSchema) -> tuple[Field, ...]:
    named = {one.name: one for one in reversed(schema.columns) if _is_name(one.name)}
    return tuple(
        Field(
            name=one.name,
            type=as_text(one.type) or UNKNOWN,
            nullable=one.constraints.nullable,
            position=position,
            metadata={"comment": as_text(one.description)} if one.description else {},
        )
        for position, one in enumerate(reversed(named.values()), 1)
    )


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidKey:
        return False
    return bool(name)
