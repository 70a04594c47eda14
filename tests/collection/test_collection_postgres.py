"""What a look at a PostgreSQL database tells."""

from collections.abc import Callable
from typing import Any, Self

import psycopg
import pytest

from identity.errors import WITHHELD
from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection import queries
from metadata_assets.collection.postgres import looking
from metadata_assets.collection.scope import Scope
from resources.metadata.plans import COLLECTED_KEYS
from resources.models import Asset, AssetType, Edge, Field
from tests.collection.conftest import Source, by_name, catalog_of

SHOP = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN email AS text NOT NULL CHECK (VALUE LIKE '%@%')",
    """CREATE TABLE customer (
         id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail email, mood public.mood DEFAULT 'ok',
         name varchar(40) NOT NULL, dropped int, born timestamp(3) with time zone, tags text[],
         upper_name text GENERATED ALWAYS AS (upper(name)) STORED, UNIQUE (name, mail), UNIQUE (born))""",
    "ALTER TABLE customer DROP COLUMN dropped",
    "COMMENT ON TABLE customer IS 'Who buys'",
    "COMMENT ON COLUMN customer.born IS 'When, in UTC'",
    "CREATE TABLE purchase (id int PRIMARY KEY, customer_id bigint REFERENCES customer, price numeric(10,2) DEFAULT 0)",
    "CREATE VIEW rich AS SELECT name, sum(p.price) FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY 1",
    "CREATE MATERIALIZED VIEW richest AS SELECT * FROM rich LIMIT 1",
    "COMMENT ON MATERIALIZED VIEW richest IS 'The one'",
)


def key(source: Source, table: str, schema: str = "public") -> CanonicalKey:
    return dataset_key("shop", source=source.database, schema=schema, table=table)


def without_object(asset: Asset) -> dict[str, object]:
    """The metadata of an asset without the server's own id of it, which is another one each time."""
    server, database, relation = str(asset.metadata["object"]).split("/")
    assert all(int(part) > 0 for part in (server, database, relation))
    return {name: value for name, value in asset.metadata.items() if name != "object"}


def test_the_source_is_asked_ten_times_at_most_and_columns_come_in_their_order(
    make_source: Callable[..., Source],
) -> None:
    tables = [f"CREATE TABLE t{number} (a int PRIMARY KEY, b int, c int)" for number in range(12)]
    source = make_source(*SHOP, *tables, "ALTER TABLE t3 ALTER b TYPE text", "ALTER TABLE t3 ALTER a TYPE bigint")
    asked: list[object] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, *given: Any, **named: Any) -> Self:
            asked.append(given[0])
            return super().execute(*given, **named)

    with psycopg.connect(source.url, cursor_factory=Counting) as connection:
        assets = by_name(catalog_of(connection, "shop"))
    assert len(asked) <= 10
    assert list(assets) == sorted(assets)
    assert [field.name for field in assets["public.t3"].fields or ()] == ["a", "b", "c"]


def test_everything_that_a_catalog_holds(make_source: Callable[..., Source]) -> None:
    source = make_source(*SHOP)
    catalog = source.look()
    assets = by_name(catalog)
    assert {name: asset.type for name, asset in assets.items()} == {
        "public.customer": AssetType.TABLE,
        "public.purchase": AssetType.TABLE,
        "public.rich": AssetType.VIEW,
        "public.richest": AssetType.MATERIALIZED_VIEW,
    }
    assert assets["public.customer"].key == key(source, "customer")
    assert assets["public.customer"].description == "Who buys"
    assert without_object(assets["public.customer"]) == {
        "relation": "table",
        "comment": "Who buys",
        "primary_key": ["id"],
        "unique_keys": [["born"], ["name", "mail"]],
    }
    assert assets["public.customer"].fields == (
        Field(name="id", type="bigint", nullable=False, position=1, metadata={"identity": "always"}),
        Field(name="mail", type="public.email", nullable=False, position=2),
        Field(name="mood", type="public.mood", nullable=True, position=3, metadata={"default": "'ok'::public.mood"}),
        Field(name="name", type="character varying(40)", nullable=False, position=4),
        Field(
            name="born",
            type="timestamp(3) with time zone",
            nullable=True,
            position=6,
            metadata={"comment": "When, in UTC"},
        ),
        Field(name="tags", type="text[]", nullable=True, position=7),
        Field(
            name="upper_name",
            type="text",
            nullable=True,
            position=8,
            metadata={"generated": "upper((name)::text)"},
        ),
    )
    assert assets["public.purchase"].metadata["foreign_keys"] == [
        {"columns": ["customer_id"], "references": {"schema": "public", "table": "customer", "columns": ["id"]}}
    ]
    assert "sum(p.price)" in assets["public.rich"].metadata["definition"]
    assert assets["public.richest"].description == "The one"
    assert catalog.complete
    assert all(asset.metadata.keys() <= COLLECTED_KEYS for asset in catalog.assets)


