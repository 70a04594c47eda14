"""Tables that nobody asks for are collected over one connection; a database that is another one has lost nothing."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import pytest
from warehouse import Warehouse, flights

from identity.errors import MetadataError
from resources.collecting import Collected, Collector
from resources.metadata.garbage import Garbage, Retention
from resources.tables.dangling import dangling
from resources.tables.registry import RegistryNotThere, TablesUnreachable
from resources.tables.store import TableStorage

EAGER = Retention(versions=1, time=timedelta(0))


@dataclass
class Counted:
    """Gives a URL, and counts how often: once for each connection."""

    url: str = field(repr=False)
    times: int = 0

    def __call__(self) -> str:
        self.times += 1
        return self.url


def collect(warehouse: Warehouse, url: Callable[[], str], *, rehearsed: bool = False) -> Collected:
    tables = TableStorage(warehouse.endpoint, url, warehouse.store)
    collector = Collector(Garbage(warehouse.store.sessions), lambda _endpoint: tables, rehearsed)
    return collector.collect([warehouse.entity()], EAGER)


def tables_of(warehouse: Warehouse) -> int:
    ((count,),) = warehouse.ask(
        f"SELECT count(*) FROM pg_tables WHERE schemaname = '{warehouse.schema}__versions'",
    )
    return int(count)


def test_all_tables_of_an_endpoint_go_over_one_connection(warehouse: Warehouse) -> None:
    for number in range(5):
        warehouse.show(flights(number))
    url = Counted(warehouse.url)
    rehearsal = collect(warehouse, url, rehearsed=True)
    assert (rehearsal.count("replaced"), url.times, tables_of(warehouse)) == (4, 1, 5)
    done = collect(warehouse, url)
    assert (done.gone, url.times, tables_of(warehouse)) == (rehearsal.gone, 2, 1)
    assert collect(warehouse, url).gone == []
    assert url.times == 2, "nothing to remove, nothing to connect to"
    assert [row[0] for row in warehouse.rows()] == [4]


def test_what_one_table_refuses_leaves_the_others_go(warehouse: Warehouse) -> None:
    for number in range(4):
        warehouse.show(flights(number))
    tables = warehouse.ask(
        f"SELECT table_name FROM metadata_registry.written WHERE schema_name = '{warehouse.schema}__versions'"
        " ORDER BY written_at"
    )
    used = f'"{warehouse.schema}__versions"."{tables[1][0]}"'
    warehouse.ask(f"CREATE VIEW {warehouse.view('mine')} AS SELECT * FROM {used}")
    done = collect(warehouse, lambda: warehouse.url)
    assert (done.count("replaced"), len(done.left), done.away) == (2, 1, {})
    assert "a view shows it" in str(next(iter(done.left.values())))
    warehouse.ask(f"DROP VIEW {warehouse.view('mine')}")
    assert collect(warehouse, lambda: warehouse.url).count("replaced") == 1


def test_a_connection_that_breaks_is_told_once(warehouse: Warehouse) -> None:
    for number in range(4):
        warehouse.show(flights(number))
    tables = TableStorage(warehouse.endpoint, lambda: warehouse.url, warehouse.store)

    def break_it(so_far: Collected) -> None:
        if len(so_far.gone) == 1:
            warehouse.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'metadata-assets tables'"
            )

    collector = Collector(Garbage(warehouse.store.sessions), lambda _endpoint: tables, progress=break_it)
    done = collector.collect([warehouse.entity()], EAGER)
    assert (len(done.gone), done.left, list(done.away)) == (1, {}, [warehouse.endpoint])
    assert isinstance(done.away[warehouse.endpoint], TablesUnreachable)
    assert collect(warehouse, lambda: warehouse.url).count("replaced") == 2
    assert tables_of(warehouse) == 1


@pytest.fixture
def other_url(make_database: Callable[..., str]) -> str:
    return make_database()


def test_a_database_without_the_registry_has_lost_nothing(warehouse: Warehouse, other_url: str) -> None:
    warehouse.show(flights(1))
    warehouse.show(flights(2))
    done = collect(warehouse, lambda: other_url)
    assert (done.gone, done.left, done.condemned) == ([], {}, 0)
    assert isinstance(done.away[warehouse.endpoint], RegistryNotThere)
    elsewhere = TableStorage(warehouse.endpoint, lambda: other_url, warehouse.store)
    (one,) = warehouse.store.current(warehouse.entity().key)
    assert one.location is not None
    assert one.manifest_sha256 is not None
    path, digest = one.location.partition(":")[2], one.manifest_sha256
    asks: list[Callable[[], object]] = [
        lambda: dangling(elsewhere),
        lambda: elsewhere.read(path, digest),
        lambda: elsewhere.remove(path),
        lambda: elsewhere.size(path),
    ]
    for ask in asks:
        with pytest.raises(RegistryNotThere, match="is not the one that its tables were written to"):
            ask()
    assert elsewhere.exists(path), "it cannot be told"
    assert collect(warehouse, lambda: warehouse.url).count("replaced") == 1
    assert dangling(warehouse.tables).missing == ()


def test_an_endpoint_that_nobody_wrote_to_has_nothing_that_dangles(warehouse: Warehouse, other_url: str) -> None:
    fresh = TableStorage(f"{warehouse.endpoint}-fresh", lambda: other_url, warehouse.store)
    assert dangling(fresh).nothing


def test_a_database_that_is_down_is_told_once(warehouse: Warehouse) -> None:
    for number in range(3):
        warehouse.show(flights(number))
    url = Counted("postgresql://127.0.0.1:1/nowhere")
    done = collect(warehouse, url)
    assert (url.times, done.condemned, list(done.away)) == (1, 0, [warehouse.endpoint])
    error: MetadataError = done.away[warehouse.endpoint]
    assert isinstance(error, TablesUnreachable)


def test_the_row_of_a_table_that_is_gone_goes_too(warehouse: Warehouse) -> None:
    warehouse.show(flights(1))
    path = f"{warehouse.schema}__versions.gone_{uuid.uuid4().hex}"
    schema, name = path.split(".")
    with psycopg.connect(warehouse.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO metadata_registry.written SELECT schema_name, %s, tenant_id, dataset_id, partition_key,"
            " attempt_id, materialization_id, manifest, manifest_sha256, row_count FROM metadata_registry.written"
            " WHERE schema_name = %s",
            [name, schema],
        )
    assert warehouse.tables.remove(path) == (0, 0)
    assert warehouse.ask(f"SELECT FROM metadata_registry.written WHERE table_name = '{name}'") == []
