"""demo: the project's own function, called with what it needs."""

from pathlib import Path

import pytest
from cli_calls import Call, program

from metadata_assets.cli.surroundings import shipped

DEMO = """\
import json, os, sys
from beside import GREETING

def run(settings, *, days, json_output, console):
    console.print(GREETING)
    if json_output:
        names = ("METADATA_HOME", "METADATA_PROJECT", "METADATA_TENANT", "DAGSTER_HOME")
        told = {name: os.environ[name] for name in names}
        sys.stdout.write(json.dumps({"days": days, "home": str(settings.home), **told}))
    if days == 13:
        raise RuntimeError("postgresql://ann:s3cr3t@db/x")
    return {12: 1}.get(days)
"""


@pytest.fixture
def project(elsewhere: dict[str, str]) -> Path:
    """A project with a demo."""
    folder = Path(elsewhere["METADATA_PROJECT"])
    (folder / "demo.py").write_text(DEMO)
    (folder / "beside.py").write_text("GREETING = 'hello'\n")
    return folder


def test_the_demo_runs_in_the_settings_of_its_command(elsewhere: dict[str, str], project: Path) -> None:
    answer = program("demo", "--days", "2", "--json", "--tenant", "sales", environ=elsewhere)
    home = Path(elsewhere["METADATA_HOME"])
    assert answer.json == {
        "days": 2,
        "home": str(home),
        "METADATA_HOME": str(home),
        "METADATA_PROJECT": str(project),
        "METADATA_TENANT": "sales",
        "DAGSTER_HOME": str(home / "dagster"),
    }
    assert answer.err == "hello\n"
    assert answer.code == 0
    assert (home / "dagster" / "dagster.yaml").read_text() == shipped("dagster.yaml")


def test_what_it_prints_while_it_is_imported_is_no_part_of_the_answer(elsewhere: dict[str, str], project: Path) -> None:
    with (project / "beside.py").open("a") as file:
        file.write("print('on the way')\n")
    answer = program("demo", "--days", "2", "--json", environ=elsewhere)
    assert answer.json["days"] == 2
    assert answer.err == "on the way\nhello\n"


def test_its_exit_code_is_the_commands(elsewhere: dict[str, str], project: Path) -> None:
    assert project.exists()
    answer = program("demo", "--days", "12", environ=elsewhere)
    assert (answer.code, answer.out, answer.err) == (1, "hello\n", "")


def test_what_it_raises_is_one_line_without_secrets(elsewhere: dict[str, str], project: Path) -> None:
    assert project.exists()
    answer = program("demo", "--days", "13", environ=elsewhere)
    assert answer.code == 1
    assert answer.err == "unexpected: RuntimeError; run `metadata-assets --debug …` again for the traceback\n"
    debugged = program("demo", "--days", "13", "--debug", environ=elsewhere)
    assert "demo.py" in debugged.err
    assert "s3cr3t" not in debugged.err


@pytest.mark.parametrize(("content", "missing"), [(None, "there is no demo.py"), ("x = 1\n", "has no function run")])
def test_a_project_without_a_demo(call: Call, elsewhere: dict[str, str], content: str | None, missing: str) -> None:
    if content is not None:
        (Path(elsewhere["METADATA_PROJECT"]) / "demo.py").write_text(content)
    answer = call(elsewhere, "demo")
    assert answer.code == 2
    assert missing in answer.err
