"""What facets say of columns: the newest schema of a dataset, and where columns come from."""

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from identity.keys import CanonicalKey, short_name
from resources.lineage_records import Facet, Origin
from resources.metadata.told_columns import ToldColumns, bring_columns
from resources.models import Field
from resources.postgres.session import Session

NO_JOB: Final = "datasets"
"""The scope of edges between columns that no job told."""

MATERIALIZED: Final = "materialization"
"""The producer of edges between columns that materializations told."""
MATERIALIZED_LINEAGE: Final = "dagster/column_lineage"
MATERIALIZED_SCHEMA: Final = "dagster/column_schema"

_SAID = """
SELECT f.asset_id, f.name, f.columns, j.qualified_name AS job
FROM metadata.facet f LEFT JOIN metadata.asset j ON j.tenant_id = f.tenant_id AND j.asset_id = f.said_by
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s) AND f.about = 'dataset' AND f.columns IS NOT NULL
  AND (f.name = ANY (%(materialized)s)) = %(by_materialization)s
ORDER BY f.asset_id, f.as_of DESC, f.sha256 DESC, f.facet_id
"""


def bring_facets(session: Session, assets: Collection[UUID], *, producer: str, names_held: bool) -> tuple[int, int]:
    """Bring columns and their edges to what the facets of these datasets say; how many rows of each that wrote."""

    def read(some: Collection[UUID]) -> dict[UUID, ToldColumns]:
        return _read(session, some, producer)

    return bring_columns(session, assets, read, producer=producer, by=producer, names_held=names_held)


def column_words(one: Facet) -> Any:
    """What a facet says of columns as it is kept: a list where it is a schema, by columns where they come from."""
    if one.fields is not None:
        return [[column.name, column.type, column.metadata.get("comment")] for column in one.fields]
    if one.origins is not None:
        return {column: [[str(key), name] for key, name in sorted(origins)] for column, origins in one.origins.items()}
    return None


def _read(session: Session, assets: Collection[UUID], producer: str) -> dict[UUID, ToldColumns]:
    fields: dict[UUID, tuple[Field, ...]] = {}
    origins: dict[UUID, dict[str, Mapping[str, frozenset[Origin]]]] = {}
    given = {
        "tenant": session.tenant_value,
        "assets": sorted(assets),
        "materialized": [MATERIALIZED_LINEAGE, MATERIALIZED_SCHEMA],
        "by_materialization": producer == MATERIALIZED,
    }
    for row in session.rows(_SAID, given):
        if isinstance(row["columns"], list):
            fields.setdefault(row["asset_id"], tuple(_fields(row["columns"])))
        else:
            scope = short_name(CanonicalKey.parse(row["job"])) if row["job"] else NO_JOB
            origins.setdefault(row["asset_id"], {}).setdefault(scope, _origins(row["columns"]))
    return {one: ToldColumns(fields=fields.get(one), origins=origins.get(one, {})) for one in {*fields, *origins}}


def _fields(columns: list[Any]) -> list[Field]:
    return [
        Field(name=name, type=kind, nullable=True, position=position, metadata={"comment": comment} if comment else {})
        for position, (name, kind, comment) in enumerate(columns, 1)
    ]


def _origins(columns: Mapping[str, Any]) -> dict[str, frozenset[Origin]]:
    return {
        column: frozenset((CanonicalKey.parse(key), name) for key, name in some) for column, some in columns.items()
    }
