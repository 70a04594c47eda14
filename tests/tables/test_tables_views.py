"""A view shows one published version, whole, and goes to the next one in one transaction."""

import time
import uuid

import psycopg
import pyarrow as pa
import pytest
from psycopg.errors import UndefinedTable
from readers import racing
from warehouse import Warehouse, flights

from resources.files.staging import DataDamaged
from resources.metadata.data_plane import ReferenceDangles
from resources.storage import Writing
from resources.tables.names import NameTaken
from resources.tables.store import TableInUse
from resources.tables.switching import ViewBusy, ViewRefused, settle
from resources.tables.views import ColumnsDiffer, ViewInUse


def test_what_is_committed_is_not_seen_before_it_is_published(warehouse: Warehouse) -> None:
    one = warehouse.commit(flights(1, 2))
    assert warehouse.settle().switched == ()
    with pytest.raises(UndefinedTable):
        warehouse.rows()
    warehouse.publish(one)
    (switched,) = warehouse.settle().switched
    assert (switched.before, switched.version, switched.view) == (0, 1, f"{warehouse.schema}.flights")
    assert warehouse.rows() == [(1, "AA"), (2, "AA")]
    assert warehouse.settle().switched == (), "there is nothing left to do"


def test_partitions_are_rows_that_say_which(warehouse: Warehouse) -> None:
    warehouse.show(flights(1), "2013-01-01")
    warehouse.show(flights(2), "it's")
    warehouse.show(flights(3), "2013-01-01")
    assert warehouse.rows() == [("2013-01-01", 3, "AA"), ("it's", 2, "AA")]
    plan = warehouse.ask(f"EXPLAIN SELECT * FROM {warehouse.view()} WHERE partition_key = 'it''s'")
    assert sum("Seq Scan" in line for (line,) in plan) == 1, "the other partition is not read"


