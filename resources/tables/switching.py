"""Bringing views up to what is published: the control plane has decided, the data plane follows.

Datasets that were published together are switched in one transaction, in which the registry says so too. A switch never
goes back: whoever comes late with an older version finds a newer one and does nothing. So it may be done by anybody, at
any time, any number of times: by the step that published, by the next one on this endpoint, by a command.
"""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from psycopg import errors
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from identity.errors import MetadataError
from identity.ids import EntityId
from resources.locations import place
from resources.metadata.data_plane import PublishedDataset
from resources.tables import registry
from resources.tables.names import Name, NameOfAnother, Registered, give_way, gives_up, left_behind, locked, set_aside
from resources.tables.registry import REGISTRY, Connection
from resources.tables.store import TableStorage
from resources.tables.views import Part, View, check_unused, rename, show

LOCK_MILLISECONDS: Final = 500
"""So long a switch waits for readers at once: new ones wait behind it. Less than PostgreSQL's deadlock_timeout, so that
of a reader and a short switch that wait for each other it is the switch that gives way."""
DEADLINE_SECONDS: Final = 30.0
_PLANS: Final = 10
"""So often it is planned anew what belongs together, when datasets are renamed before it is switched."""


class ViewBusy(MetadataError):
    """{views} on the endpoint {endpoint} could not follow what is published: readers kept them open for {seconds} \
seconds; they stay at the version before, and the next run on this endpoint tries again"""

    views: str
    endpoint: str
    seconds: int


class NamesChange(MetadataError):
    """{views} on the endpoint {endpoint} could not follow what is published: datasets are being renamed; they stay at \
the version before: run again, and when it stays so, see: metadata-assets doctor"""

    views: str
    endpoint: str


class TablesMissing(MetadataError):
    """{view} cannot follow version {version}: the endpoint {endpoint} has no table for {missing}; \
it stays at the version before: restore the tables, or materialize these partitions again"""

    view: str
    version: int
    endpoint: str
    missing: str


class LoginRefused(MetadataError):
    """the login of the endpoint {endpoint} may not change {views}; let it own the schema and the views"""

    endpoint: str
    views: str


class ViewRefused(MetadataError):
    """{views} on the endpoint {endpoint} could not follow what is published: PostgreSQL refused it ({reason}); \
they stay at the version before: see its log, and run again"""

    views: str
    endpoint: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A view that shows another version now. `before` is 0 where there was none."""

    dataset: EntityId
    view: str
    before: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownView:
    """What the registry says of a view: 0 where there is none yet."""

    version: int
    schema: str
    name: str

    @property
    def view(self) -> Name:
        return self.schema, self.name


@dataclass(frozen=True, slots=True)
class Refused:
    """Datasets, published together, whose views could not follow, and why."""

    datasets: tuple[EntityId, ...]
    error: MetadataError


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of what was behind. The rest was up to date."""

    switched: tuple[Switched, ...] = ()
    refused: tuple[Refused, ...] = ()

    def check(self, datasets: Collection[EntityId]) -> None:
        """Raise what kept one of these datasets behind."""
        for one in self.refused:
            if set(one.datasets) & set(datasets):
                raise one.error


def settle(tables: TableStorage, *, deadline_seconds: float = DEADLINE_SECONDS, names: bool = False) -> Settled:
    """Switch every view of this endpoint that is behind what is published; one transaction for what belongs together.

    A view takes the name that its dataset has by now, together with those that have that name or take its own; with
    `names` also views that are not behind. Idempotent and monotonic. What cannot follow stays whole at the version
    before, and holds up nothing but what was published with it or waits for its name. Raises TablesUnreachable, and
    what the control plane raises.
    """
    switched: list[Switched] = []
    refused: list[Refused] = []
    with tables.connected() as connection:
        for _ in range(_PLANS):
            with connection.transaction():
                shown = shown_views(connection, tables)
            refused.clear()
            for group in _groups(tables, shown, names=names):
                try:
                    switched += _switched(connection, tables, group, deadline_seconds)
                except MetadataError as error:
                    connection.rollback()
                    refused.append(Refused(tuple(one.dataset for one in group), error))
            if not any(isinstance(one.error, NamesChange) for one in refused):
                break
    return Settled(tuple(switched), tuple(refused))


def _groups(tables: TableStorage, shown: Mapping[UUID, ShownView], *, names: bool) -> list[list[PublishedDataset]]:
    """What is to be switched: what is behind, with those that its names concern; with `names` all called otherwise."""
    late = behind(tables, shown)
    ids = {one.dataset for one in late}
    holders = {view.view: dataset for dataset, view in shown.items() if view.version}
    if not names and all(
        holders.get(_wanted(one), one.dataset.value) == one.dataset.value and not _changes_name(one, shown)
        for one in late
    ):
        return together(late, shown)
    others = [one for one in called_otherwise(tables, shown) if one.dataset not in ids]
    groups = together([*late, *others], shown)
    return [group for group in groups if names or any(one.dataset in ids for one in group)]


