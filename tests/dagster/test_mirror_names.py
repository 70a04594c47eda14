"""What is declared about a name is meant for whatever has it: the graph follows when another thing gets the name."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from lineage_daemon import NOTHING, Daemon

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.datasets import DAGSTER_ENDPOINT, KEY_METADATA
from resources.configurable import MetadataResource
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType

Renames = list[dict[str, str]]
Up = dict[str, set[str]]


def table(name: str) -> CanonicalKey:
    return dataset_key("shop", source="shop", schema="public", table=name)


def definitions(*tables: str) -> dg.Definitions:
    """An asset of_<table> made from each table."""
    specs = [dg.AssetSpec(["shop", name], metadata={KEY_METADATA: str(table(name))}) for name in tables]
    made = [dg.AssetSpec(f"of_{name}", deps=[["shop", name]]) for name in tables]
    return dg.Definitions(assets=[*specs, *made])


def up(store: MetadataStore, graph: GraphStore, *tables: str) -> Up:
    """What each of_<table> is made from, by present own name."""
    found = {}
    for name in tables:
        lineage = graph.lineage(store.entity(dataset_key(DAGSTER_ENDPOINT, table=f"of_{name}")), "up")
        found[name] = {key.table for key in lineage.nodes.keys() - {lineage.start}}
    return found


@pytest.mark.parametrize(
    ("batches", "changed", "seen"),
    [
        ([{"a": "old"}, {"new": "a"}], 1, {"a": "a", "b": "b", "c": "c"}),
        ([{"a": "old", "new": "a"}], 1, {"a": "a", "b": "b", "c": "c"}),
        ([{"a": "b", "b": "a"}], 2, {"a": "a", "b": "b", "c": "c"}),
        ([{"a": "b", "b": "c", "c": "a"}], 3, {"a": "a", "b": "b", "c": "c"}),
        ([{"a": "x"}, {"x": "y"}, {"y": "z"}], 0, {"a": "z", "b": "b", "c": "c"}),
        ([{"a": "b", "b": "a"}, {"a": "b", "b": "a"}], 0, {"a": "a", "b": "b", "c": "c"}),
    ],
    ids=["name reused", "made room", "swapped", "three-way", "renamed thrice", "swapped and back"],
)
def test_the_next_tick_shows_what_has_the_name_now(
    instance: dg.DagsterInstance,
    metadata: MetadataResource,
    stored: MetadataStore,
    batches: Renames,
    changed: int,
    seen: dict[str, str],
) -> None:
    daemon, graph, defs = Daemon(instance), metadata.graph(), definitions(*seen)
    stored.register_assets([Asset(key=table("new"), type=AssetType.TABLE)])
    daemon.tick(defs, metadata)
    assert daemon.tick(defs, metadata) == NOTHING
    for batch in batches:
        stored.rename({table(was): table(now) for was, now in batch.items()})
    told = daemon.tick(defs, metadata)
    assert told.endswith(f"{changed} edges opened, {changed} closed") if changed else told == NOTHING
    assert up(stored, graph, *seen) == {name: {present} for name, present in seen.items()}
    assert daemon.tick(defs, metadata) == NOTHING


def test_a_merge_and_its_end_are_followed(
    instance: dg.DagsterInstance, metadata: MetadataResource, stored: MetadataStore
) -> None:
    daemon, graph, defs = Daemon(instance), metadata.graph(), definitions("a")
    daemon.tick(defs, metadata)
    stored.register_assets([Asset(key=table("winner"), type=AssetType.TABLE)])
    merge = stored.merge(stored.entity(table("a")), stored.entity(table("winner")))
    daemon.tick(defs, metadata)
    assert up(stored, graph, "a") == {"a": {"winner"}}
    stored.unmerge(merge)
    daemon.tick(defs, metadata)
    assert up(stored, graph, "a") == {"a": {"a"}}
    assert daemon.tick(defs, metadata) == NOTHING


def test_only_names_of_the_graph_matter(
    instance: dg.DagsterInstance, metadata: MetadataResource, stored: MetadataStore
) -> None:
    daemon, defs = Daemon(instance), definitions("a")
    daemon.tick(defs, metadata)
    stored.register_assets(Asset(key=table(name), type=AssetType.TABLE) for name in ("x", "y"))
    stored.rename({table("x"): table("y"), table("y"): table("x")})
    assert daemon.tick(defs, metadata) == NOTHING


def test_a_name_that_changes_hands_during_a_mirror_is_seen_by_the_next_tick(
    instance: dg.DagsterInstance, metadata: MetadataResource, stored: MetadataStore
) -> None:
    """Between the names that a mirror took and the end of its tick: nothing of the change is in the cursor."""
    daemon, graph, defs = Daemon(instance), metadata.graph(), definitions("a")
    stored.register_assets([Asset(key=table("new"), type=AssetType.TABLE)])
    before_the_edges = 6  # what has been asked by then: whom names lead to, once more for those to be born, and births

    def change(number: int) -> None:
        if number == before_the_edges:
            stored.rename({table("a"): table("old"), table("new"): table("a")})

    with asking(change):
        daemon.tick(defs, metadata)
    assert up(stored, graph, "a") == {"a": {"old"}}
    daemon.tick(defs, metadata)
    assert up(stored, graph, "a") == {"a": {"a"}}


def test_an_unchanged_graph_costs_one_question_and_writes_nothing(
    instance: dg.DagsterInstance, metadata: MetadataResource, metadata_url: str
) -> None:
    daemon, defs = Daemon(instance), definitions("a", "b", "c")
    daemon.tick(defs, metadata)
    before, asked = written(metadata_url), list[int]()
    with asking(asked.append):
        assert [daemon.tick(defs, metadata) for _ in range(3)] == [NOTHING] * 3
    assert (asked, written(metadata_url)) == ([1, 2, 3], before)


@contextmanager
def asking(tell: Callable[[int], None]) -> Iterator[None]:
    """Tells the number of each transaction on the control plane that begins within the block, before it begins."""
    numbers, nested = itertools.count(1), list[int]()

    def begun(connection: Any, _record: object, _fairy: object) -> None:
        if connection.info.dbname.startswith("scratch") and not nested:
            nested.append(1)  # not those of whoever is told
            tell(next(numbers))
            nested.clear()

    sa.event.listen(sa.pool.Pool, "checkout", begun)
    yield
    sa.event.remove(sa.pool.Pool, "checkout", begun)


def written(url: str) -> object:
    """Which transaction wrote each row of each table."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'metadata'::regnamespace AND relkind = 'r' ORDER BY 1"
        ).fetchall()
        query = "SELECT ctid::text, xmin::text, xmax::text FROM metadata.{} ORDER BY 1"
        return {name: connection.execute(query.format(name).encode()).fetchall() for (name,) in tables}