def test_a_late_switch_never_goes_back(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.show(flights(1))
    warehouse.publish(warehouse.commit(flights(2)))
    tables = warehouse.tables
    late = tables.control.published_after({warehouse.entity().id.value: 1})
    warehouse.show(flights(3))
    monkeypatch.setattr("resources.tables.switching.behind", lambda _tables, _shown: late)
    assert warehouse.settle().switched == ()
    assert warehouse.rows() == [(3, "AA")]


def test_what_was_published_together_is_switched_together(warehouse: Warehouse) -> None:
    """The view of one of two cannot follow: then the other one waits as well, and a third does not."""
    for name in ("flights", "weather", "planes"):
        warehouse.show(flights(1, extra=1), name=name)
    warehouse.ask(f"CREATE VIEW {warehouse.schema}.mine AS SELECT extra FROM {warehouse.view()}")
    warehouse.publish(warehouse.commit(flights(2)), warehouse.commit(flights(2), name="weather"))
    warehouse.publish(warehouse.commit(flights(2), name="planes"))
    settled = warehouse.settle()
    assert [one.view for one in settled.switched] == [f"{warehouse.schema}.planes"]
    (refused,) = settled.refused
    assert set(refused.datasets) == {warehouse.entity(name).id for name in ("flights", "weather")}
    with pytest.raises(ViewInUse, match=r"flights cannot follow version 2, .*extra is gone.* view nyc\d+.mine would"):
        settled.check([warehouse.entity("weather").id])
    assert warehouse.rows() == [(1, "AA", 1)]
    assert warehouse.rows("weather") == [(1, "AA", 1)]
    warehouse.ask(f"DROP VIEW {warehouse.schema}.mine")
    assert len(warehouse.settle().switched) == 2
    assert warehouse.rows() == warehouse.rows("weather") == [(2, "AA")]


def test_columns_follow_and_grants_stay(warehouse: Warehouse) -> None:
    warehouse.show(flights(1, price=1))
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    warehouse.ask(f"CREATE ROLE {reader}")
    warehouse.ask(f"GRANT USAGE ON SCHEMA {warehouse.schema} TO {reader}")
    warehouse.ask(f"GRANT SELECT ON {warehouse.view()} TO {reader} WITH GRANT OPTION")
    warehouse.ask(f"GRANT UPDATE (price) ON {warehouse.view()} TO {reader}")
    warehouse.ask(f"COMMENT ON VIEW {warehouse.view()} IS 'what people think'")
    warehouse.ask(f"CREATE VIEW {warehouse.schema}.mine AS SELECT * FROM {warehouse.view()}")
    warehouse.show(flights(2, price=1, more="x"))
    assert list(warehouse.columns()) == ["number", "carrier", "price", "more"], "what only adds disturbs no view"
    warehouse.ask(f"DROP VIEW {warehouse.schema}.mine")
    warehouse.show(flights(3, price="one"))
    assert warehouse.columns() == {"number": "bigint", "carrier": "text", "price": "text"}
    try:
        with warehouse.connection.transaction():
            warehouse.ask(f"SET LOCAL ROLE {reader}")
            assert warehouse.rows() == [(3, "AA", "one")]
        acl = f"FROM pg_attribute WHERE attrelid = '{warehouse.view()}'::regclass AND attname = 'price'"
        assert warehouse.ask(f"SELECT attacl::text LIKE '%{reader}=w/%' {acl}") == [(True,)]
        described = f"SELECT obj_description('{warehouse.view()}'::regclass)"
        assert warehouse.ask(described) == [("what people think",)]
        given = f"SELECT has_table_privilege('{reader}', '{warehouse.view()}', 'SELECT WITH GRANT OPTION')"
        assert warehouse.ask(given) == [(True,)]
    finally:
        warehouse.ask(f"DROP OWNED BY {reader}; DROP ROLE {reader}")


def test_partitions_of_different_columns_have_one_view(warehouse: Warehouse) -> None:
    warehouse.show(pa.table({"a": pa.array([1], pa.int32()), "b": pa.nulls(1)}), "1")
    warehouse.show(pa.table({"a": pa.array([2**40]), "b": [1.5]}), "2")
    warehouse.show(pa.table({"a": pa.array([3], pa.int8()), "c": ["x"]}), "3")
    assert warehouse.columns() == {"partition_key": "text", "a": "bigint", "b": "double precision", "c": "text"}
    assert warehouse.rows() == [("1", 1, None, None), ("2", 2**40, 1.5, None), ("3", 3, None, "x")]
    with pytest.raises(ColumnsDiffer, match=r"partitions .* have column a as .*text.*materialize them again"):
        warehouse.show(pa.table({"a": ["no number"]}), "4")
    assert len(warehouse.rows()) == 3
    warehouse.show(pa.table({"a": [4]}), "4")
    assert len(warehouse.rows()) == 4


def test_a_name_that_somebody_else_has_is_refused_before_anything_is_written(warehouse: Warehouse) -> None:
    warehouse.ask(f"CREATE SCHEMA {warehouse.schema}; CREATE TABLE {warehouse.view()} (mine int)")
    with pytest.raises(NameTaken):
        warehouse.stage(flights(1))
    assert warehouse.ask(f"SELECT * FROM {warehouse.view()}") == []


def test_the_writer_asks_the_control_plane_whom_it_writes_for(warehouse: Warehouse) -> None:
    attempt, staged = warehouse.stage(flights(1))
    writing = Writing(
        entity=warehouse.entity("nobody"),
        partition=None,
        attempt=attempt,
        materialization_id=staged.delivery.materialization_id,
    )
    path = warehouse.tables.path_of(writing.entity, None, attempt)
    with pytest.raises(ReferenceDangles):
        warehouse.tables.write(path, flights(1), writing)
    assert not warehouse.tables.exists(path)


def test_versions_that_were_are_readable_and_damage_is_told(warehouse: Warehouse) -> None:
    attempt, first = warehouse.stage(flights(1))
    (committed,) = warehouse.store.commit(attempt, [first], {})
    warehouse.publish(committed.materialization_id)
    warehouse.settle()
    warehouse.show(flights(2))
    assert first.location is not None
    assert first.manifest_sha256 is not None
    path = first.location.partition(":")[2]
    assert len(path.rpartition(".")[2].encode()) <= 63
    assert warehouse.tables.read(path, first.manifest_sha256).equals(flights(1))
    with pytest.raises(DataDamaged, match="its digest differs"):
        warehouse.tables.read(path, b"x" * 32)
    warehouse.ask(f"INSERT INTO {path} VALUES (9, 'x')")
    with pytest.raises(DataDamaged, match="it has 2 rows, 1 were written"):
        warehouse.tables.read(path, first.manifest_sha256)
    warehouse.ask(f"ALTER TABLE {path} ALTER number TYPE int")
    with pytest.raises(DataDamaged, match="columns"):
        warehouse.tables.read(path, first.manifest_sha256)
    assert warehouse.tables.size(path) == (1, size := warehouse.tables.size(path)[1])
    assert warehouse.tables.remove(path) == (1, size)
    assert warehouse.tables.remove(path) == (0, 0)
    assert not warehouse.tables.exists(path)
    with pytest.raises(DataDamaged, match="it is missing"):
        warehouse.tables.read(path, first.manifest_sha256)


def test_what_a_view_shows_is_not_removed_and_nothing_but_our_tables_is(warehouse: Warehouse) -> None:
    warehouse.show(flights(1))
    (shown,) = warehouse.store.current(warehouse.entity().key)
    assert shown.location is not None
    with pytest.raises(TableInUse, match="a view shows it"):
        warehouse.tables.remove(shown.location.partition(":")[2])
    with pytest.raises(TableInUse, match="not ours"):
        warehouse.tables.remove(f"{warehouse.schema}.flights")
    assert warehouse.rows() == [(1, "AA")]


def test_a_reader_whose_snapshot_is_older_than_the_rows_sees_them_all_the_same(warehouse: Warehouse) -> None:
    """It meets the new view with its old snapshot: without frozen rows the view would be empty."""
    warehouse.show(flights(1))
    with psycopg.connect(warehouse.url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        reader.execute("SELECT 1")
        warehouse.show(flights(2))
        assert reader.execute(f"SELECT number FROM {warehouse.view()}".encode()).fetchall() == [(2,)]


def test_a_reader_that_stays_keeps_the_switch_waiting_and_loses_nothing(warehouse: Warehouse) -> None:
    warehouse.show(flights(1))
    warehouse.publish(warehouse.commit(flights(2)))
    with psycopg.connect(warehouse.url) as reader:
        count = f"SELECT number FROM {warehouse.view()}".encode()
        assert reader.execute(count).fetchall() == [(1,)]
        began = time.monotonic()
        settled = warehouse.settle(deadline_seconds=0.6)
        assert time.monotonic() - began < 10, "it gives up soon: whoever comes to read waits behind it"
        with pytest.raises(ViewBusy):
            settled.check([warehouse.entity().id])
        assert reader.execute(count).fetchall() == [(1,)]
    assert len(warehouse.settle().switched) == 1
    assert warehouse.rows() == [(2, "AA")]


def test_readers_never_see_half_of_a_publish(warehouse: Warehouse) -> None:
    """Two datasets of two partitions, published together; one statement over both views."""
    names, parts = ("flights", "weather"), ("1", "2")

    def publish(number: int) -> None:
        made = [warehouse.commit(flights(number, **{f"v{number % 3}": 1}), p, name=n) for n in names for p in parts]
        warehouse.publish(*made)
        settled = settle(warehouse.tables)
        assert settled.refused == ()

    publish(0)
    seen = " UNION ALL ".join(f"SELECT number FROM {warehouse.view(name)}" for name in names)
    with racing(warehouse, f"SELECT min(number), max(number), count(*) FROM ({seen}) x") as found:
        for number in range(1, 9):
            publish(number)
    assert {(low == high, rows) for low, high, rows in found} == {(True, 4)}
    assert len({low for low, _high, _rows in found}) > 3, "they read while it was switched"


def test_views_follow_a_rollback_a_retraction_and_a_release(warehouse: Warehouse) -> None:
    first = warehouse.commit(flights(1), "1")
    warehouse.publish(first)
    warehouse.show(flights(2, more=1), "1")
    warehouse.show(flights(3, more=1), "2")
    warehouse.store.rollback(warehouse.key("flights"), to=1, expected=3)
    (switched,) = warehouse.settle().switched
    assert (switched.before, switched.version) == (3, 4), "a rollback is a newer version"
    assert warehouse.rows() == [("1", 1, "AA")]
    warehouse.store.retract(first, reason="bad")
    warehouse.settle()
    assert warehouse.rows() == []
    assert list(warehouse.columns()) == ["partition_key", "number", "carrier"], "without partitions, with its columns"
    for name in ("flights", "weather"):
        warehouse.show(flights(4, gone=1), "1", name=name)
    warehouse.ask(f"CREATE VIEW {warehouse.schema}.mine AS SELECT gone FROM {warehouse.view('weather')}")
    released = [warehouse.commit(flights(5), "1", name=name) for name in ("flights", "weather")]
    warehouse.store.release("spring", released)
    (refused,) = warehouse.settle().refused
    assert len(refused.datasets) == 2, "what was released together stays together"
    warehouse.ask(f"DROP VIEW {warehouse.schema}.mine")
    assert len(warehouse.settle().switched) == 2


def test_a_renamed_dataset_has_a_renamed_view(warehouse: Warehouse) -> None:
    warehouse.show(flights(1))
    warehouse.store.rename({warehouse.key("flights"): warehouse.key("trips")}, reason="because")
    warehouse.publish(warehouse.commit(flights(2), name="trips"))
    warehouse.settle()
    assert warehouse.rows("trips") == [(2, "AA")]
    with pytest.raises(UndefinedTable):
        warehouse.rows("flights")


def test_a_view_that_cannot_be_made_holds_up_no_other(warehouse: Warehouse) -> None:
    for name in ("flights", "planes"):
        warehouse.publish(warehouse.commit(flights(1), name=name))
    warehouse.ask(f"CREATE TYPE {warehouse.view()} AS ENUM ('mine')")
    settled = warehouse.settle()
    assert [one.view for one in settled.switched] == [f"{warehouse.schema}.planes"]
    with pytest.raises(ViewRefused, match=r"flights on .*DuplicateObject"):
        settled.check([warehouse.entity().id])
    warehouse.ask(f"DROP TYPE {warehouse.view()}")
    assert len(warehouse.settle().switched) == 1


def test_a_name_that_somebody_has_only_announced_is_free(warehouse: Warehouse) -> None:
    """Whoever announced it may be called otherwise by now."""
    warehouse.show(flights(1), name="planes")
    tenant = warehouse.store.tenant.value
    row = f"'{tenant}', gen_random_uuid(), '{warehouse.schema}', 'flights'"
    columns = "tenant_id, dataset_id, schema_name, view_name"
    warehouse.ask(f"INSERT INTO metadata_registry.published ({columns}) VALUES ({row})")
    warehouse.show(flights(2))
    assert warehouse.rows() == [(2, "AA")]


def test_a_view_may_get_the_name_that_another_one_has_only_announced(warehouse: Warehouse) -> None:
    """Renamed to a name that somebody announced, and gave up."""
    warehouse.show(flights(1), name="trips")
    warehouse.commit(flights(2))
    warehouse.store.rename({warehouse.key("flights"): warehouse.key("planes")}, reason="because")
    warehouse.store.rename({warehouse.key("trips"): warehouse.key("flights")}, reason="because")
    warehouse.show(flights(3))
    assert warehouse.rows() == [(3, "AA")]


def test_the_store_reads_tables_where_it_is_told_that_they_are(warehouse: Warehouse) -> None:
    warehouse.show(flights(1), "2013-01-01")
    warehouse.show(flights(2), "2013-01-02")
    found = warehouse.store.read(warehouse.key("flights"), storages=lambda _endpoint: warehouse.tables, at=2)
    assert found.select("number", "partition").rows() == [(1, "2013-01-01"), (2, "2013-01-02")]
    assert "day" in warehouse.store.read(
        warehouse.key("flights"), storages=lambda _endpoint: warehouse.tables, partition_column="day"
    )
