"""The columns of a SELECT before it runs: their names, and from which columns of the inputs they come."""

import pytest

from identity.keys import dataset_key
from metadata_assets.spec import Query, Relation
from metadata_assets.sql.columns import described

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
