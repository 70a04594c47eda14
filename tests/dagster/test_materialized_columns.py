"""Where columns come from, when nobody but a materialization says it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from adopting import from_log, materialized

from identity.keys import CanonicalKey, dataset_key
from metadata_assets import with_metadata
from metadata_assets.datasets import DAGSTER_ENDPOINT
from metadata_assets.location import code_location
from metadata_assets.mirror.lineage import mirror, snapshot
from metadata_assets.mirror.materialized_columns import record_noted_columns
from metadata_assets.noted import Noted
from metadata_assets.spec import load_project
from metadata_assets.translating import DatasetProps, MetadataTranslator
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore


def key(name: str) -> CanonicalKey:
    return dataset_key(DAGSTER_ENDPOINT, table=name)


def lineage(**origins: tuple[str, str]) -> dict[str, object]:
    deps = {column: [dg.TableColumnDep(dg.AssetKey(of), name)] for column, (of, name) in origins.items()}
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def up(store: MetadataStore, name: str) -> set[tuple[str, str]]:
    found = GraphStore(store.sessions).column_lineage(store.entity(key(name)), "up")
    return {(one.name, f"{origin.dataset.table}.{origin.name}") for one, origin in found.edges}


def test_a_recorded_step_says_where_its_columns_come_from(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, resources: dict[str, object]
) -> None:
    @dg.asset
    def raw() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    @dg.asset(deps=[raw])
    def clean() -> dg.MaterializeResult[None]:
        schema = dg.TableSchema([dg.TableColumn("total", "double")])
        return dg.MaterializeResult(metadata={**lineage(total=("raw", "amount")), "dagster/column_schema": schema})

    @dg.asset(deps=[clean])
    def kept(context: dg.AssetExecutionContext) -> list[int]:
        context.add_output_metadata(lineage(n=("clean", "total")))
        return [1]

    materialized(ephemeral, raw, clean)
    assert up(stored, "clean") == {("total", "raw.amount")}
    assert [(one.name, one.type) for one in stored.asset(key("clean")).fields or ()] == [("total", "double")]
    job = dg.Definitions(assets=[raw, clean, kept], resources=resources).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=ephemeral, asset_selection=[dg.AssetKey("kept")]).success
    assert up(stored, "kept") == {("n", "clean.total"), ("total", "raw.amount")}


def test_the_event_log_says_where_columns_come_from_and_the_newest_word_counts(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    defs = dg.Definitions(assets=[dg.AssetSpec("raw"), dg.AssetSpec("out", deps=["raw"])])
    graph = defs.resolve_asset_graph()
    for name in ("raw", "out"):
        ephemeral.report_runless_asset_event(dg.AssetMaterialization(name))
    for origin in ("old", "new"):
        ephemeral.report_runless_asset_event(dg.AssetMaterialization("out", metadata=lineage(x=("raw", origin))))
    from_log(stored, ephemeral, defs)
    assert up(stored, "out") == {("x", "raw.new")}
    older = Noted(dg.AssetKey("out"), datetime(2020, 1, 1, tzinfo=UTC), lineage(x=("raw", "older")))
    assert record_noted_columns(stored, graph, [older]) == 0
    assert up(stored, "out") == {("x", "raw.new")}
    ephemeral.report_runless_asset_event(dg.AssetMaterialization("out"))
    from_log(stored, ephemeral, defs)
    assert up(stored, "out") == {("x", "raw.new")}, "one that says nothing takes nothing back"


class Prefixed(MetadataTranslator):
    def get_asset_spec(self, props: DatasetProps) -> dg.AssetSpec:
        return props.spec.replace_attributes(key=props.spec.key.with_prefix("ours"))


@pytest.mark.parametrize("declared", ["", ", columns: [{name: day, type: date}, {name: amount, type: double}]"])
def test_the_sql_of_a_project_says_it_under_whatever_keys_dagster_shows_datasets(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, tmp_path: Path, declared: str
) -> None:
    """Before it runs, where all columns are known; else as it runs."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text("name: shop\nendpoints:\n  lake: {system: files}\n")
    (tmp_path / "datasets" / "all.yml").write_text(
        f"datasets:\n  - {{name: raw, endpoint: lake, schema: s, python: 'code:raw'{declared}}}\n"
        "  - {name: total, endpoint: lake, schema: s, sql: total.sql}\n"
    )
    (tmp_path / "datasets" / "total.sql").write_text("SELECT r.*, amount * 2 AS twice FROM {{ ref('raw') }} r")
    (tmp_path / "code.py").write_text(
        "import datetime, pyarrow as pa\n"
        "def raw():\n    return pa.table({'day': [datetime.date(2026, 1, 1)], 'amount': [1.0]})\n"
    )
    defs = code_location(load_project(tmp_path), Prefixed())
    total = dataset_key("lake", schema="s", table="total")
    if declared:
        graph = snapshot(defs.resolve_asset_graph())
        mirror(stored, GraphStore(stored.sessions), graph, code_location="shop")
    else:
        assert defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=ephemeral).success
    found = GraphStore(stored.sessions).column_lineage(stored.entity(total), "up").edges
    assert {(one.name, str(of.dataset), of.name) for one, of in found} == {
        (one, str(dataset_key("lake", schema="s", table="raw")), of)
        for one, of in (("day", "day"), ("amount", "amount"), ("twice", "amount"))
    }


