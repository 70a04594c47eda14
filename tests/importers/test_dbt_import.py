"""What an import of a dbt project writes, what the next one closes, and what neither touches."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from identity.keys import dataset_key
from metadata_assets.importers.dbt import look_of, read_project
from metadata_assets.importers.dbt_relations import Target, Targets
from metadata_assets.importers.errors import InvalidManifest, InvalidNode
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Field
from tests.collection.conftest import contents
from tests.importers.conftest import Edges
from tests.importers.dbt_projects import (
    JAFFLE,
    Entry,
    catalog,
    columns,
    imported,
    manifest,
    node,
    source,
    table,
    written,
)

REAL = {
    "dagster-dbt/sample_manifest.json": ("duckdb", 7, 5, 0),
    "dagster-dbt/cloud_v2_manifest.json": ("snowflake", 8, 8, 0),
    JAFFLE: ("postgres", 8, 8, 0),
    JAFFLE.replace("postgres", "duckdb"): ("duckdb", 5, 0, 5),
    JAFFLE.replace("postgres", "snapshot"): ("postgres", 3, 2, 0),
}


@pytest.mark.parametrize("file", REAL)
def test_real_manifests_are_read_and_once_is_enough(
    store: MetadataStore, metadata_url: str, shared_data: Path, file: str
) -> None:
    system, assets, edges, gaps = REAL[file]
    target = Target("wh", system)
    look, done = imported(store, shared_data / file, target, name="jaffle")
    assert (len(look.assets), len(look.edges), len(look.gaps)) == (assets, edges, gaps)
    assert done.edges.opened == edges
    stored = contents(metadata_url)
    _look, again = imported(store, shared_data / file, target, name="jaffle")
    assert (again.rows_written, contents(metadata_url)) == (0, stored)


def test_tests_owners_and_tags_are_facts_of_what_they_are_about(store: MetadataStore, shared_data: Path) -> None:
    imported(store, shared_data / JAFFLE, name="jaffle")
    facts = store.asset(table("orders", database="postgres")).metadata["dbt:jaffle"]
    assert {one["kind"] for one in facts["tests"]} == {"accepted_values", "not_null", "relationships", "unique"}
    (relationship,) = [one for one in facts["tests"] if one["kind"] == "relationships"]
    assert relationship == {
        "name": "relationships_orders_customer_id__customer_id__ref_customers_",
        "kind": "relationships",
        "column": "customer_id",
        "severity": "error",
        "arguments": {"to": "ref('customers')", "field": "customer_id"},
    }
    customers = store.asset(table("customers", database="postgres")).metadata["dbt:jaffle"]
    assert "relationships" not in {one["kind"] for one in customers["tests"]}, "it is about orders"


def test_what_a_project_says_about_its_models(store: MetadataStore, tmp_path: Path) -> None:
    document = manifest(
        source("raw", description="as loaded"),
        node(
            "model",
            "orders",
            "source.shop.raw",
            description="Sold",
            tags=["daily"],
            group="finance",
            access="public",
            meta={"owner": "ann", "tier": 1},
            columns={
                "id": {"name": "id", "description": "Number", "constraints": [{"type": "not_null"}]},
                "n": {"name": "n"},
            },
        ),
    ) | {"groups": {"group.shop.finance": {"name": "finance", "package_name": "shop", "owner": {"email": "fin@x.org"}}}}
    imported(store, written(tmp_path, document))
    asset = store.asset(table("orders"))
    assert asset.description == "Sold"
    assert asset.fields == (
        Field(
            name="id",
            type="unknown",
            nullable=False,
            position=1,
            metadata={"comment": "Number", "declared_by": "dbt:shop"},
        ),
        Field(name="n", type="unknown", nullable=True, position=2, metadata={"declared_by": "dbt:shop"}),
    )
    assert asset.metadata["dbt:shop"] == {
        "unique_id": "model.shop.orders",
        "resource_type": "model",
        "materialized": "table",
        "package": "shop",
        "description": "Sold",
        "tags": ["daily"],
        "owners": ["ann", "fin@x.org"],
        "group": "finance",
        "access": "public",
        "meta": {"owner": "ann", "tier": 1},
        "columns": {"id": {"description": "Number", "constraints": [{"type": "not_null"}]}},
    }
    assert store.asset(table("raw")).description == "as loaded"


def test_what_the_next_manifest_lacks_is_closed(store: MetadataStore, edges: Edges, tmp_path: Path) -> None:
    raw, other = source("raw"), source("other")
    both = node("model", "orders", "source.shop.raw", "source.shop.other", columns=columns("id", "n"))
    top = node("model", "top", "model.shop.orders", columns=columns("x"))
    imported(store, written(tmp_path, manifest(raw, other, both, top)))
    assert edges() == {"shop@wh": {("orders", "raw"), ("orders", "other"), ("top", "orders")}}

    one = node("model", "orders", "source.shop.raw", columns=columns("id"))
    _look, done = imported(store, written(tmp_path, manifest(raw, one)))
    assert edges() == {"shop@wh": {("orders", "raw")}}
    assert (done.edges.closed, done.taken_back) == (2, 2)
    assert [field.name for field in store.asset(table("orders")).fields or ()] == ["id"]
    gone = store.asset(table("top"))
    assert (gone.closed_at, gone.metadata, gone.fields) == (None, {}, ()), "it stays; the project's words do not"


def test_a_manifest_that_lacks_what_it_reads_closes_nothing(store: MetadataStore, edges: Edges, tmp_path: Path) -> None:
    raw = source("raw")
    orders = node("model", "orders", "source.shop.raw", columns=columns("id"))
    imported(store, written(tmp_path, manifest(raw, orders)))
    cut = node("model", "top", "model.shop.orders", "model.shop.nowhere")
    look, done = imported(store, written(tmp_path, manifest(node("model", "orders"), cut)))
    assert [gap.name for gap in look.gaps] == ["model.shop.top"]
    assert "model.shop.nowhere" in look.gaps[0].reason
    assert edges() == {"shop@wh": {("orders", "raw"), ("top", "orders")}}
    assert (done.edges.closed, done.taken_back) == (0, 0)
    assert store.asset(table("raw")).metadata
    assert store.asset(table("orders")).fields


def guard(unique_id: str, *reads: str, **facts: object) -> Entry:
    """A test of what it reads."""
    return {
        "unique_id": unique_id,
        "resource_type": "test",
        "name": unique_id.rpartition(".")[2],
        "depends_on": {"nodes": list(reads)},
        **facts,
    }


@pytest.mark.parametrize("lacking", [{"attached_node": "model.shop.gone"}, {"reads": "model.shop.gone"}])
def test_a_manifest_that_lacks_what_it_tests_closes_nothing(
    store: MetadataStore, edges: Edges, tmp_path: Path, lacking: dict[str, str]
) -> None:
    raw, orders = source("raw"), node("model", "orders", "source.shop.raw")
    imported(store, written(tmp_path, manifest(raw, orders)))
    facts = {name: value for name, value in lacking.items() if name == "attached_node"}
    test = guard("test.shop.one", *(value for name, value in lacking.items() if name == "reads"), **facts)
    look, done = imported(store, written(tmp_path, manifest(node("model", "orders"), test)))
    (gap,) = look.gaps
    assert (gap.name, gap.reason) == ("test.shop.one", "it tests model.shop.gone, which the manifest lacks")
    assert (done.edges.closed, done.taken_back, edges()) == (0, 0, {"shop@wh": {("orders", "raw")}})


def test_a_manifest_without_a_table_is_refused(store: MetadataStore, edges: Edges, tmp_path: Path) -> None:
    imported(store, written(tmp_path, manifest(source("raw"), node("model", "orders", "source.shop.raw"))))
    ephemeral = node("model", "orders", config={"materialized": "ephemeral"})
    for empty in (manifest(), manifest(guard("test.shop.one")), manifest(ephemeral)):
        with pytest.raises(InvalidManifest, match="has no model, seed, snapshot or source with a table"):
            imported(store, written(tmp_path, empty))
    assert edges() == {"shop@wh": {("orders", "raw")}}


@pytest.mark.parametrize("field", [{"meta": {"a": [math.inf]}}, {"config": {"meta": {"a": -math.inf}}}])
def test_a_number_that_is_none_is_told_with_its_node(store: MetadataStore, tmp_path: Path, field: Entry) -> None:
    file = written(tmp_path, manifest(node("model", "orders", **field)))
    file.write_text(file.read_text().replace("Infinity", "1e999"))
    with pytest.raises(
        InvalidNode, match=r"manifest\.json cannot be imported: model\.shop\.orders: a number: it is larger"
    ):
        imported(store, file)


def description(store: MetadataStore, folder: Path, said: str, *, kind: str) -> str | None:
    """What the description of `orders` is after an import that says this."""
    one = source("orders", description=said) if kind == "source" else node("model", "orders", description=said)
    imported(store, written(folder, manifest(one)))
    return store.asset(table("orders")).description


@pytest.mark.parametrize("kind", ["source", "model"])
def test_a_description_follows_the_project_and_goes_with_it(store: MetadataStore, tmp_path: Path, kind: str) -> None:
    found = [description(store, tmp_path, said, kind=kind) for said in ("a", "", "b", "b", "c", "")]
    assert found == ["a", None, "b", "b", "c", None]
    assert description(store, tmp_path, "d", kind=kind) == "d"
    imported(store, written(tmp_path, manifest(node("model", "other"))))
    assert store.asset(table("orders")).description is None, "it does not name it any more"


def test_what_somebody_else_wrote_stays_when_the_project_takes_back_its_own(
    store: MetadataStore, tmp_path: Path
) -> None:
    assert description(store, tmp_path, "ours", kind="source") == "ours"
    theirs = Asset(key=table("orders"), type=AssetType.DATASET, description="theirs")
    store.register_assets([theirs])
    found = [description(store, tmp_path, said, kind="source") for said in ("ours", "new", "")]
    assert found == ["theirs"] * 3
    assert description(store, tmp_path, "made", kind="model") == "made", "who makes it says what it is"
    store.register_assets([theirs])
    assert description(store, tmp_path, "", kind="model") == "theirs"


def test_a_description_that_is_written_in_this_moment_stands(
    store: MetadataStore, metadata_url: str, tmp_path: Path
) -> None:
    """The import waits for the row that somebody describes, and decides then."""
    file = written(tmp_path, manifest(source("orders", description="dbt says")))
    imported(store, written(tmp_path, manifest(source("orders")), "first.json"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with store.session() as person, psycopg.connect(metadata_url, autocommit=True) as looking:
            person.rows("UPDATE metadata.asset SET description = 'a person says'")
            later = pool.submit(imported, store, file)
            deadline = time.monotonic() + 20
            while looking.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline and not later.done():
                time.sleep(0.01)
            assert not later.done(), "it waits"
        later.result(timeout=20)
    assert store.asset(table("orders")).description == "a person says"


def test_a_column_that_two_declare_is_there_until_both_drop_it(store: MetadataStore, tmp_path: Path) -> None:
    def project(name: str, kind: str, *declared: str) -> None:
        orders = node if kind == "model" else source
        entry = node("model", "orders", columns=columns(*declared, n="int"))
        if orders is source:
            entry = source("orders", columns=columns(*declared, n="text"))
        imported(store, written(tmp_path, manifest(entry, project=name), f"{name}.json"))

    def found() -> dict[str, tuple[str, str | None]]:
        fields = store.asset(table("orders")).fields or ()
        return {field.name: (field.type, field.metadata.get("declared_by")) for field in fields}

    project("shop", "model", "id", "n")
    project("bi", "source", "n")
    assert found() == {"id": ("unknown", "dbt:shop"), "n": ("int", "dbt:shop")}
    project("shop", "model", "id")
    assert found() == {"id": ("unknown", "dbt:shop"), "n": ("int", "dbt:bi")}, "the other one still declares it"
    project("bi", "source", "n")
    assert found()["n"] == ("text", "dbt:bi")
    project("shop", "model", "id", "n")
    project("shop", "model", "id")
    assert found()["n"] == ("text", "dbt:bi")
    project("bi", "source")
    assert set(found()) == {"id"}


def test_ephemeral_models_are_passed_through_even_in_a_circle(tmp_path: Path) -> None:
    ephemeral = {"config": {"materialized": "ephemeral"}, "relation_name": None}
    document = manifest(
        source("raw"),
        node("model", "a", "source.shop.raw", "model.shop.b", **ephemeral),
        node("model", "b", "model.shop.a", **ephemeral),
        node("model", "orders", "model.shop.b"),
    )
    look = look_of(read_project(written(tmp_path, document)), Targets([Target("wh", "postgres")]))
    assert {asset.key for asset in look.assets} == {table("raw"), table("orders")}
    assert {(edge.source, edge.target) for edge in look.edges} == {(table("orders"), table("raw"))}


def test_two_projects_about_one_table_do_not_disturb_each_other(
    store: MetadataStore, metadata_url: str, edges: Edges, tmp_path: Path
) -> None:
    """One makes it and the other reads it, as projects of several teams do."""
    maker = written(
        tmp_path, manifest(node("model", "orders", description="Sold", columns=columns("id", "n"))), "maker.json"
    )
    reads = node("model", "report", "source.shop.orders")
    said = source("orders", description="of the others", columns=columns("id"))
    reader = written(tmp_path, manifest(said, reads, project="bi"), "reader.json")
    for first, second in ((maker, reader), (reader, maker)):
        imported(store, first)
        imported(store, second)
    asset = store.asset(table("orders"))
    assert asset.description == "Sold", "who makes it says what it is"
    assert sorted(asset.metadata) == ["dbt:bi", "dbt:shop"]
    assert [field.name for field in asset.fields or ()] == ["id", "n"]
    assert edges() == {"bi@wh": {("report", "orders")}}
    stored = contents(metadata_url)
    imported(store, maker)
    imported(store, reader)
    assert contents(metadata_url) == stored


def test_a_source_that_is_a_model_of_the_same_project_is_one_asset(store: MetadataStore, tmp_path: Path) -> None:
    document = manifest(
        source("orders"), node("model", "orders", "source.shop.orders"), node("model", "top", "source.shop.orders")
    )
    look, _done = imported(store, written(tmp_path, document))
    assert len(look.assets) == 2
    assert {(edge.source.table, edge.target.table) for edge in look.edges} == {("top", "orders")}, "none to itself"
    assert store.asset(table("orders")).metadata["dbt:shop"]["also"] == ["source.shop.orders"]


def test_a_catalog_tells_types_and_how_columns_are_spelled(store: MetadataStore, tmp_path: Path) -> None:
    model = node("model", "orders", database="DB", relation_name="DB.PUBLIC.orders", columns=columns("id"))
    seen = catalog({"model.shop.orders": {"ID": "NUMBER(38,0)", "AT": "TIMESTAMP_NTZ"}})
    file = written(tmp_path, manifest(model, adapter="snowflake"))
    imported(store, file, Target("wh", "snowflake"), seen=written(tmp_path, seen, "catalog.json"))
    asset = store.asset(dataset_key("wh", source="DB", schema="PUBLIC", table="ORDERS"))
    assert [(field.name, field.type) for field in asset.fields or ()] == [
        ("ID", "NUMBER(38,0)"),
        ("AT", "TIMESTAMP_NTZ"),
    ]
    assert (asset.fields or ())[0].metadata["comment"] == "about id"
    assert asset.metadata["dbt:shop"]["columns"]["ID"] == {"description": "about id"}
