"""Where things may go, and with which source: asked once for each endpoint, and never by listing what there is."""

import pytest
from reference_inputs import driver_of
from store_inputs import Lake, names_read

from benchmarks.wire import traced
from identity.keys import CanonicalKey, dataset_key
from metadata_assets.cli.naming import NotAName, Places
from resources.metadata.endpoint_aliases import UnknownEndpoint
from resources.models import Asset, AssetType, Endpoint


def born(lake: Lake, *keys: CanonicalKey) -> None:
    lake.store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys)


def test_an_endpoint_is_asked_about_once(lake: Lake) -> None:
    there = f"{lake.endpoint}-there"
    lake.store.register_endpoints([Endpoint(slug=there, system="postgres")])
    born(lake, *(dataset_key(there, source="db", schema="public", table=f"t{number}") for number in range(300)))
    places = Places(lake.store)
    moved = places.moved_key(lake.key("a"), there)
    assert moved == dataset_key(there, source="db", schema="nyc", table="a")
    with traced(driver_of(lake.store.sessions)) as wire:
        for number in range(20):
            places.moved_key(lake.key(f"a{number}"), f"{there}/old")
            places.new_key(lake.key(f"a{number}"), f"{there}/old/b")
    assert wire.statements == 0
    with lake.store.session() as session:
        before = names_read(session)
        session.rows("SELECT * FROM metadata.sources_at(%s, 10)", [there])
        read = names_read(session) - before
    assert (read["seq_scan"], read["idx_tup_fetch"]) == (0, 1)


def test_several_sources_are_not_guessed_among(lake: Lake) -> None:
    there = f"{lake.endpoint}-there"
    lake.store.register_endpoints([Endpoint(slug=there, system="postgres")])
    assert Places(lake.store).moved_key(lake.key("a"), there).source is None
    with pytest.raises(NotAName, match=r"nothing at .* says what its source is"):
        Places(lake.store).moved_key(dataset_key(lake.endpoint, source="db", schema="s", table="a"), there)
    born(lake, *(dataset_key(there, source=source, table="t") for source in ("db", "%", None)))
    assert lake.store.sources_at(there) == {"db", "%", None}
    with pytest.raises(NotAName, match="several sources"):
        Places(lake.store).moved_key(lake.key("a"), there)


def test_a_full_key_goes_to_endpoints_that_are_known_only(lake: Lake) -> None:
    born(lake, dataset_key(f"postgresql_{lake.endpoint}", table="t"))
    places = Places(lake.store)
    for nowhere in (f"{lake.endpoint}-nowhere", "legacy"):
        with pytest.raises(UnknownEndpoint):
            places.new_key(lake.key("a"), str(dataset_key(nowhere, schema="nyc", table="a")))
    key = dataset_key(f"postgresql_{lake.endpoint}", schema="nyc", table="a")
    assert places.new_key(lake.key("a"), str(key)) == key, "provisional, and something is there"
    assert places.new_key(lake.key("a"), str(lake.key("b"))) == lake.key("b"), "it is there already"
