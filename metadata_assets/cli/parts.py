"""The parts that `doctor` looks at, one function each. They change nothing but start a server that has data."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import sqlalchemy as sa

from identity.errors import MetadataError
from identity.keys import short_name
from identity.naming import authority
from metadata_assets.cli import surroundings
from metadata_assets.cli.answers import Answer, Wrong, few
from metadata_assets.cli.leftovers import LATE, Roots, dangling, left_over, out_of_step
from metadata_assets.cli.many_partitions import too_many_partitions
from metadata_assets.collection.collectors import looking_at
from metadata_assets.collection.connect import connected
from metadata_assets.factory import definitions_for
from metadata_assets.spec import Project, ProjectEndpoint, load_project
from resources.locations import EndpointLocation
from resources.metadata.health import Health
from resources.metadata_store import MetadataStore
from resources.models import PublishPolicy
from resources.postgres import embedded
from resources.postgres.databases import Databases, check, locate
from resources.postgres.engine import APP_ROLE, app_engine, check_server, plain_engine
from resources.postgres.isolation import isolation_problems
from resources.postgres.release import stamp
from resources.postgres.session import Sessions
from resources.settings import VARIABLE, Plane, Settings
from resources.tables.store import TableStorage
from resources.tables.switching import settle

Look = Callable[[], Iterable[Answer]]


@dataclass(frozen=True)
class Deployment:
    """Everything around one process of these settings. What several looks need is opened once, by the first."""

    settings: Settings
    status: embedded.Status
    engines: list[sa.Engine]
    answering: set[Plane]
    fix: bool = False
    """Bring the views of tables to what is published before they are looked at, and mark roots that hold known data."""

    def looks(self) -> Iterator[tuple[str, Look]]:
        """The parts in the order in which they build on each other."""
        yield "settings", self.look_at_settings
        yield "embedded server", self.look_at_server
        for plane in VARIABLE:
            yield f"{plane} database", partial(self.look_at_database, plane)
        yield "schema", self._on_metadata(self.look_at_schema)
        yield "tenant separation", self._on_metadata(self.look_at_isolation)
        yield "dagster.yaml", self.look_at_dagster_yaml
        yield "project", self.look_at_project
        for slug, endpoint in self.endpoints.items():
            yield f"endpoint {slug}", partial(self.look_at_endpoint, endpoint)
        yield "unfinished writes", self._on_metadata(self.look_at_leases)
        yield "lost attempts", self._on_metadata(self.look_at_lost)
        yield "unpublished data", self._on_metadata(self.look_at_unpublished)
        yield "garbage", self._on_metadata(self.look_at_garbage)
        yield "missing data", self._on_metadata(self.look_at_missing)

    def _on_metadata(self, look: Look) -> Look:
        """The look, or word that it cannot be had while the metadata database does not answer."""
        if "metadata" in self.answering:
            return look
        return lambda: [Answer(_WAITS.format(plane="metadata"), Wrong.UNKNOWN)]

    def look_at_settings(self) -> Iterator[Answer]:
        settings = self.settings
        yield Answer(f"tenant {settings.tenant_slug}, project {settings.project}, home {settings.home}")
        _ = settings.tenant  # raises InvalidTenant

    def look_at_server(self) -> Iterator[Answer]:
        status = self.status
        if self.embedded_planes == ():
            yield Answer("not needed: all databases are configured")
        elif status.version is None:
            yield Answer("none yet; the first command that needs it makes it")
        elif status.running and status.users and status.supervisor_pid is None:
            fix = "any other command gives it one"
            yield Answer("it runs, and nothing would stop it after its last user", Wrong.A_LITTLE, fix)
        else:
            state = f"runs with {status.users} users" if status.running else "stopped, as it should be without users"
            yield Answer(f"PostgreSQL {status.version} in {status.data_directory}, {state}")

    def look_at_database(self, plane: Plane) -> Iterator[Answer]:
        url = self.settings.url(plane)
        if url is not None:
            check_server(url, plane)
            yield Answer(f"answers at {authority(url)}, from {VARIABLE[plane]}")
        elif self.status.version is None:
            yield Answer("not looked at: there is no embedded server yet", Wrong.UNKNOWN)
            return
        else:
            locate(self.settings, plane)
            yield Answer("answers, on the embedded server")
        self.answering.add(plane)

    def look_at_schema(self) -> Iterator[Answer]:
        check(locate(self.settings, "metadata"), tenant=self.settings.tenant_slug)
        yield Answer(f"is at {stamp()}, and tenant {self.settings.tenant_slug} is there")

    def look_at_isolation(self) -> Iterator[Answer]:
        problems = isolation_problems(self.migration_engine)
        for problem in problems:
            yield Answer(problem, Wrong.YES, "undo that, or restore the database: rows of one tenant may reach another")
        if not problems:
            yield Answer("every table is confined to the tenant of the transaction, for every role")

    def look_at_dagster_yaml(self) -> Iterator[Answer]:
        given = self.settings.variables.get("DAGSTER_HOME")
        home = Path(given) if given else surroundings.dagster_home(self.settings)
        file = home / surroundings.DAGSTER_YAML
        if not file.exists():
            yield Answer(f"none in {home}; `dev` and `demo` write it to {surroundings.dagster_home(self.settings)}")
        elif file.read_text(encoding="utf-8") != surroundings.shipped(surroundings.DAGSTER_YAML):
            fix = "delete it if you did not change it: the next `dev` writes it anew"
            yield Answer(f"{file} is not the one of this release", Wrong.A_LITTLE, fix)
        else:
            yield Answer(f"{file} is the one of this release")

    def look_at_project(self) -> Iterator[Answer]:
        project = self.project
        definitions_for(project)
        yield Answer(f"{project.name} has {len(project.endpoints)} endpoints and {len(project.datasets)} datasets")
        yield from too_many_partitions(project, datetime.now(UTC))

    def look_at_endpoint(self, endpoint: ProjectEndpoint) -> Iterator[Answer]:
        location = endpoint.location
        if location.system == "files":
            yield _files(location, self.settings)
        elif location.system == "postgres" and location.url is None and "data" not in self.answering:
            yield Answer(_WAITS.format(plane="data"), Wrong.UNKNOWN)
        elif location.system != "postgres":
            with looking_at(location, self.databases):
                yield Answer(f"answers at {location.where(self.databases)}")
        else:
            with connected(location, self.databases):
                yield Answer(f"answers at {location.where(self.databases)}")
            if "metadata" in self.answering and endpoint.collect is None:
                tables = self.tables(location)
                if self.fix:
                    for refused in settle(tables, names=True).refused:
                        yield Answer(str(refused.error), Wrong.YES)
                yield from out_of_step(tables)

    def look_at_leases(self) -> Iterator[Answer]:
        found = self.health.expired_leases()
        if found:
            places = few([one.location for one in found])
            fix = "nobody reads these files and no version needs them; run: metadata-assets gc"
            yield Answer(f"{len(found)} attempts ended without a commit and left {places}", Wrong.A_LITTLE, fix)
        else:
            yield Answer("none")

    def look_at_lost(self) -> Iterator[Answer]:
        found = self.store.attempts_lost()
        if found:
            detail = f"{len(found)} attempts ended without a word, the newest in run {found[0].run_id}"
            yield Answer(detail, Wrong.A_LITTLE, "see: metadata-assets runs --lost; run again what is still needed")
        else:
            yield Answer("none")

    def look_at_unpublished(self) -> Iterator[Answer]:
        found = self.health.never_published()
        for one in found:
            why = _why_not(one.publish_policy)
            detail = f"{short_name(one.key)} has {one.materializations} materializations and no version ({why})"
            yield Answer(detail, Wrong.A_LITTLE, f"see: metadata-assets materializations {short_name(one.key)}")
        late = self.health.waiting(age=LATE)
        for newer in late:
            why = (
                "its checks failed"
                if newer.publish_policy == "when_checks_pass"
                else f"publish: {newer.publish_policy}"
            )
            detail = f"{short_name(newer.key)} has newer data for {newer.partitions} partitions, not published ({why})"
            yield Answer(detail, Wrong.A_LITTLE, f"see: metadata-assets materializations {short_name(newer.key)}")
        stranded = self.health.stranded(age=LATE)
        for one_more in stranded:
            name = short_name(one_more.key)
            detail = f"{name} has data of {one_more.partitions} partitions that wait for checks of runs that are over"
            fix = f"run its checks, or publish or retract them by hand, see: metadata-assets materializations {name}"
            yield Answer(detail, Wrong.A_LITTLE, f"{fix}; what newer data overtake goes with gc")
        if not found and not late and not stranded:
            yield Answer("every dataset with data has a version")

    def look_at_garbage(self) -> Iterator[Answer]:
        found = left_over(self.health, self.roots)
        yield from found
        if not found:
            yield Answer("none, or nothing that `gc` would not find by itself")

    def look_at_missing(self) -> Iterator[Answer]:
        found = dangling(self.health, self.roots)
        yield from found
        if not found:
            yield Answer("what is published or pinned is there")

    @cached_property
    def roots(self) -> Roots:
        locations = {slug: one.location for slug, one in self.endpoints.items() if one.location.system == "files"}
        tables = frozenset(slug for slug, one in self.endpoints.items() if one.location.system == "postgres")
        return Roots(locations, self.settings, self.store, tables, self.fix)

    def tables(self, location: EndpointLocation) -> TableStorage:
        """The tables of a postgres endpoint."""
        return TableStorage(location.slug, lambda: location.database_url(self.databases), self.store)

    @property
    def store(self) -> MetadataStore:
        return MetadataStore(self.health.sessions)

    @property
    def embedded_planes(self) -> Sequence[Plane]:
        return tuple(plane for plane in VARIABLE if self.settings.url(plane) is None)

    @cached_property
    def databases(self) -> Databases:
        """Where the databases are. Starts the embedded server."""
        return Databases(self.settings)

    @property
    def migration_engine(self) -> sa.Engine:
        return plain_engine(locate(self.settings, "metadata"))

    @cached_property
    def project(self) -> Project:
        return load_project(self.settings.project, environment=self.settings.environment)

    @property
    def endpoints(self) -> Mapping[str, ProjectEndpoint]:
        """None of them where the project is invalid, which its own look tells."""
        try:
            return self.project.endpoints
        except MetadataError:
            return {}

    @cached_property
    def health(self) -> Health:
        self.engines.append(app_engine(locate(self.settings, "metadata", user=APP_ROLE)))
        return Health(Sessions(self.engines[-1], self.settings.tenant, "doctor"))


_WAITS = "not looked at: the {plane} database does not answer"


@contextmanager
def deployment_of(settings: Settings, *, fix: bool = False) -> Iterator[Deployment]:
    """What is around a process of these settings; what was opened for a look is closed afterwards."""
    found = Deployment(settings, embedded.status(settings.home / "postgres"), [], set(), fix)
    try:
        yield found
    finally:
        for engine in found.engines:
            engine.dispose()


def _files(location: EndpointLocation, settings: Settings) -> Answer:
    root = location.root_path(settings)
    if "://" in str(root) or root.protocol not in ("", "file"):
        return Answer(f"at {root}; not looked at", Wrong.UNKNOWN)
    folder = Path(str(root))
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if os.access(nearest, os.W_OK) and nearest.is_dir():
        return Answer(f"can be written at {folder}")
    return Answer(f"{nearest} cannot be written", Wrong.YES, f"allow writing in {nearest}")


def _why_not(policy: PublishPolicy) -> str:
    return "its checks failed" if policy == "when_checks_pass" else f"publish: {policy}"
