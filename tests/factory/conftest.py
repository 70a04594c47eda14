"""A project on disk, run by a real Dagster instance against the real stores."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from metadata_assets.factory import definitions_for
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.spec import Project, load_project
from resources.configurable import EndpointConfig, MetadataResource
from resources.metadata_store import MetadataStore

METADATA = """
name: test
endpoints:
  jfk: {system: postgres, database: DATABASE}
  lake: {system: files}
"""
JANUARY = "{daily: {start: 2013-01-01, end: 2013-02-01}}"


@dataclass(frozen=True)
class Workbench:
    """A project and what runs it."""

    project: Project
    instance: dg.DagsterInstance
    resources: Mapping[str, Any]

    def run(self, *names: str, **options: Any) -> dg.ExecuteInProcessResult:
        """Materialize these datasets of lake/nyc in one run."""
        return dg.materialize(
            definitions_for(self.project),
            selection=[dg.AssetKey(["lake", "nyc", name]) for name in names],
            instance=self.instance,
            resources=self.resources,
            raise_on_error=options.pop("raise_on_error", True),
            **options,
        )

    def run_range(self, first: str, last: str, *names: str, **options: Any) -> dg.ExecuteInProcessResult:
        """The same for several partitions."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self.run(*names, tags=tags, **options)


@pytest.fixture
def write_project(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a project: `datasets` in YAML, each other file by its name without .py."""

    def write(datasets: str, *, database: str = "jfk", **modules: str) -> Path:
        folder = tmp_path / "project"
        (folder / "datasets").mkdir(parents=True, exist_ok=True)
        (folder / "metadata.yml").write_text(METADATA.replace("DATABASE", database))
        (folder / "datasets" / "all.yml").write_text(textwrap.dedent(datasets).replace("JANUARY", JANUARY))
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return folder

    return write


@pytest.fixture
def source_database(make_database: Callable[..., str]) -> str:
    """URL of a database with a table public.flights: day, carrier."""
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE flights (day date, carrier text)")
        connection.execute(
            "INSERT INTO flights SELECT date '2013-01-01' + n, carrier"
            " FROM generate_series(0, 9) n, unnest('{AA,UA}'::text[]) carrier"
        )
    return url


@pytest.fixture
def workbench(
    write_project: Callable[..., Path],
    metadata_url: str,
    source_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Workbench]]:
    """A function that writes and loads a project, ready to run."""
    monkeypatch.setenv("METADATA_DATABASE_URL", metadata_url)
    monkeypatch.setenv("DATA_DATABASE_URL", source_database)
    monkeypatch.setenv("METADATA_HOME", str(tmp_path / "home"))
    with dg.DagsterInstance.ephemeral() as instance:

        def make(datasets: str, **modules: str) -> Workbench:
            database = psycopg.conninfo.conninfo_to_dict(source_database)["dbname"]
            project = load_project(write_project(datasets, database=str(database), **modules))
            endpoints = {
                slug: EndpointConfig(system=endpoint.location.system, database=endpoint.location.database)
                for slug, endpoint in project.endpoints.items()
            }
            metadata = MetadataResource(endpoints=endpoints)
            return Workbench(
                project, instance, {"metadata": metadata, "metadata_io_manager": MetadataIOManager(metadata=metadata)}
            )

        yield make


@pytest.fixture
def published(store: MetadataStore) -> Callable[[str], dict[str | None, int | None]]:
    """A function that answers with the published partitions of a dataset of lake/nyc and their row counts."""
    from identity.keys import dataset_key

    def rows(name: str) -> dict[str | None, int | None]:
        key = dataset_key("lake", schema="nyc", table=name)
        return {one.partition: one.row_count for one in store.current(key)}

    return rows
