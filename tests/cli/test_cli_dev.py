"""dev: Dagster comes up with the project, and goes away with everything it started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import psutil
import pytest
from cli_calls import program
from rich.console import Console

from metadata_assets.cli.context import Cli
from metadata_assets.cli.process_group import Group, Signals
from metadata_assets.cli.reloading import Reloading, roots_of, seen_in
from metadata_assets.spec import load_project
from resources.settings import Settings

PROJECT = "name: shop\nendpoints:\n  lake: {system: files}\n"
DATASETS = "datasets:\n  - {name: orders, endpoint: lake, schema: sales, python: pipeline:orders}\n"
PIPELINE = "import polars as pl\n\n\ndef orders() -> pl.DataFrame:\n    return pl.DataFrame({'id': [1, 2]})\n"
LOCATIONS = "{workspaceOrError{... on Workspace{locationEntries{name locationOrLoadError{__typename}}}}}"
ASSETS = "{assetNodes{assetKey{path}}}"
ROOTS = {"lake": "./data", "other": "'env:OTHER'", "all": "."}
NEVER = 3600.0
"""Patience that no test has: what depends on it to end, does not end."""


@pytest.fixture
def dev(environ: dict[str, str], port: int, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`metadata-assets dev` as a shell script starts it in the background: deaf to SIGINT until it listens itself."""
    project = Path(environ["METADATA_PROJECT"])
    (project / "metadata.yml").write_text(PROJECT)
    (project / "datasets").mkdir()
    (project / "datasets" / "orders.yml").write_text(DATASETS)
    (project / "pipeline.py").write_text(PIPELINE)
    command = f'trap "" INT; exec "{sys.executable}" -m metadata_assets.cli dev --port {port} --json'
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            ["sh", "-c", command], env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        yield process
        process.terminate()
        process.wait(timeout=60)
        assert process.stdout is not None
        process.stdout.close()


