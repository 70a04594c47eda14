"""What every act stands on: the project, its stores, its job and the Dagster instance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from rich.console import Console, RenderableType

from identity.keys import CanonicalKey
from metadata_assets import GraphStore, MetadataResource, MetadataStore, SourceTable, dataset_key, load_project
from metadata_assets.spec import Dataset, Project
from resources.settings import Settings
from showcase.job import definitions_of, job_of, reexecuted_job_of

FLIGHTS = dataset_key("lake", schema="nyc", table="flights")
WEATHER = dataset_key("lake", schema="nyc", table="weather")
DAILY_DELAYS = dataset_key("lake", schema="nyc", table="daily_delays")
CARRIER_MONTH = dataset_key("lake", schema="nyc", table="carrier_month")
DAILY = (FLIGHTS, WEATHER, DAILY_DELAYS)
EVERYTHING = (*DAILY, CARRIER_MONTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One demo's surroundings. `say` and `show` write for people; nothing else does."""

    settings: Settings
    project: Project
    metadata: MetadataResource
    instance: dg.DagsterInstance
    console: Console

    @property
    def store(self) -> MetadataStore:
        return self.metadata.store()

    @property
    def graph(self) -> GraphStore:
        return self.metadata.graph()

    @property
    def job(self) -> dg.JobDefinition:
        return job_of(str(self.project.folder))

    @property
    def reexecuted_job(self) -> dg.JobDefinition:
        return reexecuted_job_of(str(self.project.folder))

    @property
    def definitions(self) -> dg.Definitions:
        return definitions_of(str(self.project.folder))

    def dataset(self, key: CanonicalKey) -> Dataset:
        """A dataset that this project declares."""
        found = self.project.dataset(key)
        assert found is not None
        return found

    def source(self, endpoint: str, table: str) -> SourceTable:
        """A table of an airport's database, to be asked directly."""
        location = self.metadata.location(endpoint)
        key = dataset_key(endpoint, source=location.database, schema="public", table=table)
        return SourceTable(key, lambda: location.database_url(self.metadata.databases()), lambda _: None)

    def say(self, line: str = "", style: str = "") -> None:
        self.console.print(line, style=style, markup=False, soft_wrap=True)

    def title(self, line: str) -> None:
        self.say()
        self.say(line, style="bold cyan")

    def show(self, *parts: RenderableType) -> None:
        for part in parts:
            self.console.print(part)


@contextmanager
def on_stage(settings: Settings, console: Console) -> Iterator[Stage]:
    """Load the project and open Dagster's instance. The databases are opened when the stores are first used.

    Dagster reads its own settings from this process's environment, which `metadata-assets demo` has prepared.
    """
    project = load_project(settings.project)
    declared = (definitions_of(str(project.folder)).resources or {})["metadata"]
    assert isinstance(declared, MetadataResource)
    with dg.DagsterInstance.get() as instance:
        yield Stage(
            settings=settings,
            project=project,
            metadata=MetadataResource(endpoints=declared.endpoints),
            instance=instance,
            console=console,
        )
