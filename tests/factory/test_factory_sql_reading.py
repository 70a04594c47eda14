"""What is read of the inputs of a SELECT: nothing that is left out may change the answer."""

from collections.abc import Iterator
from itertools import cycle

import pyarrow as pa
import pytest

from identity.keys import dataset_key
from metadata_assets.spec import Query, Relation
from metadata_assets.sql.computing import computed_table
from metadata_assets.sql.engine import alone, provided
from metadata_assets.sql.reading import columns_read

FLIGHTS = Relation(key=dataset_key("jfk", source="jfk", schema="public", table="flights"), name="flights")
PLANES = Relation(key=dataset_key("lake", schema="nyc", table="Planes"), name="planes")
TABLES = {
    FLIGHTS: pa.table(
        {
            "n1": [3, 1, 2, None],
            "n2": [30, None, 20, 10],
            "carrier": ["AA", "UA", "AA", "UA"],
            "Day": ["mon", "tue", "mon", "wed"],
            "l": [[1], [2, 3], [], None],
            'o"dd, x': [1.5, 2.5, None, 0.5],
            "unused": [7, 8, 9, 0],
        }
    ),
    PLANES: pa.table({"n1": [1, 2, 3], "name": ["a", "b", "c"], "unused": [1, 2, 3]}),
}
SCHEMAS = {relation: table.schema for relation, table in TABLES.items()}
F, P = str(FLIGHTS), str(PLANES)

LISTS = [
    "#1 AS x, carrier",
    "#2 + #1 AS x",
    "*",
    "* LIKE 'n%'",
    "* NOT LIKE 'n%'",
    "* SIMILAR TO 'n[12]'",
    "* GLOB 'n*'",
    "* EXCLUDE (day)",
    "* REPLACE (n2 * 2 AS n2)",
    "COLUMNS('^n.')",
    "max(COLUMNS(* EXCLUDE (carrier, day)))",
    "COLUMNS(lambda c: c LIKE '%2')",
    "coalesce(*COLUMNS(['n1', 'n2'])) AS x",
    "count(*) AS n",
    "count(n2) AS n",
    "count(DISTINCT f) AS n",
    "f",
    "(f).n2",
    "f.n2",
    "f['n2'] AS x",
    "f.struct_extract('n2') AS x",
    "to_json(f) AS x",
    "carrier.upper()",
    "n2.abs().sqrt() AS x",
    "n1 AS n2, n2 + 1 AS x",
    "n2 AS a, a + n1 AS b",
    "unnest(l) AS one",
    "l[1] AS first, list_transform(l, lambda x: x + n2) AS more",
    'max("O""DD, x") AS x',
    "DISTINCT day",
    "DISTINCT ON (carrier) n2",
    "sum(n2) OVER (PARTITION BY day ORDER BY n1) AS x",
    "(SELECT max(n2) FROM %(F)s o WHERE o.carrier = f.carrier) AS x",
    "EXISTS (FROM %(F)s o WHERE o.n2 > f.n2) AS x",
    "ARRAY(SELECT o.n1 FROM %(F)s o WHERE o.day = f.day ORDER BY ALL) AS x",
    "1 AS one",
]
FROMS = ["%(F)s f", "(FROM %(F)s) f WHERE n2 > 10", "%(F)s f SEMI JOIN %(P)s p USING (n1)"]
WHOLE = [
    "FROM %(F)s AS x(c1, c2) SELECT c2, Day",
    "SELECT * EXCLUDE (unused) FROM %(F)s JOIN %(P)s USING (n1)",
    "SELECT p.* FROM %(F)s f JOIN %(P)s p ON p.n1 = f.n2 / 10",
    "SELECT 1 FROM %(F)s NATURAL JOIN %(P)s",
    "SELECT f.n1, p.name FROM %(F)s f POSITIONAL JOIN %(P)s p",
    "SELECT f.n1, p.name FROM %(F)s f ASOF JOIN %(P)s p ON f.n2 >= p.n1",
    "SELECT n1, n2 FROM %(F)s UNION BY NAME SELECT n1, name FROM %(P)s",
    "SELECT carrier, sum(n2) FROM %(F)s GROUP BY 1 HAVING max(n1) > 1",
    "SELECT carrier FROM %(F)s ORDER BY n2 DESC LIMIT (SELECT max(n1) FROM %(P)s)",
    "SELECT carrier, day, count(*) FROM %(F)s GROUP BY GROUPING SETS ((carrier), (day), ())",
    "SELECT n1 FROM %(F)s QUALIFY row_number() OVER (PARTITION BY carrier ORDER BY n2) = 1",
    "FROM %(F)s PIVOT (sum(n2) FOR carrier IN ('AA', 'UA') GROUP BY day)",
    "FROM %(F)s PIVOT (sum(n2) FOR carrier IN ('AA', 'UA'))",
    "UNPIVOT (SELECT n1, n2 FROM %(F)s) ON n1, n2",
    "UNPIVOT (FROM %(F)s) ON COLUMNS('n.')",
    "SELECT column_name FROM (DESCRIBE %(F)s)",
    "WITH u AS (FROM %(F)s) SELECT 1 AS one",
    "WITH u AS (FROM %(F)s) SELECT n2 FROM u",
    "WITH u AS MATERIALIZED (FROM %(F)s) SELECT a.n2, b.day FROM u a JOIN u b USING (n1)",
    "WITH u(a, b) AS (FROM %(F)s) SELECT b FROM u",
    "WITH RECURSIVE r AS (SELECT n1 AS n FROM %(P)s UNION ALL SELECT f.n2 FROM r JOIN %(F)s f ON f.n1 = r.n) FROM r",
    "SELECT n1, one FROM %(F)s f, LATERAL (SELECT f.n2 + 1 AS one)",
    "SELECT n1, one FROM %(F)s f, unnest(f.l) AS u(one)",
    "SELECT n2 FROM %(F)s WHERE day = $partition",
    "SELECT n1 FROM %(F)s WHERE false",
    "SELECT column_name FROM duckdb_columns() WHERE table_name = 'flights' AND NOT internal",
    "VALUES ((SELECT max(n2) FROM %(F)s))",
]


