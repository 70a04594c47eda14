"""Soft references that lead nowhere, looked for from both ends. Nothing is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from identity.keys import CanonicalKey
from resources.locations import VERSIONS, location, place
from resources.tables import registry
from resources.tables.registry import REGISTRY, Connection
from resources.tables.store import TableStorage
from resources.tables.switching import ShownView, behind, called_otherwise, shown_views


@dataclass(frozen=True, slots=True)
class UnknownReference:
    """A table whose materialization the control plane does not know, and that nobody writes any more."""

    location: str
    materialization_id: UUID
    dataset: UUID


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """A view that shows another version than the published one. `key` is None for a dataset that nobody knows.

    Behind: `settle` brings it up to date. Ahead: the control plane has forgotten versions; restore it. With the version
    that is published it is called as its dataset was before: `settle(…, names=True)`.
    """

    dataset: UUID
    key: CanonicalKey | None
    view: str
    published: int
    shown: int

    @property
    def ahead(self) -> bool:
        return self.shown > self.published

    @property
    def called_otherwise(self) -> bool:
        return self.shown == self.published


@dataclass(frozen=True, slots=True, kw_only=True)
class Dangling:
    """What `doctor` lists of one endpoint."""

    endpoint: str
    unknown: tuple[UnknownReference, ...] = ()
    out_of_step: tuple[OutOfStep, ...] = ()
    orphans: tuple[str, ...] = ()
    """Locations of tables that no materialization has: `TableStorage.remove` takes them away."""
    missing: tuple[str, ...] = ()
    """Locations of materializations whose table is gone."""

    @property
    def nothing(self) -> bool:
        return not (self.unknown or self.out_of_step or self.orphans or self.missing)


_WRITTEN = f"""
SELECT schema_name, table_name, materialization_id, dataset_id, attempt_id FROM {REGISTRY}.written
WHERE tenant_id = %s ORDER BY schema_name, table_name
"""
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname LIKE %s ORDER BY 1, 2
"""
_REGISTERED = f"SELECT schema_name, table_name FROM {REGISTRY}.written"


Name = tuple[str, str]


def dangling(tables: TableStorage) -> Dangling:
    """What does not fit between this endpoint and the control plane. Raises TablesUnreachable, RegistryNotThere.

    What should be here is read before the data plane, and what is allowed to be here after it, so what is written or
    published meanwhile is not taken for a mistake.
    """
    tenant = tables.control.tenant.value
    located = set(tables.control.located_on(tables.endpoint))
    with tables.connected() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        registered = registry.exists(connection)
        if located:
            registry.require(connection, tables.endpoint)
        written = _rows(connection, _WRITTEN, [tenant]) if registered else []
        everybodys = {(schema, name) for schema, name in _rows(connection, _REGISTERED, [])} if registered else set()
        there: set[Name] = {(s, n) for s, n in _rows(connection, _TABLES, [rf"%\_\_{VERSIONS[2:]}"])}
        shown = shown_views(connection, tables)
    unknown, orphans = _astray(tables, written, there - everybodys, there)
    return Dangling(
        endpoint=tables.endpoint,
        unknown=unknown,
        out_of_step=_out_of_step(tables, shown),
        orphans=orphans,
        missing=tuple(sorted(one for one in located if _name(one) not in there)),
    )


def _rows(connection: Connection, statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode(), parameters or None).fetchall()


def _name(recorded: str) -> Name:
    schema, _dot, name = place(recorded)[1].rpartition(".")
    return schema, name


def _astray(
    tables: TableStorage, written: list[tuple[Any, ...]], unregistered: set[Name], there: set[Name]
) -> tuple[tuple[UnknownReference, ...], tuple[str, ...]]:
    """Tables that the control plane has no materialization for, and those whose materialization is somewhere else.

    Another endpoint may be in the same database, so what the control plane says of its own tables counts, too.
    """
    committed = tables.control.committed_at([row[2] for row in written])
    at = {row[:2]: location(tables.endpoint, ".".join(row[:2])) for row in written}
    astray = [row for row in written if _name(committed.get(row[2]) or "") != row[:2]]
    leased = tables.control.leased_now([row[4] for row in astray])
    astray = [row for row in astray if row[4] not in leased]
    unknown = tuple(UnknownReference(at[row[:2]], row[2], row[3]) for row in astray if row[2] not in committed)
    left = [at[row[:2]] for row in astray if row[:2] in there]
    return unknown, tuple(sorted([*left, *(location(tables.endpoint, ".".join(name)) for name in unregistered)]))


def _out_of_step(tables: TableStorage, shown: Mapping[UUID, ShownView]) -> tuple[OutOfStep, ...]:
    published = tables.control.published_versions(list(shown))
    late = {one.dataset.value for one in (*behind(tables, shown), *called_otherwise(tables, shown))}
    found = []
    for dataset, view in shown.items():
        key, number = published.get(dataset, (None, 0))
        if number < view.version or dataset in late:
            found.append(OutOfStep(dataset, key, f"{view.schema}.{view.name}", number, view.version))
    return tuple(found)