def ask(url: str, query: str) -> Any:
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def running_in(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_dagster_comes_up_with_the_project_and_leaves_nothing_behind(
    dev: "subprocess.Popen[str]", port: int, environ: dict[str, str], tmp_path: Path
) -> None:
    assert dev.stdout is not None
    lines = iter(dev.stdout.readline, "")
    announced = json.loads("".join(_until_closed(lines)))
    assert announced["url"] == f"http://127.0.0.1:{port}"
    assert announced["project"] == environ["METADATA_PROJECT"]
    entries = ask(announced["url"], LOCATIONS)["workspaceOrError"]["locationEntries"]
    expected = {"name": "metadata_assets", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    assert entries == [expected], (tmp_path / "stderr").read_text()
    assert {"assetKey": {"path": ["lake", "sales", "orders"]}} in ask(announced["url"], ASSETS)["assetNodes"]
    assert len(running_in(announced["pid"])) >= 4
    changes_are_loaded_and_mistakes_are_told(announced["url"], Path(environ["METADATA_PROJECT"]), tmp_path / "stderr")
    dev.send_signal(signal.SIGINT)
    assert dev.wait(timeout=90) == 0, (tmp_path / "stderr").read_text()
    assert running_in(announced["pid"]) == []
    with socket.create_server(("127.0.0.1", port)):
        pass


def changes_are_loaded_and_mistakes_are_told(url: str, project: Path, stderr: Path) -> None:
    """A new dataset appears by itself; a file that is broken is told at its place, and what was good is kept."""
    orders = project / "datasets" / "orders.yml"
    (project / "datasets" / "sums.sql").write_text("SELECT sum(id) AS n FROM {{ ref('orders') }}")
    orders.write_text(DATASETS + "  - {name: sums, endpoint: lake, schema: sales, sql: sums.sql}\n")
    sums = {"assetKey": {"path": ["lake", "sales", "sums"]}}
    wait_for(lambda: sums in ask(url, ASSETS)["assetNodes"], within=120)
    orders.write_text(orders.read_text().replace("sql: sums", "sqll: sums"))
    wait_for(lambda: "datasets/orders.yml:3:49: datasets[1].sqll: there is no such field" in stderr.read_text(), 120)
    assert sums in ask(url, ASSETS)["assetNodes"]


def _until_closed(lines: Iterator[str]) -> Iterator[str]:
    """The lines of one JSON document."""
    for line in lines:
        yield line
        if line == "}\n":
            return


def test_dagster_that_does_not_come_up_is_told(environ: dict[str, str], port: int) -> None:
    (Path(environ["METADATA_PROJECT"]) / "metadata.yml").write_text(PROJECT)
    home = Path(environ["METADATA_HOME"]) / "dagster"
    home.mkdir(parents=True)
    (home / "workspace.yaml").write_text("load_from: nothing\n")
    answer = program("dev", "--port", str(port), environ=environ, timeout=280)
    assert answer.code == 1
    assert answer.out == ""
    assert "Dagster ended with exit code" in answer.err.splitlines()[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Group]]:
    """Start a shell script as a group; whatever is left of it is killed after the test."""
    started: list[Group] = []

    def run(script: str) -> Group:
        started.append(Group.start(["sh", "-c", script], folder=tmp_path, environment=dict(os.environ)))
        return started[-1]

    yield run
    for group in started:
        for process in running_in(group.pid):
            process.kill()
        group.leader.wait(timeout=10)


def wait_for(happened: Callable[[], bool], within: float = 30) -> None:
    until = time.monotonic() + within
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_outlives_the_leader_goes_too(start: Callable[[str], Group]) -> None:
    with Signals() as signals:
        group = start("sleep 1000 & sleep 1000 & exit 3")
        wait_for(lambda: not group.running)
        assert group.exit_code == 3
        assert len(running_in(group.pid)) == 2
        group.stop(signals, patience=NEVER)
    assert running_in(group.pid) == []


def test_a_second_request_asks_harder(start: Callable[[str], Group], tmp_path: Path) -> None:
    """Deaf to SIGINT: the second signal to us becomes a SIGTERM to it, without waiting for the patience to end."""
    with Signals() as signals:
        group = start("trap '' INT; touch deaf; while true; do sleep 0.1; done")
        wait_for((tmp_path / "deaf").exists)
        impatient = subprocess.Popen(["sh", "-c", f"sleep 1; kill -INT {os.getpid()}"])
        group.stop(signals, patience=NEVER)
        assert signals.asked == 1
        impatient.wait(timeout=10)
    assert running_in(group.pid) == []
    assert group.exit_code == -signal.SIGTERM


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for(lambda: signals.asked == 1)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_says_nothing_about_a_project_is_not_looked_at(tmp_path: Path) -> None:
    for name in ("a.yml", "b/c.sql", "d.py", "e.md", "data.csv", ".hidden.yml", ".metadata/x.yml", "v/lib/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "v" / "pyvenv.cfg").write_text("")
    assert {str(Path(one).relative_to(tmp_path)) for one in seen_in(tmp_path)} == {"a.yml", "b/c.sql", "d.py", "e.md"}
    before = seen_in(tmp_path)
    (tmp_path / "d.py").write_text("xy")
    assert seen_in(tmp_path) != before


def test_the_data_of_endpoints_are_not_looked_at(tmp_path: Path) -> None:
    files = ", ".join(f"{name}: {{system: files, root: {root}}}" for name, root in ROOTS.items())
    written = {"data/a.md": "x", "other/b.md": "x", "c.md": "x"}
    written["metadata.yml"] = f"name: shop\nendpoints: {{{files}}}\n"
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    roots = roots_of(load_project(tmp_path), {"OTHER": str(tmp_path / "other")})
    assert {Path(one).name for one in seen_in(tmp_path, roots)} == {"metadata.yml", "c.md"}


@pytest.mark.timeout(120)
def test_very_many_mistakes_are_told(tmp_path: Path) -> None:
    """More than a pipe holds."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "metadata.yml").write_text(PROJECT)
    out, err = (Console(file=StringIO()) for _ in range(2))
    variables = {**os.environ, "METADATA_PROJECT": str(tmp_path), "METADATA_HOME": str(tmp_path / ".metadata")}
    cli = Cli(settings=Settings.from_env(variables, cwd=tmp_path), json_output=False, out=out, err=err)
    reloading = Reloading(cli, "http://127.0.0.1:9", variables)
    reloading.begin()
    wrong = [f"  - {{name: orders_{number}, endpoint: lake, {'x' * 60}: 1}}\n" for number in range(600)]
    (tmp_path / "datasets" / "all.yml").write_text("datasets:\n" + "".join(wrong))

    def told() -> str:
        reloading.look()
        return err.file.getvalue()  # type: ignore[attr-defined]

    try:
        wait_for(lambda: "Dagster keeps what it has loaded" in told(), within=60)
    finally:
        reloading.end()
    assert len(told()) > 65_536


class Answering(BaseHTTPRequestHandler):
    """Where Dagster would be: it loads nothing, and says that it did, or not."""

    loaded: ClassVar[str] = "WorkspaceLocationEntry"

    def do_POST(self) -> None:
        body = json.dumps({"data": {"reloadRepositoryLocation": {"__typename": self.loaded}}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None: ...


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        ("WorkspaceLocationEntry", "loaded anew"),
        pytest.param("PythonError", "in its UI", marks=pytest.mark.proof),
    ],
)
def test_what_changes_while_it_is_looked_at_is_looked_at_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: str, told: str
) -> None:
    monkeypatch.setattr(Answering, "loaded", loaded)
    (tmp_path / "metadata.yml").write_text(PROJECT)
    out, err = (Console(file=StringIO(), width=200) for _ in range(2))
    variables = {**os.environ, "METADATA_PROJECT": str(tmp_path), "METADATA_HOME": str(tmp_path / ".metadata")}
    cli = Cli(settings=Settings.from_env(variables, cwd=tmp_path), json_output=False, out=out, err=err)
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        reloading = Reloading(cli, f"http://127.0.0.1:{server.server_port}", variables)
        reloading.begin()
        for number in range(2):
            (tmp_path / "metadata.yml").write_text(PROJECT + "#" * (number + 1))
            reloading.look()
        checks = [one for one in psutil.Process().children() if "validate" in one.cmdline()]

        def said() -> str:
            reloading.look()
            return err.file.getvalue()  # type: ignore[attr-defined]

        try:
            assert len(checks) == 1
            wait_for(lambda: bool(said()), within=60)
        finally:
            reloading.end()
            server.shutdown()
    assert told in said()
    assert said().count("the project changed") == 1
