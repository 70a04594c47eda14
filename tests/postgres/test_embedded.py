"""The embedded server from its users' side: one for all of them, there until the last of them is gone."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from embedded_users import User, is_down, runs, starts, wait_for
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from resources.postgres import embedded
from resources.postgres.embedded import Server, attach, ensure_databases, status, stop


@pytest.mark.parametrize("directory", ["/run/plain", "/a b/c", "/100%/x?y&z=1#/é", "/a:b@c/d,e"])
@pytest.mark.parametrize("database", ["data", "a b/c?d%"])
def test_url_means_the_same_to_sqlalchemy_and_to_libpq(directory: str, database: str) -> None:
    server = Server(Path(directory), Path("/data"))
    parsed = make_url(server.url(database, user="o'neil@x", driver="postgresql+psycopg2"))
    assert (parsed.database, parsed.username, parsed.query["host"]) == (database, "o'neil@x", directory)
    told = psycopg.conninfo.conninfo_to_dict(server.url(database, user="o'neil@x"))
    assert (told["dbname"], told["user"], told["host"]) == (database, "o'neil@x", directory)


def test_server_is_private_durable_and_speaks_utf8(home: Path) -> None:
    server = attach(home)
    assert server.socket_directory.stat().st_mode & 0o777 == 0o700
    with psycopg.connect(server.url("postgres")) as connection:

        def show(name: str) -> str:
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row is not None
            return str(row[0])

        assert {name: show(name) for name in ("listen_addresses", "fsync", "full_page_writes", "data_checksums")} == {
            "listen_addresses": "",
            "fsync": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
        }
        assert (show("max_connections"), show("shared_buffers"), show("server_encoding")) == ("200", "128MB", "UTF8")
        row = connection.execute(
            "SELECT datlocprovider, upper('é') FROM pg_database WHERE datname = 'postgres'"
        ).fetchone()
        assert row == ("b", "É")
    server_process = psutil.Process(status(home).pid)
    assert not server_process.net_connections("inet")
    if os.geteuid() == 0:
        assert server_process.username() == "postgres"


@pytest.mark.proof
def test_a_server_of_a_few_seconds_has_statistics(home: Path) -> None:
    """It stops with the run that it was started for: what is planned without any gets slow as tables grow."""
    with psycopg.connect(attach(home).url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE grown AS SELECT generate_series(1, 1000)")
        known = "SELECT FROM pg_stats WHERE tablename = 'grown'"
        wait_for(lambda: connection.execute(known).rowcount > 0, seconds=20)


def test_both_drivers_reach_it_whatever_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGHOST": "db.example", "PGDATA": "/nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    server = attach(home)
    for driver in ("postgresql+psycopg", "postgresql+psycopg2"):
        engine = create_engine(server.url("postgres", driver=driver))
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        engine.dispose()


def test_databases_are_made_once_by_many(home: Path) -> None:
    server = attach(home)
    names = ["metadata", "dagster", "data", 'with space and "quote"', "data"]
    with ThreadPoolExecutor(8) as threads:
        for made in [threads.submit(ensure_databases, server, names) for _ in range(8)]:
            made.result()
    with psycopg.connect(server.url('with space and "quote"')) as connection:
        found = connection.execute("SELECT count(*) FROM pg_database WHERE datname = ANY(%s)", [names]).fetchone()
    assert found == (4,)


def test_four_cold_starts_at_once_make_one_server(new_home: Callable[..., Path]) -> None:
    home = new_home()
    users = [User(home) for _ in range(4)]
    assert len({user.says() for user in users}) == 1
    assert starts(home) == 1
    assert status(home).users == 4
    for user in users[:3]:
        user.leave()
    assert runs(home)
    assert users[3].leave() == 0
    wait_for(lambda: is_down(home))


def test_threads_and_repeats_of_one_process_are_one_user(home: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(attach, [home] * 8))) == 1
    found = status(home)
    assert (found.running, found.users, found.user_pids, found.version) == (True, 1, (os.getpid(),), 18)
    assert found.supervisor_pid is not None


def test_server_is_shut_down_cleanly_and_found_again_with_its_data(home: Path) -> None:
    first = User(home, script=_WRITES)
    assert first.says() == "written"
    first.kill()
    wait_for(lambda: is_down(home))
    with psycopg.connect(attach(home).url("postgres")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    log = (attach(home).data_directory / "server.log").read_text()
    assert "database system was shut down at" in log
    assert "automatic recovery" not in log


_WRITES = """
import sys
from pathlib import Path
import psycopg
from resources.postgres import embedded
with psycopg.connect(embedded.attach(Path(sys.argv[1])).url("postgres")) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM generate_series(1, 1000)")
print("written", flush=True)
sys.stdin.read()
"""


def test_stop_spares_other_users_unless_it_removes(home: Path) -> None:
    user = User(home)
    user.says()
    attach(home)
    assert stop(home) is False
    assert status(home).user_pids == (user.process.pid,)
    assert runs(home)
    assert stop(home, remove=True) is True
    assert status(home).data_directory is None
    assert {path.name for path in home.iterdir()} == {"start.lock", "users.lock", "supervisor.lock"}
    user.kill()
    attach(home)
    assert stop(home) is True
    assert is_down(home)
    assert stop(home / "nowhere", remove=True) is True


def test_errors_tell_the_way_out_and_exit_with_4() -> None:
    error = embedded.WrongPostgresVersion(data_directory=Path("/d"), data_version=15, available="18")
    assert isinstance(error, embedded.EmbeddedServerError)
    assert error.exit_code == 4
    assert "\n" not in str(error)
