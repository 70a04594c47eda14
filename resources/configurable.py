"""The stores as a Dagster resource. The only module of this package that imports Dagster."""

import atexit
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import sqlalchemy as sa
from pydantic import PrivateAttr

from identity.errors import MetadataError
from identity.keys import CanonicalKey
from resources import failpoints
from resources.locations import EndpointLocation, System, root_of
from resources.models import PARTITION, Endpoint
from resources.postgres.databases import Databases
from resources.postgres.engine import app_engine
from resources.postgres.session import Sessions
from resources.settings import Settings
from resources.step_store import StepStore

if TYPE_CHECKING:  # every step of an adopted project would wait for these, each in its own process
    from upath import UPath

    from resources.graph_store import GraphStore
    from resources.metadata_store import MetadataStore
    from resources.storage import Storage
    from resources.tables.store import TableStorage
    from resources.version_records import At, Frame


class UnknownEndpoint(MetadataError):
    """there is no endpoint {slug} in this project; it has {known}"""

    slug: str
    known: str


class EndpointConfig(dg.Config):
    """An endpoint as Dagster's UI may show it: references to secrets, never a secret."""

    system: System
    url: str | None = None
    database: str | None = None
    root: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a process keeps open: where the databases are, and transactions over one connection pool."""

    databases: Databases
    sessions: Sessions


_engines: list[sa.Engine] = []


@lru_cache(maxsize=8)
def open_once(settings: Settings, actor: str, locations: tuple[EndpointLocation, ...]) -> Opened:
    """Find the store and register the project's endpoints; the second call with the same arguments is free.

    The data plane is looked for when an endpoint is on it.

    Raises DatabaseUnreachable, DatabaseTooOld, SchemaNotCurrent, TenantUnknown, EndpointAliasRefused.
    """
    databases = Databases(settings)
    engine = app_engine(databases.metadata)
    sessions = Sessions(engine, settings.tenant, actor)
    try:
        _register(sessions, locations)
    except BaseException:
        engine.dispose()  # a sensor tries again and again
        raise
    _engines.append(engine)
    return Opened(databases, sessions)


def _register(sessions: Sessions, locations: Sequence[EndpointLocation]) -> None:
    if locations:
        from resources.metadata.endpoint_aliases import EndpointAliases

        EndpointAliases(sessions).register_endpoints(
            Endpoint(slug=one.slug, system=one.system, attributes=one.attributes()) for one in locations
        )


@atexit.register
def close_all() -> None:
    """Close what this process keeps open. The next use opens it again."""
    for engine in _engines:
        engine.dispose()
    _engines.clear()
    open_once.cache_clear()


class MetadataResource(dg.ConfigurableResource["MetadataResource"]):
    """Both stores and the whereabouts of the project's endpoints, opened when first used and kept by the process.

    Where the databases are is read from the environment of the process that uses it, so no URL is in any run config.
    """

    endpoints: dict[str, EndpointConfig] = {}
    actor: str = "dagster"
    project: str | None = None
    """The folder that relative paths of endpoints begin in; that of METADATA_PROJECT where it is not said."""
    _settings: Settings | None = PrivateAttr(default=None)

    def settings(self) -> Settings:
        """The settings of this process."""
        if self._settings is None:
            found = Settings.from_env(os.environ, cwd=Path.cwd())
            self._settings = found if self.project is None else replace(found, project=Path(self.project))
            failpoints.arm(self._settings.failpoint)
        return self._settings

    def anew(self) -> "MetadataResource":
        """The same for another run or tick, as Dagster makes it: it reads the environment again."""
        return MetadataResource(endpoints=self.endpoints, actor=self.actor, project=self.project)

    def databases(self) -> Databases:
        """Where this process's databases are. The URLs may hold passwords."""
        return self._opened().databases

    def store(self) -> "MetadataStore":
        """The metadata store of this process's tenant."""
        from resources.metadata_store import MetadataStore

        return MetadataStore(self._opened().sessions)

    def step_store(self) -> StepStore:
        """The part of it that every step asks."""
        return StepStore(self._opened().sessions)

    def graph(self) -> "GraphStore":
        """The graph store of this process's tenant."""
        from resources.graph_store import GraphStore

        return GraphStore(self._opened().sessions)

    def locations(self) -> list[EndpointLocation]:
        """The endpoints of the project, by slug."""
        return [self.location(slug) for slug in sorted(self.endpoints)]

    def location(self, slug: str) -> EndpointLocation:
        """One endpoint of the project. Raises UnknownEndpoint."""
        if slug not in self.endpoints:
            raise UnknownEndpoint(slug=slug, known=", ".join(sorted(self.endpoints)) or "none")
        config = self.endpoints[slug]
        return EndpointLocation(
            slug=slug,
            system=config.system,
            url=config.url,
            database=config.database,
            root=config.root,
            file=config.file,
        )

    def root_of(self, slug: str) -> "UPath":
        """What is written for an endpoint is below this; for one that the project does not name, in the home."""
        known = {slug: self.location(slug)} if slug in self.endpoints else {}
        return root_of(slug, known, self.settings())

    def storage_of(self, slug: str) -> "Storage":
        """Where an endpoint keeps data: tables of a postgres endpoint, else files below its root."""
        from resources.storage import FileStorage

        return self.tables_of(slug) or FileStorage(slug, self.root_of(slug), lambda: self.store().located_lately(slug))

    def tables_of(self, slug: str) -> "TableStorage | None":
        """The tables of a postgres endpoint of the project; None for any other."""
        if slug not in self.endpoints or self.endpoints[slug].system != "postgres":
            return None
        location = self.location(slug)
        from resources.tables.store import TableStorage

        return TableStorage(slug, lambda: location.database_url(self.databases()), self.store())

    def read(
        self,
        dataset: CanonicalKey | str,
        *,
        at: "At" = None,
        partitions: Collection[str] | None = None,
        frame: "Frame" = "polars",
        partition_column: str | None = PARTITION,
    ) -> Any:
        """The data of a dataset, in or outside Dagster: see `Reader.read`."""
        from resources.reading import Reader

        return Reader(self.store(), self.storage_of).read(
            dataset, at=at, partitions=partitions, frame=frame, partition_column=partition_column
        )

    def _opened(self) -> Opened:
        return open_once(self.settings(), self.actor, tuple(self.locations()))