def test_edges_say_what_a_view_reads_and_foreign_keys_are_none(make_source: Callable[..., Source]) -> None:
    source = make_source(*SHOP)
    assert source.look().edges == {
        Edge(key(source, "rich"), key(source, "customer")),
        Edge(key(source, "rich"), key(source, "purchase")),
        Edge(key(source, "richest"), key(source, "rich")),
    }


def test_a_rule_on_a_table_is_no_lineage(make_source: Callable[..., Source]) -> None:
    source = make_source(
        "CREATE TABLE a (x int)",
        "CREATE TABLE b (x int)",
        "CREATE RULE copy AS ON INSERT TO a DO ALSO INSERT INTO b SELECT NEW.x",
    )
    assert source.look().edges == frozenset()


def test_partitions_are_counted_on_their_root(make_source: Callable[..., Source]) -> None:
    source = make_source(
        "CREATE TABLE events (day date, kind int) PARTITION BY RANGE (day)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')"
        " PARTITION BY LIST (kind)",
        "CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES IN (1)",
        "CREATE SCHEMA archive",
        "CREATE TABLE archive.events_2b PARTITION OF events_2 FOR VALUES IN (2)",
        "INSERT INTO events SELECT '2024-01-05', 1 FROM generate_series(1, 70)",
        "INSERT INTO events SELECT '2024-02-05', 1 + n % 2 FROM generate_series(1, 30) n",
        "ANALYZE events",
        "CREATE VIEW february AS SELECT * FROM events_2",
        "CREATE TABLE never (day date PRIMARY KEY) PARTITION BY RANGE (day)",
        "CREATE TABLE bare (day date) PARTITION BY RANGE (day)",
        "CREATE TABLE never_1 PARTITION OF never FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE note (day date REFERENCES never)",
    )
    catalog = source.look()
    assets = by_name(catalog)
    assert assets.keys() == {f"public.{name}" for name in ("events", "february", "never", "bare", "note")}
    assert without_object(assets["public.events"]) == {
        "relation": "partitioned table",
        "row_estimate": 100,
        "partition_key": "RANGE (day)",
        "partitions": 3,
    }
    assert assets["public.never"].metadata["partitions"] == 1
    assert assets["public.bare"].metadata["partitions"] == 0
    assert len(assets["public.note"].metadata["foreign_keys"]) == 1, "the server has one more for each partition"
    assert catalog.edges == {Edge(key(source, "february"), key(source, "events"))}


def test_row_estimates_are_the_servers_and_absent_until_it_has_some(make_source: Callable[..., Source]) -> None:
    source = make_source(
        "CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT generate_series(1, 500)", "CREATE TABLE empty ()"
    )
    assert all("row_estimate" not in asset.metadata for asset in source.look().assets)
    source.run("ANALYZE")
    assets = by_name(source.look())
    assert assets["public.t"].metadata["row_estimate"] == 500
    assert assets["public.empty"].metadata["row_estimate"] == 0
    assert assets["public.empty"].fields == ()


def test_foreign_tables_are_collected_without_their_options(make_source: Callable[..., Source]) -> None:
    source = make_source(
        "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER far FOREIGN DATA WRAPPER nothing OPTIONS (host 'planted-canary')",
        "CREATE FOREIGN TABLE away (x int) SERVER far OPTIONS (password 'planted-canary')",
    )
    (asset,) = source.look().assets
    assert asset.type is AssetType.FOREIGN_TABLE
    assert "planted-canary" not in repr(asset)


