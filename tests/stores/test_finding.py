"""Names that people type cost rows of an index, however many names there are."""

import pytest
from store_inputs import Lake, Look, names_read

from identity.keys import CanonicalKey, dataset_key
from resources.metadata.assets import AmbiguousKey, UnknownKey
from resources.metadata.finding import around, called, ending_so, keys_like
from resources.metadata.legacy_names import asked_for
from resources.models import Asset, AssetType

MANY = 3000


@pytest.fixture
def renamed(lake: Lake, look: Look) -> Lake:
    """An endpoint with many tables, each of which had another name before."""
    lake.assets(*(f"old{number}" for number in range(MANY)))
    lake.store.rename({lake.key(f"old{number}"): lake.key(f"t{number}") for number in range(MANY)})
    look("ANALYZE metadata.alias, metadata.asset")
    return lake


def test_a_look_reads_what_it_finds_and_nothing_else(renamed: Lake) -> None:
    present = [renamed.key("t77")]
    for name, found in (("t77", present), ("old77", present), ("nothing", [])):
        with renamed.store.session() as session:
            before = names_read(session)
            assert [one.key for one in called(session.rows, session.tenant, f"{renamed.endpoint}/nyc/{name}")] == found
            read = names_read(session) - before
        assert (read["seq_scan"], read["idx_tup_fetch"]) == (0, len(found))
    with renamed.store.session() as session:
        before = names_read(session)
        assert around(session.rows, "t7x", keys_like(f"{renamed.endpoint}/nyc/t7x"))
        read = names_read(session) - before
    assert read["seq_scan"] == 0
    assert read["idx_tup_fetch"] <= 2 * 20 * 8
    with renamed.store.session() as session:
        before = names_read(session)
        asked = asked_for([f"{renamed.endpoint}.nyc.old77"], {renamed.endpoint: "postgres"}, {})
        assert {one.leading for one in ending_so(session, asked.endings)} == set(present)
        read = names_read(session) - before
    assert (read["seq_scan"], read["idx_tup_fetch"] <= len(asked.endings)) == (0, True)


def test_a_typing_error_is_found_among_many(renamed: Lake) -> None:
    with pytest.raises(UnknownKey, match=f"{renamed.endpoint}/nyc/t2999"):
        renamed.store.resolve(f"{renamed.endpoint}/nyc/t2999x")
    assert renamed.key("t2998") in renamed.store.suggestions(renamed.key("t2999"))


def closed(lake: Lake, *keys: CanonicalKey) -> None:
    with lake.store.session() as session:
        session.count(
            "UPDATE metadata.asset SET deleted_at = clock_timestamp() WHERE qualified_name = ANY (%s)",
            [list(map(str, keys))],
        )


def test_a_name_of_what_is_gone_leads_to_it_while_nothing_else_is_called_so(lake: Lake) -> None:
    lake.assets("planes")
    closed(lake, lake.key("planes"))
    short = f"{lake.endpoint}/nyc/planes"
    assert lake.store.resolve(short) == lake.key("planes")
    assert lake.store.asset(lake.key("planes")).closed_at is not None
    twin = dataset_key(lake.endpoint, source="other", schema="nyc", table="planes")
    lake.store.register_assets([Asset(key=twin, type=AssetType.TABLE)])
    assert lake.store.resolve(short) == twin, "what is there comes first"


def test_two_things_that_are_gone_are_ambiguous(lake: Lake) -> None:
    keys = [dataset_key(lake.endpoint, source=source, schema="nyc", table="planes") for source in ("a", "b")]
    lake.store.register_assets(Asset(key=key, type=AssetType.TABLE) for key in keys)
    closed(lake, *keys)
    with pytest.raises(AmbiguousKey):
        lake.store.resolve(f"{lake.endpoint}/nyc/planes")
