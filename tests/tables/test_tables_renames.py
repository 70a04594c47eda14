"""Views take the names that their datasets have by now, also when these go round; readers see one state or another."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from readers import racing
from warehouse import Warehouse, flights

from resources.tables import switching
from resources.tables.names import NameOfAnother, NameTaken
from resources.tables.registry import TablesUnreachable
from resources.tables.switching import Settled, settle
from resources.tables.views import NameTakenByOther, ViewInUse

BATCHES = {
    "swap": {"flights": "weather", "weather": "flights"},
    "circle": {"flights": "weather", "weather": "planes", "planes": "flights"},
    "chain": {"flights": "old", "weather": "flights"},
}


def renamed(shop: Warehouse, names: Mapping[str, str]) -> None:
    keys = {shop.key(before): shop.key(after) for before, after in names.items()}
    shop.store.rename(keys, reason=f"because {shop.schema}")


def shown(shop: Warehouse, names: Mapping[str, str]) -> dict[str, int]:
    """Datasets that were called otherwise and have their views by now: the number that each has, by its new name."""
    for number, name in enumerate(names):
        shop.show(flights(number), name=name)
        shop.ask(f"GRANT SELECT ON {shop.view(name)} TO PUBLIC")
    renamed(shop, names)
    return {after: number for number, after in enumerate(names.values())}


def seen(shop: Warehouse, names: Mapping[str, int]) -> dict[str, int]:
    """The number in each of these views; all of them are as open as they were."""
    privileges = {shop.ask(f"SELECT has_table_privilege('metadata_app', '{shop.view(n)}', 'SELECT')")[0] for n in names}
    assert privileges == {(True,)}
    views = shop.ask(f"SELECT count(*) FROM pg_views WHERE schemaname = '{shop.schema}'")
    assert views == [(len(names),)], "no view has another name"
    return {name: shop.rows(name)[0][0] for name in names}


@pytest.mark.parametrize("names", BATCHES.values(), ids=BATCHES)
def test_views_whose_names_depend_on_each_other_change_them_together(
    warehouse: Warehouse, names: Mapping[str, str]
) -> None:
    wanted = shown(warehouse, names)
    settled = warehouse.settle(names=True)
    assert settled.refused == ()
    assert len(settled.switched) == len(names)
    assert seen(warehouse, wanted) == wanted
    assert warehouse.settle(names=True) == Settled()


@pytest.mark.parametrize("names", BATCHES.values(), ids=BATCHES)
def test_the_next_publish_of_any_of_them_does_the_same(warehouse: Warehouse, names: Mapping[str, str]) -> None:
    wanted = shown(warehouse, names)
    name = "flights"
    warehouse.show(flights(7), name=name)
    assert seen(warehouse, wanted) == {**wanted, name: 7}
    assert warehouse.settle(names=True) == Settled()


def test_a_dataset_without_a_view_takes_the_name_that_another_one_had(warehouse: Warehouse) -> None:
    warehouse.entity("fresh")
    wanted = shown(warehouse, {"flights": "old"})
    renamed(warehouse, {"fresh": "flights"})
    warehouse.show(flights(7))
    warehouse.ask(f"GRANT SELECT ON {warehouse.view()} TO PUBLIC")
    assert seen(warehouse, {**wanted, "flights": 7}) == {**wanted, "flights": 7}


def test_readers_see_one_state_or_the_other(warehouse: Warehouse) -> None:
    names = BATCHES["swap"]
    shown(warehouse, names)
    warehouse.settle(names=True)
    both = ", ".join(f"(SELECT max(number) FROM {warehouse.view(name)})" for name in names)
    with racing(warehouse, f"SELECT {both}") as found:
        for _ in range(8):
            renamed(warehouse, names)
            assert warehouse.settle(names=True).refused == ()
    assert set(found) == {(0, 1), (1, 0)}


def test_a_switch_that_breaks_off_has_changed_nothing(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends it when one of three views has its new name."""
    wanted = shown(warehouse, BATCHES["circle"])
    real, times = switching.show, iter((False, True))

    def show(connection: psycopg.Connection[object], *args: object) -> None:
        if next(times):
            warehouse.ask(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        real(connection, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(switching, "show", show)
    with pytest.raises(TablesUnreachable):
        warehouse.settle(names=True)
    monkeypatch.undo()
    assert [warehouse.rows(name)[0][0] for name in BATCHES["circle"]] == [0, 1, 2]
    assert warehouse.settle(names=True).refused == ()
    assert seen(warehouse, wanted) == wanted


def test_several_who_settle_at_once_do_it_once(warehouse: Warehouse) -> None:
    names = BATCHES["circle"]
    wanted = shown(warehouse, names)
    for number in range(6):
        done = together(4, lambda: settle(warehouse.tables, names=True))
        assert [one.refused for one in done] == [()] * 4
        assert sum(len(one.switched) for one in done) == len(names)
        assert seen(warehouse, wanted) == wanted
        if number < 5:
            renamed(warehouse, names)
            wanted = {names[name]: number for name, number in wanted.items()}


def together(count: int, act: Callable[[], Settled]) -> list[Settled]:
    """What several got who did the same at the same moment."""
    start = threading.Barrier(count)

    def run(_: int) -> Settled:
        start.wait()
        return act()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_who_waits_for_a_row_keeps_none_that_comes_after_it(warehouse: Warehouse) -> None:
    """Rows are kept in the order of their ids: of two who need the same ones neither waits for the other in turn."""
    shown(warehouse, BATCHES["circle"])
    rows = f"FROM metadata_registry.published WHERE schema_name = '{warehouse.schema}'"
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE '% tables'"
    )
    with psycopg.connect(warehouse.url) as other, ThreadPoolExecutor() as threads:
        other.execute(f"SELECT {rows} ORDER BY dataset_id LIMIT 1 FOR UPDATE".encode())
        settled = threads.submit(warehouse.settle, names=True)
        while warehouse.ask(waiting) == [(0,)]:
            assert not settled.done()
        assert len(warehouse.ask(f"SELECT dataset_id {rows} FOR UPDATE SKIP LOCKED")) == 2
        other.rollback()
    assert len(settled.result().switched) == 3


def test_views_that_were_moved_away_by_hand_are_made_anew(warehouse: Warehouse) -> None:
    wanted = shown(warehouse, BATCHES["swap"])
    for name in wanted:
        warehouse.ask(f"ALTER VIEW {warehouse.view(name)} RENAME TO my_{name}")
    assert warehouse.settle(names=True).refused == ()
    assert {name: warehouse.rows(name)[0][0] for name in wanted} == wanted
    assert warehouse.rows("my_flights") == [(0, "AA")]


def test_what_depends_on_one_of_them_holds_up_both_and_is_named(warehouse: Warehouse) -> None:
    wanted = shown(warehouse, BATCHES["swap"])
    warehouse.ask(f"CREATE VIEW {warehouse.view('mine')} AS SELECT * FROM {warehouse.view()}")
    (refused,) = warehouse.settle(names=True).refused
    assert isinstance(refused.error, ViewInUse)
    assert (refused.error.view, refused.error.change) == (
        f"{warehouse.schema}.flights",
        f"its name becomes {warehouse.schema}.weather",
    )
    assert len(refused.datasets) == 2
    assert [warehouse.rows(name)[0][0] for name in ("flights", "weather", "mine")] == [0, 1, 0]
    warehouse.ask(f"DROP VIEW {warehouse.view('mine')}")
    assert warehouse.settle(names=True).refused == ()
    assert seen(warehouse, wanted) == wanted


def test_a_name_that_is_somebody_elses_stays_theirs(warehouse: Warehouse) -> None:
    """Another tenant's view, and one that we know nothing of."""
    shown(warehouse, {"flights": "trips"})
    warehouse.ask(
        "INSERT INTO metadata_registry.published (tenant_id, dataset_id, schema_name, view_name, version)"
        f" VALUES (gen_random_uuid(), gen_random_uuid(), '{warehouse.schema}', 'trips', 1)"
    )
    (refused,) = warehouse.settle(names=True).refused
    assert isinstance(refused.error, NameOfAnother)
    with pytest.raises(NameTaken):
        warehouse.commit(flights(2), name="trips")
    warehouse.ask(
        f"DELETE FROM metadata_registry.published WHERE schema_name = '{warehouse.schema}' AND version = 1"
        " AND view_name = 'trips'"
    )
    warehouse.ask(f"CREATE VIEW {warehouse.view('trips')} AS SELECT 1")
    (refused,) = warehouse.settle(names=True).refused
    assert isinstance(refused.error, NameTakenByOther)
    assert warehouse.rows() == [(0, "AA")]


def test_what_moved_to_another_endpoint_leaves_its_name_behind(warehouse: Warehouse) -> None:
    warehouse.show(flights(1))
    identifier = warehouse.entity().id
    elsewhere = Warehouse(warehouse.store, "lake", warehouse.schema, "", warehouse.connection, database="")
    elsewhere.entity("any")
    warehouse.entity("fresh")
    batch = {"flights": elsewhere.key("flights"), "fresh": warehouse.key("flights")}
    warehouse.store.rename({warehouse.key(name): key for name, key in batch.items()}, reason=warehouse.schema)
    warehouse.show(flights(2))
    assert warehouse.rows() == [(2, "AA")]
    assert warehouse.rows(str(identifier)) == [(1, "AA")], "its view is kept, by its id"


def test_a_name_that_is_announced_meanwhile_is_taken_all_the_same(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(warehouse, {"flights": "trips"})
    real = switching.give_way

    def give_way(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        monkeypatch.undo()
        warehouse.ask(
            "INSERT INTO metadata_registry.published (tenant_id, dataset_id, schema_name, view_name)"
            f" VALUES (gen_random_uuid(), gen_random_uuid(), '{warehouse.schema}', 'trips')"
        )

    monkeypatch.setattr(switching, "give_way", give_way)
    assert warehouse.settle(names=True).refused == ()
    assert warehouse.rows("trips") == [(0, "AA")]


def test_what_is_renamed_while_it_is_planned_is_planned_anew(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view that is in the way by now is no part of the first plan."""
    warehouse.show(flights(5), name="planes")
    shown(warehouse, {"flights": "trips"})
    real = switching.together

    def planned(*args: object) -> object:
        monkeypatch.undo()
        renamed(warehouse, {"trips": "planes", "planes": "flights"})
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(switching, "together", planned)
    assert warehouse.settle(names=True).refused == ()
    assert (warehouse.rows("planes"), warehouse.rows("flights")) == ([(0, "AA")], [(5, "AA")])
