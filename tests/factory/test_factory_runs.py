"""Declared datasets, materialized by Dagster: what the functions get, what is committed, what is told."""

from typing import Any

FLIGHTS = """
datasets:
  - name: flights
    endpoint: lake
    schema: nyc
    partitions: JANUARY
    depends_on: [{dataset: jfk/public/flights, as: jfk}]
    python: code:flights
    checks: [{name: two_carriers, python: code:two_carriers}]
"""
CODE = """
    import polars as pl
    from metadata_assets.source_table import SourceTable

    def flights(jfk: SourceTable, partition: str) -> pl.DataFrame | None:
        found = jfk.query("SELECT * FROM {table} WHERE day = %s", [partition])
        return None if found.is_empty() else found

    def two_carriers(data: pl.DataFrame, jfk, partition: str) -> bool:
        return data.height == 2 and str(data["day"][0]) == partition
"""


def test_one_partition_is_computed_committed_checked_and_published(workbench: Any, published: Any) -> None:
    result = workbench(FLIGHTS, code=CODE).run("flights", partition_key="2013-01-02")
    assert result.success
    assert published("flights") == {"2013-01-02": 2}
