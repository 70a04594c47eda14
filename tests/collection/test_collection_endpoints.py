"""Things that people move to another endpoint, and one server that is collected by two endpoints."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.scope import Scope
from resources.graph_store import GraphStore
from resources.metadata_store import MetadataStore
from resources.postgres.errors import MergeRefused
from tests.collection.conftest import Source, contents


class Twice:
    """One source, the store, and the ways to name and see its tables at either endpoint."""

    def __init__(self, source: Source, store: MetadataStore, metadata_url: str) -> None:
        self.source, self.store, self.metadata_url = source, store, metadata_url

    def key(self, table: str, endpoint: str = "shop") -> CanonicalKey:
        return dataset_key(endpoint, source=self.source.database, schema="public", table=table)

    def id(self, table: str, endpoint: str = "shop") -> UUID:
        return self.store.entity(self.key(table, endpoint)).id.value

    def open(self) -> set[CanonicalKey]:
        statement = "SELECT qualified_name FROM metadata.asset WHERE deleted_at IS NULL"
        with psycopg.connect(self.metadata_url, row_factory=dict_row) as connection:
            return {CanonicalKey.parse(row["qualified_name"]) for row in connection.execute(statement)}

    def facts(self, table: str, endpoint: str = "shop") -> set[str]:
        return set(self.store.asset(self.key(table, endpoint)).metadata)

    def merge(self, loser: CanonicalKey, winner: CanonicalKey) -> UUID:
        return self.store.merge(self.store.entity(loser), self.store.entity(winner))

    def settled(self, *endpoints: str) -> bool:
        """Whether collecting again writes no row, in whichever order."""
        before = contents(self.metadata_url)
        again = [self.source.collect_into(self.store, endpoint) for endpoint in (*endpoints, *reversed(endpoints))]
        return {one.rows_written for one in again} == {0} and contents(self.metadata_url) == before


@pytest.fixture
def shop(make_source: Callable[..., Source], store: MetadataStore, metadata_url: str) -> Twice:
    source = make_source("CREATE TABLE orders (id int, note text)", "CREATE VIEW report AS SELECT id FROM orders")
    source.collect_into(store)
    return Twice(source, store, metadata_url)


def test_what_was_moved_by_mistake_gets_its_sources_name_back(shop: Twice) -> None:
    orders = shop.id("orders")
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    shop.source.run("ALTER TABLE orders ADD more int")
    collected = shop.source.collect_into(shop.store)
    assert (collected.assets.renamed, collected.assets.new, collected.assets.closed) == (1, 0, 0)
    assert shop.open() == {shop.key("orders"), shop.key("report")}
    assert shop.id("orders") == shop.id("orders", "archive") == orders
    assert "moved_from" not in shop.facts("orders")
    assert shop.settled("shop")


def test_so_it_does_when_nothing_else_changed_or_it_went_further(shop: Twice) -> None:
    orders = shop.id("orders")
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    shop.store.rename({shop.key("orders", "archive"): shop.key("old_orders", "attic")})
    assert shop.source.collect_into(shop.store).assets.renamed == 1
    assert (shop.open(), shop.id("orders")) == ({shop.key("orders"), shop.key("report")}, orders)
    assert shop.settled("shop")


def test_a_move_and_a_rename_at_the_source_end_with_the_sources_name(shop: Twice) -> None:
    orders = shop.id("orders")
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    shop.source.run("ALTER TABLE orders RENAME TO sales", "CREATE TABLE orders (id int)")
    collected = shop.source.collect_into(shop.store)
    assert (collected.assets.renamed, collected.assets.new) == (1, 1)
    assert shop.id("sales") == orders != shop.id("orders")
    assert shop.settled("shop")


def test_what_was_moved_and_then_dropped_is_closed(shop: Twice) -> None:
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    shop.source.run("DROP TABLE orders CASCADE")
    assert shop.source.collect_into(shop.store).assets.closed == 2
    assert shop.open() == set()


def test_moved_back_by_hand_nothing_is_left_of_the_move(shop: Twice) -> None:
    before = shop.facts("orders")
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    assert "moved_from" in shop.facts("orders", "archive")
    shop.store.rename({shop.key("orders", "archive"): shop.key("orders")})
    assert shop.facts("orders") == before
    assert shop.settled("shop")


def test_another_endpoint_does_not_close_what_it_never_saw(
    shop: Twice, make_source: Callable[..., Source], store: MetadataStore
) -> None:
    other = make_source("CREATE TABLE other (id int)")
    other.collect_into(store, "archive")
    shop.store.rename({shop.key("orders"): shop.key("orders", "archive")})
    other.run("CREATE TABLE more (id int)")
    assert other.collect_into(store, "archive").assets.closed == 0
    assert shop.key("orders", "archive") in shop.open()


def test_a_move_that_the_other_endpoint_confirms_stays(shop: Twice) -> None:
    """The server is known by another name: whoever sees it last says what it is called."""
    ids = shop.id("orders"), shop.id("report")
    shop.store.rename({shop.key(name): shop.key(name, "warehouse") for name in ("orders", "report")})
    collected = shop.source.collect_into(shop.store, "warehouse")
    assert (collected.assets.new, collected.assets.renamed, collected.assets.changed) == (0, 0, 2)
    assert (shop.id("orders", "warehouse"), shop.id("report", "warehouse")) == ids
    assert shop.settled("warehouse", "shop"), "the old name of the server leads there too"
    assert shop.open() == {shop.key(name, "warehouse") for name in ("orders", "report")}


def test_one_server_collected_by_two_endpoints_is_joined_and_stays_so(shop: Twice) -> None:
    shop.source.collect_into(shop.store, "replica")
    orders = shop.id("orders")
    assert shop.id("orders", "replica") != orders
    merge = shop.merge(shop.key("orders", "replica"), shop.key("orders"))
    assert shop.id("orders", "replica") == orders
    assert shop.settled("shop", "replica")
    place = str(shop.store.asset(shop.key("orders")).metadata["object"]).rpartition("/")[0]
    names = [shop.key(name, "replica") for name in ("orders", "report")]
    assert shop.store.joined("replica", names, place=place) == {names[0]: shop.key("orders")}, "not read once more"
    assert shop.store.joined("replica", names, place="elsewhere") == shop.store.joined("shop", names, place=None) == {}
    shop.source.run("CREATE TABLE items (id int)", "ALTER TABLE orders ADD more int")
    for endpoint in ("replica", "shop", "replica"):
        shop.source.collect_into(shop.store, endpoint)
    assert shop.id("orders", "replica") == orders
    assert shop.open() == {
        *(shop.key(name) for name in ("orders", "report", "items")),
        *(shop.key(name, "replica") for name in ("report", "items")),
    }
    graph = GraphStore(shop.store.sessions)
    assert set(graph.lineage(shop.store.entity(shop.key("report", "replica")), "up").nodes) == {
        shop.key("report", "replica"),
        shop.key("orders"),
    }
    assert shop.settled("shop", "replica")

    shop.store.unmerge(merge)
    assert shop.id("orders", "replica") != orders
    for endpoint in ("replica", "shop"):
        shop.source.collect_into(shop.store, endpoint)
    assert shop.settled("shop", "replica")


@pytest.mark.parametrize("order", [("shop", "replica"), ("replica", "shop")])
def test_what_is_joined_stays_so_when_its_source_renames_it(shop: Twice, order: tuple[str, str]) -> None:
    """Found by the source's own id: its new name is one more name of the winner."""
    shop.source.run("CREATE TABLE items (id int)")
    for endpoint in ("shop", "replica"):
        shop.source.collect_into(shop.store, endpoint)
    orders, items = shop.id("orders"), shop.id("items")
    merges = [shop.merge(shop.key(name, "replica"), shop.key(name)) for name in ("orders", "items")]
    shop.source.run("ALTER TABLE orders RENAME TO purchases")
    for endpoint in order:
        assert shop.source.collect_into(shop.store, endpoint).assets.new == 0
    assert shop.id("purchases", "replica") == shop.id("purchases") == shop.id("orders", "replica") == orders
    assert shop.open() == {
        *(shop.key(name) for name in ("purchases", "items", "report")),
        shop.key("report", "replica"),
    }
    assert shop.settled("shop", "replica")
    (alias,) = [
        one
        for one in shop.store.aliases_of(shop.key("purchases"))
        if one.key == shop.key("purchases", "replica") and one.valid_to is None
    ]
    assert (alias.kind, alias.reason) == ("endpoint", "its source calls it so: it is the same object there")

    shop.source.run(
        "ALTER TABLE items RENAME TO t", "ALTER TABLE purchases RENAME TO items", "ALTER TABLE t RENAME TO purchases"
    )
    for endpoint in order:
        assert shop.source.collect_into(shop.store, endpoint).assets.new == 0
    for endpoint in ("shop", "replica"):
        assert (shop.id("items", endpoint), shop.id("purchases", endpoint)) == (orders, items)
    assert shop.settled("shop", "replica")

    shop.source.run("ALTER TABLE items RENAME TO sold", "CREATE TABLE items (id int)")
    for endpoint in order:
        assert shop.source.collect_into(shop.store, endpoint).assets.new == 1
    assert shop.id("sold", "replica") == orders
    assert shop.id("items", "replica") not in {orders, items, shop.id("items")}, "another table"

    shop.store.unmerge(merges[0])
    for endpoint in order:
        shop.source.collect_into(shop.store, endpoint)
    assert shop.key("sold", "replica") in shop.open()
    assert shop.id("sold", "replica") != shop.id("sold") == orders
    assert shop.settled("shop", "replica")


