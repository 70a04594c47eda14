"""Dagster's UI over the flights project, and a browser that looks at it.

Needs Debian's packages chromium and chromium-driver; `make browser` sees to them. With PICTURES=FOLDER every page that
a test has looked at is kept there as a picture.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from ui_pages import DAYS, ROOT, Deployment, Page, program

SWITCHES = (
    "headless=new",
    "no-sandbox",  # a container's root may not make one
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
    "window-size=1280,1040",
)


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    home = Path(tempfile.mkdtemp(prefix="flights-"))
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("METADATA_", "DAGSTER_"))}
    environment = {
        **settings,
        "METADATA_HOME": str(home),
        "METADATA_PROJECT": str(ROOT / "examples" / "flights"),
    }
    program(environment, "demo", "--days", str(DAYS))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "metadata_assets.cli", "dev", "--port", str(port), "--json"]
    with (home / "dev.log").open("w") as log:
        dev = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert dev.stdout is not None
    try:
        document = "".join(iter(dev.stdout.readline, "}\n")) + "}"
        yield Deployment(json.loads(document)["url"], environment)
    finally:
        dev.terminate()
        dev.wait(timeout=90)
        dev.stdout.close()
        program(environment, "clean", "--yes")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def chrome() -> Iterator[webdriver.Chrome]:
    profile = tempfile.mkdtemp(prefix="chromium-")
    options = webdriver.ChromeOptions()
    options.binary_location = _installed("chromium")
    for switch in (*SWITCHES, f"user-data-dir={profile}"):
        options.add_argument(f"--{switch}")
    driver = webdriver.Chrome(options=options, service=Service(_installed("chromedriver")))
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


def _installed(program: str) -> str:
    found = shutil.which(program)
    assert found, (
        f"{program} is not installed: `make browser` installs it, or `apt-get install chromium chromium-driver`"
    )
    return found


@pytest.fixture
def visit(deployment: Deployment, chrome: webdriver.Chrome) -> Callable[[str], Page]:
    """Open a page by its path."""

    def visited(path: str) -> Page:
        chrome.get(f"{deployment.url}{path}")
        return Page(chrome)

    return visited