def test_temporary_and_system_relations_are_left_out(source: Source) -> None:
    with psycopg.connect(source.url) as connection:
        connection.execute("CREATE TEMPORARY TABLE passing (x int)")
        connection.commit()
        assert catalog_of(connection, "shop").assets == ()


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], {"public", "sales_eu", "sales_us", "sales"}),
        (["sales"], {"sales"}),
        (["sales_*"], {"sales_eu", "sales_us"}),
        (["sales_??", "public", "!*_us"], {"sales_eu", "public"}),
        (["!public"], {"sales_eu", "sales_us", "sales"}),
        (["*"], {"public", "sales_eu", "sales_us", "sales"}),
        (["Sales*"], set()),
        (["sales.eu"], set()),
    ],
)
def test_schemas_are_chosen_by_patterns(
    make_source: Callable[..., Source], patterns: list[str], found: set[str]
) -> None:
    source = make_source(
        *(f"CREATE SCHEMA {name}" for name in ("sales_eu", "sales_us", "sales")),
        *(f"CREATE TABLE {name}.t ()" for name in ("public", "sales_eu", "sales_us", "sales")),
    )
    assert {asset.key.schema for asset in source.look(scope=Scope.of(patterns)).assets} == found


HOSTILE = [
    'quote"d',
    "apo'strophe",
    "dot.ted",
    "sla/sh",
    "per%cent %s %(x)s",
    "back\\slash",
    "new\nline",
    "~",
    "%",
    " ",
    "Ünïcødé",
    "cafe\u0301",
    "caf\u00e9",
    "🦆" * 15,
    "x" * 63,
    "a:b@c",
    "select",
    "{brace}",
    "tab\tbed",
    "$1",
    "--",
]


def test_hostile_names_come_through_byte_by_byte(source: Source) -> None:
    with psycopg.connect(source.url, autocommit=True) as connection:
        for name in HOSTILE:
            quoted = psycopg.sql.Identifier(name)
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(quoted))
            connection.execute(
                psycopg.sql.SQL("CREATE TABLE {0}.{0} ({0} int PRIMARY KEY REFERENCES {0}.{0})").format(quoted)
            )
            connection.execute(psycopg.sql.SQL("CREATE VIEW {0}.v AS SELECT * FROM {0}.{0}").format(quoted))
    catalog = source.look()
    tables = {asset.key.table: asset for asset in catalog.assets if asset.type is AssetType.TABLE}
    assert tables.keys() == set(HOSTILE)
    for name, asset in tables.items():
        assert asset.key == dataset_key("shop", source=source.database, schema=name, table=name)
        assert [field.name for field in asset.fields or ()] == [name]
        assert asset.metadata["primary_key"] == [name]
    assert len(catalog.edges) == len(HOSTILE)
    assert catalog.complete


def test_a_name_that_no_key_may_hold_is_a_gap(source: Source) -> None:
    source.run('CREATE TABLE "postgres://u:planted-canary@h/d" ()', "CREATE TABLE fine ()")
    source.run('CREATE TABLE half (x int, "postgres://u:planted-canary@h/d" int)')
    catalog = source.look()
    assert by_name(catalog).keys() == {"public.fine", "public.half"}
    assert [field.name for field in by_name(catalog)["public.half"].fields or ()] == ["x"]
    assert [gap.name for gap in catalog.gaps] == [f"shop/public/{WITHHELD}", "shop/public/half"]
    assert "planted-canary" not in repr(catalog)


def test_text_of_a_source_is_kept_without_its_passwords(make_source: Callable[..., Source]) -> None:
    source = make_source(
        "CREATE VIEW v AS SELECT 'host=h password=planted-canary'::text AS conninfo",
        "CREATE TABLE t (x text DEFAULT 'postgresql://u:planted-canary@h/d')",
        "COMMENT ON TABLE t IS 'read it with postgresql://u:planted-canary@h/d'",
        "COMMENT ON COLUMN t.x IS 'pwd=planted-canary'",
    )
    catalog = source.look()
    assert "password=***" in by_name(catalog)["public.v"].metadata["definition"]
    assert by_name(catalog)["public.t"].description == "read it with postgresql://***@h/d"
    assert "planted-canary" not in repr(catalog)