def test_either_of_two_that_are_one_object_may_win(shop: Twice) -> None:
    shop.source.collect_into(shop.store, "replica")
    shop.merge(shop.key("orders"), shop.key("orders", "replica"))
    assert shop.settled("replica", "shop")


def test_what_the_other_endpoint_gave_up_goes_on_where_it_is_seen(shop: Twice) -> None:
    shop.source.collect_into(shop.store, "replica")
    orders = shop.id("orders")
    shop.merge(shop.key("orders", "replica"), shop.key("orders"))
    shop.source.run("CREATE SCHEMA empty")
    shop.source.collect_into(shop.store, scope=Scope.of(["empty"]))
    assert shop.key("orders") not in shop.open()
    shop.source.run("ALTER TABLE orders ADD more int")
    assert shop.source.collect_into(shop.store, "replica").assets.renamed == 1
    assert shop.store.name_of(shop.store.entity(shop.key("orders", "replica"))) == shop.key("orders", "replica")
    assert shop.id("orders", "replica") == orders


def test_two_objects_that_are_both_there_are_not_merged(
    shop: Twice, make_source: Callable[..., Source], store: MetadataStore
) -> None:
    other = Twice(make_source("CREATE TABLE orders (id int)"), store, shop.metadata_url)
    other.source.collect_into(store, "other")
    one, another = shop.key("orders"), other.key("orders", "other")
    for loser, winner in ((one, another), (another, one)):
        with pytest.raises(MergeRefused, match=r"neither can be merged into the other: .* is there in its source, and"):
            shop.merge(loser, winner)


def test_what_its_source_dropped_may_be_merged_into_what_came_instead(shop: Twice) -> None:
    gone = shop.store.entity(shop.key("orders"))
    shop.source.run("DROP TABLE orders CASCADE", "CREATE TABLE sales (id int, note text)")
    shop.source.collect_into(shop.store)
    with pytest.raises(MergeRefused, match=r"/orders is gone; merge .*/orders into .*/sales instead"):
        shop.merge(shop.key("sales"), shop.key("orders"))
    shop.merge(shop.key("orders"), shop.key("sales"))
    assert shop.id("orders") == shop.id("sales") != gone.id.value
    assert shop.settled("shop")
