"""Whether a dataset may have more partitions: its view has a table for each, and is read more slowly with each."""

from collections.abc import Collection
from typing import ClassVar, Final

from identity.errors import MetadataError
from identity.ids import Entity
from resources.locations import MOST_PARTITIONS
from resources.models import UNPARTITIONED
from resources.tables import registry
from resources.tables.registry import REGISTRY, Connection

_THERE: Final = f"SELECT DISTINCT partition_key FROM {REGISTRY}.written WHERE tenant_id = %s AND dataset_id = %s"


class TooManyPartitions(MetadataError):
    """{view} on the endpoint {endpoint} has {there} partitions, and with {more} more would have over {most}, the most \
that its view can show; nothing was recorded: what it has published stays, however it is divided now, so declare it \
under another name with coarser partitions, or on an endpoint of files"""

    view: str
    endpoint: str
    there: int
    more: int
    most: int = MOST_PARTITIONS
    exit_code: ClassVar[int] = 2


def admit(connection: Connection, endpoint: str, entity: Entity, partitions: Collection[str | None]) -> None:
    """Raise TooManyPartitions where the dataset would have too many with these.

    Whatever is written may be shown. What waits or was left behind counts until it is collected; a partition that is
    published is not collected, so it counts for as long as it is. Steps that write at the same time do not see each
    other, so a few more may come in.
    """
    there: set[str] = set()
    if registry.exists(connection):
        rows = connection.execute(_THERE.encode(), [entity.tenant.value, entity.id.value]).fetchall()
        there = {row[0] for row in rows}
    more = {one or UNPARTITIONED for one in partitions} - there
    if more and len(there) + len(more) > MOST_PARTITIONS:
        view = f"{entity.key.schema}.{entity.key.table}"
        raise TooManyPartitions(view=view, endpoint=endpoint, there=len(there), more=len(more))
