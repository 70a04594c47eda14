"""Views of the data plane follow what a command published: the last step of each that moves readers."""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli.context import Cli, Opened
from metadata_assets.cli.exit_codes import ExitCode
from resources.locations import is_table, place

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


@dataclass(frozen=True)
class _Declared:
    """The databases that the project declares, read when somebody asks for the first one."""

    project: Path
    environment: str | None

    def location(self, endpoint: str) -> "EndpointLocation":
        """Raises EndpointNotHere, and what is wrong with the project."""
        if endpoint not in self.databases:
            raise EndpointNotHere(project=str(self.project), endpoint=endpoint)
        return self.databases[endpoint]

    @cached_property
    def databases(self) -> "Mapping[str, EndpointLocation]":
        from metadata_assets.spec import load_project
        from metadata_assets.spec.loading import METADATA_FILE

        if not (self.project / METADATA_FILE).exists():
            return {}
        endpoints = load_project(self.project, environment=self.environment).endpoints
        return {slug: one.location for slug, one in endpoints.items() if one.location.system == "postgres"}

    def among(self, endpoints: Set[str]) -> set[str]:
        """Those that are databases; none where the project cannot be read."""
        if not endpoints:
            return set()
        with suppress(MetadataError):
            return {slug for slug in endpoints if slug in self.databases}
        return set()


def follow(cli: Cli, opened: Opened, changed: Collection[Entity]) -> list[Behind]:
    """Let the views of the changed datasets show what is published; those that could not.

    Nothing is undone by that: it is published, and whoever comes by next tries again.
    """
    on: dict[str, list[Entity]] = {}
    declared = _Declared(cli.settings.project, cli.settings.environment)
    for one in changed:
        for endpoint in sorted(_databases_of(opened, one, declared)):
            on.setdefault(endpoint, []).append(one)
    return [each for endpoint, datasets in on.items() for each in _followed(opened, endpoint, datasets, declared)]


def _databases_of(opened: Opened, dataset: Entity, declared: _Declared) -> set[str]:
    """The endpoints that are databases among those where a dataset is called so or has its data.

    Nobody need have registered them: where its data are tables, that is one, or the project declares it.
    """
    places = {place(one.location) for one in opened.store.current(dataset) if one.location is not None}
    tables = {endpoint for endpoint, path in places if is_table(path)}
    slugs = {dataset.key.endpoint, *(endpoint for endpoint, _path in places)} - tables
    found = {slug: opened.store.endpoint(slug) for slug in slugs}
    registered = {slug for slug, one in found.items() if one is not None and one.system == "postgres"}
    return tables | registered | declared.among({slug for slug, one in found.items() if one is None})


def _followed(opened: Opened, endpoint: str, datasets: Sequence[Entity], declared: _Declared) -> Iterator[Behind]:
    from resources.tables.store import TableStorage
    from resources.tables.switching import settle

    try:
        location = declared.location(endpoint)
        settled = settle(TableStorage(endpoint, lambda: location.database_url(opened.databases), opened.store))
    except MetadataError as error:
        yield from (Behind(short_name(one.key), endpoint, str(error)) for one in datasets)
        return
    for one in datasets:
        try:
            settled.check([one.id])
        except MetadataError as error:
            yield Behind(short_name(one.key), endpoint, str(error))


def documents(behind: Sequence[Behind]) -> list[Mapping[str, str]]:
    return [{"name": one.dataset, "endpoint": one.endpoint, "message": one.message} for one in behind]


def told(cli: Cli, behind: Sequence[Behind]) -> ExitCode:
    """Say on stderr which views are behind; the exit code of a command that did the rest."""
    for one in behind:
        cli.complain(f"{one.dataset} is published, and its view on {one.endpoint} is behind: {one.message}")
    return ExitCode.PARTIAL if behind else ExitCode.OK
