"""What the files at the top of the repository promise."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def bounds(requirement: str) -> set[str]:
    return set(requirement.replace(" ", "").split(","))


def test_we_run_on_every_python_that_dagster_runs_on() -> None:
    ours, theirs = bounds(PROJECT["requires-python"]), bounds(metadata("dagster")["Requires-Python"])
    assert [bound for bound in ours if "<" in bound] == [bound for bound in theirs if "<" in bound]


@pytest.mark.parametrize(
    ("version", "taken"), [((3, 10, 9), False), ((3, 11), True), ((3, 14, 2), True), ((3, 15), False)]
)
def test_the_first_check_of_make_says_which_python_is_needed(version: tuple[int, ...], taken: bool) -> None:
    (check,) = re.findall(r"-c 'import sys; (sys\.exit\(.*\))'", MAKEFILE)
    said: list[object] = []
    eval(check, {"sys": SimpleNamespace(version_info=version, version="3.x (main)", exit=said.append)})
    (answer,) = said
    assert bool(answer) is not taken
    assert taken or str(answer).startswith("Python 3.11 to 3.14 is needed, this is 3.x;")


def test_what_dagster_leaves_here_when_it_is_killed_is_ignored_and_cleaned(tmp_path: Path) -> None:
    left = tmp_path / ".tmp_dagster_home_x1y2"
    left.mkdir()
    ignored = subprocess.run(["git", "check-ignore", "--quiet", f"{left.name}/history"], cwd=ROOT, check=False)
    if (ROOT / ".git").exists():
        assert ignored.returncode == 0
    clean = ["make", "--silent", "--directory", str(tmp_path), "--file", str(ROOT / "Makefile"), "clean"]
    subprocess.run([*clean, f"PYTHON={sys.executable}"], check=True, timeout=60)
    assert not left.exists()
