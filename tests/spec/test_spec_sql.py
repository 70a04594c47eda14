"""Files of SQL in a project: what their names mean, and every mistake at its line with the way out."""

from pathlib import Path

import pytest

from identity.keys import short_name
from metadata_assets.spec import Dataset, ProjectInvalid, load_project

METADATA = """
name: shop
endpoints:
  jfk: {system: postgres, database: jfk}
  warehouse: {system: postgres, database: dwh}
  lake: {system: files}
"""
DATASETS = """
datasets:
  - {name: orders, endpoint: lake, schema: sales, python: "code:orders"}
  - {name: days, endpoint: lake, schema: sales, partitions: {daily: {start: 2026-01-01}}, python: "code:days"}
  - {name: days, endpoint: lake, schema: other, python: "code:days"}
  - {name: total, endpoint: warehouse, schema: sales, sql: "sql/total.sql"%s}
"""
BOTH = "{{ ref('name') }} or {{ source('endpoint', 'schema', 'table') }}"
STATIC = ", partitions: {static: [a]}"


def total(folder: Path, sql: str | bytes | None, more: str = "", file: str = "sql/total.sql") -> Dataset:
    """The dataset `total` of a project whose file of SQL is this."""
    (folder / "datasets" / "sql").mkdir(parents=True, exist_ok=True)
    (folder / "metadata.yml").write_text(METADATA)
    (folder / "datasets" / "all.yml").write_text((DATASETS % more).replace("sql/total.sql", file))
    if sql is not None:
        (folder / "datasets" / "sql" / "total.sql").write_bytes(sql if isinstance(sql, bytes) else sql.encode())
    (found,) = (one for one in load_project(folder).datasets if one.name == "total")
    return found


def test_names_in_a_file_become_tables_and_dependencies(tmp_path: Path) -> None:
    dataset = total(
        tmp_path,
        "-- {{ ref('nobody') }} is a comment\n"
        "SELECT '{' AS a FROM {{ ref('orders') }}, {{ref(\"lake/sales/days\")}} d,\n"
        "{{ source('jfk', 'public', 'order items') }}, {{ ref('mid1:dataset:lake:~/other/days') }}",
        more=", depends_on: [{dataset: lake/sales/days, as: last_day, partitions: last}, jfk/public/carriers]",
    )
    assert dataset.sql is not None
    assert dataset.sql.statement == (
        '-- {{ ref(\'nobody\') }} is a comment\nSELECT \'{\' AS a FROM "lake/sales"."orders", "lake/sales"."days" d,\n'
        '"jfk/public"."order items", "lake/other"."days"'
    )
    inputs = [(short_name(one.key), one.name, one.mapping and str(one.mapping)) for one in dataset.depends_on]
    assert [one for one in inputs if not one[1].startswith("input_")] == [
        ("lake/sales/days", "last_day", "last"),
        ("jfk/public/carriers", "carriers", None),
        ("lake/sales/orders", "orders", None),
        ("lake/other/days", "days", None),
    ]
    assert [one[0] for one in inputs if one[1].startswith("input_order_items_")] == ["jfk/public/order items"]


def test_another_text_is_another_version_of_the_code(tmp_path: Path) -> None:
    first = total(tmp_path, "SELECT 1 AS a").code_version
    assert first != total(tmp_path, "SELECT 2 AS a").code_version
    assert first == total(tmp_path, "SELECT 1 AS a").code_version
    assert total(tmp_path, "SELECT 1 AS a", ', code_version: "7"').code_version == "7"


