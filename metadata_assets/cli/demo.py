"""`demo`: whatever the project wants to show."""

import importlib.util
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar

from identity.errors import MetadataError
from metadata_assets.cli import surroundings
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode


class NoDemo(MetadataError):
    """the project {project} has no demo: {missing}; name another one with --project"""

    project: Path
    missing: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def run_demo(cli: Cli, *, days: int) -> int:
    """Call `run(settings, *, days, json_output, console)` of the project's demo.py; what it returns is the exit code.

    With --json the console is on stderr, so that stdout has what `run` prints as JSON and nothing else.
    """
    run = _run_function(cli.settings.project)
    surroundings.prepare(cli.settings)
    os.environ.update(surroundings.variables(cli.settings))  # Dagster runs in this process, and reads them here
    outcome: int | None = run(
        cli.settings, days=days, json_output=cli.json_output, console=cli.err if cli.json_output else cli.out
    )
    return outcome or ExitCode.OK


def _run_function(project: Path) -> Callable[..., Any]:
    path = project / "demo.py"
    spec = importlib.util.spec_from_file_location("demo", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise NoDemo(project=project, missing="there is no demo.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(project))  # a demo imports the modules beside it
    sys.modules[spec.name] = module
    with redirect_stdout(sys.stderr):  # what it prints is no part of the answer
        spec.loader.exec_module(module)
    run = getattr(module, "run", None)
    if not callable(run):
        raise NoDemo(project=project, missing="demo.py has no function run")
    function: Callable[..., Any] = run
    return function
