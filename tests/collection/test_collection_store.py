"""Collections end to end: a real source, a real store, and what is in the store afterwards."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from identity.keys import CanonicalKey, dataset_key
from metadata_assets.collection.diff import diff
from metadata_assets.collection.scope import Scope
from resources.metadata.assets import UnknownKey, register
from resources.metadata.catalogs import CatalogOvertaken, current_catalog, lock_catalog
from resources.metadata.planned import apply_plan
from resources.metadata.plans import Counts
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint, Field
from resources.postgres.errors import IdentityCollision
from tests.collection.conftest import SHOP, Source, contents


def key(source: Source, table: str, endpoint: str = "shop") -> CanonicalKey:
    return dataset_key(endpoint, source=source.database, schema="public", table=table)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_first_collection_stores_everything(shop: Source, store: MetadataStore) -> None:
    collected = shop.collect_into(store)
    assert collected.assets == Counts(new=3, changed=0, reopened=0, closed=0, unchanged=0)
    assert collected.fields == Counts(new=5, changed=0, reopened=0, closed=0, unchanged=0)
    assert (collected.edges.opened, collected.edges.closed) == (2, 0)
    assert collected.rows_written == 3 + 5 + 2 + 1 + 1, (
        "tables, columns, edges, that of the view's column, the endpoint"
    )
    customer = store.asset(key(shop, "customer"))
    assert (customer.type, customer.description) == (AssetType.TABLE, "Who buys")
    assert customer.fields == (
        Field(name="id", type="integer", nullable=False, position=1),
        Field(name="name", type="text", nullable=True, position=2),
    )
    assert customer.metadata["row_estimate"] == 1000
    endpoint = store.endpoint("shop")
    assert endpoint == Endpoint(
        slug="shop",
        system="postgres",
        attributes={"url": "env:SOURCE_URL"},
        schema_fingerprint=shop.fingerprint(),
    )


def test_columns_of_many_things_are_found_at_once(shop: Source, store: MetadataStore) -> None:
    """By an older name, too; a closed column is not among them, nor is what has no columns or no name."""
    shop.collect_into(store)
    shop.run("ALTER TABLE customer RENAME TO client; DROP VIEW buyers; ALTER TABLE client DROP name")
    shop.collect_into(store)
    keys = [key(shop, name) for name in ("customer", "client", "purchase", "nobody")]
    found = store.fields_of(keys)
    assert {one.table: fields for one, fields in found.items()} == {one.table: store.asset(one).fields for one in found}
    assert [[field.name for field in found[one]] for one in keys[:2]] == [["id"], ["id"]]
    assert (len(found), keys[3] in found) == (3, False)
    assert store.fields_of([]) == {}


def test_collecting_an_unchanged_source_writes_no_row(shop: Source, store: MetadataStore, metadata_url: str) -> None:
    shop.collect_into(store)
    before = contents(metadata_url)
    shop.run("ANALYZE")
    again = shop.collect_into(store)
    assert again.rows_written == 0
    assert again.assets == Counts(new=0, changed=0, reopened=0, closed=0, unchanged=3)
    assert again.fields == Counts(new=0, changed=0, reopened=0, closed=0, unchanged=5)
    assert contents(metadata_url) == before, "not a row, a lock or an audit entry"


def test_even_the_long_way_an_unchanged_source_starts_no_writing_transaction(
    shop: Source, store: MetadataStore
) -> None:
    """The same without the shortcut of the fingerprint; the plan's statements find nothing to write."""
    fingerprint = shop.collect_into(store).fingerprint
    with store.session() as session:
        lock_catalog(session, "shop", expected=fingerprint)
        plan = diff(current_catalog(session, "shop"), shop.look())
        assert apply_plan(session, plan).rows_written == 0
        assert session.rows("SELECT pg_current_xact_id_if_assigned() AS id") == [{"id": None}]


