"""The command line on the PostgreSQL that comes along, from an empty folder to an empty folder."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_calls import Call

from resources.postgres import embedded
from resources.postgres.server import binaries
from resources.postgres.server.account import server_account


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a server that is gone after the test."""
    home = tmp_path / "home"
    yield home
    embedded.stop(home / "postgres", remove=True)


@pytest.fixture
def alone(home: Path, tmp_path: Path, call: Call) -> Call:
    """Call the command line where no database is configured."""
    environ = {"METADATA_HOME": str(home), "METADATA_PROJECT": str(tmp_path)}
    return lambda *arguments: call(environ, *arguments)


def data_of(home: Path) -> Path:
    found = embedded.status(home / "postgres").data_directory
    assert found is not None
    return found


def test_looking_makes_no_server(alone: Call, home: Path) -> None:
    answer = alone("doctor", "--json")
    statuses = {one["part"]: one["status"] for one in answer.json["findings"]}
    assert statuses["embedded server"] == "ok"
    assert statuses["metadata database"] == "skipped"
    assert alone("clean", "--json").json == {"removed": None}
    assert not home.exists()


def test_from_nothing_to_nothing(alone: Call, home: Path) -> None:
    made = alone("migrate", "--json").json
    assert (made["before"], made["changed"]) == (None, True)
    assert alone("migrate", "--json").json == {**made, "before": made["after"], "changed": False}
    assert alone("datasets", "--json").json == []
    assert alone("datasets", "--tenant", "mistyped").code == 3
    assert alone("migrate", "--tenant", "sales").code == 0
    assert alone("datasets", "--tenant", "sales").code == 0
    parts = {one["part"]: one["status"] for one in alone("doctor", "--json").json["findings"]}
    assert {parts[part] for part in ("metadata database", "schema", "tenant separation", "unfinished writes")} == {"ok"}
    data = data_of(home)
    refused = alone("clean")
    assert refused.code == 2
    assert data.exists()
    assert alone("clean", "--yes", "--json").json == {"removed": str(data)}
    assert not data.exists()
    assert embedded.status(home / "postgres").version is None


def test_data_of_another_version_are_left_alone(alone: Call, home: Path) -> None:
    assert alone("migrate").code == 0
    assert embedded.stop(home / "postgres")
    version = data_of(home) / "PG_VERSION"
    before = version.read_text()
    version.write_text("13\n")
    answer = alone("datasets", "--json")
    version.write_text(before)
    assert answer.code == 4
    assert answer.error["error"] == "WrongPostgresVersion"
    assert alone("datasets").code == 0


def test_data_that_another_server_works_on_are_left_alone(alone: Call, home: Path) -> None:
    assert alone("migrate").code == 0
    assert embedded.stop(home / "postgres")
    with tempfile.TemporaryDirectory(prefix="metadata-tests-") as sockets:
        other = _start_by_hand(data_of(home), Path(sockets))
        try:
            _until_ready(data_of(home))
            refused = alone("datasets")
        finally:
            other.terminate()
            other.wait(timeout=60)
    assert refused.code == 4
    assert f"kill -INT {other.pid}" in refused.err
    assert alone("datasets").code == 0


def _start_by_hand(data: Path, sockets: Path) -> "subprocess.Popen[bytes]":
    account = server_account()
    sockets.chmod(0o777)
    return subprocess.Popen(
        [binaries.find(account)[0].postgres, "-D", data, "-c", "listen_addresses=", "-k", sockets],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=account.uid if account.dropped else None,
        group=account.gid if account.dropped else None,
        extra_groups=[] if account.dropped else None,
    )


def _until_ready(data: Path) -> None:
    until = time.monotonic() + 60
    while not (data / "postmaster.pid").exists() or "ready" not in (data / "postmaster.pid").read_text():
        assert time.monotonic() < until, "the other server did not start"
        time.sleep(0.1)
