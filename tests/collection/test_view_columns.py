"""Columns of views: from which columns of tables they come, on every system, and in odd SQL."""

import pytest

from identity.keys import ColumnKey, dataset_key
from metadata_assets.collection.view_columns import LONGEST, view_origins
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Edge, Field
from tests.collection.places import Place
from tests.collection.test_collectors import SHOP


def test_columns_of_views_come_from_columns_as_long_as_the_view_says_so(place: Place, store: MetadataStore) -> None:
    place.run(*SHOP)
    place.collect(store)
    graph = GraphStore(store.sessions)

    def made_from(table: str, column: str) -> set[tuple[str, str]]:
        stored = store.column(ColumnKey(place.key(table), column))
        found = graph.column_lineage(store.entity(place.key(table)), "down", column=stored.id)
        return {(one.dataset.table, one.name) for one in found.nodes} - {(table, column)}

    assert made_from("purchase", "price") == {("buyers", "spent")}
    assert made_from("customer", "name") == {("buyers", "name"), ("rich", "name")}
    assert made_from("customer", "id") == set(), "it is only joined by"
    place.run("DROP VIEW rich", "CREATE VIEW rich (who, n) AS SELECT min(name), count(*) FROM buyers")
    place.collect(store)
    assert made_from("customer", "name") == {("buyers", "name"), ("rich", "who")}
    place.run("DROP VIEW rich", "CREATE VIEW rich AS SELECT 1 AS who FROM buyers")
    place.collect(store)
    assert made_from("customer", "name") == {("buyers", "name")}


Found = dict[str, set[tuple[str, str]]]
"""From which columns of which tables each column of a view comes."""


def origins_in(
    definition: str, dialect: str, *, columns: str = "pq", schema: str = "s", also: str | None = None
) -> Found | None:
    """What is told of the view s.v over s.a (x, Y), s.B (x, z), and a table `a` of another schema."""

    def asset(at: str, name: str, named: str, **metadata: str) -> Asset:
        fields = tuple(Field(name=one, type="t", nullable=True, position=n) for n, one in enumerate(named, 1))
        key = dataset_key("e", schema=at, table=name)
        return Asset(key=key, type=AssetType.TABLE, fields=fields, metadata=metadata)

    tables = {("s", "a"): asset("s", "a", "xY"), ("s", "B"): asset("s", "B", "xz")}
    if also is not None:
        tables[also, "a"] = asset(also, "a", "xw")
    view = asset(schema, "v", columns, definition=definition)
    edges = {Edge(view.key, one.key) for one in tables.values()}
    names = {(schema, "v"): view.key} | {name: one.key for name, one in tables.items()}
    found = view_origins(names, [view, *tables.values()], edges, dialect, {"warehouse"}).get(view.key)
    return found if found is None else {name: {(of.table, one) for of, one in some} for name, some in found.items()}


@pytest.mark.parametrize(
    ("definition", "dialect", "expected"),
    [
        ('SELECT a.x AS p, sum(b.z) AS q FROM a JOIN "B" b ON a.x = b.x GROUP BY a.x;', "postgres", ("ax", "Bz")),
        ('SELECT * FROM (SELECT x AS p, "Y" AS q FROM s.a) n', "postgres", ("ax", "aY")),
        ("CREATE VIEW v (p, q) AS SELECT * FROM A", "sqlite", ("ax", "aY")),
        ("CREATE VIEW [v] AS SELECT x || y AS p, (SELECT max(z) FROM B) AS q FROM a", "sqlite", ("ax aY", "Bz")),
        ("CREATE VIEW v (p, q) AS SELECT x, Y FROM warehouse.s.a;", "duckdb", ("ax", "aY")),
        ("WITH c AS (SELECT x FROM a) SELECT x AS p, count(*) AS q FROM c", "duckdb", ("ax", "")),
        ("SELECT x AS p, z AS q FROM other.s.B", "duckdb", ("", "")),
        ("select `s`.`a`.`x` AS `p`,`b`.`z` AS `q` from (`s`.`a` join `s`.`B` `b` on(1))", "mysql", ("ax", "Bz")),
        ("select x AS p, Y AS q from s.a union all select x, z from s.B", "mysql", ("ax Bx", "aY Bz")),
    ],
)
def test_what_engines_say_of_views_is_understood(definition: str, dialect: str, expected: tuple[str, str]) -> None:
    told = {name: {(one[0], one[1]) for one in some.split()} for name, some in zip("pq", expected, strict=True)}
    assert origins_in(definition, dialect) == {name: some for name, some in told.items() if some}


@pytest.mark.parametrize(
    ("definition", "columns"),
    [
        ("SELECT FROM WHERE", "pq"),
        ("SELECT x AS p, Y AS q FROM a --" + "y" * LONGEST, "pq"),
        ("SELECT x AS p FROM a", "pP"),
    ],
    ids=["no SQL", "too long", "columns that differ in case alone"],
)
def test_of_what_is_not_understood_or_too_much_nothing_is_told(definition: str, columns: str) -> None:
    assert not origins_in(definition, "postgres", columns=columns)


def test_a_name_that_may_be_either_of_two_tables_is_none() -> None:
    assert not origins_in("SELECT x AS p, x AS q FROM a", "postgres", also="other")
    assert origins_in("SELECT x AS p, w AS q FROM other.a", "postgres", also="other") == {
        "p": {("a", "x")},
        "q": {("a", "w")},
    }
