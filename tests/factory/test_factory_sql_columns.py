"""The columns of a SELECT before it runs: their names, and from which columns of the inputs they come."""

from dataclasses import replace

import pyarrow as pa
import pytest

from identity.keys import dataset_key
from metadata_assets.spec import Query, Relation
from metadata_assets.sql.columns import described
from metadata_assets.sql.computing import computed_table
from metadata_assets.sql.derived import source_type
from metadata_assets.sql.reading import columns_read

A = Relation(key=dataset_key("lake", schema="nyc", table="a"), name="a")
B = Relation(key=dataset_key("jfk", source="jfk", schema="public", table="B"), name="b")
INPUTS = {A: dict.fromkeys(["n", "K", "x;y", "$x", ":a", 'o"r', "a.b"], "INTEGER"), B: {"n": "INTEGER", "z": "INTEGER"}}


def _query(text: str) -> Query:
    statement = text.replace("{a}", str(A)).replace("{b}", str(B))
    pieces = ((0, 0, False),)
    return Query(file="x.sql", written=statement, statement=statement, pieces=pieces, relations=(A, B))


LINEAGE = [
    ("SELECT n, k FROM {a} UNION BY NAME SELECT k, n FROM {a}", "n: a.n, K: a.K"),
    ("SELECT n, k FROM {a} UNION ALL BY NAME SELECT z FROM {b}", "n: a.n, K: a.K, z: b.z"),
    (
        "SELECT k FROM {a} UNION BY NAME FROM {b} UNION BY NAME (SELECT z AS q FROM {b})",
        "K: a.K, n: b.n, z: b.z, q: b.z",
    ),
    ("SELECT z FROM (SELECT n AS q FROM {a} UNION BY NAME SELECT z FROM {b})", "z: b.z"),
    ("SELECT n, k FROM {a} UNION SELECT z, n FROM {b}", "n: b.z a.n, K: b.n a.K"),
    ("SELECT c1 + c2 AS s FROM {a} AS x(C1, c2)", "s: a.K a.n"),
    ("SELECT n, k FROM {b} AS x(k, n)", "n: b.z, k: b.n"),
    ('SELECT "x;y", "$x", ":a", "o""r", "a.b" FROM {a}', 'x;y: a.x;y, $x: a.$x, :a: a.:a, o"r: a.o"r, a.b: a.a.b'),
    ('SELECT * EXCLUDE (n, k, "a.b") FROM {a}', 'x;y: a.x;y, $x: a.$x, :a: a.:a, o"r: a.o"r'),
    ("SELECT #1 AS a, f.n.abs() AS b, COLUMNS('^n') AS c FROM {a} f", ""),
]


@pytest.mark.parametrize(("text", "comes_from"), LINEAGE)
def test_a_column_comes_from_columns_that_the_inputs_have(text: str, comes_from: str) -> None:
    found = described(_query(text), INPUTS)
    assert found.problem is None
    told = [
        f"{name}: {' '.join(f'{one.name}.{column}' for one, column in origins)}"
        for name, origins in found.origins.items()
    ]
    assert ", ".join(told) == comes_from


def test_other_names_of_columns_that_are_not_known_come_from_nowhere() -> None:
    found = described(_query("SELECT c1, z FROM {a} AS x(c1), {b}"), {B: INPUTS[B]})
    assert (found.columns, dict(found.origins)) == ({"c1": None, "z": None}, {"z": ((B, "z"),)})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT n,\n  zz FROM {b}", 'x.sql:2:3: Referenced column "zz" not found in FROM clause; did you mean z?'),
        ("SELECT *, n FROM {b}", "x.sql:1:1: two columns are called n; name them apart with AS, or take one out of *"),
        (
            "SELECT upper(n) FROM {a}",
            "x.sql:1:8: No function matches the given name and argument types",
        ),
        ("SELECT n FROM {a} LIMIT ('x'::INT)", ""),
        ("SELECT (n || error('no'))::DATE AS day FROM {a}", ""),
    ],
)
def test_what_follows_from_the_columns_is_told_and_what_depends_on_values_is_not(text: str, problem: str) -> None:
    found = described(_query(text), INPUTS)
    assert str(found.problem or "").startswith(problem)
    assert bool(found.problem) == bool(problem)


def test_inputs_with_columns_of_one_name_to_duckdb_are_told() -> None:
    found = described(_query("SELECT 1 AS a FROM {a}"), {A: {"Late": "INTEGER", "LATE": None}})
    assert "x.sql:1:1: lake/nyc/a has the columns LATE and Late, one name to DuckDB" in str(found.problem)


def test_a_type_that_no_table_has_leaves_the_names() -> None:
    found = described(_query("SELECT n, z FROM {a} JOIN {b} USING (n)"), {A: {"n": "DECIMAL(50,2)"}, B: INPUTS[B]})
    assert (found.problem, found.columns) == (None, {"n": None, "z": None})


@pytest.mark.parametrize("endpoint", ["temp", "memory", "system", "main", "pg_catalog", "information_schema"])
def test_an_endpoint_may_be_called_as_a_catalog_of_duckdb(endpoint: str) -> None:
    """Without a schema the endpoint alone is the schema in SQL."""
    given = Relation(key=dataset_key(endpoint, table="input_0"), name="given")
    statement = f"SELECT n, o.n + 1 AS more FROM {given} o"
    query = replace(_query(statement), relations=(given,))
    assert described(query, {given: {"n": "INTEGER"}}).columns == {"n": "INTEGER", "more": "INTEGER"}
    table = pa.table({"n": [1], "rest": [2]})
    assert columns_read(query, {given: table.schema}, None) == {given: ["n"]}
    answer = computed_table(query, {given: table.select(["n"])}, None, {given: table.schema})
    assert answer.to_pylist() == [{"n": 1, "more": 2}]


@pytest.mark.parametrize(
    ("collected", "arrives_as"),
    [
        ("numeric(38,2)", "DECIMAL(38,2)"),
        ("numeric(50,2)", "DOUBLE"),
        ("numeric(3,5)", "DOUBLE"),
        ("numeric(5,-2)", "DOUBLE"),
        ("numeric(50,2)[]", "VARCHAR"),
        ("numeric", "DOUBLE"),
        ("timestamp(3) with time zone[]", "TIMESTAMP WITH TIME ZONE[]"),
    ],
)
def test_a_column_of_a_source_has_the_type_that_it_arrives_with(collected: str, arrives_as: str) -> None:
    assert source_type(collected) == arrives_as
