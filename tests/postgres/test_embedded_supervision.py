"""Who keeps the server and what makes it go: users, their forks and subprocesses, supervisors, all of them killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from embedded_users import REPOSITORY, User, is_down, kill, runs, servers_below, wait_for

from resources.postgres.embedded import attach, status, stop
from resources.postgres.server.lifecycle import openers

pytestmark = pytest.mark.proof


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


def test_newcomers_at_the_moment_of_leaving_always_get_a_living_server(home: Path) -> None:
    waiting = User(home)
    waiting.says()
    for turn in range(4):
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


def test_home_made_anew_is_nothing_to_the_old_supervisor(new_home: Callable[..., Path]) -> None:
    home = new_home()
    old = User(home)
    old.says()
    before = servers_below(home)
    subprocess.run(["rm", "-rf", home], check=True)
    attach(home)
    new = servers_below(home)
    old.kill()
    wait_for(lambda: not any(_lives(process) for process in before))
    assert all(_lives(process) for process in new if process not in before)
    assert runs(home)


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
