"""What the facets of a dataset say of its columns: which ones there are, and from which columns they come.

Read from the event as it came: a facet that is too large to be kept says it too, and a column may be called `password`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from identity.credentials import scrub
from identity.errors import InvalidKey, MetadataError
from identity.keys import CanonicalKey, check_name
from metadata_assets.exporters.openlineage import KEY_FACET
from metadata_assets.importers.event_names import EventNames
from resources.lineage_records import Origin
from resources.models import Field

SCHEMA: Final = "schema"
COLUMN_LINEAGE: Final = "columnLineage"

Known = Mapping[tuple[str, str], CanonicalKey]
"""The keys of datasets by their namespace and name."""


def schema_fields(facet: Mapping[str, Any]) -> tuple[Field, ...]:
    """The columns that a schema facet has, in order; what has no name that a column can have is left out."""
    given = _said(facet)
    found: dict[str, Field] = {}
    for one in given if isinstance(given, list) else ():
        name = _name(one.get("name")) if isinstance(one, dict) else None
        if name is None or name in found:
            continue
        kind, comment = one.get("type"), one.get("description")
        found[name] = Field(
            name=name,
            type=kind if isinstance(kind, str) and kind else "unknown",
            nullable=True,
            position=len(found) + 1,
            metadata={"comment": comment} if isinstance(comment, str) and comment else {},
        )
    return tuple(found.values())


def origin_datasets(facet: object, names: EventNames) -> dict[tuple[str, str], CanonicalKey]:
    """The datasets that columns come from, as a columnLineage facet says: they need not be among the inputs."""
    found: dict[tuple[str, str], CanonicalKey] = {}
    for _column, told in _columns(facet):
        for namespace, name, origin in _inputs(told):
            if (namespace, name) not in found:
                try:
                    found[namespace, name] = names.dataset(namespace, name, origin.get(KEY_FACET))
                except MetadataError:
                    continue  # the facet is kept, and tells of this column what can be read
    return found


def column_origins(facet: Mapping[str, Any], known: Known) -> dict[str, frozenset[Origin]]:
    """From which columns of which datasets each column comes, as a columnLineage facet says."""
    found: dict[str, frozenset[Origin]] = {}
    for column, told in _columns(facet):
        if (shown := _name(column)) is not None:
            found[shown] = found.get(shown, frozenset()) | frozenset(_origins(told, known))
    return found


def _origins(told: object, known: Known) -> Iterator[Origin]:
    for namespace, name, origin in _inputs(told):
        column = _name(origin.get("field"))
        if column is not None and (namespace, name) in known:
            yield known[namespace, name], column


def _said(facet: object) -> object:
    """The fields of a facet; of one that takes back what was said there are none."""
    return facet.get("fields") if isinstance(facet, dict) and facet.get("_deleted") is not True else None


def _columns(facet: object) -> Iterator[tuple[str, object]]:
    fields = _said(facet)
    yield from fields.items() if isinstance(fields, dict) else ()


def _inputs(told: object) -> Iterator[tuple[str, str, dict[str, Any]]]:
    inputs = told.get("inputFields") if isinstance(told, dict) else None
    for one in inputs if isinstance(inputs, list) else ():
        match one:
            case {"namespace": str(namespace), "name": str(name)}:
                yield namespace, name, one


def _name(given: object) -> str | None:
    """The name of a column: as it is, be it called a secret, without one that is in it."""
    if not isinstance(given, str):
        return None
    try:
        check_name(shown := scrub(given))
    except InvalidKey:
        return None
    return shown or None
