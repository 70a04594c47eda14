"""resolve: the key that a person means, or what stands in the way."""

import pytest
from store_inputs import Lake

from identity.errors import InvalidKey
from identity.keys import dataset_key
from resources.metadata.assets import AmbiguousKey, UnknownKey
from resources.models import Asset, AssetType


def test_a_short_name_is_endpoint_schema_table(lake: Lake) -> None:
    lake.assets("flights", "flights_daily")
    assert lake.store.resolve(f"{lake.endpoint}/nyc/flights") == lake.key("flights")


def test_a_full_key_is_itself(lake: Lake) -> None:
    lake.assets("flights")
    assert lake.store.resolve(str(lake.key("flights"))) == lake.key("flights")


def test_a_source_is_left_out_and_a_schema_may_be_absent(lake: Lake) -> None:
    keys = [
        dataset_key(lake.endpoint, source="db", schema="public", table="flights"),
        dataset_key(lake.endpoint, table="flights"),
    ]
    lake.store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys)
    assert lake.store.resolve(f"{lake.endpoint}/public/flights") == keys[0]
    assert lake.store.resolve(f"{lake.endpoint}/flights") == keys[1]


@pytest.mark.parametrize("table", ["2013/01", "a b", "Üñï", "50%", "~", "with.dot", "UPPER", "'", "%s", "_"])
def test_names_are_matched_as_the_system_spells_them(lake: Lake, table: str) -> None:
    lake.assets(table, "flights")
    assert lake.store.resolve(f"{lake.endpoint}/nyc/{table}") == lake.key(table)


def test_a_short_name_of_several_assets_is_ambiguous(lake: Lake) -> None:
    keys = [dataset_key(lake.endpoint, source=source, schema="public", table="flights") for source in ("a", "b")]
    lake.store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys)
    with pytest.raises(AmbiguousKey) as refused:
        lake.store.resolve(f"{lake.endpoint}/public/flights")
    assert refused.value.candidates == f"{keys[0]}, {keys[1]}"


@pytest.mark.parametrize("name", ["{}/nyc/flihgts", "{}/nyc/flight", "{}/NYC/flights", "mid1:dataset:{}:~/nyc/flight"])
def test_the_nearest_names_are_told(lake: Lake, name: str) -> None:
    lake.assets("flights", "weather")
    with pytest.raises(UnknownKey, match=f"the nearest: {lake.endpoint}/nyc/flights"):
        lake.store.resolve(name.format(lake.endpoint))


def test_where_nothing_is_near_the_list_is_named(lake: Lake) -> None:
    with pytest.raises(UnknownKey, match="datasets --all"):
        lake.store.resolve("§§§§§§§§§§§§§§§§§§§§§§§§§§§§")


def test_a_broken_key_is_told_from_an_unknown_one(lake: Lake) -> None:
    with pytest.raises(InvalidKey, match="kind is unknown"):
        lake.store.resolve("mid1:nonsense:jfk:a/b/c")


def test_an_asset_is_shown_by_its_key_or_the_nearest_ones_are_named(lake: Lake) -> None:
    lake.assets("flights")
    assert lake.store.asset(lake.key("flights")).key == lake.key("flights")
    with pytest.raises(UnknownKey, match=f"the nearest: {lake.endpoint}/nyc/flights"):
        lake.store.asset(lake.key("flight"))
