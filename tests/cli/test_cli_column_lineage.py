"""`lineage --columns` and `impact` of a column, as people call them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cli_calls import Run, shape

from identity.keys import ColumnKey, dataset_key
from metadata_assets.cli import documents
from resources.metadata import planned
from resources.metadata.plans import Plan
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from tests.importers.lineage_events import dataset, event, imported

RAW, CLEAN, TOTAL = (dataset_key("openlineage_db", table=name) for name in ("raw", "clean", "total"))


@pytest.fixture(autouse=True)
def told(store: MetadataStore) -> None:
    """total.sum comes from clean.amount and clean.rate, which come from raw; clean.day comes from nothing known."""
    clean = {"amount": [("raw", "amount")], "rate": [("raw", "rate"), ("raw", "day")]}
    total = {"sum": [("clean", "amount"), ("clean", "rate")]}
    imported(
        store,
        [
            event(job="clean", outputs=[dataset("clean", "amount", "rate", "day", origins=clean)]),
            event(job="total", run="r2", outputs=[dataset("total", "sum", origins=total)]),
        ],
    )


def test_a_dataset_and_one_column_up_and_down(run: Run) -> None:
    tree = run("lineage", "openlineage_db/total", "--columns").out
    assert [line.strip("│├└─ \n") for line in tree.splitlines()] == [
        *("openlineage_db/total", "sum", "openlineage_db/clean#amount", "openlineage_db/raw#amount"),
        *("openlineage_db/clean#rate", "openlineage_db/raw#day", "openlineage_db/raw#rate"),
    ]
    one = run("lineage", "openlineage_db/clean#rate", "--columns", "--json").json
    assert shape(one) == documents.COLUMN_LINEAGE
    assert {node["name"] for node in one["nodes"]} == {
        f"openlineage_db/{n}" for n in ("clean#rate", "raw#rate", "raw#day")
    }
    down = run("lineage", "openlineage_db/raw.amount", "--columns", "--down", "--json").json
    assert [node["column"] for node in down["nodes"]] == ["amount", "amount", "sum"]
    near = run("lineage", "openlineage_db/raw.amount", "--columns", "--down", "--depth", "1", "--json").json
    assert len(near["nodes"]) == 2


def test_diagrams_have_a_frame_for_each_dataset(run: Run) -> None:
    mermaid = run("lineage", "openlineage_db/clean.amount", "--columns", "--format", "mermaid").out
    assert mermaid.splitlines() == [
        "flowchart LR",
        '  subgraph d0["openlineage_db/clean"]',
        '    c0["amount"]',
        "  end",
        '  subgraph d1["openlineage_db/raw"]',
        '    c1["amount"]',
        "  end",
        "  c1 --> c0",
        "  style c0 stroke-width:3px",
    ]
    dot = run("lineage", "openlineage_db/clean.amount", "--columns", "--format", "dot").out
    assert '  subgraph cluster_1 {\n    label="openlineage_db/raw"\n    c1 [label="amount"]\n  }\n  c1 -> c0\n' in dot


def test_what_breaks_if_a_column_goes(run: Run) -> None:
    found = run("impact", "openlineage_db/raw.rate", "--json").json
    assert shape(found) == documents.COLUMN_IMPACT
    assert [(one["name"], one["steps"]) for one in found["made"]] == [
        ("openlineage_db/clean#rate", 1),
        ("openlineage_db/total#sum", 2),
    ]
    assert [one["name"] for one in found["datasets"]] == ["openlineage_db/clean", "openlineage_db/total"]
    assert "openlineage_db/total#sum" in run("impact", "openlineage_db/raw#rate").out
    assert "no column is known to be computed from it" in run("impact", "openlineage_db/total.sum").out
    assert run("impact", "openlineage_db/raw.rates").code == 3
    assert run("impact", "openlineage_db/raws.rate").code == 3


def test_a_rename_of_the_table_keeps_it_and_the_names_of_then_are_told(run: Run, store: MetadataStore) -> None:
    before = datetime.now(UTC).isoformat()
    store.rename({CLEAN: dataset_key("openlineage_db", table="cleaned")})
    now = run("lineage", "openlineage_db/total", "--columns", "--json").json
    then = run("lineage", "openlineage_db/total", "--columns", "--json", "--as-of", before).json
    assert {node["dataset"].rpartition("/")[2] for node in now["nodes"]} == {"total", "cleaned", "raw"}
    assert {node["dataset"].rpartition("/")[2] for node in then["nodes"]} == {"total", "clean", "raw"}
    long_ago = run("lineage", "openlineage_db/total", "--columns", "--json", "--as-of", "2020-01-01").json
    assert (len(long_ago["nodes"]), long_ago["edges"]) == (1, [])


def changed(store: MetadataStore, **what: Any) -> None:
    store.register_endpoints([Endpoint(slug="openlineage_db", system="postgres")])
    with store.session() as session:
        planned.apply_plan(session, Plan(endpoint="openlineage_db", fingerprint="f", complete=True, **what))


def test_a_column_that_is_gone_is_told_of_when_it_was_there(run: Run, store: MetadataStore) -> None:
    asked = ["lineage", "openlineage_db/total", "--columns", "--json"]
    before = datetime.now(UTC).isoformat()
    was = run(*asked).json
    changed(store, fields_closed=((TOTAL, store.column(ColumnKey(TOTAL, "sum")).field),))
    assert run(*asked).json["columns"] == []
    assert {**run(*asked, "--as-of", before).json, "as_of": None} == {**was, "as_of": None}
    changed(store, replaced=(TOTAL,), created=(Asset(key=TOTAL, type=AssetType.TABLE),))
    then = run(*asked, "--as-of", before).json
    assert {node["name"] for node in then["nodes"]} == {node["name"] for node in was["nodes"]}, "of what had the name"


def test_a_newer_word_of_the_job_closes_what_it_lacks(run: Run, store: MetadataStore) -> None:
    total = {"sum": [("clean", "amount")]}
    newer = event(job="total", run="r3", at="2024-06-01T00:00:00Z", outputs=[dataset("total", "sum", origins=total)])
    imported(store, [newer])
    assert [one["name"] for one in run("impact", "openlineage_db/raw.rate", "--json").json["made"]] == [
        "openlineage_db/clean#rate"
    ]


@pytest.mark.parametrize("more", [["--show-identities"], ["--from", "a", "--to", "b"]])
def test_what_has_no_meaning_with_columns(run: Run, more: list[str]) -> None:
    assert run("lineage", "openlineage_db/total", "--columns", *more).code == 2
