"""A dataset that has too many partitions for a view is refused by name, before anything of it is recorded."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest
from dying_steps import TableProject
from warehouse import Warehouse, flights

from metadata_assets.cli.many_partitions import too_many_partitions
from metadata_assets.spec import load_project
from resources.locations import MOST_PARTITIONS
from resources.tables.admission import TooManyPartitions

DAYS = {"dagster/asset_partition_range_start": "2013-01-01", "dagster/asset_partition_range_end": "2013-01-02"}


@pytest.fixture
def fill(warehouse: Warehouse) -> Iterator[Callable[[Warehouse], None]]:
    """A function that lets the registry have rows of as many partitions as a dataset may have, as if written."""

    def filled(shop: Warehouse) -> None:
        one = shop.commit(flights(1), "2013-01-01")
        shop.ask(
            f"""INSERT INTO metadata_registry.written
            SELECT schema_name, table_name || n, tenant_id, dataset_id, 'more' || n, attempt_id,
              '{uuid.uuid4()}', manifest, manifest_sha256, row_count
            FROM metadata_registry.written, generate_series(2, {MOST_PARTITIONS}) n
            WHERE materialization_id = '{one}'"""
        )

    yield filled
    warehouse.ask("DELETE FROM metadata_registry.written WHERE partition_key LIKE 'more%'")


def tables(shop: Warehouse) -> list[tuple[int]]:
    return shop.ask(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{shop.schema}__versions'")


def test_one_partition_more_than_a_view_can_show_is_refused_by_name(
    warehouse: Warehouse, fill: Callable[[Warehouse], None]
) -> None:
    fill(warehouse)
    with pytest.raises(TooManyPartitions, match=f"{warehouse.schema}.flights .* has 2000 partitions, and with 1 more"):
        warehouse.stage(flights(2), "one more")
    assert tables(warehouse) == [(1,)], "nothing was written"
    warehouse.show(flights(2), "2013-01-01")
    assert warehouse.rows() == [("2013-01-01", 2, "AA")], "what it has can be made anew"
    warehouse.show(flights(3), name="weather")


def test_a_run_of_too_many_is_refused_before_it_wrote_any(
    project: TableProject, shop: Warehouse, fill: Callable[[Warehouse], None]
) -> None:
    fill(shop)
    with pytest.raises(TooManyPartitions, match="what it has published stays"):
        project.run("flights", tags=DAYS)
    assert tables(shop) == [(1,)]
    assert len(shop.store.materializations(shop.key("flights"))) == 1


def test_what_is_full_takes_no_coarser_partitions_and_another_name_does(
    warehouse: Warehouse, fill: Callable[[Warehouse], None]
) -> None:
    """What the refusal says to do."""
    fill(warehouse)
    with pytest.raises(TooManyPartitions, match="under another name with coarser partitions"):
        warehouse.stage(flights(2), "2013-01")
    warehouse.show(flights(2), "2013-01", name="flights_by_month")
    assert warehouse.rows("flights_by_month") == [("2013-01", 2, "AA")]


HOURS = """
datasets:
  - {name: hours, endpoint: warehouse, schema: nyc, partitions: {hourly: {start: 2000-01-01}}, python: "code:hours"}
  - {name: days, endpoint: warehouse, schema: nyc, partitions: {daily: {start: 2021-08-01}}, python: "code:hours"}
  - {name: kept, endpoint: lake, partitions: {hourly: {start: 2000-01-01}}, python: "code:hours"}
"""


def test_partitions_of_a_declaration_are_counted_and_not_listed(
    project: TableProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "datasets" / "all.yml").write_text(HOURS)
    (project.folder / "code.py").write_text("def hours(partition: str) -> object: ...\n")

    def listed(*_: object, **__: object) -> None:
        raise AssertionError("235,725 keys take seconds")

    monkeypatch.setattr(dg.TimeWindowPartitionsDefinition, "get_partition_keys", listed)
    monkeypatch.setattr(dg.TimeWindowPartitionsDefinition, "get_partition_keys_in_time_window", listed)
    now = datetime(2026, 11, 21, 21, 30, tzinfo=UTC)
    told = [one.detail.partition(";")[0] for one in too_many_partitions(load_project(project.folder), now)]
    assert told == [
        "warehouse/nyc/days will have 2,028 partitions in 90 days",
        "warehouse/nyc/hours has 235,725 partitions",
    ]