def test_only_what_changed_is_written(shop: Source, store: MetadataStore, metadata_url: str) -> None:
    shop.collect_into(store)
    shop.run(
        "ALTER TABLE customer ADD COLUMN mail text",
        "DROP VIEW buyers",
        "ALTER TABLE purchase ALTER COLUMN customer_id TYPE bigint",
        "COMMENT ON TABLE purchase IS 'What they bought'",
        "CREATE VIEW named AS SELECT name FROM customer",
    )
    collected = shop.collect_into(store)
    assert collected.assets == Counts(new=1, changed=1, reopened=0, closed=1, unchanged=1)
    assert collected.fields == Counts(new=2, changed=1, reopened=0, closed=1, unchanged=3)
    assert (collected.edges.opened, collected.edges.closed) == (1, 2)
    assert collected.rows_written == 3 + 4 + 3 + 2 + 1, "two edges of columns: of the view that is gone, of the new one"
    versions = dict(rows(metadata_url, "SELECT name, version FROM metadata.asset"))
    assert versions == {"customer": 1, "purchase": 2, "buyers": 2, "named": 1}
    audited = rows(metadata_url, "SELECT count(*) FROM metadata.audit WHERE entity_type = 'SCHEMA_FIELD'")
    assert audited == [(5 + 4,)]


def test_a_table_that_comes_back_is_the_same_asset(source: Source, store: MetadataStore, metadata_url: str) -> None:
    source.run("CREATE TABLE a (x int, y int)", "CREATE SCHEMA side", "CREATE TABLE side.b ()")
    everything, public = Scope.of(["public", "side"]), Scope.of(["side"])
    source.collect_into(store, scope=everything)
    assert source.collect_into(store, scope=public).assets.closed == 1
    collected = source.collect_into(store, scope=everything)
    assert (collected.assets.new, collected.assets.reopened, collected.assets.closed) == (0, 1, 0)
    assert collected.fields.reopened == 2
    assert rows(metadata_url, "SELECT count(*) FROM metadata.asset") == [(2,)]
    assert len(store.asset(key(source, "a")).fields or ()) == 2


def test_row_estimates_are_written_when_they_moved_by_more_than_a_tenth(shop: Source, store: MetadataStore) -> None:
    def more(count: int) -> None:
        shop.run(f"INSERT INTO customer SELECT max(id) + n FROM customer, generate_series(1, {count}) n GROUP BY n")
        shop.run("ANALYZE")

    shop.collect_into(store)
    more(90)
    assert shop.collect_into(store).rows_written == 0
    assert store.asset(key(shop, "customer")).metadata["row_estimate"] == 1000
    more(90)
    collected = shop.collect_into(store)
    assert (collected.rows_written, collected.assets.changed) == (1, 1)
    customer = store.asset(key(shop, "customer"))
    assert customer.metadata["row_estimate"] == 1180
    assert (customer.description, customer.metadata["primary_key"]) == ("Who buys", ["id"])


def test_what_is_denied_is_reported_the_rest_collected_and_nothing_closed(
    source: Source, reader: str, store: MetadataStore
) -> None:
    source.run(
        "CREATE TABLE seen (x int)",
        "CREATE TABLE dropped (x int)",
        "CREATE TABLE denied (x int)",
        "CREATE VIEW v AS SELECT * FROM dropped",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}",
    )
    assert source.collect_into(store, user=reader).complete
    source.run(
        f"REVOKE SELECT ON denied FROM {reader}",
        "DROP TABLE dropped CASCADE",
        "ALTER TABLE seen ADD COLUMN y int",
        "CREATE TABLE fresh (x int)",
        f"GRANT SELECT ON fresh TO {reader}",
    )
    collected = source.collect_into(store, user=reader)
    assert [gap.name for gap in collected.gaps] == ["shop/public/denied"]
    assert not collected.complete
    assert collected.assets == Counts(new=1, changed=0, reopened=0, closed=0, unchanged=1)
    assert (collected.fields.new, collected.fields.closed) == (2, 0)
    assert (collected.edges.opened, collected.edges.closed) == (0, 0)

    again = source.collect_into(store, user=reader)
    assert (again.rows_written, again.gaps) == (0, collected.gaps)

    source.run(f"GRANT SELECT ON denied TO {reader}")
    collected = source.collect_into(store, user=reader)
    assert collected.complete
    assert (collected.assets.closed, collected.edges.closed) == (2, 1)


def test_narrowing_the_schemas_closes_what_is_no_longer_covered(shop: Source, store: MetadataStore) -> None:
    shop.run("CREATE SCHEMA side", "CREATE TABLE side.t (x int)")
    assert shop.collect_into(store).assets.new == 4
    collected = shop.collect_into(store, scope=Scope.of(["public"]))
    assert collected.assets == Counts(new=0, changed=0, reopened=0, closed=1, unchanged=3)


