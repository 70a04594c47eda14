"""Columns that a source shows and that others tell of: in whatever order they come, the same edges are open."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, permutations
from typing import Final

import psycopg
import pytest

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.diff import diff
from resources.metadata.catalogs import compared_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.told_columns import ToldColumns
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Catalog, Endpoint, Field
from tests.importers.lineage_events import dataset, event, imported

Columns = Mapping[int, str]
"""What a table has at the source, by the numbers that columns keep there when they are renamed."""

_numbers = count()
_STATE = """
SELECT s.name || '.' || f.name AS source, t.name || '.' || g.name, e.producer
FROM metadata.column_edge e JOIN metadata.schema_field f ON f.field_id = e.source_field_id
JOIN metadata.asset s ON s.asset_id = f.asset_id
JOIN metadata.schema_field g ON g.field_id = e.target_field_id JOIN metadata.asset t ON t.asset_id = g.asset_id
WHERE e.valid_to IS NULL AND s.qualified_name LIKE %(like)s
UNION ALL SELECT a.name || '.' || f.name, f.type, ''
FROM metadata.schema_field f JOIN metadata.asset a ON a.asset_id = f.asset_id
WHERE a.qualified_name LIKE %(like)s AND f.deleted_at IS NULL
ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class World:
    """A source with the table `raw`, and two who say what comes from its columns."""

    store: MetadataStore
    url: str
    name: str

    @property
    def endpoint(self) -> str:
        return f"openlineage_{self.name}"

    def key(self, table: str) -> CanonicalKey:
        return dataset_key(self.endpoint, table=table)

    def collect(self, *tables: tuple[str, str, Columns]) -> None:
        """Look at the source: the name, the object and the columns of each table."""
        self.store.register_endpoints([Endpoint(slug=self.endpoint, system="openlineage")])
        assets = tuple(
            Asset(
                key=self.key(name),
                type=AssetType.TABLE,
                fields=tuple(
                    Field(name=one, type="integer", nullable=True, position=at) for at, one in columns.items()
                ),
                metadata={"relation": "table", "object": found},
            )
            for name, found, columns in tables
        )
        look = Catalog(endpoint=self.endpoint, fingerprint=str(tables), assets=assets)
        objects = {one.key: str(one.metadata["object"]) for one in assets}
        self.store.sessions.perform(
            lambda session: apply_plan(session, diff(compared_catalog(session, self.endpoint, objects).current, look))
        )

    def tell(self, *names: str) -> None:
        """The events of a job: `out.<name>` is made from each of these tables."""
        said = event(
            inputs=[dataset(one, "a", "b") for one in names],
            outputs=[dataset("out", *names, origins={one: [(one, "a"), (one, "b")] for one in names})],
        )
        imported(self.store, [json.loads(json.dumps(said).replace('"db"', f'"{self.name}"'))])

    def declare(self, *names: str) -> None:
        """A code location: `clean.<name>` is made from each of these tables."""
        self.store.register_datasets([(Asset(key=self.key("clean"), type=AssetType.DATASET), "immediately")])
        origins = {one: frozenset({(self.key(one), "a"), (self.key(one), "b")}) for one in names}
        told = {self.key("clean"): ToldColumns(origins={"here": origins})}
        self.store.record_columns(told, producer="dagster", scope="here")

    def state(self) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(_STATE, {"like": f"%:{self.endpoint}:%"}).fetchall()


@pytest.fixture(scope="module")
def metadata_url(make_database: Callable[..., str]) -> str:
    return make_database(migrated=True)


@pytest.fixture
def worlds(store: MetadataStore, metadata_url: str) -> Iterator[World]:
    return (World(store, metadata_url, f"w{next(_numbers)}") for _ in count())


BEFORE: Final = ("o1", {1: "a", 2: "b"})
LATER: Final = {
    "dropped": ("o1", {1: "a"}),
    "renamed": ("o1", {1: "price", 2: "b"}),
    "renamed_over": ("o1", {2: "a"}),
    "swapped": ("o1", {1: "b", 2: "a"}),
    "name_taken": ("o1", {1: "price", 2: "b", 3: "a"}),
    "made_anew": ("o2", {1: "b"}),
    "as_it_was": BEFORE,
}
MEANT: Final = {
    "dropped": {"a"},
    "renamed": {"price", "b"},
    "renamed_over": {"a"},
    "swapped": {"a", "b"},
    "name_taken": {"a", "b"},
    "made_anew": {"b"},
    "as_it_was": {"a", "b"},
}
"""The columns that the words "a" and "b" mean in the end: who has the name, or else who had it."""


def test_whatever_comes_first_the_same_columns_are_joined(worlds: Iterator[World]) -> None:
    expected = sorted(
        (f"{teller}.{table}", f"{table}.{column}", producer)
        for teller, producer in (("out", "openlineage"), ("clean", "dagster"))
        for table, columns in MEANT.items()
        for column in columns
    )
    found = {}
    for order in permutations(["look", "look again", "tell", "declare"]):
        if order.index("look") < order.index("look again"):
            world = next(worlds)
            for one in order:
                match one:
                    case "look":
                        world.collect(*((name, f"{name} {BEFORE[0]}", BEFORE[1]) for name in LATER))
                    case "look again":
                        world.collect(*((name, f"{name} {made}", columns) for name, (made, columns) in LATER.items()))
                    case "tell":
                        world.tell(*LATER)
                    case "declare":
                        world.declare(*LATER)
            found[order] = world.state()
    first = next(iter(found.values()))
    assert [one for one in first if one[2]] == expected
    assert {order: state for order, state in found.items() if state != first} == {}
