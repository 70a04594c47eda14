"""A new user: the built wheel in an empty venv, `metadata-assets init shop`, `dev`, and a mistake in the YAML.

Run by `make acceptance` with the Python of .venv, which builds the wheel; nothing else of .venv is used. What the wheel
needs comes from wherever pip is told to look. Leaves its folder when something fails, so that it can be looked at.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ASSETS = "{assetNodes{assetKey{path} groupName}}"
LOCATIONS = (
    "{workspaceOrError{...on Workspace{locationEntries{locationOrLoadError{...on PythonError{causes{message}}}}}}}"
)
NAMES = ("lake/shop/customers", "lake/shop/orders", "lake/shop/revenue")
MISTAKE = "datasets/sales.yml:4:5"
WITHIN = 240.0


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="new project "))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-qq", "--no-deps"]
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    programs = folder / "venv" / "bin"
    subprocess.run(
        [programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq", wheel], check=True
    )
    say("the wheel is installed in an empty venv")
    program = programs / "metadata-assets"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("METADATA_", "DAGSTER_"))}
    subprocess.run([program, "init", "shop"], cwd=folder, env=environ, check=True)
    shop = folder / "shop"
    subprocess.run([program, "validate"], cwd=shop, env=environ, check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    log = folder / "dev.log"
    with log.open("w") as stderr:
        dev = subprocess.Popen([program, "dev", "--port", port], cwd=shop, env=environ, stdout=stderr, stderr=stderr)
    try:
        look(f"http://127.0.0.1:{port}", shop, log)
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(timeout=90)
    again = [program, "dev", "--port", port]
    refused = subprocess.run(again, cwd=shop, env=environ, capture_output=True, text=True, check=False)
    assert (refused.returncode, MISTAKE in refused.stderr) == (2, True), refused
    shutil.rmtree(folder)
    say("passed")


def look(url: str, shop: Path, log: Path) -> None:
    """The assets, as the UI asks for them; a change of a file in them; then a mistake, at its line and column."""
    wait_for(lambda: groups(url) == dict.fromkeys(NAMES, "sales"), "assets of the project")
    wait_for(lambda: "Ctrl-C stops it" in log.read_text("utf-8"), "word that it is there")
    say(f"the UI answers with {', '.join(NAMES)}")
    file = shop / "datasets" / "sales.yml"
    file.write_text(file.read_text("utf-8").replace("group: sales", "group: retail"), "utf-8")
    wait_for(lambda: groups(url) == dict.fromkeys(NAMES, "retail"), "change of a file in the UI")
    say("a file that changes is loaded anew")
    file.write_text(file.read_text("utf-8").replace("endpoint: lake", "endpiont: lake", 1), "utf-8")
    wait_for(lambda: MISTAKE in log.read_text("utf-8"), "mistake at its line")
    assert groups(url) == dict.fromkeys(NAMES, "retail"), "what was good is kept"
    ask(url, 'mutation{reloadRepositoryLocation(repositoryLocationName:"metadata_assets"){__typename}}')
    wait_for(lambda: MISTAKE in json.dumps(ask(url, LOCATIONS)), "mistake at its line in the UI")
    say("a mistake is told at its line and column, in the terminal and in the UI")


def groups(url: str) -> dict[str, str]:
    """The group of each asset, by its name."""
    nodes = ask(url, ASSETS).get("data", {}).get("assetNodes", ())
    return {"/".join(one["assetKey"]["path"]): one["groupName"] for one in nodes}


def ask(url: str, query: str) -> Any:
    body, kind = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", body, kind), timeout=60) as response:
            return json.load(response)
    except OSError as error:
        return {"error": str(error)}


def wait_for(happened: Any, what: str) -> None:
    until = time.monotonic() + WITHIN
    while not happened():
        if time.monotonic() > until:
            sys.exit(f"acceptance: no {what} within {WITHIN:.0f} seconds")
        time.sleep(1)


def say(words: str) -> None:
    print(f"acceptance: {words}", flush=True)


if __name__ == "__main__":
    main()
