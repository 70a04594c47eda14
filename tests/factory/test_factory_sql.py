"""Datasets that are one SELECT, materialized by Dagster: what is read, committed and told."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from metadata_assets.sql.computing import SqlFailed
from resources.metadata_store import MetadataStore
from resources.models import Committed

DATASETS = """
datasets:
  - {name: flights, endpoint: lake, schema: nyc, python: "code:flights"}
  - {name: carriers, endpoint: lake, schema: nyc, sql: carriers.sql}
"""
CODE = """
import polars as pl

def flights() -> pl.DataFrame:
    return pl.DataFrame({"day": [1, 1, 2], "carrier": ["AA", "UA", "AA"], "late": [10, 20, 30]})
"""
CARRIERS = "SELECT carrier, avg(late) AS late FROM {{ ref('flights') }} GROUP BY ALL ORDER BY carrier"


@pytest.fixture
def sql(tmp_path: Path) -> Any:
    """A function that writes the files of SQL of a project, by name without .sql."""

    def write(**files: str) -> None:
        folder = tmp_path / "project" / "datasets"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.sql").write_text(text)

    return write


def test_a_select_is_computed_committed_and_published(workbench: Any, published: Any, sql: Any) -> None:
    sql(carriers=CARRIERS)
    bench = workbench(DATASETS, code=CODE)
    result = bench.run("flights", "carriers")
    assert published("carriers") == {None: 2}
    event = result.asset_materializations_for_node("lake__nyc__carriers")[0]
    schema = event.metadata["dagster/column_schema"].value
    assert [(one.name, one.type) for one in schema.columns] == [("carrier", "string"), ("late", "double")]
