"""The surface of what looks at a project on disk, before anything of it runs."""

from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

projects = typer.Typer()


@command(projects, "validate", examples=["validate", "validate --project ~/shop --json"], document=documents.VALIDATED)
def validate(cli: Cli) -> ExitCode:
    """Say whether the project is valid: its YAML, its SQL and its functions. Nothing is run or written.

    Every mistake is told at once, with file, line and the way out; the exit code is 2 then. Columns in SQL are looked
    at where all those of the inputs are declared with types, or of another SELECT; `compile` knows collected ones, too.
    """
    from metadata_assets.cli.compiling import validate_project

    return validate_project(cli)


@command(
    projects,
    "compile",
    examples=["compile", "compile carriers", "compile lake/nyc/carriers --json"],
    document=documents.COMPILED,
)
def compile_(
    cli: Cli,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Which datasets; all of the project.", show_default=False),
    ] = None,
) -> ExitCode:
    """Show the assets of the project; of those in SQL the statement with names in it, and where columns come from.

    NAME is endpoint/schema/table, or the table alone where it is unique. Nothing is run; columns are known as far as
    those of the inputs are: declared, collected, or of another SELECT. The exit code is 2 where DuckDB refuses a
    statement, given them.
    """
    from metadata_assets.cli.compiling import compile_project

    return compile_project(cli, names or [])
