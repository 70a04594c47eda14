"""The embedded server from its users' side: one for all of them, there until the last of them is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from embedded_users import REPOSITORY, User, is_down, kill, new_homes, runs, servers_below, starts, wait_for
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from resources.postgres import embedded
from resources.postgres.embedded import Server, attach, ensure_databases, status, stop
from resources.postgres.server.lifecycle import openers


@pytest.fixture
def new_home() -> Iterator[Callable[..., Path]]:
    with new_homes() as name:
        yield name


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    with new_homes() as name:
        yield name("used")


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    """A home whose server is down; made by the first test that starts it."""
    assert not servers_below(used_home)
    yield used_home
    User.kill_all()
    stop(used_home)
    wait_for(lambda: not servers_below(used_home))


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


def test_server_outlives_its_killed_starter_and_goes_with_the_last_killed_user(home: Path) -> None:
    starter = User(home)
    starter.says()
    other = User(home)
    other.says()
    pid = status(home).pid
    starter.kill()
    wait_for(lambda: status(home).users == 1)
    assert (status(home).pid, runs(home)) == (pid, True)
    other.kill()
    wait_for(lambda: is_down(home))


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


def test_newcomers_at_the_moment_of_leaving_always_get_a_living_server(home: Path) -> None:
    waiting = User(home)
    waiting.says()
    for turn in range(6):
        newcomer = User(home)
        waiting.kill() if turn % 2 else waiting.leave()
        assert newcomer.says(), "a newcomer was given a server that went away"
        waiting = newcomer
    waiting.leave()
    wait_for(lambda: is_down(home))


@pytest.fixture
def leaving(home: Path) -> Iterator[psutil.Process]:
    """The main process of a server whose last user is gone, held in the middle of stopping until it is resumed."""
    user = User(home)
    user.says()
    main = psutil.Process(status(home).pid)
    supervisor = psutil.Process(status(home).supervisor_pid)
    main.suspend()
    user.kill()
    wait_for(lambda: len(_lock_files(supervisor)) == 1)  # it has given its post back: it got the users' lock
    yield main
    if main.is_running():
        main.resume()


def _lock_files(process: psutil.Process) -> list[str]:
    return [file.path for file in process.open_files() if file.path.endswith(".lock")]


def test_newcomer_waits_for_a_server_that_is_leaving(home: Path, leaving: psutil.Process) -> None:
    newcomer = User(home)
    wait_for(lambda: newcomer.process.pid in openers(home).get("users.lock", ()))
    leaving.resume()
    assert newcomer.says(), "the newcomer was given a server that went away"
    assert status(home).pid not in (None, leaving.pid)
    assert status(home).supervisor_pid is not None
    assert runs(home)


def test_stop_waits_for_a_server_that_is_leaving(home: Path, leaving: psutil.Process) -> None:
    with ThreadPoolExecutor(1) as thread:
        stopped = thread.submit(stop, home)
        wait_for(lambda: os.getpid() in openers(home).get("users.lock", ()))
        leaving.resume()
        assert stopped.result() is True
    assert is_down(home)


def test_killed_supervisor_is_replaced_by_the_next_user(home: Path) -> None:
    attach(home)
    supervisor = status(home).supervisor_pid
    kill(supervisor)
    wait_for(lambda: status(home).supervisor_pid is None)
    user = User(home)
    user.says()
    assert status(home).supervisor_pid not in (None, supervisor)
    assert stop(home) is False
    user.kill()
    wait_for(lambda: is_down(home))


def test_killed_supervisor_is_replaced_by_a_user_that_ends(home: Path) -> None:
    user = User(home)
    user.says()
    kill(status(home).supervisor_pid)
    wait_for(lambda: status(home).supervisor_pid is None)
    user.leave()
    wait_for(lambda: is_down(home))


def test_there_is_never_a_second_supervisor(home: Path) -> None:
    users = [User(home) for _ in range(3)]
    for user in users:
        user.says()
    attach(home)
    watching = [process for process in psutil.process_iter() if str(home) in _arguments(process)]
    assert len([process for process in watching if "supervisor" in _arguments(process)]) == 1
    for user in users:
        user.kill()


def _arguments(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


_FORKS = """
import os, sys
from pathlib import Path
from resources.postgres import embedded
home, attaches = Path(sys.argv[1]), {attaches}
embedded.attach(home)
child = os.fork()
if child == 0 and attaches:
    embedded.attach(home)
