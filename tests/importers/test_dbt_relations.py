"""What dbt's relations are called, system by system, and at which endpoint they are."""

from pathlib import Path
from typing import Any

import pytest

from identity.errors import MetadataError
from metadata_assets.importers.dbt import look_of, read_project
from metadata_assets.importers.dbt_relations import Target, Targets
from metadata_assets.importers.errors import AmbiguousTarget, InvalidNode, NoTarget, WrongDatabase
from tests.importers.dbt_projects import Entry, manifest, node, short, source, written


def names(folder: Path, document: Entry, targets: Targets) -> list[str]:
    return [short(asset.key) for asset in look_of(read_project(written(folder, document)), targets).assets]


UNQUOTED = {"database": False, "schema": False, "identifier": False}
CASES: dict[str, tuple[str, Entry, str]] = {
    "as compiled": ("postgres", {"relation_name": '"Db"."Sales"."Orders"'}, "wh/Db/Sales/Orders"),
    "compiled without quotes": ("postgres", {"relation_name": "Db.Sales.Orders"}, "wh/db/sales/orders"),
    "a dot and a quote in a name": ("postgres", {"relation_name": '"d"."s"."a.""b"'}, 'wh/d/s/a."b'),
    "not compiled, quoted as usual": ("postgres", {}, "wh/Db/Sales/Orders"),
    "not compiled, not quoted": ("postgres", {"config": {"quoting": UNQUOTED}}, "wh/db/sales/orders"),
    "not compiled, a part not quoted": ("postgres", {"config": {"quoting": {"schema": False}}}, "wh/Db/sales/Orders"),
    "an alias": ("postgres", {"alias": "sold"}, "wh/Db/Sales/sold"),
    "cut by the server": ("postgres", {"alias": "o" * 70}, f"wh/Db/Sales/{'o' * 63}"),
    "snowflake": ("snowflake", {}, "wh/DB/SALES/ORDERS"),
    "snowflake, quoted": ("snowflake", {"config": {"quoting": {"identifier": True}}}, "wh/DB/SALES/Orders"),
    "snowflake, compiled": ("snowflake", {"relation_name": 'DB.Sales."Orders"'}, "wh/DB/SALES/Orders"),
    "bigquery": ("bigquery", {"relation_name": "`my-project`.`Sales`.`Orders`"}, "wh/my-project/Sales/Orders"),
    "bigquery, one pair of quotes": (
        "bigquery",
        {"relation_name": "`my-project.Sales.Orders`"},
        "wh/my-project/Sales/Orders",
    ),
    "redshift": ("redshift", {}, "wh/db/sales/orders"),
    "databricks": ("databricks", {"relation_name": "`Db`.`Sales`.`Orders`"}, "wh/db/sales/orders"),
    "duckdb": ("duckdb", {"relation_name": '"Db"."main"."Orders"'}, "wh/Db/main/Orders"),
    "mysql": ("mysql", {"relation_name": "`Sales`.`Orders`"}, "wh/~/Sales/Orders"),
    "mysql, not compiled": ("mysql", {"database": None}, "wh/~/Sales/Orders"),
    "clickhouse": ("clickhouse", {"relation_name": "`Sales`.`Orders`", "database": ""}, "wh/~/Sales/Orders"),
    "sqlserver": ("sqlserver", {"relation_name": '"Db"."dbo"."Orders"'}, "wh/Db/dbo/Orders"),
    "athena": ("athena", {"relation_name": '"awsdatacatalog"."Sales"."Orders"'}, "wh/AwsDataCatalog/sales/orders"),
    "trino, by another name": ("starburst", {}, "wh/db/sales/orders"),
    "oracle": ("oracle", {}, "wh/DB/SALES/ORDERS"),
}


@pytest.mark.parametrize("case", CASES)
def test_names_are_those_of_the_catalog(tmp_path: Path, case: str) -> None:
    adapter, facts, expected = CASES[case]
    entry = node("model", "Orders", database="Db", schema="Sales", relation_name=None) | facts
    assert names(tmp_path, manifest(entry, adapter=adapter), Targets([Target("wh", adapter)])) == [expected]