def _texts() -> Iterator[str]:
    yield from (f"SELECT {given} FROM {source}" for given, source in zip(LISTS, cycle(FROMS), strict=False))
    yield from WHOLE


def _query(text: str) -> Query:
    statement = text.replace("%(F)s", F).replace("%(P)s", P)
    takes_partition = "$partition" in text
    pieces = ((0, 0, False),)
    return Query(
        file="x.sql",
        written=statement,
        statement=statement,
        pieces=pieces,
        relations=(FLIGHTS, PLANES),
        takes_partition=takes_partition,
    )


def _contents(answer: pa.Table) -> object:
    """Its columns with their names and types, and the rows in any order."""
    return answer.schema, sorted(map(repr, zip(*(column.to_pylist() for column in answer.columns), strict=True)))


def test_what_is_not_read_changes_no_answer() -> None:
    """Each SELECT over the columns that are read, and over all: most leave some out."""
    left_out = 0
    with alone() as whole:
        for number, (relation, table) in enumerate(TABLES.items()):
            whole.register(f"whole_{number}", table)
            provided(whole, relation, f"FROM temp.main.whole_{number}")
        for text in _texts():
            query = _query(text)
            read = columns_read(query, SCHEMAS, "mon")
            some = {relation: table.select(read[relation]) for relation, table in TABLES.items()}
            if some != TABLES:
                left_out += 1
                parameters = {"partition": "mon"} if query.takes_partition else None
                expected = whole.sql(query.statement, params=parameters).to_arrow_table()
                answer = computed_table(query, some, "mon", SCHEMAS)
                assert _contents(answer) == _contents(expected), text
    assert left_out > 40


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SELECT carrier FROM %(F)s WHERE n1 > 1", ["n1", "carrier"]),
        ("SELECT count(*) FROM %(F)s", ["n1"]),
        ("SELECT day.upper() FROM %(F)s", ["Day"]),
        ("SELECT #2 FROM %(F)s", ["n2"]),
        ("SELECT COLUMNS('^n.') FROM %(F)s", ["n1", "n2"]),
        ("WITH source AS (FROM %(F)s) SELECT day FROM source", ["Day"]),
        ("SELECT 1 FROM %(F)s NATURAL JOIN (SELECT 1 AS n2)", ["n2"]),
        ("SELECT f FROM %(F)s f", SCHEMAS[FLIGHTS].names),
        ("SELECT nothing FROM %(F)s", SCHEMAS[FLIGHTS].names),
        ("SELECT n1 FROM %(P)s", SCHEMAS[FLIGHTS].names),
    ],
)
def test_only_what_is_needed_is_read(text: str, read: list[str]) -> None:
    assert columns_read(_query(text), SCHEMAS, None)[FLIGHTS] == read


def test_a_name_of_two_lines_is_read() -> None:
    """DuckDB's plan shows it as two names."""
    odd = pa.schema([("a\nb", pa.int64()), ("a", pa.int64()), ("b", pa.int64())])
    read = columns_read(_query('SELECT "a\nb" FROM %(F)s'), {FLIGHTS: odd}, None)
    assert read == {FLIGHTS: ["a\nb", "a", "b"]}
