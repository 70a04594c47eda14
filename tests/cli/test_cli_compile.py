"""`compile` and `validate`: what a project on disk means, and what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from cli_calls import Answer, Run

CRM = "crm: {system: postgres, database: crm}"
METADATA = f"name: shop\nendpoints:\n  {CRM}\n  lake: {{system: files}}\n"
DATASETS = """
datasets:
  - {name: orders, endpoint: lake, schema: sales, python: "code:orders", columns: [{name: Id, type: int64}]}
  - name: spent
    endpoint: lake
    schema: sales
    sql: spent.sql
    partitions: {static: [a, b]}
    depends_on: [{dataset: lake/sales/orders, as: all_orders}]
  - {name: top, endpoint: lake, schema: sales, sql: top.sql, columns: [{name: Id, description: Which.}]}
"""
SPENT = """-- what each spent
SELECT id, c.amount * 2 AS twice, c.name
FROM {{ ref('orders') }} JOIN {{ source('crm', 'public', 'customers') }} c USING (id)
"""


@pytest.fixture
def shop(tmp_path: Path, run: Run) -> Run:
    """`run` in a project of three datasets, two of them in SQL."""
    folder = tmp_path / "a project"
    (folder / "datasets").mkdir()
    (folder / "metadata.yml").write_text(METADATA)
    (folder / "code.py").write_text("def orders(): ...\n")
    (folder / "datasets" / "all.yml").write_text(DATASETS)
    (folder / "datasets" / "spent.sql").write_text(SPENT)
    (folder / "datasets" / "top.sql").write_text("SELECT id FROM {{ ref('spent') }} WHERE twice > 9")
    return run


@pytest.fixture
def collected(shop: Run, tmp_path: Path, make_database: Callable[..., str]) -> Run:
    """The same, where the source was collected."""
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE customers (id bigint, name character varying(9), amount numeric(10,2))")
        source = f"crm: {{system: postgres, url: env:CRM_URL, database: {connection.info.dbname}}}"
    (tmp_path / "a project" / "metadata.yml").write_text(METADATA.replace(CRM, source))
    assert shop("collect", "crm", CRM_URL=url).code == 0
    return shop


def test_the_document_has_the_statement_the_inputs_and_the_columns(collected: Run) -> None:
    (spent,) = collected("compile", "spent", "--json").json
    orders = {"name": "lake/sales/orders", "key": "mid1:dataset:lake:~/sales/orders"}
    customers = {"name": "crm/public/customers", "key": spent["depends_on"][1]["key"]}
    assert spent.pop("code_version")
    assert spent == {
        "name": "lake/sales/spent",
        "key": "mid1:dataset:lake:~/sales/spent",
        "computed_by": "datasets/spent.sql",
        "sql": '-- what each spent\nSELECT id, c.amount * 2 AS twice, c.name\nFROM "lake/sales"."orders"'
        ' JOIN "crm/public"."customers" c USING (id)\n',
        "publish": "immediately",
        "partitions": "static",
        "depends_on": [
            {**orders, "partitions": None, "missing": "fail"},
            {**customers, "partitions": None, "missing": "fail"},
        ],
        "columns": [
            {"name": "Id", "type": "int64", "from": [{**customers, "column": "id"}, {**orders, "column": "Id"}]},
            {"name": "twice", "type": "decimal128(18, 2)", "from": [{**customers, "column": "amount"}]},
            {"name": "name", "type": "string", "from": [{**customers, "column": "name"}]},
        ],
        "problem": None,
    }


def test_people_see_assets_sql_and_columns(collected: Run) -> None:
    shown = collected("compile")
    assert shown.code == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "lake/sales/orders code:orders immediately" in lines
    assert "lake/sales/top datasets/top.sql immediately lake/sales/spent" in lines
    assert 'FROM "lake/sales"."orders" JOIN "crm/public"."customers" c USING (id)' in lines
    assert "twice decimal128(18, 2) crm/public/customers.amount" in lines
    assert "Id int64 lake/sales/spent.Id" in lines


@pytest.mark.parametrize("url", ["postgresql://postgres@127.0.0.1:1/nowhere", None])
def test_without_what_was_collected_names_are_known_and_types_are_not(shop: Run, url: str | None) -> None:
    (spent,) = shop("compile", "lake/sales/spent", "--json", **({"METADATA_DATABASE_URL": url} if url else {})).json
    assert [(one["name"], one["type"]) for one in spent["columns"]] == [("Id", None), ("twice", None), ("name", None)]


def test_a_column_that_no_input_has_is_told_before_a_run(shop: Run, tmp_path: Path) -> None:
    (tmp_path / "a project" / "datasets" / "spent.sql").write_text("SELECT 1 AS a,\n  idd FROM {{ ref('orders') }}")
    says = 'datasets/spent.sql:2:3: Referenced column "idd" not found in FROM clause; did you mean Id?'
    compiled, validated = shop("compile", "spent", "--json"), shop("validate")
    assert (compiled.code, validated.code) == (2, 2)
    assert compiled.json[0]["problem"] == says
    assert "1:" not in validated.out
    assert says in validated.err
    assert shop("compile", "orders").code == 0


def test_a_column_that_no_source_has_is_told_where_it_was_collected(collected: Run, tmp_path: Path) -> None:
    (tmp_path / "a project" / "datasets" / "spent.sql").write_text(SPENT.replace("c.name", "c.nam"))
    assert collected("validate").code == 0, "it asks no database"
    answer = collected("compile", "spent")
    assert answer.code == 2
    assert "c has no column nam; did you mean name?" in " ".join(answer.out.split())


def test_who_names_no_dataset_is_told_the_nearest(shop: Run) -> None:
    answer = shop("compile", "spend")
    assert (answer.code, answer.err.strip()) == (
        3,
        "the project shop has no dataset spend to select; did you mean spent?",
    )


def test_what_was_modified_is_selected_against_a_manifest(shop: Run, tmp_path: Path) -> None:
    manifest = str(tmp_path / "main.json")
    assert shop("compile", "--manifest", manifest).code == 0
    assert shop("compile", "--select", "state:modified+", "--state", manifest, "--json").json == []
    (tmp_path / "a project" / "datasets" / "spent.sql").write_text(SPENT + "LIMIT 5")
    found = shop("compile", "--select", "state:modified+", "--exclude", "kind:python", "--state", manifest, "--json")
    assert [one["name"] for one in found.json] == ["lake/sales/spent", "lake/sales/top"]
    refused = shop("compile", "--select", "state:modified", "--state", "/nowhere")
    assert (refused.code, "/nowhere is no manifest (No such file" in refused.err) == (2, True)


def test_a_module_that_is_broken_elsewhere_does_not_matter(shop: Run, tmp_path: Path) -> None:
    (tmp_path / "a project" / "code.py").write_text("this is no Python")
    assert shop("validate").code == 2
    answer = shop("validate", "--select", "kind:sql", "--json")
    assert (answer.code, answer.json["datasets"]) == (0, 2)


def test_a_valid_project_is_counted(shop: Run) -> None:
    assert shop("validate", "--json").json == {
        "name": "shop",
        "endpoints": 2,
        "datasets": 3,
        "selects": 2,
        "sources": 1,
    }


def test_what_is_wrong_is_told_at_its_place(shop: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a project"
    (folder / "datasets" / "top.sql").write_text("SELECT id\nFROM {{ ref('spend') }}")
    answer: Answer = shop("validate")
    assert answer.code == 2
    assert "datasets/top.sql:2:6: no dataset 'spend'; did you mean spent?" in answer.err
    (folder / "datasets" / "top.sql").write_text("SELECT id FROM {{ ref('spent') }}")
    (folder / "code.py").write_text("def order(): ...\n")
    assert "datasets/all.yml:3:59: python: code has no function orders; did you mean order?" in shop("validate").err