def test_sources_have_their_own_quoting_and_identifier(tmp_path: Path) -> None:
    facts: Entry = {"identifier": "Raw", "quoting": {"identifier": True}, "relation_name": None}
    document = manifest(source("orders", database="d", **facts), adapter="snowflake")
    assert names(tmp_path, document, Targets([Target("wh", "snowflake")])) == ["wh/D/PUBLIC/Raw"]


def test_the_quoting_of_the_project_counts_where_a_node_says_nothing(tmp_path: Path) -> None:
    document = manifest(node("seed", "Orders", relation_name=None), source("Raw", relation_name=None))
    document["metadata"]["quoting"] = UNQUOTED
    assert names(tmp_path, document, Targets([Target("wh", "postgres")])) == ["wh/db/public/orders", "wh/db/public/raw"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"relation_name": '"db"."public"."orders'}, "relation_name: a quote is not closed"),
        ({"relation_name": '"a"."b"."c"."d"'}, "relation_name: it has 4 parts"),
        ({"relation_name": None, "database": None}, "database, schema, alias: its database is missing"),
        ({"relation_name": '"postgresql://me:pw@db/x"."s"."t"'}, "relation_name: it looks like a connection"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, facts: Entry, said: str) -> None:
    with pytest.raises(InvalidNode) as raised:
        names(tmp_path, manifest(node("model", "orders") | facts), Targets([Target("wh", "postgres")]))
    assert str(raised.value).startswith(f"manifest.json cannot be imported: model.shop.orders: {said}")
    assert "pw" not in str(raised.value)


TWO = (node("model", "orders", database="sales"), node("model", "staff", database="hr"))
SALES, HR, ANY = Target("s", "postgres", "sales"), Target("h", "postgres", "hr"), Target("any", "postgres")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (Targets([SALES, HR]), ["h/hr/public/staff", "s/sales/public/orders"]),
        (Targets([SALES, ANY]), ["any/hr/public/staff", "s/sales/public/orders"]),
        (Targets([ANY]), ["any/hr/public/staff", "any/sales/public/orders"]),
        (Targets([SALES, HR, ANY], {"hr": "any"}), ["any/hr/public/staff", "s/sales/public/orders"]),
    ],
)
def test_databases_are_at_the_endpoint_that_has_them(tmp_path: Path, targets: Targets, expected: list[str]) -> None:
    assert names(tmp_path, manifest(*TWO), targets) == expected


@pytest.mark.parametrize(
    ("targets", "error", "said"),
    [
        (
            Targets([SALES]),
            NoTarget,
            "model.shop.staff is in the database hr of postgres, which is no endpoint here (s has sales)",
        ),
        (Targets([]), NoTarget, "or say --endpoint sales=SLUG"),
        (
            Targets([SALES, HR, Target("t", "postgres", "sales")]),
            AmbiguousTarget,
            "any of s, t; say which: --endpoint sales=SLUG",
        ),
    ],
)
def test_a_database_that_is_nowhere_or_anywhere(
    tmp_path: Path, targets: Targets, error: type[MetadataError], said: str
) -> None:
    with pytest.raises(error) as raised:
        names(tmp_path, manifest(*TWO), targets)
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


def test_an_endpoint_that_has_another_database_is_not_taken_for_that_one() -> None:
    """What is written there would stand beside the tables that a collection of the endpoint finds."""
    with pytest.raises(
        WrongDatabase, match="endpoint s has the database sales, not hr; name one that has hr"
    ) as raised:
        Targets([SALES, HR], {"hr": "s"})
    assert raised.value.exit_code == 2


def test_each_endpoint_has_a_scope_of_its_own_and_edges_go_across(tmp_path: Path) -> None:
    raw: dict[str, Any] = {"database": "raw"}
    document = manifest(source("orders", **raw), node("model", "report", "source.shop.orders", database="mart"))
    targets = Targets([Target("lake", "postgres", "raw"), Target("mart", "postgres", "mart")])
    look = look_of(read_project(written(tmp_path, document)), targets)
    assert [look.scope(slug) for slug in look.endpoints] == ["shop@lake", "shop@mart"]
    assert {(short(edge.source), short(edge.target)) for edge in look.edges} == {
        ("mart/mart/public/report", "lake/raw/public/orders")
    }
