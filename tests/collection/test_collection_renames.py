"""A source whose tables and columns get other names between collections: history goes on where it should."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.scope import Scope
from resources.graph.edges import Link
from resources.graph_store import GraphStore
from resources.metadata.plans import Collected
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType
from tests.collection.conftest import Source, contents


@dataclass(frozen=True, slots=True)
class Shop:
    """A source, the store that it is collected into, and what that says of it."""

    source: Source
    store: MetadataStore
    metadata_url: str

    def collect(self, *statements: str, user: str | None = None) -> Collected:
        self.source.run(*statements)
        return self.source.collect_into(self.store, user=user)

    def key(self, table: str, schema: str = "public") -> CanonicalKey:
        return dataset_key("shop", source=self.source.database, schema=schema, table=table)

    def id(self, table: str, schema: str = "public") -> UUID:
        return self.store.entity(self.key(table, schema)).id.value

    def open(self) -> dict[str, UUID]:
        """The open assets by own name."""
        return {str(row["name"]): row["asset_id"] for row in self.look("asset") if row["deleted_at"] is None}

    def columns(self, table: str) -> dict[str, UUID]:
        """The open columns of a table."""
        rows = [row for row in self.look("schema_field") if row["asset_id"] == self.id(table)]
        return {str(row["name"]): row["field_id"] for row in rows if row["deleted_at"] is None}

    def look(self, table: str) -> list[dict[str, UUID]]:
        with psycopg.connect(self.metadata_url, row_factory=dict_row) as connection:
            return connection.execute(f"SELECT * FROM metadata.{table} ORDER BY 1, 2".encode()).fetchall()

    def settled(self) -> bool:
        """Whether collecting again writes no row."""
        before = contents(self.metadata_url)
        return self.collect().rows_written == 0 and contents(self.metadata_url) == before


@pytest.fixture
def shop(make_source: Callable[..., Source], store: MetadataStore, metadata_url: str) -> Shop:
    """orders (id, note) and tmp (id, note), customers, and a view of orders; collected once."""
    made = Shop(
        make_source(
            *(f"CREATE TABLE {name} (id int, note text)" for name in ("orders", "tmp", "customers")),
            "CREATE VIEW report AS SELECT id FROM orders",
            "CREATE SCHEMA side",
        ),
        store,
        metadata_url,
    )
    made.collect()
    return made


def test_a_renamed_table_keeps_its_identity_its_columns_and_its_lineage(shop: Shop) -> None:
    orders, columns = shop.id("orders"), shop.columns("orders")
    collected = shop.collect("ALTER TABLE orders RENAME TO sales")
    assert (collected.assets.renamed, collected.assets.new, collected.assets.closed) == (1, 0, 0)
    assert (collected.fields.new, collected.fields.closed) == (0, 0)
    assert (collected.edges.opened, collected.edges.closed) == (0, 0)
    assert (shop.id("sales"), shop.id("orders"), shop.columns("sales")) == (orders, orders, columns)
    assert shop.store.asset(shop.key("orders")).key == shop.key("sales")
    newest = shop.store.aliases_of(shop.key("sales"))[0]
    assert (newest.actor, newest.reason) == ("test", "its source calls it so: it is the same object there")
    assert shop.settled()


def test_only_the_renamed_tables_rows_are_written(shop: Shop) -> None:
    shop.source.run("DROP VIEW report")  # its text names the table
    shop.collect()
    before = {name: list(rows) for name, rows in contents(shop.metadata_url).items()}
    shop.collect("ALTER TABLE orders RENAME TO sales")
    after = contents(shop.metadata_url)
    new = {name: len([row for row in rows if row not in before[name]]) for name, rows in after.items()}
    ours = ("asset", "alias", "schema_field", "relationship", "dataset")
    assert {name: new[name] for name in ours} == {
        "asset": 1, "alias": 3, "schema_field": 0, "relationship": 0, "dataset": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "now"),
    [
        (["ALTER TABLE orders SET SCHEMA side"], {"side.orders": "orders"}),
        (["ALTER TABLE orders SET SCHEMA side", "ALTER TABLE side.orders RENAME TO o"], {"side.o": "orders"}),
        (["ALTER SCHEMA public RENAME TO shop", "CREATE SCHEMA public"], {"shop.orders": "orders", "shop.tmp": "tmp"}),
        (
            ["ALTER TABLE orders RENAME TO x", "ALTER TABLE tmp RENAME TO orders", "ALTER TABLE x RENAME TO tmp"],
            {"public.orders": "tmp", "public.tmp": "orders"},
        ),
        (
            [
                "ALTER TABLE orders RENAME TO x",
                "ALTER TABLE tmp RENAME TO orders",
                "ALTER TABLE customers RENAME TO tmp",
                "ALTER TABLE x RENAME TO customers",
            ],
            {"public.orders": "tmp", "public.tmp": "customers", "public.customers": "orders"},
        ),
        (
            ["ALTER TABLE orders RENAME TO backup", "ALTER TABLE tmp RENAME TO orders"],
            {"public.backup": "orders", "public.orders": "tmp"},
        ),
        (
            ["DROP VIEW report", "DROP TABLE orders", "ALTER TABLE tmp RENAME TO orders"],
            {"public.orders": "tmp"},
        ),
    ],
)
def test_what_has_another_name_is_the_thing_that_it_was(shop: Shop, statements: list[str], now: dict[str, str]) -> None:
    was = {name: shop.id(name) for name in ("orders", "tmp", "customers")}
    columns = {shop.id(name): shop.columns(name) for name in was}
    collected = shop.collect(*statements)
    assert collected.assets.new == 0
    for name, old in now.items():
        schema, table = name.split(".")
        assert shop.id(table, schema) == was[old]
        assert shop.store.name_of(shop.store.entity(shop.key(table, schema))) == shop.key(table, schema)
    kept = {row["field_id"] for row in shop.look("schema_field") if row["deleted_at"] is None}
    assert kept >= {field for old in now.values() for field in columns[was[old]].values()}
    assert shop.settled()


def test_dropped_and_created_again_is_another_thing(shop: Shop) -> None:
    old, columns = shop.store.entity(shop.key("tmp")), shop.columns("tmp")
    collected = shop.collect("DROP TABLE tmp", "CREATE TABLE tmp (id int, note text)")
    assert (collected.assets.new, collected.assets.closed, collected.assets.unchanged) == (1, 1, 3)
    assert (collected.fields.new, collected.fields.closed) == (2, 2)
    new = shop.store.entity(shop.key("tmp"))
    assert new.id != old.id
    assert not set(shop.columns("tmp").values()) & set(columns.values())
    (kept,) = (row for row in shop.look("asset") if row["asset_id"] == old.id.value)
    assert (kept["qualified_name"], kept["deleted_at"] is None) == (str(shop.key("tmp")), False)
    assert shop.store.aliases_of(old)[0].valid_to is not None
    assert shop.settled()
    shop.collect("DROP TABLE tmp")
    assert shop.id("tmp") == new.id.value, "the last thing of its name"
    shop.collect("CREATE TABLE tmp (id int, note text)")
    ids = {row["asset_id"] for row in shop.look("asset") if row["qualified_name"] == str(shop.key("tmp"))}
    assert len(ids) == 3
    assert shop.settled()


def test_a_new_table_under_the_old_name_of_another_one_is_new(shop: Shop) -> None:
    orders = shop.id("orders")
    collected = shop.collect("ALTER TABLE orders RENAME TO backup", "CREATE TABLE orders (id int, note text)")
    assert (collected.assets.new, collected.assets.renamed, collected.assets.closed) == (1, 1, 0)
    assert shop.id("backup") == orders != shop.id("orders")
    assert shop.settled()


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP VIEW report", "CREATE VIEW report AS SELECT note FROM orders"],
        ["DROP VIEW report", "CREATE TABLE report (id int)"],
        ["DROP VIEW report", "CREATE MATERIALIZED VIEW report AS SELECT id FROM orders"],
    ],
)
def test_a_view_that_was_made_anew_is_the_same_thing_and_may_be_a_table_now(shop: Shop, statements: list[str]) -> None:
    report = shop.id("report")
    collected = shop.collect(*statements)
    assert (collected.assets.changed, collected.assets.new) == (1, 0)
    assert shop.id("report") == report
    assert shop.settled()


def test_everything_restored_from_a_dump_is_what_it_was(shop: Shop) -> None:
    before = shop.open()
    shop.source.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    shop.collect(
        *(f"CREATE TABLE {name} (id int, note text)" for name in ("orders", "tmp", "customers")),
        "CREATE VIEW report AS SELECT id FROM orders",
    )
    assert shop.open() == before
    assert shop.settled()
    shop.collect("ALTER TABLE orders RENAME TO sales")
    assert shop.open() == {("sales" if name == "orders" else name): one for name, one in before.items()}


def test_a_dump_restored_but_for_one_table_and_all_made_anew_each_night_are_what_they_were(shop: Shop) -> None:
    before = shop.open()
    anew = [f"DROP TABLE {name} CASCADE; CREATE TABLE {name} (id int, note text)" for name in ("orders", "tmp")]
    view = "CREATE VIEW report AS SELECT id FROM orders"
    for statements in (
        [*anew, view],
        [*anew, "DROP TABLE customers; CREATE TABLE customers (id int, note text)", view],
    ):
        collected = shop.collect(*statements)
        assert (collected.assets.new, collected.assets.closed) == (0, 0)
        assert shop.open() == before
        assert shop.settled()


def test_another_server_says_nothing_about_this_one(shop: Shop, store: MetadataStore) -> None:
    """As if the database had been cloned: object ids of another place, the same names."""
    before = shop.open()
    with store.session() as session:
        session.count("""UPDATE metadata.asset SET metadata = jsonb_set(metadata, '{object}', to_jsonb(
          '7/' || split_part(metadata ->> 'object', '/', 2) || '/' ||
          (SELECT metadata ->> 'object' FROM metadata.asset WHERE name = 'customers')))""")
        session.count("UPDATE metadata.endpoint SET schema_fingerprint = NULL")
    collected = shop.collect()
    assert (collected.assets.changed, collected.assets.renamed, collected.assets.new) == (4, 0, 0)
    assert shop.open() == before
    assert shop.settled()


def test_columns_keep_their_ids_under_new_names(shop: Shop) -> None:
    before = shop.columns("tmp")
    collected = shop.collect("ALTER TABLE tmp RENAME id TO number", "ALTER TABLE tmp RENAME TO t")
    assert (collected.fields.renamed, collected.fields.new, collected.fields.closed) == (1, 0, 0)
    assert shop.columns("t") == {"number": before["id"], "note": before["note"]}
    shop.collect(
        "ALTER TABLE t RENAME number TO x; ALTER TABLE t RENAME note TO number; ALTER TABLE t RENAME x TO note"
    )
    assert shop.columns("t") == {"note": before["id"], "number": before["note"]}
    assert shop.settled()


def test_a_column_that_takes_the_name_of_a_dropped_one_stays_itself(shop: Shop) -> None:
    before = shop.columns("tmp")
    collected = shop.collect("ALTER TABLE tmp DROP note; ALTER TABLE tmp RENAME id TO note")
    assert (collected.fields.renamed, collected.fields.closed, collected.fields.new) == (1, 1, 0)
    assert shop.columns("tmp") == {"note": before["id"]}
    assert shop.settled()
    shop.collect("ALTER TABLE tmp ADD id int")
    assert shop.columns("tmp")["id"] not in before.values(), "its name's first column lives on"
    assert shop.settled()


def test_a_column_dropped_and_added_again_is_another_column(shop: Shop) -> None:
    before = shop.columns("tmp")
    collected = shop.collect("ALTER TABLE tmp DROP note; ALTER TABLE tmp ADD note text")
    assert (collected.fields.new, collected.fields.closed, collected.fields.renamed) == (1, 1, 0)
    assert shop.columns("tmp")["id"] == before["id"]
    assert shop.columns("tmp")["note"] != before["note"]
    assert shop.settled()


@pytest.fixture
def reader(shop: Shop) -> str:
    name = f"partial_{shop.source.database}"
    shop.source.run(
        f'DROP ROLE IF EXISTS "{name}"',
        f'CREATE ROLE "{name}" LOGIN',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{name}"',
    )
    return name


def test_a_partial_look_renames_what_it_sees_and_closes_nothing(shop: Shop, reader: str) -> None:
    before = shop.open()
    collected = shop.collect(
        f'REVOKE SELECT ON customers FROM "{reader}"', "ALTER TABLE orders RENAME TO sales", user=reader
    )
    assert (collected.complete, collected.assets.renamed, collected.assets.closed) == (False, 1, 0)
    assert shop.open() == {("sales" if name == "orders" else name): one for name, one in before.items()}


def test_a_partial_look_leaves_alone_what_it_cannot_tell(shop: Shop, reader: str) -> None:
    """tmp has the name of orders, and where orders went this login may not see."""
    before = shop.open()
    collected = shop.collect(
        "ALTER TABLE orders RENAME TO backup",
        "ALTER TABLE tmp RENAME TO orders",
        f'REVOKE SELECT ON backup FROM "{reader}"',
        user=reader,
    )
    assert (collected.complete, collected.assets.renamed, collected.assets.closed) == (False, 0, 0)
    assert shop.open() == before
    assert shop.collect().assets.renamed == 2
    assert {name: shop.id(name) for name in ("backup", "orders")} == {
        "backup": before["orders"],
        "orders": before["tmp"],
    }


def test_what_was_declared_about_a_name_follows_it(shop: Shop) -> None:
    """A project reads `tmp` by its name: the new table of that name is what it reads from now on."""
    declared = {"dagster": {"group": "sources"}}
    tmp, made = shop.key("tmp"), dataset_key("lake", table="made")
    shop.store.register_assets(
        [
            Asset(key=tmp, type=AssetType.DATASET, description="ours", metadata=declared),
            Asset(key=made, type=AssetType.DATASET),
        ]
    )
    old = shop.store.entity(tmp)
    graph = GraphStore(shop.store.sessions)
    for producer in ("dagster", "materialization"):
        link = Link(shop.store.entity(made), old)
        graph.assert_edges([link], producer=producer, scope="all", complete=True)
    shop.collect("DROP TABLE tmp", "CREATE TABLE tmp (id int)")
    found = shop.store.asset(tmp)
    assert (found.description, found.metadata["dagster"]) == ("ours", declared["dagster"])
    assert set(graph.lineage(shop.store.entity(tmp), "down").nodes) == {tmp, made}
    edges = [row for row in shop.look("relationship") if row["producer"] in ("dagster", "materialization")]
    open_edges = {(row["producer"], row["target_asset_id"] == old.id.value) for row in edges if row["valid_to"] is None}
    assert open_edges == {("dagster", False), ("materialization", True)}, "what was read was the old one"
    assert shop.settled()


def test_what_we_write_ourselves_keeps_its_identity(shop: Shop) -> None:
    shop.store.register_datasets([(Asset(key=shop.key("tmp"), type=AssetType.DATASET), "immediately")])
    tmp = shop.id("tmp")
    collected = shop.collect("DROP TABLE tmp", "CREATE TABLE tmp (id int, note text)")
    assert (collected.assets.new, collected.assets.changed) == (0, 1)
    assert shop.id("tmp") == tmp
    assert shop.settled()


def test_the_sources_name_counts_whatever_somebody_called_it(shop: Shop) -> None:
    tmp = shop.id("tmp")
    shop.store.rename({shop.key("tmp"): shop.key("staging")})
    assert shop.collect().assets.renamed == 1
    assert shop.store.name_of(shop.store.entity(shop.key("staging"))) == shop.key("tmp")
    assert shop.id("tmp") == tmp
    assert shop.settled()


def test_a_rename_that_somebody_told_before_it_was_seen_is_one_rename(shop: Shop) -> None:
    tmp = shop.id("tmp")
    shop.store.rename({shop.key("tmp"): shop.key("staging")})
    collected = shop.collect("ALTER TABLE tmp RENAME TO staging")
    assert (collected.assets.renamed, collected.assets.new, collected.assets.closed) == (0, 0, 0)
    assert shop.id("staging") == tmp
    assert shop.settled()


def test_a_table_out_of_sight_and_back_under_another_name_is_the_same(shop: Shop) -> None:
    tmp = shop.id("tmp")
    shop.source.run("ALTER TABLE tmp SET SCHEMA side")
    hidden = shop.source.collect_into(shop.store, scope=Scope.of(["public"]))
    assert hidden.assets.closed == 1
    collected = shop.collect("ALTER TABLE side.tmp RENAME TO t")
    assert (collected.assets.renamed, collected.assets.reopened, collected.assets.new) == (1, 1, 0)
    assert shop.id("t", "side") == tmp
    assert shop.settled()


def test_a_table_that_became_a_view_is_told_once(shop: Shop) -> None:
    def told() -> list[tuple[str, str, str]]:
        statement = "SELECT payload FROM metadata.outbox WHERE topic = 'identity.retyped' ORDER BY seq"
        with psycopg.connect(shop.metadata_url) as connection:
            payloads = [payload for (payload,) in connection.execute(statement)]
        assert all((one["reason"], one["identity_ids"]) == ("its source says so", []) for one in payloads)
        return [(one["was"], one["now"], one["type"]) for one in payloads]

    assert told() == []
    shop.collect("ALTER TABLE tmp ADD more int")
    assert told() == [], "a changed table is a table"
    shop.collect("ALTER TABLE tmp RENAME TO staging", "DROP VIEW report", "CREATE TABLE report (id int)")
    report = str(shop.key("report"))
    assert told() == [(report, report, "TABLE")]
    assert shop.settled()
    shop.store.register_assets([Asset(key=shop.key("said"), type=AssetType.DATASET)])
    shop.collect("CREATE TABLE said (id int)")
    assert told() == [(report, report, "TABLE")], "what was only declared has not become anything"
    shop.collect("DROP TABLE staging", "CREATE VIEW staging AS SELECT 1 AS id")
    staging = str(shop.key("staging"))
    assert told()[1:] == [(staging, staging, "VIEW")]