def _wanted(one: PublishedDataset) -> Name:
    return one.key.schema or "", one.key.table


def _changes_name(one: PublishedDataset, shown: Mapping[UUID, ShownView]) -> bool:
    present = shown[one.dataset.value]
    return present.version > 0 and present.view != _wanted(one)


def together(datasets: Sequence[PublishedDataset], shown: Mapping[UUID, ShownView]) -> list[list[PublishedDataset]]:
    """The datasets in groups: whatever one publish moved is in one group, with all that other publishes tie to it.

    So is whoever wants a name that another one's view has.
    """
    groups: list[tuple[set[str | Name], list[PublishedDataset]]] = []
    for dataset in datasets:
        ties: set[str | Name] = {*dataset.publishes, _wanted(dataset)}
        if shown[dataset.dataset.value].version:
            ties.add(shown[dataset.dataset.value].view)
        members = [dataset]
        apart = []
        for others, theirs in groups:
            if others & ties:
                ties |= others
                members = [*theirs, *members]
            else:
                apart.append((others, theirs))
        groups = [*apart, (ties, members)]
    return [members for _ties, members in groups]


def behind(tables: TableStorage, shown: Mapping[UUID, ShownView]) -> list[PublishedDataset]:
    """What the control plane has published beyond what is shown. A dataset that moved to another endpoint is not."""
    return _published_after(tables, {dataset: view.version for dataset, view in shown.items()})


def called_otherwise(tables: TableStorage, shown: Mapping[UUID, ShownView]) -> list[PublishedDataset]:
    """What is shown as it is published, by a view with a name that its dataset does not have any more."""
    names = tables.control.published_versions([one for one, view in shown.items() if view.version])
    late = {
        dataset: number - 1
        for dataset, (key, number) in names.items()
        if key.endpoint == tables.endpoint
        and number == shown[dataset].version
        and (key.schema, key.table) != shown[dataset].view
    }
    return _published_after(tables, late)


def _published_after(tables: TableStorage, versions: Mapping[UUID, int]) -> list[PublishedDataset]:
    return [
        one
        for one in (tables.control.published_after(versions) if versions else [])
        if not one.partitions or any(place(part.location)[0] == tables.endpoint for part in one.partitions)
    ]


def shown_views(connection: Connection, tables: TableStorage) -> dict[UUID, ShownView]:
    """The views of this tenant, by the dataset's id, in the order of their names."""
    if not registry.exists(connection):
        return {}
    rows = connection.execute(_SHOWN.encode(), [tables.control.tenant.value]).fetchall()
    return {row[0]: ShownView(version=row[1], schema=row[2], name=row[3]) for row in rows}


_MEANWHILE: Final = (errors.LockNotAvailable, errors.DeadlockDetected)


def _switched(
    connection: Connection, tables: TableStorage, group: Sequence[PublishedDataset], deadline_seconds: float
) -> list[Switched]:
    asking = Retrying(
        retry=retry_if_exception_type((*_MEANWHILE, errors.UniqueViolation)),  # a name announced meanwhile
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        stop=stop_after_delay(deadline_seconds),
        reraise=True,
    )
    names = _listed(group)
    try:
        with connection.transaction():
            for schema in {one.key.schema for one in group if one.key.schema}:
                registry.prepare(connection, tables.endpoint, schema)
        return asking(_switch, connection, tables, group)
    except _MEANWHILE:
        raise ViewBusy(views=names, endpoint=tables.endpoint, seconds=round(deadline_seconds)) from None
    except errors.InsufficientPrivilege:
        raise LoginRefused(endpoint=tables.endpoint, views=names) from None
    except psycopg.Error as error:
        if connection.closed:  # what is no fault of this group is told as such
            raise
        raise ViewRefused(views=names, endpoint=tables.endpoint, reason=type(error).__name__) from None


_SHOWN = f"""
SELECT p.dataset_id, p.version, p.schema_name, p.view_name FROM {REGISTRY}.published p
WHERE p.tenant_id = %s ORDER BY p.schema_name, p.view_name, p.dataset_id
"""
_PARTS = f"""
SELECT w.schema_name, w.table_name, w.materialization_id, w.manifest FROM {REGISTRY}.written w
JOIN unnest(%s::text[], %s::text[]) AS k (schema_name, table_name) USING (schema_name, table_name)
WHERE w.tenant_id = %s AND to_regclass(format('%%I.%%I', w.schema_name, w.table_name)) IS NOT NULL
"""
_SHOW = f"""
UPDATE {REGISTRY}.published SET version = %(version)s, materializations = %(materializations)s,
  schema_name = %(schema)s, view_name = %(view)s, switched_at = clock_timestamp()
WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s AND version <= %(version)s
"""


