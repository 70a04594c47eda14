"""`init` and `schema`: a new project, and what editors need to know of its files."""

from pathlib import Path
from typing import TYPE_CHECKING

from metadata_assets import beginning
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import document

if TYPE_CHECKING:
    from metadata_assets.spec.schema import FileKind


def begin_project(cli: Cli, folder: Path) -> ExitCode:
    """Write what is not there yet. Raises ProjectThere before anything is written; nothing is ever overwritten."""
    folder = folder.absolute()
    written = beginning.begin(folder)
    answer = {"project": str(folder), "name": folder.name, "written": written}
    told = f"{folder} is a project now, with {len(written)} files" if written else f"{folder} has all of it already"
    cli.show(answer, f"{told}; next: cd {folder} && metadata-assets dev")
    return ExitCode.OK


def write_schemas(cli: Cli) -> ExitCode:
    written = beginning.write_schemas(cli.settings.project)
    cli.show({"written": written}, f"written: {', '.join(written)}" if written else "both are of this release")
    return ExitCode.OK


def show_schema(cli: Cli, kind: "FileKind") -> ExitCode:
    from metadata_assets.spec.schema import schema_of

    cli.write(document(schema_of(kind)))
    return ExitCode.OK
