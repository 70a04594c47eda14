"""Views of the data plane follow what a command published: the last step of each that moves readers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli.context import Cli, Opened
from metadata_assets.cli.exit_codes import ExitCode
from resources.locations import place

if TYPE_CHECKING:
    from resources.locations import EndpointLocation


class EndpointNotHere(MetadataError):
    """the project {project} does not say where the database {endpoint} is; the next run on it lets its views follow"""

    project: str
    endpoint: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


@dataclass(frozen=True, slots=True)
class Behind:
    """A dataset whose view on an endpoint still shows the version before, and why."""

    dataset: str
    endpoint: str
    message: str


def follow(cli: Cli, opened: Opened, changed: Collection[Entity]) -> list[Behind]:
    """Let the views of the changed datasets show what is published; those that could not.

    Nothing is undone by that: it is published, and whoever comes by next tries again.
    """
    on: dict[str, list[Entity]] = {}
    for one in changed:
        for endpoint in sorted(_databases_of(opened, one)):
            on.setdefault(endpoint, []).append(one)
    return [each for endpoint, datasets in on.items() for each in _followed(cli, opened, endpoint, datasets)]


def _databases_of(opened: Opened, dataset: Entity) -> set[str]:
    """The endpoints that are databases among those where a dataset is called so or has its data."""
    locations = {one.location for one in opened.store.current(dataset)}
    slugs = {dataset.key.endpoint, *(place(at)[0] for at in locations if at is not None)}
    found = (opened.store.endpoint(slug) for slug in slugs)
    return {one.slug for one in found if one is not None and one.system == "postgres"}


def _followed(cli: Cli, opened: Opened, endpoint: str, datasets: Sequence[Entity]) -> Iterator[Behind]:
    from resources.tables.store import TableStorage
    from resources.tables.switching import settle

    try:
        location = _location(cli, endpoint)
        settled = settle(TableStorage(endpoint, lambda: location.database_url(opened.databases), opened.store))
    except MetadataError as error:
        yield from (Behind(short_name(one.key), endpoint, str(error)) for one in datasets)
        return
    for one in datasets:
        try:
            settled.check([one.id])
        except MetadataError as error:
            yield Behind(short_name(one.key), endpoint, str(error))


def _location(cli: Cli, endpoint: str) -> "EndpointLocation":
    from metadata_assets.spec import load_project
    from metadata_assets.spec.loading import METADATA_FILE

    folder = cli.settings.project
    endpoints = load_project(folder).endpoints if (folder / METADATA_FILE).exists() else {}
    if endpoint not in endpoints or endpoints[endpoint].location.system != "postgres":
        raise EndpointNotHere(project=str(folder), endpoint=endpoint)
    return endpoints[endpoint].location


def documents(behind: Sequence[Behind]) -> list[Mapping[str, str]]:
    return [{"name": one.dataset, "endpoint": one.endpoint, "message": one.message} for one in behind]


def told(cli: Cli, behind: Sequence[Behind]) -> ExitCode:
    """Say on stderr which views are behind; the exit code of a command that did the rest."""
    for one in behind:
        cli.complain(f"{one.dataset} is published, and its view on {one.endpoint} is behind: {one.message}")
    return ExitCode.PARTIAL if behind else ExitCode.OK
