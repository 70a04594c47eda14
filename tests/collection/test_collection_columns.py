"""Columns of a collected source are found by every name that their table and they had."""

import pytest

from identity.ids import column_id
from identity.keys import ColumnKey
from identity.naming import column_key, reference_key
from resources.metadata.assets import UnknownKey
from resources.metadata.columns import UnknownColumn
from tests.collection.test_collection_renames import Shop, shop

__all__ = ["shop"]  # the fixture


def test_a_column_is_found_by_every_name_that_its_table_and_it_had(shop: Shop) -> None:
    note = shop.columns("orders")["note"]
    shop.collect("ALTER TABLE orders RENAME COLUMN note TO remark")
    shop.collect("ALTER TABLE orders RENAME TO sales", "ALTER TABLE sales RENAME COLUMN remark TO comment")
    for table in ("orders", "sales"):
        for name in ("note", "remark", "comment"):
            found = shop.store.column(ColumnKey(shop.key(table), name))
            assert (found.id, found.key) == (note, ColumnKey(shop.key("sales"), "comment"))
            assert (found.former_names, found.open) == (("note", "remark"), True)
    assert note == column_id(shop.store.entity(shop.key("orders")).id, "note")
    with pytest.raises(UnknownColumn, match="no column nothing"):
        shop.store.column(ColumnKey(shop.key("sales"), "nothing"))
    with pytest.raises(UnknownKey):
        shop.store.column(ColumnKey(shop.key("nowhere"), "note"))


def test_two_columns_that_swap_names_keep_their_ids(shop: Shop) -> None:
    columns = shop.columns("orders")
    shop.collect(
        "ALTER TABLE orders RENAME COLUMN id TO x",
        "ALTER TABLE orders RENAME COLUMN note TO id",
        "ALTER TABLE orders RENAME COLUMN x TO note",
    )
    for was, now in (("id", "note"), ("note", "id")):
        found = shop.store.column(ColumnKey(shop.key("orders"), now))
        assert (found.id, found.former_names) == (columns[was], (was,))


def test_an_old_name_of_a_column_leads_to_whoever_has_it_now(shop: Shop) -> None:
    orders, columns = shop.key("orders"), shop.columns("orders")
    shop.collect("ALTER TABLE orders RENAME COLUMN note TO remark")
    shop.collect("ALTER TABLE orders ADD COLUMN note int")
    newer = shop.store.column(ColumnKey(orders, "note"))
    assert newer.id == column_id(shop.store.entity(orders).id, "note", generation=2)
    shop.collect("ALTER TABLE orders DROP COLUMN note")
    assert shop.store.column(ColumnKey(orders, "note")).id == columns["note"], "the open one that was called so"
    shop.collect("ALTER TABLE orders DROP COLUMN remark")
    gone = shop.store.column(ColumnKey(orders, "remark"))
    assert (gone.id, gone.open) == (columns["note"], False)


def test_a_column_that_is_called_so_again_has_no_such_former_name(shop: Shop) -> None:
    for was, now in (("note", "a"), ("a", "note"), ("note", "a")):
        shop.collect(f"ALTER TABLE orders RENAME COLUMN {was} TO {now}")
    assert shop.store.column(ColumnKey(shop.key("orders"), "a")).former_names == ("note",)
    assert shop.settled()


def test_long_names_have_the_keys_that_a_reference_to_them_has(shop: Shop) -> None:
    long = ("b" * 70, '"' + "x" * 62 + '\u00e9"', '"' + "\U0001f6eb" * 16 + '"', "C" * 63, "d" * 62 + "\u00e9")
    shop.collect(*(f"CREATE TABLE {name} ({name} int)" for name in long))
    for name in long:
        key = reference_key(name, of="postgres", endpoint="shop", source=shop.source.database)
        found = shop.store.column(column_key(name, of="postgres", dataset=key))
        assert found.key.dataset == shop.store.asset(key).key == key
        assert found.open
