"""What views are called: of ours, a name belongs to the dataset that is called so by now."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import CanonicalKey
from resources.locations import place
from resources.metadata_store import MetadataStore
from resources.tables.registry import REGISTRY, Connection

Name = tuple[str, str]
"""Schema and name of a view."""


class NameTaken(MetadataError):
    """{view} on the endpoint {endpoint} is there already, and not ours; nothing was written: \
call the dataset by another name, or move what is there"""

    view: str
    endpoint: str


class NameOfAnother(MetadataError):
    """{view} cannot follow version {version}: that is the view of another dataset, which is called so itself; \
rename one of the two and run again"""

    view: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A row of the registry: the view of a dataset, which is there when its version is not 0."""

    tenant: UUID
    dataset: UUID
    version: int
    schema: str
    name: str

    @property
    def view(self) -> Name:
        return self.schema, self.name


_COLUMNS: Final = "p.tenant_id, p.dataset_id, p.version, p.schema_name, p.view_name"
_LOCKED: Final = f"""
SELECT {_COLUMNS} FROM {REGISTRY}.published p
WHERE p.tenant_id = %(tenant)s AND p.dataset_id = ANY (%(datasets)s)
  OR (p.schema_name, p.view_name) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
ORDER BY p.dataset_id, p.tenant_id FOR UPDATE
"""
_HOLDER: Final = f"""
SELECT {_COLUMNS} FROM {REGISTRY}.published p WHERE p.schema_name = %s AND p.view_name = %s AND p.version > 0
"""
_SHOWN: Final = f"SELECT materializations FROM {REGISTRY}.published WHERE tenant_id = %s AND dataset_id = %s"
_ANNOUNCE: Final = f"""
INSERT INTO {REGISTRY}.published (tenant_id, dataset_id, schema_name, view_name) VALUES (%s, %s, %s, %s)
ON CONFLICT (tenant_id, dataset_id) DO NOTHING
"""
_YIELD: Final = f"""
UPDATE {REGISTRY}.published SET view_name = dataset_id::text
WHERE schema_name = %s AND view_name = %s AND version = 0 AND (tenant_id, dataset_id) <> (%s, %s)
"""
_ASIDE: Final = f"UPDATE {REGISTRY}.published SET view_name = dataset_id::text WHERE tenant_id = %s AND dataset_id = %s"


def locked(
    connection: Connection, tenant: UUID, datasets: Collection[UUID], names: Collection[Name]
) -> list[Registered]:
    """The rows of datasets, and of whoever else has these names, kept until the transaction ends.

    Always in the order of their ids, so that of two who need the same ones neither waits for the other in turn.
    """
    schemas, views = [one[0] for one in names], [one[1] for one in names]
    parameters = {"tenant": tenant, "datasets": list(datasets), "schemas": schemas, "names": views}
    return [_registered(*row) for row in connection.execute(_LOCKED.encode(), parameters).fetchall()]


def announce(connection: Connection, endpoint: str, control: MetadataStore, entity: Entity) -> None:
    """The dataset has a row of its own before its first version: whoever looks what is behind finds it.

    Raises NameTaken where its name is not free. It is when the view that has it belongs to a dataset that is called
    otherwise by now, or the one that asks is: the next switch sees to both.
    """
    view = entity.key.schema or "", entity.key.table
    tenant, dataset = entity.tenant.value, entity.id.value
    row = connection.execute(_HOLDER.encode(), view).fetchone()
    holder = None if row is None else _registered(*row)
    if holder is None:
        there = "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text)) IS NOT NULL"
        taken = connection.execute(there, view).fetchone() == (True,)
    else:
        own = Registered(tenant=tenant, dataset=dataset, version=0, schema=view[0], name=view[1])
        givers = (one for one in (holder, own) if gives_up(connection, endpoint, control, one))
        taken = (holder.tenant, holder.dataset) != (tenant, dataset) and not any(givers)
    if taken:
        raise NameTaken(view=".".join(view), endpoint=endpoint)
    give_way(connection, view, tenant, dataset)
    name = view[1] if holder is None else str(dataset)
    connection.execute(_ANNOUNCE.encode(), [tenant, dataset, view[0], name])


def give_way(connection: Connection, view: Name, tenant: UUID, dataset: UUID) -> None:
    """Let the dataset have the name. Who has shown nothing yet keeps none: it may be called otherwise by now."""
    connection.execute(_YIELD.encode(), [*view, tenant, dataset])


def set_aside(connection: Connection, holder: Registered) -> None:
    """Let the registry say that a dataset's view is called by its id."""
    connection.execute(_ASIDE.encode(), [holder.tenant, holder.dataset])


def gives_up(connection: Connection, endpoint: str, control: MetadataStore, holder: Registered) -> bool:
    """Whether the dataset of a view is ours and called otherwise by now, or moved away and left the view behind."""
    key = _key(control, holder)
    if key is not None and key.endpoint == endpoint:
        return (key.schema, key.table) != holder.view
    return left_behind(connection, endpoint, control, holder)


def left_behind(connection: Connection, endpoint: str, control: MetadataStore, holder: Registered) -> bool:
    """Whether the dataset of a view is ours and on another endpoint by now, and the view shows tables of this one."""
    key = _key(control, holder)
    if key is None or key.endpoint == endpoint:
        return False
    row = connection.execute(_SHOWN.encode(), [holder.tenant, holder.dataset]).fetchone()
    at = control.committed_at(row[0] if row else [])
    return bool(at) and {place(one or "")[0] for one in at.values()} == {endpoint}


def _key(control: MetadataStore, holder: Registered) -> CanonicalKey | None:
    if holder.tenant != control.tenant.value:
        return None
    return control.published_versions([holder.dataset]).get(holder.dataset, (None, 0))[0]


def _registered(tenant: UUID, dataset: UUID, version: int, schema: str, name: str) -> Registered:
    return Registered(tenant=tenant, dataset=dataset, version=version, schema=schema, name=name)
