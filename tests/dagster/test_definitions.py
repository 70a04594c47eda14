"""The code location as Dagster loads it: valid, complete, and without a connection to anything."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from metadata_assets.location import code_location
from metadata_assets.spec import load_project

ROOT = Path(__file__).resolve().parents[2]
FLIGHTS = ROOT / "examples" / "flights"


@pytest.fixture
def callers() -> Iterator[tuple[int, list[object]]]:
    """A server that nobody may call: its port, and who did."""
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        done = threading.Event()

        def answer() -> None:
            while not done.is_set():
                try:
                    connection, peer = listener.accept()
                except TimeoutError:
                    continue
                met.append(peer)
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1], met
        done.set()
        thread.join()


def elsewhere(port: int, home: Path) -> dict[str, str]:
    """The environment of a deployment whose databases are all at one port."""
    url = f"postgresql://nobody:secret@127.0.0.1:{port}/nothing"
    urls = dict.fromkeys(("METADATA_DATABASE_URL", "DAGSTER_POSTGRES_URL", "DATA_DATABASE_URL"), url)
    return {**os.environ, **urls, "METADATA_HOME": str(home), "METADATA_PROJECT": str(FLIGHTS)}


def test_importing_definitions_calls_nobody(callers: tuple[int, list[object]], tmp_path: Path) -> None:
    port, met = callers
    home = tmp_path / "home"
    environment = elsewhere(port, home)
    code = "import metadata_assets.definitions as d; print(len(d.defs.resolve_asset_graph().get_all_asset_keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 7
    assert met == []
    assert not home.exists(), "no server was started and nothing was written"
    # The trap works: a process that does connect is seen.
    subprocess.run(
        [sys.executable, "-c", f"import psycopg; psycopg.connect('{environment['METADATA_DATABASE_URL']}')"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert len(met) >= 1


def test_the_workspace_is_valid(environment: dict[str, str]) -> None:
    variables = {**os.environ, **environment, "METADATA_PROJECT": str(FLIGHTS)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_project_gives_the_same_definitions_each_time() -> None:
    first, second = (code_location(load_project(FLIGHTS)) for _time in range(2))
    assert shape(first) == shape(second)


def test_the_flights_project_is_whole() -> None:
    defs = code_location(load_project(FLIGHTS))
    graph = defs.resolve_asset_graph()
    keys = {"/".join(key.path) for key in graph.get_all_asset_keys()}
    assert {"lake/nyc/flights", "lake/nyc/weather", "lake/nyc/daily_delays", "lake/nyc/carrier_month"} <= keys
    assert {"ewr/public/flights", "jfk/public/flights", "lga/public/flights"} <= keys
    sensors = {sensor.name for sensor in defs.get_repository_def().sensor_defs}
    assert {"mirror_lineage", "mirror_runs", "settle_checks"} <= sensors
    assert len(sensors) == 6, "lineage, runs, checks, and one for each source's schema"


def shape(defs: dg.Definitions) -> object:
    """What Dagster shows of definitions, as plain values."""
    graph = defs.resolve_asset_graph()
    return [
        (key.path, sorted(graph.get(key).parent_keys), graph.get(key).code_version, str(graph.get(key).partitions_def))
        for key in sorted(graph.get_all_asset_keys())
    ]
