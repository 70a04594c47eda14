"""`materializations`, `materialization show` and `versions`."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar
from uuid import UUID

from rich.console import RenderableType

from identity.errors import MetadataError, shown
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli import records
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.moments import version_meant
from metadata_assets.cli.output import printable, table
from metadata_assets.cli.provenance import described, drawn, trace
from resources.metadata.assets import UnknownKey
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata_store import MetadataStore
from resources.models import UNPARTITIONED, Materialization, Version


class NotMaterialized(MetadataError):
    """{dataset} has no materialization{of_partition}"""

    dataset: str
    of_partition: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class PartitionWithoutDataset(MetadataError):
    """--partition goes with a dataset; {id} names a materialization, which has one partition"""

    id: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class PartitionNeeded(MetadataError):
    """{dataset} has {count} partitions; say which with --partition, for example --partition {example}"""

    dataset: str
    count: int
    example: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class DatasetNeeded(MetadataError):
    """say which dataset, or search all of them by what they noted with --with KEY; --partition goes with a dataset"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def list_materializations(
    cli: Cli, name: str | None, *, partition: str | None, having: str | None, limit: int
) -> ExitCode:
    if name is None and (having is None or partition is not None):
        raise DatasetNeeded
    with cli.opened() as opened:
        store = opened.store
        thing = None if name is None else store.thing(name).entity
        if having is not None:
            noted, value = _noted(having)
            found = store.materializations_with(noted, value, dataset=thing, partition=partition, limit=limit)
        elif thing is not None:
            found = store.materializations(thing, partition=partition, limit=limit)
    cli.show([records.materialization(one) for one in found], _materializations(thing, found))
    return ExitCode.OK


def _noted(text: str) -> tuple[str, object]:
    """What KEY or KEY=VALUE asks for: a VALUE that is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not equals:
        return name, ...
    try:
        return name, json.loads(value, parse_constant=str)
    except ValueError:
        return name, value


def _materializations(of: Entity | None, found: Sequence[Materialization]) -> RenderableType:
    name = None if of is None else printable(short_name(of.key))
    if not found:
        return f"{name} has no such materializations" if name else "there are no such materializations"
    named = () if name else ("dataset",)
    columns = (
        *named,
        "committed",
        "partition",
        "id",
        "rows",
        "bytes",
        "run",
        "code",
        "version",
        "state",
        "redelivered",
    )
    title = f"Materializations of {name}" if name else "Materializations"
    return table(title, columns, ((*((short_name(one.key),) if named else ()), *_cells(one)) for one in found))


def _cells(one: Materialization) -> Sequence[object]:
    return (
        one.committed_at,
        one.partition,
        one.id,
        one.row_count,
        one.byte_count,
        one.run_id[:8],
        one.code_version,
        one.published_in,
        state_of(one),
        one.redeliveries or None,
    )


def state_of(one: Materialization) -> str:
    """Whether readers get it, got it, or never did."""
    if one.current:
        return "published"
    return "not published" if one.published_in is None else "replaced"


def show_materialization(cli: Cli, which: str, *, partition: str | None, depth: int | None) -> ExitCode:
    with cli.opened() as opened:
        start = _materialization(opened.store, which, partition)
        found = trace(opened.store, start or _latest(opened.store, which, partition), depth=depth)
    cli.show(described(found), drawn(found))
    return ExitCode.OK


def _materialization(store: MetadataStore, which: str, partition: str | None) -> UUID | None:
    """The materialization that has this id; None where the text is a name, or an id of a dataset."""
    identifier = written_id(which)
    if identifier is None:
        return None
    try:
        start = store.materialization(identifier).id
    except NoSuchMaterialization:
        with suppress(UnknownKey):
            store.thing(which)
            return None
        raise
    if partition is not None:
        raise PartitionWithoutDataset(id=str(start))
    return start


def written_id(which: str) -> UUID | None:
    """The id that somebody wrote; None where it is a name."""
    try:
        return UUID(which)
    except ValueError:
        return None


def _latest(store: MetadataStore, name: str, partition: str | None) -> UUID:
    """What readers get for the partition, or the newest materialization where nothing is published."""
    thing = store.thing(name).entity
    key = thing.key
    current = store.current(thing, None if partition is None else [partition])
    partitions = [one.partition for one in current if one.partition is not None]
    if partition is None and partitions:
        raise PartitionNeeded(dataset=short_name(key), count=len(partitions), example=partitions[-1])
    if current:
        return current[0].materialization_id
    newest = store.materializations(thing, partition=partition, limit=1)
    if not newest:
        of = f" of partition {shown(partition)}" if partition not in (None, UNPARTITIONED) else ""
        raise NotMaterialized(dataset=short_name(key), of_partition=of)
    return newest[0].id


def list_versions(cli: Cli, name: str, *, at: str | None, limit: int) -> ExitCode:
    meant = version_meant(at)
    with cli.opened() as opened:
        thing = opened.store.thing(name).entity
        until = None if meant is None else opened.store.version_at(thing, meant)
        found = opened.store.versions(thing, until=until, limit=limit)
    cli.show([records.version(one) for one in found], _versions(short_name(thing.key), found))
    return ExitCode.OK


def _versions(name: str, found: Sequence[Version]) -> RenderableType:
    if not found:
        return f"{printable(name)} has no published version"
    columns = ("version", "published", "changed", "partitions", "rows", "by", "kind", "restored", "release", "why")
    cells = (
        (
            one.number,
            one.published_at,
            one.partitions_changed,
            one.partitions,
            one.row_count,
            one.actor,
            one.kind,
            one.restored,
            one.release,
            one.reason,
        )
        for one in found
    )
    return table(f"Versions of {printable(name)}", columns, cells)
