"""A source whose tables change their names under a project: what is read is what is recorded and what lineage shows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy.engine import make_url

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.collection import collect_endpoint
from metadata_assets.factory import definitions_for
from metadata_assets.io_manager import MetadataIOManager
from metadata_assets.sensors import lineage_sensor
from metadata_assets.source_table import SourceTable
from metadata_assets.writing import stored
from resources.configurable import EndpointConfig, MetadataResource
from tests.factory.conftest import Workbench

DATASET = """
  - name: {name}
    endpoint: lake
    schema: nyc
    depends_on: [{{dataset: jfk/public/{name}, as: jfk}}]
    python: code:read
"""
CODE = """
def read(jfk):
    return jfk.query("SELECT who FROM {table}")
"""
TABLES = ("flights", "others", "third")


@dataclass
class Scene:
    """A project that reads tables of jfk, each by a dataset of the same name, and the source's owner."""

    bench: Any
    url: str
    cursor: str | None = None
    jfk: str = field(init=False)

    def __post_init__(self) -> None:
        self.jfk = str(make_url(self.url).database)

    @property
    def metadata(self) -> MetadataResource:
        found: MetadataResource = self.bench.resources["metadata"]
        return found

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def collect(self) -> int:
        """How many things got another name."""
        location, databases = self.metadata.location("jfk"), self.metadata.databases()
        return collect_endpoint(self.metadata.store(), location, databases).assets.renamed

    def tick(self) -> None:
        """What the daemon does with the lineage sensor."""
        sensor = lineage_sensor(code_location="test")
        defs = dg.Definitions(
            assets=definitions_for(self.bench.project), sensors=[sensor], resources=self.bench.resources
        )
        with dg.build_sensor_context(
            self.bench.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            resources={"metadata": self.metadata},
        ) as context:
            sensor(context)
            self.cursor = context.cursor

    def table(self, name: str) -> CanonicalKey:
        schema, _dot, table = name.rpartition(".")
        return dataset_key("jfk", source=self.jfk, schema=schema or "public", table=table)

    def run(self, name: str) -> tuple[str, CanonicalKey, set[CanonicalKey]]:
        """Materialize a dataset: what the table that it read says it is, what was recorded, what lineage shows."""
        assert self.bench.run(name).success
        store, graph = self.metadata.store(), self.metadata.graph()
        key = dataset_key("lake", schema="nyc", table=name)
        (current,) = store.current(key)
        (recorded,) = store.inputs(current.materialization_id)
        lineage = graph.lineage(store.entity(key), "up", depth=1)
        (who,) = stored(self.metadata, current)["who"].to_pylist()
        return who, recorded.key, lineage.nodes.keys() - {lineage.start}

    def source(self, name: str) -> SourceTable:
        return SourceTable(self.table(name), lambda: self.url, lambda _rows: None)

    def refused(self, name: str) -> str:
        """Why a run failed; it recorded nothing."""
        result = self.bench.run(name, raise_on_error=False)
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        assert result.get_asset_materialization_events() == []
        error = failure.step_failure_data.error
        while error.cause:
            error = error.cause
        return str(error.message)


@pytest.fixture
def scene(workbench: Any, source_database: str) -> Callable[..., Scene]:
    """A function that makes a project over tables of the source, each holding its own first name; collected once."""

    def make(*names: str) -> Scene:
        bench = workbench("datasets:" + "".join(DATASET.format(name=name) for name in names), code=CODE)
        made = Scene(bench, source_database)
        made.sql("DROP TABLE flights", "CREATE SCHEMA side")
        made.sql(*(f"CREATE TABLE {name} AS SELECT '{name}'::text AS who" for name in TABLES))
        made.collect()
        made.tick()
        return made

    return make


def renamed(*pairs: str) -> list[str]:
    return [f"ALTER TABLE {was} RENAME TO {now}" for was, now in (pair.split(" ") for pair in pairs)]


@pytest.mark.parametrize(
    ("statements", "read"),
    [
        (renamed("flights departures"), {"flights": ("departures", "flights")}),
        (["ALTER TABLE flights SET SCHEMA side"], {"flights": ("side.flights", "flights")}),
        (
            renamed("flights x", "others flights", "x others"),
            {"flights": ("flights", "others"), "others": ("others", "flights")},
        ),
        (
            renamed("flights x", "others flights", "third others", "x third"),
            {"flights": ("flights", "others"), "others": ("others", "third"), "third": ("third", "flights")},
        ),
        (
            [*renamed("flights backup"), "CREATE TABLE flights AS SELECT 'new'::text AS who"],
            {"flights": ("flights", "new")},
        ),
        (renamed("flights backup", "others flights"), {"flights": ("flights", "others")}),
        (["DROP TABLE flights", "CREATE TABLE flights AS SELECT 'new'::text AS who"], {"flights": ("flights", "new")}),
    ],
    ids=["renamed", "moved", "swapped", "three-way", "name reused", "made room", "made anew"],
)
def test_what_is_read_is_what_is_recorded_and_what_lineage_shows(
    scene: Callable[..., Scene], statements: list[str], read: dict[str, tuple[str, str]]
) -> None:
    made = scene(*read)
    for name in read:
        assert made.run(name) == (name, made.table(name), {made.table(name)})
    made.sql(*statements)
    made.collect()
    made.tick()
    for name, (present, who) in read.items():
        assert made.run(name) == (who, made.table(present), {made.table(present)})


def test_between_a_rename_and_its_collection_the_run_says_what_to_do(scene: Callable[..., Scene]) -> None:
    made = scene("flights")
    made.sql(*renamed("flights departures"))
    flights = made.table("flights")
    assert (
        f"TableMissing: the endpoint jfk has no table {flights}; collect the endpoint if the table has another name "
        "there by now and run again, or correct what the project's files say"
    ) in made.refused("flights")
    assert made.collect() == 1
    assert made.run("flights")[0] == "flights"
    made.sql(*renamed("departures flights"))
    assert f"no table {made.table('departures')}, which the project calls {flights}; collect" in made.refused("flights")


def test_another_table_of_a_statement_that_is_missing_is_postgresqls_own_error(scene: Callable[..., Scene]) -> None:
    made = scene("flights")
    with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
        made.source("flights").query("SELECT who FROM {table}, nowhere")


def test_a_table_that_moved_to_another_server_is_read_there(
    scene: Callable[..., Scene], make_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scene("flights")
    url = make_database()
    there = str(make_url(url).database)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE flights AS SELECT 'moved'::text AS who")
    moved = dataset_key("lga", source=there, schema="public", table="flights")
    made.metadata.store().rename({made.table("flights"): moved})
    assert f"is called {moved} now, and this project has no database lga" in made.refused("flights")
    monkeypatch.setenv("LGA_URL", made.url)  # the server, and another database of it
    lga = EndpointConfig(system="postgres", url="env:LGA_URL", database="postgres")
    metadata = MetadataResource(endpoints={**made.metadata.endpoints, "lga": lga})
    resources = {"metadata": metadata, "metadata_io_manager": MetadataIOManager(metadata=metadata)}
    made.bench = Workbench(made.bench.project, made.bench.instance, resources)
    made.tick()
    assert made.run("flights") == ("moved", moved, {moved})