def test_what_the_definition_says_is_not_said_twice(stored: MetadataStore) -> None:
    said = lineage(x=("raw", "a"))
    graph = dg.Definitions(
        assets=[dg.AssetSpec("raw"), dg.AssetSpec("out", deps=["raw"], metadata=said)]
    ).resolve_asset_graph()
    mirror(stored, GraphStore(stored.sessions), snapshot(graph), code_location="here")
    assert record_noted_columns(stored, graph, [Noted(dg.AssetKey("out"), datetime.now(UTC), said)]) == 0
    assert up(stored, "out") == {("x", "raw.a")}


def test_a_note_that_says_what_the_definition_says_takes_an_older_one_back(stored: MetadataStore) -> None:
    said = lineage(x=("raw", "a"))
    graph = dg.Definitions(
        assets=[dg.AssetSpec("raw"), dg.AssetSpec("out", deps=["raw"], metadata=said)]
    ).resolve_asset_graph()
    mirror(stored, GraphStore(stored.sessions), snapshot(graph), code_location="here")
    for noted, edges in ((lineage(x=("raw", "b")), 1), (said, 1), (said, 0)):
        assert record_noted_columns(stored, graph, [Noted(dg.AssetKey("out"), datetime.now(UTC), noted)]) == edges
    assert up(stored, "out") == {("x", "raw.a")}


TOO_LONG = lineage(x=("k" * 2000, "a"))


def test_a_note_that_no_key_can_name_keeps_no_other_from_being_recorded(
    ephemeral: dg.DagsterInstance, stored: MetadataStore
) -> None:
    defs = dg.Definitions(assets=[dg.AssetSpec(name) for name in ("raw", "bad", "nul", "good")])
    schema = dg.TableSchema([dg.TableColumn("x", "in\0t", description="a\0b")])
    notes = {"bad": TOO_LONG, "nul": {**lineage(x=("raw", "a")), "dagster/column_schema": schema}}
    for name in ("raw", "bad", "nul", "good"):
        said = notes.get(name, lineage(x=("raw", "a")) if name == "good" else {})
        ephemeral.report_runless_asset_event(dg.AssetMaterialization(name, metadata=said))
    from_log(stored, ephemeral, defs)
    assert [up(stored, name) for name in ("bad", "nul", "good")] == [set(), {("x", "raw.a")}, {("x", "raw.a")}]


@pytest.mark.parametrize("note", [TOO_LONG, lineage(x=("raw", "a"))], ids=["no key", "no right"])
def test_a_note_that_cannot_be_recorded_does_not_fail_a_step_that_delivered(
    ephemeral: dg.DagsterInstance,
    stored: MetadataStore,
    resources: dict[str, object],
    metadata_url: str,
    note: dict[str, object],
) -> None:
    @dg.asset
    def kept(context: dg.AssetExecutionContext) -> list[int]:
        context.add_output_metadata(note)
        return [1]

    with psycopg.connect(metadata_url, autocommit=True) as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION metadata.record_lineage FROM metadata_app")
    assert dg.materialize([kept], instance=ephemeral, resources=resources).success
    assert len(stored.materializations(stored.entity(key("kept")))) == 1


CITIES = dg.StaticPartitionsDefinition(list("abcdefghijkl"))


@pytest.mark.parametrize("ours", [True, False], ids=["our I/O manager", "adopted"])
def test_what_a_run_over_partitions_noted_is_the_word_of_one_of_them(
    ephemeral: dg.DagsterInstance, stored: MetadataStore, resources: dict[str, object], ours: bool
) -> None:
    """Whole, not the columns of one with the lineage of another: of the last one that says something."""

    @dg.asset
    def raw() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    @dg.asset(deps=[raw], partitions_def=CITIES, backfill_policy=dg.BackfillPolicy.single_run())
    def out(context: dg.AssetExecutionContext) -> Any:
        for city in CITIES.get_partition_keys()[:-1]:
            schema = dg.TableSchema([dg.TableColumn(city, "int")])
            said = {**lineage(**{city: ("raw", city)}), "dagster/column_schema": schema, "city": city}
            context.add_asset_metadata(said, asset_key="out", partition_key=city)
        return {city: [1] for city in CITIES.get_partition_keys()} if ours else dg.MaterializeResult()

    defs = dg.Definitions(assets=[raw, out], resources=resources)
    defs = defs if ours else with_metadata(defs)
    job = defs.resolve_implicit_global_asset_job_def()
    everything = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "l"}
    for name, tags in (("raw", {}), ("out", everything)):
        assert job.execute_in_process(instance=ephemeral, asset_selection=[dg.AssetKey(name)], tags=tags).success
    for told in ("by the process", "by the event log"):
        if told == "by the event log" or not ours:
            assert up(stored, "out") == {("k", "raw.k")}, told
            assert [one.name for one in stored.asset(key("out")).fields or ()] == ["k"], told
        from_log(stored, ephemeral, defs)
    for city in CITIES.get_partition_keys()[:-1]:
        (record,) = stored.materializations(key("out"), partition=city)
        assert record.metadata.get("city") == city
