"""What a data engineer sees in Dagster's UI, with a real browser: graph, versions, checks, sensors and partitions."""

from collections.abc import Callable

import pytest
from ui_pages import DAYS, Deployment, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
Visit = Callable[[str], Page]


def test_the_graph_leads_from_source_tables_to_products(visit: Visit) -> None:
    page = visit("/assets/lake/nyc/carrier_month?view=lineage&lineageScope=upstream&lineageDepth=3")
    page.shows("ewr", "jfk", "lga", "daily_delays", "carrier_month")
    drawn = page.text.splitlines()
    assert drawn.count("flights") == 4  # one of each airport, and the one made of them
    assert drawn.count("weather") == 4
    page.keep("lineage")


def test_an_event_tells_the_record_that_was_made(visit: Visit, deployment: Deployment) -> None:
    answer = deployment.answer("materialization", "show", "lake/nyc/daily_delays", "--partition", "2013-01-02")
    (record,) = (one for one in answer["materializations"] if one["id"] == answer["start"])
    page = visit("/assets/lake/nyc/daily_delays?view=events&partition=2013-01-02")
    page.shows("2013-01-02", "metadata_assets/materialization_id", record["id"])
    page.shows("metadata_assets/version", "dagster/row_count", str(record["rows"]))
    page.keep("materialization")


def test_checks_say_what_they_found(visit: Visit) -> None:
    page = visit("/assets/lake/nyc/flights?view=checks")
    page.shows("keys_unique", "matches_sources", "one_local_day", "This is a blocking asset check.", "Passed")
    assert "Failed" not in page.text
    page.keep("checks")


@pytest.mark.parametrize("sensor", ["mirror_lineage", "collect_jfk_on_change"])
def test_sensors_tick(visit: Visit, sensor: str) -> None:
    page = visit(f"/locations/metadata_assets/sensors/{sensor}")
    page.shows("Running", "Latest tick", "View logs")
    assert "Failure" not in page.text
    if sensor == "mirror_lineage":
        page.keep("sensor-ticks")


def test_a_day_without_data_is_missing(visit: Visit) -> None:
    page = visit("/assets/lake/nyc/weather?view=partitions")
    page.shows(f"Materialized ({DAYS})", f"Missing ({365 - DAYS})", "Failed (0)")