def test_what_may_not_be_read_is_a_gap_with_the_way_out(source: Source, reader: str) -> None:
    source.run(
        "CREATE TABLE open_to_all (x int)",
        "CREATE TABLE partly (x int, y int)",
        'CREATE TABLE "Secret table" (x int)',
        "CREATE SCHEMA closed",
        "CREATE TABLE closed.t (x int)",
        "CREATE SCHEMA closed_and_empty",
        f"GRANT SELECT ON open_to_all TO {reader}",
        f"GRANT SELECT (x) ON partly TO {reader}",
        f"GRANT SELECT ON closed.t TO {reader}",
    )
    catalog = source.look(user=reader)
    assert by_name(catalog).keys() == {"public.open_to_all", "public.partly"}
    assert [field.name for field in by_name(catalog)["public.partly"].fields or ()] == ["x", "y"]
    assert not catalog.complete
    assert {gap.name: gap.reason for gap in catalog.gaps} == {
        "shop/public/Secret table": f'it may not be selected from: GRANT SELECT ON public."Secret table" TO {reader}',
        "shop/closed/t": f"its schema may not be used: GRANT USAGE ON SCHEMA closed TO {reader}",
    }
    for gap in catalog.gaps:
        source.run(gap.reason.partition(": ")[2])
    assert source.look(user=reader).complete


def test_a_named_schema_that_is_not_there_is_a_gap(source: Source) -> None:
    source.run("CREATE TABLE t ()")
    catalog = source.look(scope=Scope.of(["public", "salse", "none_*"]))
    assert [gap.name for gap in catalog.gaps] == ["shop/salse"]
    assert len(catalog.assets) == 1


def test_what_is_granted_after_the_estimates_were_asked_for_is_seen(source: Source, reader: str) -> None:
    source.run("CREATE TABLE old (x int)", "CREATE TABLE new (x int)", f"GRANT SELECT ON old TO {reader}")
    with psycopg.connect(source.url_for(reader)) as connection, looking(connection, "shop") as look:
        assert look.estimates().keys() == {("public", "old")}
        source.run(f"GRANT SELECT ON new TO {reader}")
        catalog = look.catalog(look.fingerprint())
    assert list(by_name(catalog)) == ["public.new", "public.old"]
    assert catalog.gaps == ()


def test_gaps_are_asked_for_only_where_the_fingerprint_saw_some(source: Source, reader: str) -> None:
    source.run("CREATE TABLE t (x int)")
    asked: list[object] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, *given: Any, **named: Any) -> Self:
            asked.append(given[0])
            return super().execute(*given, **named)

    def look_again(user: str | None) -> int:
        with (
            psycopg.connect(source.url_for(user), cursor_factory=Counting) as connection,
            looking(connection, "shop") as look,
        ):
            assert look.fingerprint() == look.fingerprint()
            return len(look.gaps())

    assert look_again(None) == 0
    assert asked[-1] == queries.FINGERPRINT
    assert look_again(reader) == 1
    assert asked[-2:] == [queries.FINGERPRINT, queries.GAPS]


def test_two_hundred_tables_take_as_many_statements_as_two(make_source: Callable[..., Source]) -> None:
    def statements(source: Source) -> int:
        """By the server's own count: a cursor is made for each."""
        seen = []

        class Counting(psycopg.Cursor[tuple[object, ...]]):
            def execute(self, *args, **kwargs):  # type: ignore[no-untyped-def]
                seen.append(args)
                return super().execute(*args, **kwargs)

        with psycopg.connect(source.url, cursor_factory=Counting) as connection:
            catalog_of(connection, "shop")
        return len(seen) + 2  # BEGIN and COMMIT

    few = make_source(*(f"CREATE TABLE t{n} (x int PRIMARY KEY)" for n in range(2)))
    many = make_source(*(f"CREATE TABLE t{n} (x int PRIMARY KEY)" for n in range(200)))
    assert statements(few) == statements(many) <= 11


def test_a_look_is_read_only_and_bounded(source: Source) -> None:
    with psycopg.connect(source.url) as connection:
        catalog_of(connection, "shop")
        assert connection.read_only
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE t ()")
