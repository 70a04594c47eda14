"""Datasets that are one SELECT, materialized by Dagster: what is read, committed and told."""

from pathlib import Path
from typing import Any

import pytest

from metadata_assets.sql.computing import SqlFailed

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


def test_the_event_shows_columns_and_from_which_columns_each_comes(workbench: Any, sql: Any) -> None:
    sql(
        carriers="SELECT f.carrier AS Who, f.late + 1 AS later, c.day FROM {{ ref('lake/nyc/flights') }} f\n"
        "JOIN {{ source('jfk', 'public', 'flights') }} c ON c.carrier = f.carrier"
    )
    event = (
        workbench(DATASETS, code=CODE)
        .run("flights", "carriers")
        .asset_materializations_for_node("lake__nyc__carriers")[0]
    )
    lineage = event.metadata["dagster/column_lineage"].value.deps_by_column
    assert {name: [(d.asset_key.path, d.column_name) for d in deps] for name, deps in lineage.items()} == {
        "Who": [(["lake", "nyc", "flights"], "carrier")],
        "later": [(["lake", "nyc", "flights"], "late")],
        "day": [(["jfk", "public", "flights"], "day")],
    }


def test_what_goes_wrong_in_a_run_is_told_at_its_line(workbench: Any, sql: Any, published: Any) -> None:
    sql(carriers="SELECT carrier,\n       latte\nFROM {{ ref('lake/nyc/flights') }}")
    bench = workbench(DATASETS, code=CODE)
    with pytest.raises(SqlFailed) as failed:
        bench.run("flights", "carriers")
    assert str(failed.value).startswith('datasets/carriers.sql:2:8: Referenced column "latte" not found'), str(
        failed.value
    )
    assert str(failed.value).endswith("did you mean late?")
    assert published("carriers") == {}
