"""Collecting an endpoint of whose tables something was known before it was registered."""

from collections.abc import Callable

from identity.keys import dataset_key, key_at
from resources.metadata_store import MetadataStore
from resources.models import Asset, AssetType, Endpoint
from tests.collection.conftest import Source, contents


def test_what_was_known_below_a_provisional_endpoint_is_collected_as_the_same(
    make_source: Callable[..., Source], store: MetadataStore, metadata_url: str
) -> None:
    source = make_source("CREATE TABLE orders (id int)", "CREATE TABLE customers (id int)")
    orders = dataset_key("shop", source=source.database, schema="public", table="orders")
    provisional = key_at(orders, "postgresql_db-example-com")
    store.register_assets([Asset(key=provisional, type=AssetType.TABLE)])
    born = store.entity(provisional).id
    store.register_endpoints([Endpoint(slug="shop", system="postgres")])
    store.register_endpoint_as("postgresql_db-example-com", "shop")

    for change in ("ALTER TABLE customers ADD COLUMN more int", "ALTER TABLE orders RENAME TO purchases"):
        source.collect_into(store)
        assert store.entity(orders).id == store.entity(provisional).id == born
        assert len(contents(metadata_url)["asset"]) == 2
        source.run(change)
    source.collect_into(store)
    assert store.entity(orders).id == born, "renamed in its source, and still the same"
    assert store.name_of(store.entity(provisional)).table == "purchases"
    assert len(contents(metadata_url)["asset"]) == 2

    thing = store.entity(orders)
    assert "moved_from" not in store.asset(orders).metadata, "it was never anywhere else"
    source.run("DROP TABLE purchases")
    assert source.collect_into(store).assets.closed == 1
    assert store.presence(thing)[1] is not None
    assert source.collect_into(store).rows_written == 0
