"""Datasets of a postgres endpoint, materialized by Dagster: written, checked, published, shown, read, retried."""

from typing import Any

import psycopg
import pytest
from dying_steps import MOMENTS, Moment, TableProject
from warehouse import Warehouse

from resources.tables import registry
from resources.tables.dangling import dangling
from resources.tables.registry import NotWritable
from resources.tables.switching import settle

pytestmark = pytest.mark.proof

DAYS = {"dagster/asset_partition_range_start": "2013-01-01", "dagster/asset_partition_range_end": "2013-01-02"}
TWO_DAYS = [("2013-01-01", "AA"), ("2013-01-01", "UA"), ("2013-01-02", "AA"), ("2013-01-02", "UA")]


def shown(shop: Warehouse) -> list[tuple[Any, ...]]:
    return shop.ask(f"SELECT partition_key, carrier FROM {shop.view()} ORDER BY 1, 2")


def test_datasets_are_tables_and_their_readers_get_the_published_ones(project: TableProject, shop: Warehouse) -> None:
    result = project.run("flights", tags=DAYS)
    assert result.success
    assert shown(shop) == TWO_DAYS
    (check,) = result.get_asset_check_evaluations()
    assert check.passed, "the check read the tables before they were published"
    event = result.get_asset_materialization_events()[0].materialization
    assert str(event.metadata["path"].value).startswith(f"warehouse:{project.schema}__versions.flights_")
    assert event.metadata["dagster/row_count"].value == 2
    assert project.run("carriers", "report").success
    assert shop.ask(f"SELECT * FROM {shop.view('carriers')} ORDER BY 1") == [("AA", 2), ("UA", 2)]
    (current,) = shop.store.current(shop.key("carriers"))
    inputs = shop.store.inputs(current.materialization_id)
    assert [(one.partition, one.version) for one in inputs] == [("2013-01-01", 1), ("2013-01-02", 1)]
    assert all(one.materialization_id for one in inputs), "what was read is a materialization, not a source"
    assert dangling(shop.tables).nothing


def test_a_failed_check_keeps_the_view_at_the_version_before(
    project: TableProject, shop: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("flights", partition_key="2013-01-01")
    monkeypatch.setenv("CARRIER", "AA")
    project.run("flights", partition_key="2013-01-01", raise_on_error=False)
    assert shown(shop) == TWO_DAYS[:2]
    assert len(shop.store.materializations(shop.key("flights"))) == 2


def test_the_same_intent_again_is_one_table_that_counts(project: TableProject, shop: Warehouse) -> None:
    for _ in range(2):
        project.run("flights", partition_key="2013-01-01", key="k")
    (one,) = shop.store.materializations(shop.key("flights"))
    assert one.redeliveries == 1
    assert shown(shop) == TWO_DAYS[:2]
    found = dangling(shop.tables)
    assert found.nothing, "the other table is leased still"
    tables = shop.ask(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{project.schema}__versions'")
    assert tables == [(2,)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_step_leaves_nothing_half_done_and_is_delivered_once(
    project: TableProject, shop: Warehouse, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("flights", partition_key="2013-01-01")
    key, partition = f"killed when {moment}", "2013-01-02"
    assert project.run_and_die(moment, "flights", key=key, partition=partition) == -9
    kept = MOMENTS.index(moment) >= MOMENTS.index("committed")
    assert shown(shop) == (TWO_DAYS if moment == "switched" else TWO_DAYS[:2])
    published = shop.store.versions(shop.key("flights"))[0].number
    assert published == (2 if MOMENTS.index(moment) >= MOMENTS.index("published") else 1)
    late = [(one.published, one.shown, one.ahead) for one in dangling(shop.tables).out_of_step]
    assert late == ([(2, 1, False)] if moment in ("published", "switching") else [])
    if moment in ("published", "switching"):
        assert [one.version for one in settle(shop.tables).switched] == [2]
        assert shown(shop) == TWO_DAYS
    monkeypatch.setenv("CARRIER", "UA" if kept else "B6")
    project.run("flights", partition_key=partition, key=key)
    assert len(shop.store.materializations(shop.key("flights"), partition=partition)) == 1
    assert shown(shop) == (TWO_DAYS if kept else [*TWO_DAYS[:3], (partition, "B6")])
    assert dangling(shop.tables).out_of_step == ()


def test_the_next_run_on_the_endpoint_repairs_what_a_killed_one_left(project: TableProject, shop: Warehouse) -> None:
    project.run("flights", partition_key="2013-01-01")
    assert project.run_and_die("published", "flights", key="k", partition="2013-01-02") == -9
    assert shown(shop) == TWO_DAYS[:2]
    project.run("carriers")
    assert shown(shop) == TWO_DAYS
    assert shop.ask(f"SELECT * FROM {shop.view('carriers')} ORDER BY 1") == [("AA", 2), ("UA", 2)]


def test_what_does_not_fit_between_the_databases_is_listed(
    project: TableProject, shop: Warehouse, metadata_url: str
) -> None:
    project.run("flights", tags=DAYS)
    for _ in range(2):
        project.run("flights", partition_key="2013-01-01", key="k")
    versions = f"{project.schema}__versions"
    locations = [str(one.location) for one in shop.store.materializations(shop.key("flights"))]
    written = f"SELECT 'warehouse:{versions}.' || table_name FROM metadata_registry.written"
    tables = {name for (name,) in shop.ask(f"{written} WHERE schema_name = '{versions}'")}
    (redelivered,) = tables - set(locations)
    assert dangling(shop.tables).nothing
    gone = str(shop.store.current(shop.key("flights"))[1].location)
    shop.ask(f"DROP VIEW {shop.view()}; DROP TABLE {gone.partition(':')[2]}")
    shop.ask(f"CREATE TABLE {versions}.nobodys ()")
    shop.ask(f"UPDATE metadata_registry.published SET version = 9 WHERE schema_name = '{project.schema}'")
    forged = f"UPDATE metadata_registry.written SET materialization_id = dataset_id WHERE schema_name = '{versions}'"
    shop.ask(f"{forged} AND 'warehouse:{versions}.' || table_name = '{locations[0]}'")
    with psycopg.connect(metadata_url) as control:  # time passes
        control.execute("UPDATE metadata.staging_lease SET expires_at = opened_at")
    found = dangling(shop.tables)
    assert set(found.missing) >= {gone}, "another test's project is on the same endpoint"
    assert [one.location for one in found.unknown if versions in one.location] == [locations[0]]
    ours = {one for one in found.orphans if versions in one}
    assert ours == {redelivered, locations[0], f"warehouse:{versions}.nobodys"}
    (ahead,) = [one for one in found.out_of_step if one.view == f"{project.schema}.flights"]
    assert (ahead.key, ahead.published, ahead.shown, ahead.ahead) == (shop.key("flights"), 2, 9, True)
    assert shop.tables.remove(redelivered.partition(":")[2])[0] == 1
    assert redelivered not in dangling(shop.tables).orphans


def test_a_login_that_may_not_make_schemas_is_told_what_to_ask_for(data_url: str) -> None:
    with psycopg.connect(data_url) as connection:
        connection.execute("CREATE ROLE guest; SET ROLE guest")
        with pytest.raises(NotWritable, match="GRANT CREATE ON DATABASE"):
            registry.prepare(connection, "warehouse", "guests")