REFUSED = [
    ("SELECT *\nFROM {{ ref('order') }}", "", "2:6: no dataset 'order'; did you mean orders?"),
    (
        "FROM {{ ref('lake/sale/orders') }}",
        "",
        "1:6: no dataset 'lake/sale/orders'; did you mean lake/sales/orders or …",
    ),
    (
        "FROM {{ ref('days') }}",
        "",
        "1:6: 'days' is the name of 2 datasets: lake/other/days, lake/sales/days; write the whole name of one of them",
    ),
    (
        "FROM {{ ref('jfk/public/x') }}",
        "",
        "1:6: no dataset 'jfk/public/x' is declared; for a table of jfk write {{ source('jfk', 'public', 'x') }}",
    ),
    ("FROM {{ source('jfj', 'public', 'x') }}", "", "1:6: no endpoint 'jfj'; did you mean jfk?"),
    (
        "FROM {{ source('lake', 'a', 'x') }}",
        "",
        "1:6: lake is no database, so it has no source tables; write {{ ref('…') }} for a dataset",
    ),
    (
        "FROM {{ source('warehouse', 'sales', 'total') }}",
        "",
        "1:6: warehouse/sales/total is a dataset of this project; write {{ ref('warehouse/sales/total') }}",
    ),
    (
        "SELECT {{ var('x') }}",
        "",
        f"1:8: only inputs stand in {{{{ }}}}; write {BOTH}, and everything else as SQL",
    ),
    (
        "FROM {{ rev('x') }}",
        "",
        f"1:6: only inputs stand in {{{{ }}}}; did you mean ref? write {BOTH}, and everything …",
    ),
    ("FROM {{ ref(orders) }}", "", "1:6: ref() takes 1 text in quotes; write {{ ref('name') }}"),
    ("FROM {{ ref('orders')", "", f"1:6: {{{{ is not closed; write {BOTH}"),
    ("SELECT\n{% if a %}", "", f"2:1: {{% has no meaning here; write plain SQL with {BOTH}"),
    (
        "SELECT '{{ ref('orders') }}'",
        "",
        f"1:9: {{{{ }}}} inside of quotes is not replaced; write {BOTH} without quotes around",
    ),
    ("SELECT a\nFROM {{ ref('orders') }} ORDR BY\n  b c", "", '2:31: not valid SQL: syntax error at or near "BY"; …'),
    ("SELECT 1;\nSELECT 2", "", "2:1: 2 statements are in it; keep one SELECT, and use WITH for its steps"),
    ("-- nothing", "", "1:1: there is no SQL in it; write a SELECT"),
    (
        "SELECT id,\n o.Id FROM {{ ref('orders') }} o",
        "",
        "2:4: two columns are called Id; name them apart …",
    ),
    ("SELECT 1 AS a, 2 AS b, 3 AS a", "", "1:29: two columns are called a; name them apart with AS, or take one …"),
    ("CREATE TABLE a (b int)", "", "1:1: a SELECT belongs here, not CREATE; write a SELECT"),
    ("DESCRIBE SELECT 1", "", "1:1: it describes a table and has no rows of it; write a SELECT"),
    (
        "WITH o AS (SELECT 1 AS a)\nSELECT * FROM o, orders",
        "",
        "2:18: orders is not an input; for a dataset write {{ ref('orders') }}, for a table of a source …",
    ),
    ("SELECT 'é' AS é FROM 'a.parquet'", "", "1:22: a.parquet is not an input; for a dataset write …"),
    ("SELECT $partition", "", "1:8: the dataset is not divided, so it has no $partition; give it `partitions: …`"),
    (
        "SELECT $day",
        STATIC,
        "1:8: nothing provides the parameter $day; write $partition, the key of the partition as …",
    ),
    (
        "FROM {{ ref('lake/sales/days') }}",
        STATIC,
        "1:6: the partitions of lake/sales/days: this is static and its input daily (UTC): no partitions are …",
    ),
    ("SELECT 'https://me:hunter2@host/' AS a", "", "1:14: it holds a URL with a password; write env:NAME and put …"),
    (b"SELECT '\xff'", "", "1:1: byte 8 is not UTF-8; save the file as UTF-8"),
]


@pytest.mark.parametrize(("sql", "more", "says"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_mistake_is_told_at_its_line_with_the_way_out(tmp_path: Path, sql: str | bytes, more: str, says: str) -> None:
    with pytest.raises(ProjectInvalid) as refused:
        total(tmp_path, sql, more)
    (problem,) = refused.value.problems
    assert f"{problem} …".startswith(f"datasets/sql/total.sql:{says.removesuffix('…')}"), str(problem)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "more", "says"),
    [
        ("totals.sql", "", "6:60: datasets[3].sql: there is no file datasets/totals.sql; did you mean sql/total.sql?"),
        ("../../total.sql", "", "6:60: datasets[3].sql: it is outside of the project; move the file below the …"),
        ("total.py", "", "6:60: datasets[3].sql: it names no file of SQL: 'total.py'; write its path from here, …"),
        ("sql/total.sql", ", python: 'code:x'", "6:5: datasets[3]: it has both `python` and `sql`; keep one of them"),
    ],
)
def test_the_file_itself_is_looked_at(tmp_path: Path, file: str, more: str, says: str) -> None:
    with pytest.raises(ProjectInvalid) as refused:
        total(tmp_path, "SELECT 1 AS a", more, file)
    (problem,) = refused.value.problems
    assert f"{problem} …".startswith(f"datasets/all.yml:{says.removesuffix('…')}"), str(problem)


@pytest.mark.parametrize(
    "sql", [f"SELECT {'(' * 150}1{')' * 150} AS a", "SELECT *, id, o.* FROM {{ ref('orders') }} o"]
)
def test_what_sqlglot_does_not_understand_is_duckdbs_to_decide(tmp_path: Path, sql: str) -> None:
    assert total(tmp_path, sql).sql is not None


def test_two_inputs_that_duckdb_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="jfk/public/orders are one name to DuckDB, which ignores case"):
        total(tmp_path, "FROM {{ source('jfk', 'public', 'orders') }}, {{ source('jfk', 'public', 'Orders') }}")


def test_who_names_what_has_problems_of_its_own_is_not_blamed(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid) as refused:
        total(
            tmp_path,
            "FROM {{ ref('broken') }}",
            "}\n  - {name: broken, endpoint: lake, partitions: {static: []}, sql: none.sql",
        )
    assert [one.field for one in refused.value.problems] == ["datasets[4].partitions"]