def test_a_mistyped_schema_closes_nothing(shop: Source, store: MetadataStore) -> None:
    shop.collect_into(store)
    collected = shop.collect_into(store, scope=Scope.of(["pubic"]))
    assert [gap.name for gap in collected.gaps] == ["shop/pubic"]
    assert collected.assets.closed == 0


def declared(source: Source, table: str, description: str | None = None) -> Asset:
    return Asset(
        key=key(source, table),
        type=AssetType.DATASET,
        description=description,
        metadata={"dagster": {"group": "sources"}},
    )


@pytest.mark.parametrize("first", ["declared", "collected"])
def test_a_declared_and_a_collected_asset_are_one(
    shop: Source, store: MetadataStore, metadata_url: str, first: str
) -> None:
    both = [declared(shop, "customer", "ours"), declared(shop, "purchase")]
    if first == "declared":
        store.register_assets(both)
    shop.collect_into(store)
    store.register_assets(both)
    customer, purchase = store.asset(key(shop, "customer")), store.asset(key(shop, "purchase"))
    assert customer.type is AssetType.TABLE
    assert customer.description == "ours"
    assert customer.metadata["dagster"] == {"group": "sources"}
    assert customer.metadata["comment"] == "Who buys"
    assert len(customer.fields or ()) == 2
    assert purchase.description is None
    before = contents(metadata_url)
    assert shop.collect_into(store).rows_written == 0
    assert store.register_assets(both) in (0, 2)
    shop.run("COMMENT ON TABLE customer IS 'said anew'", "COMMENT ON TABLE purchase IS 'said'")
    assert shop.collect_into(store).assets.changed == 2
    assert store.asset(key(shop, "customer")).description == "ours"
    assert store.asset(key(shop, "purchase")).description == "said"
    assert before["endpoint"] != contents(metadata_url)["endpoint"]


def test_an_asset_that_is_declared_in_the_very_moment_of_its_first_collection_is_one(
    shop: Source, open_store: Callable[..., MetadataStore], metadata_url: str
) -> None:
    declaring, collecting = open_store(), open_store()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with declaring.session() as session:
            register(session, [declared(shop, "customer", "ours")])
            collection = pool.submit(shop.collect_into, collecting)
            while rows(metadata_url, waits) == [(0,)]:
                assert not collection.done()
        collected = collection.result()
    assert collected.rows_written == 12
    customer = declaring.asset(key(shop, "customer"))
    assert (customer.type, customer.description, len(customer.fields or ())) == (AssetType.TABLE, "ours", 2)
    assert customer.metadata["dagster"] == {"group": "sources"}
    assert shop.collect_into(collecting).rows_written == 0


def test_a_declared_asset_that_the_source_does_not_have_stays(shop: Source, store: MetadataStore) -> None:
    shop.collect_into(store)
    store.register_assets([declared(shop, "planned")])
    shop.run("CREATE TABLE other ()")
    assert shop.collect_into(store).assets.closed == 0
    shop.run("CREATE TABLE planned (x int)")
    assert shop.collect_into(store).assets.changed == 1
    shop.run("DROP TABLE planned")
    assert shop.collect_into(store).assets.closed == 1


def test_the_same_names_on_two_endpoints_are_two_sets_of_assets(
    make_source: Callable[..., Source], store: MetadataStore, metadata_url: str
) -> None:
    two_sets_of_assets(make_source, SHOP, store, metadata_url, count=3)


def test_the_same_names_of_real_tables_are_two_sets_of_assets(
    make_source: Callable[..., Source], store: MetadataStore, metadata_url: str, shared_data: Path
) -> None:
    script = shared_data / "chinook/ChinookDatabase/DataSources/Chinook_PostgreSql.sql"
    if not script.is_file():
        pytest.skip("no Chinook script")
    tables = script.read_text().partition("Create Tables")[2].partition("*/")[2]
    two_sets_of_assets(make_source, [tables], store, metadata_url, count=11)


