"""What facets say of columns: the newest schema of a dataset, and where columns come from."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, check_name, short_name
from resources.lineage_records import KEYS
from resources.metadata.told_columns import UNKNOWN, Origin, ToldColumns, bring_columns
from resources.models import Field
from resources.postgres.session import Session

NO_JOB: Final = "datasets"
"""The scope of edges between columns that no job told."""

_SAID = """
SELECT f.asset_id, f.name, f.document, j.qualified_name AS job
FROM metadata.facet f LEFT JOIN metadata.asset j ON j.tenant_id = f.tenant_id AND j.asset_id = f.said_by
WHERE f.tenant_id = %(tenant)s AND f.asset_id = ANY (%(assets)s) AND f.about = 'dataset'
  AND f.name IN ('schema', 'columnLineage')
ORDER BY f.asset_id, f.as_of DESC, f.sha256 DESC, f.facet_id
"""


def bring_facets(session: Session, assets: Collection[UUID], *, producer: str) -> tuple[int, int]:
    """Bring columns and their edges to what the facets of these datasets say; how many rows of each that wrote."""
    return bring_columns(session, assets, lambda some: _read(session, some), producer=producer, by=producer)


def _read(session: Session, assets: Collection[UUID]) -> dict[UUID, ToldColumns]:
    fields: dict[UUID, tuple[Field, ...]] = {}
    origins: dict[UUID, dict[str, Mapping[str, frozenset[Origin]]]] = {}
    for row in session.rows(_SAID, {"tenant": session.tenant_value, "assets": sorted(assets)}):
        document = {} if row["document"].get("_deleted") is True else row["document"]
        if row["name"] == "schema":
            fields.setdefault(row["asset_id"], schema_fields(document))
        else:
            scope = short_name(CanonicalKey.parse(row["job"])) if row["job"] else NO_JOB
            origins.setdefault(row["asset_id"], {}).setdefault(scope, column_origins(document))
    return {one: ToldColumns(fields=fields.get(one), origins=origins.get(one, {})) for one in {*fields, *origins}}


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


def column_origins(document: Mapping[str, Any]) -> dict[str, frozenset[Origin]]:
    """From which columns of which datasets each column comes, as a columnLineage facet and the keys in it say."""
    fields, keys = document.get("fields"), document.get(KEYS, [])
    known = {(namespace, name): CanonicalKey.parse(key) for namespace, name, key in keys}
    return {
        column: frozenset(_origins(told, known))
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
