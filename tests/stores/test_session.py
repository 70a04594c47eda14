"""Transactions: one round trip where one was promised, an answer only after the commit, and asking again."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from store_inputs import Counts, Lake, Look, attempt

from benchmarks.wire import traced
from identity.ids import Entity, tenant_id
from resources.metadata_store import MetadataStore
from resources.postgres.engine import app_engine, plain_engine
from resources.postgres.errors import NotRegistered
from resources.postgres.migrate import migrate
from resources.postgres.session import Row, Sessions


@pytest.fixture
def sessions(stores_url: str) -> Iterator[Sessions]:
    engine = app_engine(stores_url)
    yield Sessions(engine, tenant_id("default"), "test")
    engine.dispose()


def driver_of(sessions: Sessions) -> psycopg.Connection:
    """The connection that the pool keeps."""
    fairy = sessions.engine.raw_connection()
    driver = fairy.driver_connection
    fairy.close()
    assert isinstance(driver, psycopg.Connection)
    return driver


def backend(sessions: Sessions) -> int:
    return driver_of(sessions).info.backend_pid


def test_a_call_is_one_transaction_and_one_round_trip(lake: Lake) -> None:
    lake.datasets("delays")
    (one,) = lake.commit(lake.staged("delays", "before"))
    lake.store.publish([one.materialization_id])
    staged = lake.staged("delays", "p")
    key = lake.key("delays")
    calls: list[tuple[int, Callable[[], object]]] = [
        (1, lambda: lake.commit(staged)),
        (1, lambda: lake.store.publish([one.materialization_id])),
        (2, lambda: lake.store.current(key)),
        (2, lambda: lake.store.next_fencing_token()),
        (1, lambda: lake.store.begin_step([key], key, [None])),
    ]
    for statements, call in calls:
        with traced(driver_of(lake.store.sessions)) as wire:
            call()
        assert (wire.round_trips, wire.transactions, wire.statements) == (1, 1, statements)


def test_a_look_up_binds_its_tenant_in_its_own_statement(
    lake: Lake, open_store: Callable[..., MetadataStore], stores_url: str
) -> None:
    lake.assets("delays")
    migrate(plain_engine(stores_url), tenants=("default", "other"))
    lake.rename(delays="late")
    other = Lake(open_store("other"), lake.endpoint)
    for _ in range(3):  # prepared by then
        found = [one.store.entities([one.key("delays")])[one.key("delays")] for one in (lake, other)]
    assert [one.id for one in found] == [lake.entity("late").id, Entity(tenant_id("other"), other.key("delays")).id]
    with traced(driver_of(lake.store.sessions)) as wire:
        lake.store.entities([lake.key("delays"), lake.key("delays")])
    assert (wire.round_trips, wire.transactions, wire.statements) == (1, 1, 1)
    with lake.store.sessions.engine.connect() as connection, pytest.raises(psycopg.DataError):
        connection.connection.cursor().execute("SELECT metadata.current_tenant()")  # nothing stays bound


def test_rows_are_no_answer_until_they_are_committed(lake: Lake, look: Look, counts: Counts) -> None:
    """A check that the server makes at the commit, after the rows are on their way already."""
    lake.datasets("delays")
    before = counts()
    look("""
        CREATE FUNCTION metadata.not_today() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE 'not today' USING ERRCODE = '23514'; END $$;
        CREATE CONSTRAINT TRIGGER not_today AFTER INSERT ON metadata.outbox DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION metadata.not_today()""")
    try:
        with pytest.raises(psycopg.errors.CheckViolation, match="SQLSTATE 23514"):
            lake.commit(lake.staged("delays"))
    finally:
        look("DROP FUNCTION metadata.not_today CASCADE")
    assert counts() == before
    (one,) = lake.commit(lake.staged("delays"))
    assert not one.replayed


def test_rows_without_the_sign_of_the_commit_are_no_answer(stores_url: str, tmp_path: Path) -> None:
    """The connection is cut between the two: whether it happened is unknown."""
    with cutting_before_the_commit_is_told(stores_url, tmp_path, after=b"seven") as url:
        engine = app_engine(url)
        with pytest.raises(psycopg.OperationalError):
            Sessions(engine, tenant_id("default"), "test").call("SELECT 7 AS seven", {}, deadline_seconds=0)
        engine.dispose()


@contextmanager
def cutting_before_the_commit_is_told(url: str, folder: Path, *, after: bytes) -> Iterator[str]:
    """The URL of a proxy that passes everything on, but for the last message of the answer that has `after` in it."""
    told = conninfo_to_dict(url)
    name = f".s.PGSQL.{told.get('port', 5432)}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as server:
        listener.bind(str(folder / name))
        listener.listen()
        server.connect(f"{told['host']}/{name}")

        def serve() -> None:
            with listener.accept()[0] as client:
                while ready := select.select([client, server], [], [], 30)[0]:
                    for end in ready:
                        chunk = end.recv(65536)
                        if end is server and after in chunk:
                            client.sendall(chunk.removesuffix(b"Z\0\0\0\5I"))
                            return
                        (client if end is server else server).sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(sa.make_url(url).update_query_dict({"host": str(folder)}))
        thread.join()


def test_a_call_is_asked_again_when_its_connection_is_gone(sessions: Sessions, look: Look) -> None:
    before = backend(sessions)
    look("SELECT pg_terminate_backend(%s, 10000)", before)
    assert sessions.call("SELECT 7 AS seven", {}) == [{"seven": 7}]
    assert backend(sessions) != before


def test_a_call_is_asked_again_until_the_database_is_back(make_database: Callable[..., str], look: Look) -> None:
    url = make_database()
    name = sa.make_url(url).database
    engine = app_engine(url)
    look(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    back = threading.Timer(0.5, look, [f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'])
    back.start()
    assert Sessions(engine, tenant_id("default"), "test").call("SELECT 7 AS seven", {}) == [{"seven": 7}]
    back.join()
    engine.dispose()


def test_a_transaction_is_begun_anew_when_its_connection_is_gone(sessions: Sessions, look: Look) -> None:
    before = backend(sessions)
    look("SELECT pg_terminate_backend(%s, 10000)", before)
    with sessions.begin() as session:
        assert session.rows("SELECT current_setting('metadata.tenant') AS tenant") == [{"tenant": str(sessions.tenant)}]
    assert backend(sessions) != before


def test_a_transaction_is_begun_anew_when_the_database_is_back(make_database: Callable[..., str], look: Look) -> None:
    url = make_database()
    name = sa.make_url(url).database
    engine = app_engine(url)
    sessions = Sessions(engine, tenant_id("default"), "test")
    before = backend(sessions)
    look(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    look("SELECT pg_terminate_backend(%s, 10000)", before)
    back = threading.Timer(0.5, look, [f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'])
    back.start()
    with sessions.begin() as session:
        assert session.rows("SELECT 7 AS seven") == [{"seven": 7}]
    back.join()
    engine.dispose()


def test_a_block_whose_connection_breaks_is_not_run_again(sessions: Sessions, look: Look) -> None:
    ran = []

    def work() -> None:
        with sessions.begin() as session:
            ran.append(1)
            (row,) = session.rows("SELECT pg_backend_pid() AS pid")
            look("SELECT pg_terminate_backend(%s, 10000)", row["pid"])
            session.rows("SELECT 1")

    with pytest.raises((psycopg.OperationalError, sa.exc.OperationalError)):
        work()
    assert ran == [1]
    assert sessions.call("SELECT 7 AS seven", {}) == [{"seven": 7}]


def test_where_nobody_was_connected_nobody_waits(make_database: Callable[..., str], look: Look) -> None:
    url = make_database()
    look(f'ALTER DATABASE "{sa.make_url(url).database}" ALLOW_CONNECTIONS false')
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError), Sessions(app_engine(url), tenant_id("default"), "test").begin():
        pass
    assert time.monotonic() - started < 5


def test_asking_again_ends_at_the_deadline(make_database: Callable[..., str], look: Look) -> None:
    url = make_database()
    look(f'ALTER DATABASE "{sa.make_url(url).database}" ALLOW_CONNECTIONS false')
    with pytest.raises(psycopg.OperationalError):
        Sessions(app_engine(url), tenant_id("default"), "test").call("SELECT 7", {}, deadline_seconds=0.2)


@pytest.mark.parametrize(
    ("statement", "parameters", "error"),
    [
        ("SELECT %(missing)s", {}, psycopg.ProgrammingError),
        ("SELECT %(text)s::text", {"text": "nul \0"}, psycopg.DataError),
        ("SELECT 1/0", {}, psycopg.errors.DivisionByZero),
        ("SELECT * FROM nowhere", {}, psycopg.errors.UndefinedTable),
    ],
)
def test_a_mistake_is_not_asked_again(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, statement: str, parameters: Row, error: type[Exception]
) -> None:
    asked = []
    once = Sessions._once
    monkeypatch.setattr(Sessions, "_once", lambda *arguments: asked.append(1) or once(*arguments))
    with pytest.raises(error):
        sessions.call(statement, parameters)
    assert asked == [1]
    assert sessions.call("SELECT 7 AS seven", {}) == [{"seven": 7}]


@pytest.mark.parametrize("after", ["nothing", "a call", "a refused call"])
def test_a_block_commits_when_it_ends_and_takes_all_back_when_it_raises(lake: Lake, counts: Counts, after: str) -> None:
    lake.datasets("delays")
    if after == "a call":
        lake.store.current(lake.key("delays"))
    if after == "a refused call":
        with pytest.raises(NotRegistered):
            lake.commit(lake.staged("unknown"))
    before = counts()
    statement = "UPDATE metadata.asset SET description = %s WHERE asset_id = %s"
    parameters = ("described", lake.entity("delays").id.value)

    def describe() -> None:
        with lake.store.session() as session:
            assert session.count(statement, parameters) == 1
            raise KeyError

    with pytest.raises(KeyError):
        describe()
    assert counts() == before
    assert lake.store.asset(lake.key("delays")).description is None
    with lake.store.session() as session:
        session.count(statement, parameters)
    assert lake.store.asset(lake.key("delays")).description == "described"


def test_a_refused_call_leaves_a_usable_store(lake: Lake) -> None:
    lake.datasets("delays")
    staged = lake.staged("delays", location=f"{lake.endpoint}:1")
    with pytest.raises(Exception, match="staging lease"):
        lake.commit(staged)
    by = attempt()
    lake.lease(by, [("delays", staged)])
    assert not lake.commit(staged, by=by)[0].replayed


@pytest.mark.parametrize("default", ["repeatable read", "serializable"])
def test_the_databases_own_isolation_does_not_matter(
    make_database: Callable[..., str], default: str, look: Look
) -> None:
    url = make_database()
    look(f"ALTER DATABASE \"{sa.make_url(url).database}\" SET default_transaction_isolation = '{default}'")
    engine = app_engine(url)
    sessions = Sessions(engine, tenant_id("default"), "test")
    shown = [{"transaction_isolation": "read committed"}]
    assert sessions.call("SHOW transaction_isolation", {}) == shown
    with sessions.begin() as session:
        assert session.rows("SHOW transaction_isolation") == shown
    engine.dispose()


def test_a_store_is_used_from_several_threads(lake: Lake) -> None:
    lake.datasets("delays")
    failed: list[BaseException] = []

    def work(store: MetadataStore, name: str) -> None:
        try:
            for number in range(10):
                store.commit(attempt(), [lake.staged("delays", f"{name}{number}")], {})
                store.current(lake.key("delays"))
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(lake.store, name)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(lake.store.materializations(lake.key("delays"))) == 40
