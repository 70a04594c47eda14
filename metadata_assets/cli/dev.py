"""`dev`: the project in the Dagster UI, with nothing left behind."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from identity.errors import MetadataError
from metadata_assets.cli import surroundings
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.listening import address, answers, check_free
from metadata_assets.cli.process_group import Group, Signals
from metadata_assets.cli.reloading import Reloading, roots_of
from metadata_assets.spec import load_project
from resources.postgres.databases import Databases
from resources.settings import Settings

_SUPERSEDED = "ignore:Function `dev_command` is superseded"  # dagster's advice to its user, who is not ours
READY_WITHIN = 180.0  # seconds; half a minute is usual on two cores
TELL_EVERY = 10.0


class DagsterEnded(MetadataError):
    """Dagster ended with exit code {code}; what it said is above"""

    code: int


class DagsterSilent(MetadataError):
    """Dagster did not answer at {url} within {seconds} seconds and was stopped; what it said is above"""

    url: str
    seconds: int
    exit_code: ClassVar[int] = ExitCode.UNUSABLE


def serve(cli: Cli, *, host: str, port: int) -> ExitCode:
    """Run Dagster until it ends or a signal asks for it. Says no before anything starts: port, project, databases."""
    check_free(host, port)
    project = load_project(cli.settings.project, environment=cli.settings.environment)
    project.check_variables(cli.settings.variables)
    Databases(cli.settings).reach()  # from here on the embedded server runs as long as this process
    home = surroundings.prepare(cli.settings)
    url = address(host, port)
    reloading = Reloading(cli, url, environment(cli.settings), roots_of(project, cli.settings.variables))
    reloading.begin()
    with Signals() as signals:
        group = Group.start(
            command(home, host, port), folder=cli.settings.project, environment=environment(cli.settings)
        )
        try:
            _wait_until_ready(cli, group, signals, url)
            if group.running and not signals.asked:
                cli.show(_facts(cli.settings, url, group), f"Dagster is at {url}; Ctrl-C stops it")
            while group.running and not signals.asked:
                signals.sleep(0.5)
                reloading.look()
            ended = group.exit_code
        finally:
            reloading.end()
            group.stop(signals)
    if ended is not None and not signals.asked:
        raise DagsterEnded(code=ended)
    return ExitCode.OK


def command(home: Path, host: str, port: int) -> Sequence[str]:
    """With a workspace named, Dagster looks at no pyproject.toml of the folder that it is started in."""
    workspace = home / surroundings.WORKSPACE_YAML
    return [
        *(sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace)),
        *("--host", host, "--port", str(port)),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Python's safe path keeps the project's modules from hiding others: its functions are found by their folder."""
    quiet = ",".join(filter(None, (settings.variables.get("PYTHONWARNINGS"), _SUPERSEDED)))
    return {**settings.variables, **surroundings.variables(settings), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": quiet}


def _wait_until_ready(cli: Cli, group: Group, signals: Signals, url: str) -> None:
    cli.err.print("starting Dagster, which takes about half a minute", markup=False)
    waited, told = 0.0, 0.0
    while not signals.asked and not answers(f"{url}/server_info"):
        if not group.running:
            return
        if waited >= READY_WITHIN:
            raise DagsterSilent(url=url, seconds=round(READY_WITHIN))
        if waited - told >= TELL_EVERY:
            told = waited
            cli.err.print(f"still starting, {waited:.0f} of at most {READY_WITHIN:.0f} seconds", markup=False)
        waited += signals.sleep(0.5)


def _facts(settings: Settings, url: str, group: Group) -> dict[str, object]:
    return {"url": url, "pid": group.pid, "project": settings.project, "home": settings.home}
