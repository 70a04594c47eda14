"""A process that dies at any point of writing or collecting leaves nothing lost, doubled or torn, and no garbage.

`python tests/files/failpoint_trials.py --trials 50` does the same at length.
"""

import ast
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from failpoint_trials import forked, wrong_in

from resources import failpoints
from resources.failpoints import COLLECTING, LOCAL_ONLY, WRITING

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "where", [pytest.param("disk", marks=pytest.mark.proof), pytest.param("s3", marks=pytest.mark.chaos)]
)
def test_nothing_is_lost_doubled_or_torn(where: str) -> None:
    """In a process of its own: trials are forks of it, and what was forked beside threads may wait for ever."""
    command = [sys.executable, Path(__file__).with_name("failpoint_trials.py"), "--trials", "1", "--places", where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert wrong_in(outcome) == 0, outcome
    assert outcome["fewest_at_a_failpoint"] >= 1
    assert outcome["failpoints"] >= 20
    assert outcome["garbage_collected"] > 0


def test_every_place_is_named_and_every_name_is_a_place() -> None:
    reached = set()
    for package in ("resources", "metadata_assets"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach":
                    reached |= spelt(node.args[0])
    assert reached == {*WRITING, *COLLECTING}
    assert len(WRITING) + len(COLLECTING) >= 20
    assert set(WRITING) > LOCAL_ONLY


def spelt(name: ast.expr) -> set[str]:
    """The names that a place may have: `f"{what}.half"` is in the data and in the manifest."""
    if isinstance(name, ast.Constant):
        return {str(name.value)}
    assert isinstance(name, ast.JoinedStr)
    (end,) = [str(part.value) for part in name.values if isinstance(part, ast.Constant)]
    return {f"{what}{end}" for what in ("data", "manifest")}


@pytest.mark.parametrize("text", [None, "", "gc.reap.after", "data.half#7"])
def test_a_place_that_is_not_meant_is_passed(text: str | None) -> None:
    failpoints.arm(text)
    failpoints.reach("data.half")
    failpoints.arm(None)


def test_a_process_dies_where_it_is_told_and_as_often_as_it_came_there() -> None:
    def pass_by(times: int) -> None:
        failpoints.arm("data.half#3")
        for _time in range(times):
            failpoints.reach("data.half")

    assert [forked(partial(pass_by, times)) for times in (2, 3)] == [0, -signal.SIGKILL]


@pytest.mark.parametrize("text", ["nowhere", "data.half#x", "data"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(failpoints.NoSuchFailpoint, match="METADATA_FAILPOINT names no place"):
        failpoints.arm(text)
