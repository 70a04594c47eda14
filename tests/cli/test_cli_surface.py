"""What the command line promises on paper: help, examples, docs/cli.md, the shapes of its documents."""

import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import typer
from cli_calls import Answer, Run, shape

from metadata_assets.cli import documents, main
from metadata_assets.cli.app import app
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.reference import commands, own_parameters, reference
from metadata_assets.cli.surroundings import DAGSTER_YAML, WORKSPACE_YAML, shipped

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = dict(commands(typer.main.get_command(app)))
REQUIRED = [
    *("clean", "collect", "collection add", "collection create", "collection delete", "collection list"),
    *("collection move", "collection remove", "collection show", "compile", "dataset show", "datasets", "demo", "dev"),
    *("doctor", "explain", "export openlineage", "gc", "graph check", "graph close-location"),
    "graph locations",
    *("identity create", "identity delete", "identity ensure", "identity import", "identity key", "identity link"),
    *("identity list", "identity merge", "identity move", "identity names", "identity register", "identity rename"),
    *("identity retarget", "identity retype", "identity show", "identity unlink", "identity unmerge"),
    *("identity unregister", "impact", "import dbt", "import openlineage", "import refused", "import retry", "init"),
    *("invalidate", "lineage", "materialization show", "materializations", "migrate", "partitions add"),
    *("partitions list", "pin", "pins", "publish"),
    *("release", "releases", "retract", "rollback", "run", "runs", "schema", "search", "stale", "unpin"),
    *("validate", "versions"),
]


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    code = main([*arguments, "--help"], {})
    captured = capsys.readouterr()
    return Answer(code, captured.out, captured.err)


def test_the_commands_are_these() -> None:
    assert sorted(COMMANDS) == REQUIRED


@pytest.mark.parametrize("name", REQUIRED)
def test_help_has_an_example_and_the_options_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = helped(capsys, *name.split())
    assert answer.code == 0
    assert re.search(r"Examples?:", answer.out)
    assert f"metadata-assets {name}" in answer.out
    for option in ("--json", "--debug", "--project", "--home", "--tenant"):
        assert option in answer.out
    for parameter in own_parameters(COMMANDS[name]):
        assert parameter.help


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    answer = helped(capsys)
    assert answer.code == 0
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in answer.out


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 2
    captured = capsys.readouterr()
    assert "Commands" in captured.out + captured.err


def test_the_reference_is_made_from_the_commands() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m metadata_assets.cli.reference > docs/cli.md"


@pytest.mark.parametrize("name", [DAGSTER_YAML, WORKSPACE_YAML])
def test_the_files_that_dev_writes_are_those_at_the_top(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == shipped(name)


def test_what_asks_the_store_does_not_wait_for_dagster(tmp_path: Path) -> None:
    """Half of a second, not three: a shell loop over keys stays bearable."""
    looked = (
        "import sys; from metadata_assets.cli import main; "
        "main(['datasets'], {'METADATA_DATABASE_URL': 'postgresql://ann@127.0.0.1:1/x'}); "
        "sys.exit(sorted(name for name in ('dagster', 'polars', 'pandas') if name in sys.modules).__repr__())"
    )
    done = subprocess.run(
        [sys.executable, "-c", looked], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot reach the metadata database" in done.stderr
    assert done.stderr.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "documented"),
    [
        (["datasets"], documents.DATASETS),
        (["materializations", "lake/nyc/flights"], documents.MATERIALIZATIONS),
        (["materialization", "show", "lake/nyc/flights", "--partition", "2013-01-15"], documents.MATERIALIZATION),
        (["versions", "lake/nyc/flights"], documents.VERSIONS),
        (["lineage", "lake/nyc/flights"], documents.LINEAGE),
        (["lineage", "--from", "lake/nyc/flights", "--to", "lake/nyc/daily_delays"], documents.PATHS),
        (["runs"], documents.RUNS),
        (["runs", "external"], documents.RUN),
        (["doctor"], documents.DOCTOR),
        (["migrate"], documents.MIGRATE),
        (["clean"], documents.CLEAN),
        (["identity", "ensure", "lake/nyc/flights"], documents.REFERENCE),
        (["identity", "link", "lake/nyc/flights", "jfk/public/weather"], documents.LINKED),
        (["identity", "retype", "lake/nyc/flights", "lake/nyc/weather"], documents.RETYPED),
        (["collection", "create", "report"], documents.COLLECTION),
        (["identity", "show", "lake/nyc/flights"], documents.IDENTITY),
        (["identity", "rename", "lake/nyc/flights", "flown"], documents.RENAMED),
        (["identity", "move", "lake/nyc/flights", "--to", "lake/old"], documents.RENAMED),
        (["identity", "key", "orders", "--system", "hive", "--endpoint", "jfk", "--schema", "s"], documents.KEY),
    ],
)
def test_documents_have_the_documented_shape(
    run: Run, filled: dict[str, UUID], arguments: list[str], documented: str
) -> None:
    assert filled
    assert shape(run(*arguments, "--json").json) == documented
