"""`explain`: what somebody means by WHAT, and the answer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import ClassVar

from identity.errors import InvalidKey, MetadataError, shown
from identity.ids import Entity
from identity.keys import refuse_credentials
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.explained import described
from metadata_assets.cli.explained_page import drawn
from metadata_assets.cli.history import PartitionWithoutDataset, written_id
from resources.explanations import Explanation
from resources.metadata.assets import UnknownKey
from resources.metadata.materializations import NoSuchMaterialization
from resources.metadata.runs import NoSuchRun
from resources.metadata_store import MetadataStore


class OnePartition(MetadataError):
    """explain tells of one partition, not of {partitions}; ask for each"""

    partitions: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class RunNotData(MetadataError):
    """{id} is a run, no materialization; see what it did: metadata-assets runs {id}"""

    id: str
    exit_code: ClassVar[int] = ExitCode.NOT_FOUND


class PartitionTwice(MetadataError):
    """{what} says by itself what is meant; leave out --partition {partition}"""

    what: str
    partition: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def explain(cli: Cli, what: str, *, partitions: Sequence[str]) -> ExitCode:
    if len(partitions) > 1:
        raise OnePartition(partitions=", ".join(map(shown, partitions)))
    partition = partitions[0] if partitions else None
    with cli.opened() as opened:
        found = _explained(opened.store, what, partition)
    cli.show(described(found), *drawn(found))
    return ExitCode.OK


def _explained(store: MetadataStore, what: str, partition: str | None) -> Explanation:
    refuse_credentials(what, InvalidKey)  # before it is parted: a half of it would be told as a name
    identifier = written_id(what)
    if identifier is not None:
        try:
            found = store.explain(identifier)
        except NoSuchMaterialization:
            with suppress(UnknownKey):
                return _of_dataset(store, store.thing(what).entity, partition)
            with suppress(NoSuchRun):
                raise RunNotData(id=store.run(what).summary.run_id) from None
            raise
        if partition is not None:
            raise PartitionWithoutDataset(id=what)
        return found
    thing, mark, rest = _parted(store, what)
    if not mark:
        return _of_dataset(store, thing, partition)
    if partition is not None:
        raise PartitionTwice(what=what, partition=partition)
    if mark == "@":
        return store.explain_version(thing, int(rest) if rest.isascii() and rest.isdigit() else rest)
    return _of_partition(store, thing, rest)


def _parted(store: MetadataStore, what: str) -> tuple[Entity, str, str]:
    """The dataset with the longest name that the words begin with, what stands behind it (@ or /), and the rest.

    Raises UnknownKey with the names that are nearest to what a name has at most, AmbiguousKey.
    """
    for name, mark, rest in _parts(what):
        with suppress(UnknownKey, InvalidKey):
            return store.thing(name).entity, mark, rest
    shortest = what if what.startswith("mid1:") else "/".join(what.split("/")[:3]).split("@")[0]
    store.thing(shortest or what)
    raise AssertionError(what)  # it was looked up above


def _parts(what: str) -> Iterator[tuple[str, str, str]]:
    yield what, "", ""
    for place in range(len(what) - 1, 0, -1):
        if what[place] in "@/" and what[place + 1 :]:
            yield what[:place], what[place], what[place + 1 :]


def _of_dataset(store: MetadataStore, thing: Entity, partition: str | None) -> Explanation:
    """Of one without partitions what it has now; of others the partition, or else the newest version."""
    if partition is not None:
        return _of_partition(store, thing, partition)
    newest = store.materializations(thing, limit=1)
    if not newest or newest[0].partition is None:
        return _of_partition(store, thing, None)
    found = store.explain_version(thing)
    return found if found.version is not None else store.explain_partition(thing, newest[0].partition)


def _of_partition(store: MetadataStore, thing: Entity, partition: str | None) -> Explanation:
    return _with_step(thing, lambda steps: store.explain_partition(thing, partition, steps=steps))


def _with_step(thing: Entity, ask: Callable[[list[str]], Explanation]) -> Explanation:
    """What never delivered anything is tried by the step that a project would give it. Waits for Dagster only then."""
    found = ask([])
    if found.steps:
        return found
    from metadata_assets.factory import step_name

    return ask([step_name(thing.key)])
