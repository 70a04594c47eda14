"""The surface of what looks at a project on disk, before anything of it runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.choices import Choice, Exclude, Names, Select, State
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

projects = typer.Typer()


class FileKind(StrEnum):
    """The files that have a schema."""

    PROJECT = "project"
    DATASETS = "datasets"


@command(projects, "init", examples=["init shop", "init ~/shop --json"], document=documents.BEGUN)
def init(
    cli: Cli,
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="The new folder; its name is the project's.")],
) -> ExitCode:
    """Begin a project: a folder with datasets in Python and SQL that runs as it is. Nothing is ever overwritten.

    Then `cd NAME && metadata-assets dev` shows it in the Dagster UI. Asked again it adds what is missing; a file that
    is there with other contents is named, the exit code is 2, and nothing is written.
    """
    from metadata_assets.cli.beginning import begin_project

    return begin_project(cli, folder)


@command(
    projects,
    "validate",
    examples=["validate", "validate --select tag:daily --exclude kind:sql", "validate --project ~/shop --json"],
    document=documents.VALIDATED,
)
def validate(
    cli: Cli, names: Names = None, select: Select = None, exclude: Exclude = None, state: State = None
) -> ExitCode:
    """Say whether the project is valid: its YAML, its SQL and its functions. Nothing is run or written.

    Every mistake is told at once, with file, line and the way out; the exit code is 2 then. Columns in SQL are looked
    at where all those of the inputs are declared with types, or of another SELECT; `compile` knows collected ones, too.
    Of what is not selected functions and columns are not looked at: modules that are broken elsewhere do not matter.
    """
    from metadata_assets.cli.compiling import validate_project

    return validate_project(cli, Choice(names, select, exclude, state))


@command(
    projects,
    "compile",
    examples=[
        "compile",
        "compile carriers --json",
        "compile --select +revenue --exclude tag:daily",
        "compile --manifest main.json",
        "compile --select state:modified+ --state main.json",
    ],
    document=documents.COMPILED,
)
def compile_(
    cli: Cli,
    names: Names = None,
    select: Select = None,
    exclude: Exclude = None,
    state: State = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="FILE", help="Write what the whole project is, for --state later."),
    ] = None,
) -> ExitCode:
    """Show the assets of the project; of those in SQL the statement with names in it, and where columns come from.

    NAME is endpoint/schema/table, or the table alone. Nothing is run; columns are known as far as
    those of the inputs are: declared, collected, or of another SELECT. The exit code is 2 where DuckDB refuses a
    statement, given them.
    """
    from metadata_assets.cli.compiling import compile_project

    return compile_project(cli, Choice(names, select, exclude, state), manifest)


@command(
    projects,
    "schema",
    examples=["schema project > metadata.schema.json", "schema datasets", "schema --write"],
    document=documents.SCHEMA,
)
def schema(
    cli: Cli,
    kind: Annotated[
        FileKind | None,
        typer.Argument(metavar="[project|datasets]", help="Of metadata.yml, or of datasets/*.yml.", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write both into the project, to .schema/.")] = False,
) -> ExitCode:
    """Print the JSON Schema of the project's files, which editors take for completion and mistakes.

    A file names its schema in its first line: `# yaml-language-server: $schema=.schema/project.json`. After an upgrade
    `schema --write` brings those of a project up to date.
    """
    from metadata_assets.cli.beginning import show_schema, write_schemas

    return write_schemas(cli) if write or kind is None else show_schema(cli, kind.value)


@command(
    projects,
    "run",
    examples=[
        "run",
        "run revenue",
        "run --select orders+ --partition 2026-01-01...2026-01-31",
        "run --select state:modified+ --state main.json --partition all",
    ],
    document=documents.RAN,
)
def run(
    cli: Cli,
    names: Names = None,
    select: Select = None,
    exclude: Exclude = None,
    state: State = None,
    partition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTITION",
            help="Of divided datasets: a partition, FIRST...LAST, all or latest.",
            show_default=False,
        ),
    ] = None,
) -> ExitCode:
    """Materialize datasets in this process, what they are made from first, and tell how each went.

    Datasets that are divided in the same way are one Dagster run, which the UI shows; they need --partition. What
    fails keeps what is made of it from being run; the exit code is 1 then.
    """
    from metadata_assets.cli.materializing import run_datasets

    return run_datasets(cli, Choice(names, select, exclude, state), partition or [])
