"""What every collector promises, on a real database of each system."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

from metadata_assets.collection import duckdb_file, sqlite_file
from metadata_assets.collection.collection import endpoint_fingerprint
from metadata_assets.collection.errors import (
    EndpointBusy,
    EndpointRefused,
    EndpointUnreachable,
    NotCollectable,
    SourceError,
)
from metadata_assets.collection.scope import Scope
from resources.graph_store import GraphStore
from resources.locations import EndpointLocation
from resources.metadata_store import MetadataStore
from resources.models import AssetType
from tests.collection.conftest import contents
from tests.collection.places import (
    MariaDB,
    Place,
    duckdb_place,
    postgres_place,
    sqlite_place,
)

SHOP = (
    "CREATE TABLE customer (id int PRIMARY KEY, name varchar(20) NOT NULL UNIQUE)",
    """CREATE TABLE purchase (
        id int NOT NULL, line int NOT NULL, customer_id int, price decimal(10, 2) DEFAULT 1.50,
        PRIMARY KEY (id, line), FOREIGN KEY (customer_id) REFERENCES customer (id)
    )""",
    """CREATE VIEW buyers AS SELECT c.name, sum(p.price) AS spent
       FROM purchase p JOIN customer c ON c.id = p.customer_id GROUP BY c.name""",
    "CREATE VIEW rich AS SELECT name FROM buyers WHERE spent > 100",
)


def id_of(store: MetadataStore, place: Place, table: str) -> object:
    return store.entity(place.key(table)).id


def test_everything_is_collected_once_and_an_unchanged_source_writes_nothing(
    place: Place, store: MetadataStore, metadata_url: str
) -> None:
    place.run(*SHOP)
    first = place.collect(store)
    assert (first.assets.new, first.fields.new, first.edges.opened, first.gaps) == (4, 9, 3, ())
    customer, purchase = store.asset(place.key("customer")), store.asset(place.key("purchase"))
    assert [(one.name, one.nullable, one.position) for one in customer.fields or ()] == [
        ("id", place.location.system == "sqlite", 1),
        ("name", False, 2),
    ]
    assert customer.metadata["primary_key"] == ["id"]
    assert customer.metadata["unique_keys"] == [["name"]]
    assert purchase.metadata["primary_key"] == ["id", "line"]
    (foreign,) = purchase.metadata["foreign_keys"]
    assert foreign["columns"] == ["customer_id"]
    assert foreign["references"] == {"schema": place.schema, "table": "customer", "columns": ["id"]}
    price = (purchase.fields or ())[3]
    assert "10,2" in price.type.replace(" ", "")
    assert "1.5" in price.metadata["default"]
    rich = store.asset(place.key("rich"))
    assert rich.type is AssetType.VIEW
    assert "buyers" in rich.metadata["definition"]
    above = set(GraphStore(store.sessions).lineage(store.entity(place.key("rich")), "up").nodes)
    assert above == {place.key(name) for name in ("rich", "buyers", "customer", "purchase")}

    before = contents(metadata_url)
    again = place.collect(store)
    assert (again.rows_written, again.assets.unchanged, again.fields.unchanged) == (0, 4, 9)
    assert again.fingerprint == endpoint_fingerprint(place.location, place.databases) == first.fingerprint
    assert contents(metadata_url) == before


def test_only_what_changed_is_written(place: Place, store: MetadataStore) -> None:
    place.run("CREATE TABLE a (x int, y int)", "CREATE TABLE b (x int)", "CREATE TABLE c (x int)")
    place.collect(store)
    seen = {place.collect(store).fingerprint}
    if place.retype:
        place.run(place.retype.format(table="a", column="x", type="bigint"))
    else:
        place.run("DROP TABLE a", "CREATE TABLE a (x bigint, y int)")
    collected = place.collect(store)
    seen.add(collected.fingerprint)
    assert (collected.assets.unchanged, collected.fields.changed, collected.fields.new) == (3, 1, 0)
    assert collected.rows_written == 2
    place.run("DROP TABLE b", "ALTER TABLE a ADD z int", "CREATE TABLE d (x int)")
    collected = place.collect(store)
    seen.add(collected.fingerprint)
    assert (collected.assets.new, collected.assets.closed, collected.assets.unchanged) == (1, 1, 2)
    assert (collected.fields.new, collected.fields.closed) == (2, 1)
    was = id_of(store, place, "b")
    place.run("CREATE TABLE b (x int)")
    collected = place.collect(store)
    seen.add(collected.fingerprint)
    assert (collected.assets.new, collected.assets.reopened) == ((1, 0) if place.has_ids else (0, 1))
    assert (id_of(store, place, "b") == was) is not place.has_ids
    assert len(seen) == 4


def test_changes_are_told_by_what_they_mean_to_readers(place: Place, store: MetadataStore) -> None:
    place.run(
        "CREATE TABLE a (id int NOT NULL, code varchar(10) NOT NULL, gone int, PRIMARY KEY (id))",
        "CREATE TABLE b (x int)",
    )
    assert [(one.kind, one.breaking) for one in place.collect(store).changes] == [("table added", False)] * 2
    assert place.collect(store).changes == ()
    place.run(
        "DROP TABLE a",
        "CREATE TABLE a (id int NOT NULL, code varchar(5), more int, PRIMARY KEY (id, code))"
        if place.location.system == "sqlite"
        else "CREATE TABLE a (id bigint NOT NULL, code varchar(5) NOT NULL, more int, PRIMARY KEY (id, code))",
        "DROP TABLE b",
        "CREATE TABLE c (x int)",
    )
    found = place.collect(store)
    told = {(one.key.table, one.column, one.kind, one.before, one.after) for one in found.changes}
    assert {("b", None, "table removed", None, None), ("c", None, "table added", None, None)} <= told
    if place.has_ids:
        assert ("a", None, "table replaced", None, None) in told
        assert len(told) == 3
        return
    kinds = {(column, kind): (before, after) for table, column, kind, before, after in told if table == "a"}
    assert kinds[None, "primary key removed"] == ("(id)", None)
    assert kinds[None, "primary key added"] == (None, "(id, code)")
    assert ("more", "column added") in kinds
    assert ("gone", "column removed") in kinds
    expected = {
        "duckdb": {("id", "type widened")},  # its texts have no lengths
        "sqlite": {("code", "type narrowed"), ("code", "nulls allowed")},
        "mariadb": {("id", "type widened"), ("code", "type narrowed")},
    }
    assert kinds.keys() - expected[place.location.system] == {
        (None, "primary key removed"),
        (None, "primary key added"),
        ("more", "column added"),
        ("gone", "column removed"),
    }
    harmless = {"type widened", "column added", "primary key added", "table added"}
    assert {one.kind for one in found.changes if not one.breaking} == harmless & {one.kind for one in found.changes}


def test_renames_and_keys_of_postgres_are_told_apart(make_database: Callable[..., str], store: MetadataStore) -> None:
    place = postgres_place(make_database())
    place.run(
        *SHOP,
        "ALTER TABLE customer ADD note varchar(5)",
    )
    place.collect(store)
    place.run(
        "ALTER TABLE customer RENAME TO client",
        "ALTER TABLE client RENAME id TO number",
        "ALTER TABLE client ALTER note TYPE text",
        "ALTER TABLE client ALTER note SET NOT NULL",
        "ALTER TABLE client DROP CONSTRAINT customer_name_key",
        "ALTER TABLE purchase DROP CONSTRAINT purchase_pkey, ALTER line DROP NOT NULL",
        "ALTER TABLE purchase ALTER price DROP DEFAULT",
    )
    changes = {
        (one.key.table, one.column, one.kind, one.before, one.after, one.breaking)
        for one in place.collect(store).changes
    }
    assert changes == {
        ("client", None, "table renamed", "customer", "client", True),
        ("client", "number", "column renamed", "id", "number", True),
        ("client", "note", "type widened", "character varying(5)", "text", False),
        ("client", "note", "nulls refused", "null", "not null", False),
        ("client", None, "unique key removed", "(name)", None, True),
        ("purchase", None, "primary key removed", "(id, line)", None, True),
        ("purchase", "line", "nulls allowed", "not null", "null", True),
        ("buyers", None, "query changed", None, None, False),
    }


def test_a_rename_is_one_where_the_source_has_ids_and_else_nothing_is_guessed(
    place: Place, store: MetadataStore
) -> None:
    place.run("CREATE TABLE a (x int)", "CREATE TABLE b (y int, z int)", "CREATE TABLE c (x int)")
    place.collect(store)
    ids = {name: id_of(store, place, name) for name in "abc"}
    place.run("ALTER TABLE c RENAME TO d")
    collected = place.collect(store)
    if place.has_ids:
        assert (collected.assets.renamed, collected.assets.new, collected.assets.closed) == (1, 0, 0)
    else:
        assert (collected.assets.renamed, collected.assets.new, collected.assets.closed) == (0, 1, 1)
    assert (id_of(store, place, "d") == ids["c"]) is place.has_ids

    place.run("ALTER TABLE a RENAME TO t", "ALTER TABLE b RENAME TO a", "ALTER TABLE t RENAME TO b")
    collected = place.collect(store)
    assert collected.assets.new == collected.assets.closed == 0
    assert (id_of(store, place, "a") == ids["b"]) is place.has_ids
    assert [one.name for one in store.asset(place.key("a")).fields or ()] == ["y", "z"]
    assert place.collect(store).rows_written == 0


ODD = ("select", "with space", "a.b", 'quo"te', "per%cent/slash~", "Größe", "é", "e\u0301", "名前", "UPPER", "x'; --")


def test_odd_names_come_through_byte_for_byte(place: Place, store: MetadataStore) -> None:
    names = ODD if place.quotes == '"' else tuple(name for name in ODD if "/" not in name)
    for name in names:
        place.run(f"CREATE TABLE {place.quoted(name)} ({place.quoted(name)} int)")
    assert place.collect(store).gaps == ()
    tables = place.tables()
    assert set(tables) == set(names)
    for name in names:
        assert [one.name for one in store.asset(place.key(name)).fields or ()] == [name]
    assert place.collect(store).rows_written == 0


def test_a_name_that_holds_a_credential_is_a_gap_and_is_not_repeated(place: Place, store: MetadataStore) -> None:
    secret = "password=hunter2-horse"
    place.run(f"CREATE TABLE {place.quoted(secret)} (x int)", f"CREATE TABLE a ({place.quoted(secret)} int, y int)")
    collected = place.collect(store)
    assert len(collected.gaps) == 2
    assert "hunter2" not in str(collected)
    assert [one.name for one in store.asset(place.key("a")).fields or ()] == ["y"]


def test_an_empty_source_is_complete_and_closes_what_was_there(place: Place, store: MetadataStore) -> None:
    assert place.collect(store).complete
    place.run("CREATE TABLE a (x int)")
    assert place.collect(store).assets.new == 1
    place.run("DROP TABLE a")
    collected = place.collect(store)
    assert (collected.complete, collected.assets.closed) == (True, 1)


def test_tables_are_chosen_by_patterns_and_a_mistyped_one_closes_nothing(place: Place, store: MetadataStore) -> None:
    place.run("CREATE TABLE fact_a (x int)", "CREATE TABLE fact_old (x int)", "CREATE TABLE dim (x int)")
    assert set(place.tables(Scope.of(tables=["fact_*", "!*_old"]))) == {"fact_a"}
    assert set(place.tables(Scope.of(tables=["!fact_???"]))) == {"fact_a", "dim"}
    assert place.tables(Scope.of(schemas=["nothing_*"])) == {}
    assert set(place.tables(Scope.of([place.schema], ["dim"]))) == {"dim"}
    assert place.collect(store, Scope.of([place.schema])).assets.new == 3
    for scope, name in ((Scope.of(["nope"]), "shop/nope"), (Scope.of(tables=["dmi"]), "shop/dmi")):
        collected = place.collect(store, scope)
        assert [gap.name for gap in collected.gaps] == [name]
        assert collected.assets.closed == 0
    assert place.collect(store, Scope.of(tables=["dim"])).assets.closed == 2


def test_a_view_that_does_not_work_any_more_keeps_the_columns_that_were_known(
    place: Place, store: MetadataStore
) -> None:
    if place.location.system in ("postgres", "duckdb"):
        pytest.skip("its views cannot lose what they read, or keep their columns")
    place.run("CREATE TABLE a (x int)", "CREATE VIEW v AS SELECT x FROM a", "CREATE TABLE other (x int)")
    place.collect(store)
    place.run("DROP TABLE a")
    collected = place.collect(store)
    assert (collected.complete, collected.assets.closed, collected.fields.closed) == (True, 1, 1)
    view = store.asset(place.key("v"))
    assert view.metadata["broken"] is True
    assert [one.name for one in view.fields or ()] == ["x"]
    place.run("CREATE TABLE a (x int)")
    place.collect(store)
    assert "broken" not in store.asset(place.key("v")).metadata


def test_a_source_that_is_away_is_one_clear_error_and_changes_nothing(
    place: Place, store: MetadataStore, metadata_url: str, tmp_path: Path
) -> None:
    place.run("CREATE TABLE a (x int)")
    place.collect(store)
    before = contents(metadata_url)
    gone = {
        "postgres": f"postgresql:///x?host={tmp_path}",
        "mariadb": f"mysql://root@localhost/?unix_socket={tmp_path}/s",
    }
    away = place.elsewhere(SOURCE=gone.get(place.location.system, str(tmp_path / "gone")))
    with pytest.raises(EndpointUnreachable, match=r"cannot reach endpoint shop at .*; nothing was changed") as caught:
        away.collect(store)
    assert caught.value.exit_code == 4
    with pytest.raises(EndpointUnreachable):
        endpoint_fingerprint(away.location, away.databases)
    assert contents(metadata_url)["asset"] == before["asset"]
    assert contents(metadata_url)["endpoint"] == before["endpoint"]


def test_a_file_is_only_read(place: Place, store: MetadataStore) -> None:
    if place.location.file is None:
        pytest.skip("it is no file")
    place.run(*SHOP)
    file = Path(place.variables["SOURCE"])
    before = sha256(file.read_bytes()).digest(), sorted(file.parent.iterdir())
    place.collect(store)
    assert (sha256(file.read_bytes()).digest(), sorted(file.parent.iterdir())) == before


def test_a_file_of_something_else_is_refused(place: Place, store: MetadataStore, tmp_path: Path) -> None:
    if place.location.file is None:
        pytest.skip("it is no file")
    other = tmp_path / "notes.txt"
    other.write_text("no database\n" * 500)
    with pytest.raises(EndpointRefused, match="its file is no"):
        place.elsewhere(SOURCE=str(other)).collect(store)


def test_a_file_that_somebody_writes_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT_SECONDS", 0.01)
    one, other = sqlite_place(tmp_path), duckdb_place(tmp_path)
    one.run("CREATE TABLE a (x int)")
    with closing(sqlite3.connect(one.variables["SOURCE"], isolation_level=None)) as writing:
        writing.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EndpointBusy, match="somebody is writing"):
            one.look()
    with closing(duckdb.connect(other.variables["SOURCE"])), pytest.raises(EndpointBusy, match="to write"):
        other.look()
    assert len(one.look().assets) == len(other.look().assets) + 1 == 1


def test_a_look_ends_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "TIMEOUT_SECONDS", -1.0)
    monkeypatch.setattr(sqlite_file, "_STEPS", 1)
    monkeypatch.setattr(duckdb_file, "TIMEOUT_SECONDS", 0.0)
    for place in (sqlite_place(tmp_path), duckdb_place(tmp_path)):
        place.run(*(f"CREATE TABLE t{number} (x int)" for number in range(5)))
        with pytest.raises(SourceError, match="a query ran into the time limit"):
            place.look()


def test_a_view_of_a_table_in_another_file_reads_none_of_ours(tmp_path: Path, store: MetadataStore) -> None:
    place = duckdb_place(tmp_path)
    with closing(duckdb.connect(place.variables["SOURCE"])) as connection:
        for statement in (
            f"ATTACH '{tmp_path}/other.duckdb' AS otherdb",
            "CREATE TABLE otherdb.main.orders (x int)",
            "CREATE TABLE orders (x int)",
            "CREATE VIEW theirs AS SELECT x FROM otherdb.main.orders",
            "CREATE VIEW ours AS SELECT x FROM shop.main.orders",
        ):
            connection.execute(statement)
    assert {(edge.source.table, edge.target.table) for edge in place.look().edges} == {("ours", "orders")}
    assert place.collect(store).edges.opened == 1


def test_a_damaged_duckdb_file_is_told_as_one(tmp_path: Path) -> None:
    place = duckdb_place(tmp_path)
    place.run("CREATE TABLE a AS SELECT range AS x FROM range(1000)")
    file = Path(place.variables["SOURCE"])
    found = bytearray(file.read_bytes())
    for at in range(3 * 4096 + 100, len(found), 4096):
        found[at] ^= 0xFF
    file.write_bytes(found)
    with pytest.raises(EndpointRefused, match="its file is damaged"):
        place.look()


def test_a_query_of_a_view_that_may_not_be_seen_is_a_gap(mariadb: MariaDB, store: MetadataStore) -> None:
    place = mariadb.place("guarded")
    place.run("CREATE TABLE a (x int)", "CREATE VIEW v AS SELECT x FROM a", "CREATE TABLE b (x int)")
    mariadb.execute("CREATE OR REPLACE USER reader@localhost")
    mariadb.execute("GRANT SELECT, SHOW VIEW ON guarded.* TO reader@localhost")
    reading = place.elsewhere(SOURCE=mariadb.url("reader"))
    scope = Scope.of(["guarded"])
    assert reading.collect(store, scope).assets.new == 3
    mariadb.execute("REVOKE SHOW VIEW ON guarded.* FROM reader@localhost")
    place.run("DROP TABLE b")
    collected = reading.collect(store, scope)
    assert [(gap.name, "GRANT SHOW VIEW" in gap.reason) for gap in collected.gaps] == [("shop/guarded/v", True)]
    assert collected.assets.closed == 0
    mariadb.execute("REVOKE SELECT ON guarded.* FROM reader@localhost")
    assert not reading.collect(store).complete, "a login that sees nothing at all closes nothing"
    assert reading.collect(store).assets.closed == 0
    with pytest.raises(EndpointUnreachable, match="its login is refused") as caught:
        place.elsewhere(SOURCE=mariadb.url("nobody:hunter2")).look()
    assert "nobody" not in str(caught.value)


def test_what_has_no_catalog_is_not_collected(tmp_path: Path) -> None:
    lake = EndpointLocation(slug="lake", system="files", root=str(tmp_path))
    with pytest.raises(NotCollectable, match="endpoint lake is of system files"):
        endpoint_fingerprint(lake, sqlite_place(tmp_path).databases)
