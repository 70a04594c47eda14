"""What SQLite files may have that other systems have not."""

import sqlite3
from contextlib import closing
from pathlib import Path

from resources.metadata_store import MetadataStore
from tests.collection.places import sqlite_place


def test_a_trigger_that_is_named_like_its_table_is_no_second_table(tmp_path: Path, store: MetadataStore) -> None:
    place = sqlite_place(tmp_path)
    place.run("CREATE TABLE a (x int)", "CREATE TRIGGER a AFTER INSERT ON a BEGIN SELECT 1; END")
    assert place.collect(store).assets.new == 1


def test_a_virtual_table_without_its_module_is_known_without_its_columns(tmp_path: Path, store: MetadataStore) -> None:
    place = sqlite_place(tmp_path)
    place.run("CREATE TABLE a (x int)", "CREATE VIRTUAL TABLE v USING fts5(x)")
    assert place.collect(store).assets.new == 2
    with closing(sqlite3.connect(place.variables["SOURCE"])) as connection, connection:
        connection.execute("PRAGMA writable_schema = on")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE v USING nowhere(x)' WHERE name = 'v'")
    collected = place.collect(store)
    assert (collected.complete, collected.assets.closed) == (True, 0)
    assert (collected.fields.closed, collected.breaking) == (0, ())
    assert "x" in {one.name for one in store.asset(place.key("v")).fields or ()}
