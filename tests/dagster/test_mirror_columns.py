"""Columns and where they come from, as Dagster's metadata and a project's SQL say, in the one graph of columns."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from identity.keys import CanonicalKey, ColumnKey, dataset_key
from metadata_assets.collection.diff import diff
from metadata_assets.datasets import DAGSTER_ENDPOINT, KEY_METADATA
from metadata_assets.location import code_location
from metadata_assets.mirror.lineage import Mirrored, mirror, snapshot
from metadata_assets.mirror.locations import close_location
from metadata_assets.spec import load_project
from resources.graph_store import GraphStore
from resources.metadata.catalogs import current_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.resolution import hold_names, writable
from resources.metadata.told_columns import ToldColumns, bring_columns, with_names
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Catalog, Endpoint, Field
from resources.postgres.session import Session

RAW = dataset_key("shop", source="shop", schema="public", table="raw")
CLEAN, TOTAL = (dataset_key(DAGSTER_ENDPOINT, table=name) for name in ("clean", "total"))
Mirror = Callable[..., Mirrored]


def asset(name: str, *columns: str, key: CanonicalKey | None = None, **origins: tuple[str, str]) -> dg.AssetSpec:
    """An asset with columns, some of them from a column of another asset."""
    deps = {column: [dg.TableColumnDep(dg.AssetKey(of), source)] for column, (of, source) in origins.items()}
    schema = dg.TableSchema([dg.TableColumn(one, "int") for one in columns])
    metadata = {
        **({"dagster/column_schema": schema} if columns else {}),
        **({"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}),
        **({KEY_METADATA: str(key)} if key else {}),
    }
    return dg.AssetSpec(name, deps={of for of, _column in origins.values()}, metadata=metadata)


@pytest.fixture
def mirrored(store: MetadataStore) -> Mirror:
    def mirrored_now(*assets: dg.AssetSpec, location: str = "here") -> Mirrored:
        graph = dg.Definitions(assets=assets).resolve_asset_graph()
        return mirror(store, GraphStore(store.sessions), snapshot(graph), code_location=location)

    return mirrored_now


def up(store: MetadataStore, key: CanonicalKey) -> set[tuple[str, str]]:
    """What the columns of a dataset come from, by the names of table and column."""
    found = GraphStore(store.sessions).column_lineage(store.entity(key), "up")
    return {(said(source), said(target)) for source, target in found.edges}


def said(column: ColumnKey) -> str:
    return f"{column.dataset.table}.{column.name}"


def look_at(key: CanonicalKey, *columns: str, objects: tuple[str, ...], known: str = "o1") -> Catalog:
    """A look at a table that has these columns; `objects` and `known` are what its source knows them and it by."""
    fields = [
        Field(name=name, type="integer", nullable=True, position=number, metadata={"object": one})
        for number, (name, one) in enumerate(zip(columns, objects, strict=True), 1)
    ]
    facts = {"relation": key.table, "object": known}
    seen = Asset(key=key, type=AssetType.TABLE, fields=tuple(fields), metadata=facts)
    return Catalog(endpoint="shop", fingerprint=f"{known} {columns}", assets=(seen,))


def seen_now(session: Session, look: Catalog) -> object:
    return apply_plan(session, diff(current_catalog(session, "shop"), look))


def collect(store: MetadataStore, *columns: str, objects: tuple[str, ...]) -> None:
    """Look at the table `raw`."""
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    store.sessions.perform(lambda session: seen_now(session, look_at(RAW, *columns, objects=objects)))


def test_columns_of_assets_are_in_the_graph_and_once_is_enough(store: MetadataStore, mirrored: Mirror) -> None:
    collect(store, "amount", "day", objects=("1", "2"))
    assets = (
        asset("raw", key=RAW),
        asset("clean", "amount", amount=("raw", "amount")),
        asset("total", "sum", sum=("clean", "amount")),
    )
    first = mirrored(*assets)
    assert (first.columns_written, first.column_edges) == (2, 2)
    assert up(store, TOTAL) == {("total.sum", "clean.amount"), ("clean.amount", "raw.amount")}
    assert [(one.name, one.type) for one in store.asset(TOTAL).fields or ()] == [("sum", "int")]
    again = mirrored(*assets)
    assert (again.columns_written, again.column_edges) == (0, 0)


def test_what_a_code_location_does_not_say_any_more_is_closed_and_of_others_nothing_is(
    store: MetadataStore, mirrored: Mirror
) -> None:
    both = asset("clean", "a", "b", a=("x", "a"), b=("x", "b"))
    mirrored(both, asset("x", "a", "b"))
    mirrored(both, asset("x", "a", "b"), location="there")
    mirrored(asset("clean", "a", a=("x", "a")), asset("x", "a", "b"))
    assert up(store, CLEAN) == {("clean.a", "x.a"), ("clean.b", "x.b")}, "the other one declares it still"
    mirrored(location="there")
    assert up(store, CLEAN) == {("clean.a", "x.a")}
    mirrored(asset("x", "a", "b"))
    assert up(store, CLEAN) == set()


def test_a_column_that_its_source_renamed_keeps_what_comes_from_it(store: MetadataStore, mirrored: Mirror) -> None:
    collect(store, "amount", objects=("1",))
    mirrored(asset("raw", key=RAW), asset("clean", "amount", amount=("raw", "amount")))
    before = store.column(ColumnKey(RAW, "amount"))
    collect(store, "price", objects=("1",))
    assert store.column(ColumnKey(RAW, "price")).id == before.id
    assert up(store, CLEAN) == {("clean.amount", "raw.price")}


def columns_of(store: MetadataStore, key: CanonicalKey) -> list[str]:
    return [one.name for one in store.asset(key).fields or ()]


def test_columns_that_are_declared_no_more_are_closed_also_without_lineage(
    store: MetadataStore, mirrored: Mirror
) -> None:
    """Of an asset that says nothing of its columns any more, of one that is gone, and of a code location."""
    raw = asset("raw", "seen", key=RAW)
    assets = (asset("clean", "a", "b"), asset("total", "sum"))
    mirrored(*assets, raw)
    mirrored(*assets, raw, location="there")
    assert mirrored(asset("clean"), raw).columns_written == 3
    assert columns_of(store, CLEAN) == ["a", "b"], "the other one declares them still"
    assert mirrored(asset("clean"), raw).columns_written == 0
    mirrored(asset("clean"), raw, location="there")
    assert [columns_of(store, key) for key in (CLEAN, TOTAL, RAW)] == [[], [], ["seen"]]
    mirrored(*assets)
    assert [columns_of(store, key) for key in (CLEAN, TOTAL, RAW)] == [["a", "b"], ["sum"], ["seen"]]
    for location in ("here", "there"):
        close_location(store, GraphStore(store.sessions), location)
    assert [columns_of(store, key) for key in (CLEAN, TOTAL, RAW)] == [[], [], []]


def test_a_word_about_what_is_just_being_made_is_not_lost(
    store: MetadataStore, open_store: Callable[..., MetadataStore]
) -> None:
    """Whoever comes first: a collection that brings a table, or who says what comes from its columns."""
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    store.register_assets([Asset(key=key, type=AssetType.DATASET) for key in (CLEAN, TOTAL)])
    other = dataset_key("shop", source="shop", schema="public", table="other")

    def tell(session: Session, key: CanonicalKey, origin: CanonicalKey, *, names_held: bool) -> object:
        said = ToldColumns(origins={"": {"x": frozenset({(origin, "amount")})}})
        (told,) = writable(session, [key]).values()
        ids = [told.id.value]
        return bring_columns(
            session, ids, lambda some: dict.fromkeys(some, said), producer="p", by="p", names_held=names_held
        )

    mine = open_store()
    with ThreadPoolExecutor(1) as beside, mine.sessions.begin() as first:
        seen_now(first, look_at(RAW, "amount", objects=("1",)))
        later = beside.submit(
            with_names, store.sessions, lambda session, held: tell(session, CLEAN, RAW, names_held=held)
        )
        time.sleep(0.3)
    later.result()
    assert up(store, CLEAN) == {("clean.x", "raw.amount")}
    with ThreadPoolExecutor(1) as beside, mine.sessions.begin() as first:
        hold_names(first, exclusive=True)
        tell(first, TOTAL, other, names_held=True)
        seen = look_at(other, "amount", objects=("1",), known="o2")
        later = beside.submit(store.sessions.perform, lambda session: seen_now(session, seen))
        time.sleep(0.3)
    later.result()
    assert up(store, TOTAL) == {("total.x", "other.amount")}


def test_a_graph_with_other_columns_has_another_digest() -> None:
    digests = {
        snapshot(dg.Definitions(assets=assets).resolve_asset_graph()).digest
        for assets in (
            [asset("x", "a"), asset("y", "b", b=("x", "a"))],
            [asset("x", "a", "b"), asset("y", "b", b=("x", "a"))],
            [asset("x", "a"), asset("y", "b", b=("x", "b"))],
        )
    }
    assert len(digests) == 3


def test_the_sql_of_a_project_says_where_columns_come_from(store: MetadataStore, tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    folder.mkdir()
    (tmp_path / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: files}\n")
    (folder / "all.yml").write_text(
        "datasets:\n"
        "  - {name: raw, endpoint: lake, schema: s, python: 'code:raw', columns: [{name: day, type: date},"
        " {name: amount, type: double}]}\n"
        "  - {name: total, endpoint: lake, schema: s, sql: total.sql}\n"
    )
    (folder / "total.sql").write_text("SELECT day, sum(amount) AS total FROM {{ ref('raw') }} GROUP BY day")
    (tmp_path / "code.py").write_text("def raw():\n    return None\n")
    graph = code_location(load_project(tmp_path)).resolve_asset_graph()
    mirror(store, GraphStore(store.sessions), snapshot(graph), code_location="shop")
    total = dataset_key("lake", schema="s", table="total")
    assert up(store, total) == {("total.day", "raw.day"), ("total.total", "raw.amount")}