os.write(1, b"child\\n" if child == 0 else b"parent\\n")
sys.stdin.read()
"""


@pytest.mark.parametrize("attaches", [False, True])
def test_forked_child_is_a_user_only_if_it_attaches(home: Path, attaches: bool) -> None:
    parent = User(home, script=_FORKS.format(attaches=attaches))
    assert {parent.says(), parent.says()} == {"child", "parent"}
    (child,) = psutil.Process(parent.process.pid).children()
    assert set(status(home).user_pids) == ({parent.process.pid, child.pid} if attaches else {parent.process.pid})
    parent.process.kill()
    if attaches:
        wait_for(lambda: status(home).user_pids == (child.pid,))
        assert runs(home)
        child.kill()
    wait_for(lambda: is_down(home))
    assert attaches or child.is_running()
    if not attaches:
        child.kill()
    parent.process.communicate(timeout=60)


_SPAWNS = """
import subprocess, sys
from pathlib import Path
from resources.postgres import embedded
embedded.attach(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "600"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_subprocess_of_a_user_keeps_nothing(home: Path) -> None:
    user = User(home, script=_SPAWNS)
    child = int(user.says())
    user.process.kill()
    wait_for(lambda: is_down(home))
    kill(child)
    user.process.communicate(timeout=60)


def test_nothing_of_the_callers_reaches_the_server(home: Path) -> None:
    user = User(home, command=("env", "CANARY=secret", sys.executable))
    user.says()
    here = status(home)
    lock_files = {home / name for name in ("start.lock", "users.lock", "supervisor.lock")}
    assert here.data_directory is not None
    for process in servers_below(here.data_directory):
        files = {fd.name: fd.readlink() for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
        assert not lock_files & set(files.values())
        assert files["0"] == Path(os.devnull)
    assert here.supervisor_pid is not None
    for pid in (here.pid, here.supervisor_pid):
        assert b"CANARY" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert psutil.Process(here.supervisor_pid).cwd() == "/"
    assert {Path(f"/proc/{here.supervisor_pid}/fd/{fd}").readlink() for fd in range(3)} == {Path(os.devnull)}


def test_stops_though_the_callers_shell_ignores_interrupts(home: Path) -> None:
    user = User(home, command=("/bin/sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh", sys.executable))
    user.says()
    user.leave()
    wait_for(lambda: is_down(home))
    assert "received fast shutdown request" in (home / "data" / "server.log").read_text()


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


def test_server_goes_though_its_home_was_removed_or_moved(new_home: Callable[..., Path]) -> None:
    removed, moved = new_home("removed"), new_home("moved")
    users = [User(home) for home in (removed, moved)]
    for user in users:
        user.says()
    processes = [*servers_below(removed), *servers_below(moved)]
    subprocess.run(["rm", "-rf", removed], check=True)
    moved.rename(new_home("elsewhere"))
    for user in users:
        user.kill()
    wait_for(lambda: not any(_lives(process) for process in processes))


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_user_that_closed_all_its_descriptors_registers_again(home: Path) -> None:
    daemon = User(home, script=_DAEMON)
    assert daemon.says() == "attached"
    assert status(home).user_pids == (daemon.process.pid,)
    daemon.leave()


_DAEMON = """
import os, sys
from pathlib import Path
from resources.postgres import embedded
embedded.attach(Path(sys.argv[1]))
os.closerange(3, 1024)
reused = [os.open("/dev/null", os.O_RDONLY) for _ in range(30)]
embedded.attach(Path(sys.argv[1]))
for fd in reused:
    os.fstat(fd)
print("attached", flush=True)
sys.stdin.read()
"""


def test_supervisor_needs_little() -> None:
    heavy = ("sqlalchemy", "psycopg", "dagster", "pydantic")
    code = f"import sys, resources.postgres.server.supervisor; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_errors_tell_the_way_out_and_exit_with_4() -> None:
    error = embedded.WrongPostgresVersion(data_directory=Path("/d"), data_version=15, available="18")
    assert isinstance(error, embedded.EmbeddedServerError)
    assert error.exit_code == 4
    assert "\n" not in str(error)


def test_interrupted_start_is_supervised(new_home: Callable[..., Path]) -> None:
    """Killed at any moment of a cold start, nothing stays, and the next start works."""
    home = new_home()
    for delay in (0.0, 0.1, 0.4, 0.7):
        user = User(home, script=_HURRIED.format(delay=delay))
        user.process.wait(timeout=60)
        user.process.communicate(timeout=60)
        assert user.process.returncode in (0, -signal.SIGKILL)
    wait_for(lambda: status(home).supervisor_pid is None and not servers_below(home))
    attach(home)
    assert runs(home)


_HURRIED = """
import os, signal, sys, threading
from pathlib import Path
from resources.postgres import embedded
threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGKILL)).start()
embedded.attach(Path(sys.argv[1]))
"""