def _switch(connection: Connection, tables: TableStorage, group: Sequence[PublishedDataset]) -> list[Switched]:
    """All datasets of a group, or none: one transaction."""
    tenant = tables.control.tenant.value
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
        rows = locked(connection, tenant, [one.dataset.value for one in group], [_wanted(one) for one in group])
        own = {row.dataset: row for row in rows if row.tenant == tenant}
        _check_names(tables, group, rows)
        moving = [one for one in group if _is_to_move(one, own[one.dataset.value])]
        before = _made_way(connection, tables, moving, rows)
        done = []
        for one in random.sample(
            moving, len(moving)
        ):  # readers lock views in an order of theirs: some order suits them
            row = own[one.dataset.value]
            view = _view(connection, tables, one)
            show(connection, view, before[row.dataset] if row.version else None)
            give_way(connection, (view.schema, view.name), tenant, row.dataset)
            connection.execute(
                _SHOW.encode(),
                {
                    "tenant": tenant,
                    "dataset": row.dataset,
                    "version": one.version,
                    "materializations": [part.materialization_id for part in one.partitions],
                    "schema": view.schema,
                    "view": view.name,
                },
            )
            done.append(Switched(dataset=one.dataset, view=view.shown, before=row.version, version=one.version))
    return done


def _is_to_move(one: PublishedDataset, row: Registered) -> bool:
    return row.version <= one.version and (row.version, *row.view) != (one.version, *_wanted(one))


def _check_names(tables: TableStorage, group: Sequence[PublishedDataset], rows: Sequence[Registered]) -> None:
    """Where names change hands, the datasets are still called as in the group, now that the rows are kept.

    Otherwise NamesChange: other datasets may belong to the group by now.
    """
    tenant = tables.control.tenant.value
    wanted = {one.dataset.value: _wanted(one) for one in group}
    holds = {row.view: row.dataset for row in rows if row.version}
    own = [row for row in rows if row.tenant == tenant and row.version and row.dataset in wanted]
    if all(row.view == wanted[row.dataset] for row in own) and all(
        holds.get(view, dataset) == dataset for dataset, view in wanted.items()
    ):
        return
    keys = tables.control.published_versions(list(wanted))
    if any(keys[one.dataset.value][0] != one.key for one in group):
        raise NamesChange(views=_listed(group), endpoint=tables.endpoint)


def _listed(group: Sequence[PublishedDataset]) -> str:
    return ", ".join(f"{one.key.schema}.{one.key.table}" for one in group)


def _made_way(
    connection: Connection, tables: TableStorage, moving: Sequence[PublishedDataset], rows: Sequence[Registered]
) -> dict[UUID, Name]:
    """Call views by their datasets' ids where another one needs their name; what the views of these are called now."""
    wanted = {_wanted(one): one for one in moving}
    movers = {one.dataset.value: one for one in moving}
    called = {}
    for row in random.sample(rows, len(rows)):
        called[row.dataset] = row.view
        taker = wanted.get(row.view)
        if not row.version or taker is None or taker.dataset.value == row.dataset:
            continue
        mover = movers.get(row.dataset)
        if mover is not None:
            check_unused(connection, row.view, mover.version, f"its name becomes {'.'.join(_wanted(mover))}")
        elif left_behind(connection, tables.endpoint, tables.control, row):
            set_aside(connection, row)
        elif gives_up(connection, tables.endpoint, tables.control, row):
            raise NamesChange(views=".".join(row.view), endpoint=tables.endpoint)
        else:
            raise NameOfAnother(view=".".join(row.view), version=taker.version)
        called[row.dataset] = (row.schema, str(row.dataset))
        rename(connection, row.view, str(row.dataset))
    return called


def _view(connection: Connection, tables: TableStorage, one: PublishedDataset) -> View:
    key = one.key
    paths = [place(part.location)[1].rpartition(".") for part in one.partitions]
    schemas, names = [path[0] for path in paths], [path[2] for path in paths]
    rows = connection.execute(_PARTS.encode(), [schemas, names, tables.control.tenant.value]).fetchall()
    found = {(schema, name): json.loads(manifest) for schema, name, _id, manifest in rows}
    shown = f"{key.schema}.{key.table}"
    missing = [
        part.location
        for part, schema, name in zip(one.partitions, schemas, names, strict=True)
        if place(part.location)[0] != tables.endpoint or (schema, name) not in found
    ]
    if missing or key.schema is None:
        few = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise TablesMissing(view=shown, version=one.version, endpoint=tables.endpoint, missing=few or "its schema")
    return View(
        schema=key.schema,
        name=key.table,
        version=one.version,
        parts=[
            Part(
                partition=part.partition,
                path=(schema, name),
                columns=[(c["name"], c["arrow"], c["postgres"]) for c in found[schema, name]["columns"]],
            )
            for part, schema, name in zip(one.partitions, schemas, names, strict=True)
        ],
    )