def two_sets_of_assets(
    make_source: Callable[..., Source], statements: Iterable[str], store: MetadataStore, url: str, *, count: int
) -> None:
    """Collect two equal sources, one of them under two names too; then change one and look at the others."""
    extra = ("CREATE TABLE goes (id int)", "CREATE TABLE grows (id int)", "ANALYZE")  # or the server does it later
    left, right = make_source(*statements, *extra), make_source(*statements, *extra)
    assert left.collect_into(store, "left").assets.new == count + 2
    kept = stored_under(url, "left")
    assert right.collect_into(store, "right").assets.new == count + 2
    assert left.collect_into(store, "mirror-of-left").assets.new == count + 2
    assert stored_under(url, "left") == kept
    identities = rows(url, "SELECT count(DISTINCT asset_id), count(DISTINCT name) FROM metadata.asset")
    assert identities == [(3 * (count + 2), count + 2)]

    right.run("DROP TABLE goes", "ALTER TABLE grows ADD COLUMN country text")
    changed = right.collect_into(store, "right")
    assert (changed.assets.closed, changed.fields.new) == (1, 1)
    assert stored_under(url, "left") == kept
    assert left.collect_into(store, "left").rows_written == 0


def stored_under(url: str, endpoint: str) -> object:
    assets = rows(
        url,
        f"SELECT to_jsonb(a) FROM metadata.asset a JOIN metadata.endpoint e USING (endpoint_id)"
        f" WHERE e.slug = '{endpoint}' ORDER BY a.asset_id",
    )
    fields = rows(
        url,
        f"SELECT to_jsonb(f) FROM metadata.schema_field f JOIN metadata.asset a USING (asset_id)"
        f" JOIN metadata.endpoint e USING (endpoint_id) WHERE e.slug = '{endpoint}' ORDER BY f.field_id",
    )
    return assets, fields


def test_tenants_do_not_meet(shop: Source, open_store: Callable[..., MetadataStore]) -> None:
    mine, theirs = open_store("default"), open_store("other")
    shop.collect_into(mine)
    assert theirs.endpoints() == []
    with pytest.raises(UnknownKey):
        theirs.asset(key(shop, "customer"))
    assert shop.collect_into(theirs).assets.new == 3
    assert shop.collect_into(mine).rows_written == 0


def test_an_id_that_belongs_to_another_key_is_refused_and_nothing_is_written(
    shop: Source, store: MetadataStore, metadata_url: str
) -> None:
    store.register_endpoints([Endpoint(slug="shop", system="postgres", attributes={"url": "env:SOURCE_URL"})])
    taken = store.entity(key(shop, "purchase")).id.value
    with psycopg.connect(metadata_url) as planting:  # the app could not
        bind = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', 'test', true)"
        planting.execute(bind, (str(store.tenant),))
        planting.execute(
            "INSERT INTO metadata.asset (tenant_id, asset_id, type, name, qualified_name, key_sha256, created_by)"
            " VALUES (%s, %s, 'TABLE', 'x', 'mid1:dataset:shop:~/~/x', sha256('x'), 'test')",
            (store.tenant.value, taken),
        )
    everything = "SELECT (SELECT jsonb_agg(a) FROM metadata.asset a), (SELECT jsonb_agg(e) FROM metadata.endpoint e)"
    before = rows(metadata_url, everything)
    with pytest.raises(IdentityCollision):
        shop.collect_into(store)
    assert rows(metadata_url, everything) == before


def test_concurrent_collections_store_one_truth(
    shop: Source, open_store: Callable[..., MetadataStore], metadata_url: str
) -> None:
    stores = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(shop.collect_into, stores))
    assert sorted(collected.assets.new for collected in results) == [0, 0, 0, 3]
    assert sum(collected.rows_written for collected in results) == 12
    assert rows(metadata_url, "SELECT count(*) FROM metadata.audit WHERE entity_type = 'ASSET'") == [(3,)]


def test_a_look_from_before_somebody_elses_collection_is_not_stored(
    shop: Source, store: MetadataStore, metadata_url: str
) -> None:
    known = store.known_catalog
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    assert known("shop").fingerprint is None
    shop.collect_into(store)
    before = contents(metadata_url)
    with pytest.raises(CatalogOvertaken), store.session() as session:
        lock_catalog(session, "shop", expected=None)
    assert contents(metadata_url) == before


def test_what_was_damaged_by_hand_is_repaired(shop: Source, store: MetadataStore) -> None:
    shop.collect_into(store)
    with store.session() as session:
        session.count("UPDATE metadata.asset SET deleted_at = now() WHERE name = 'buyers'")
    assert shop.collect_into(store).assets.reopened == 1
