"""`init`: the files of a new project, as this release brings them."""

import json
from importlib import resources as package_files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from identity.errors import MetadataError, shown
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import document

if TYPE_CHECKING:
    from metadata_assets.spec.schema import FileKind

_SHIPPED = package_files.files("metadata_assets") / "new_project"
FILES = ("metadata.yml", "datasets/sales.yml", "datasets/revenue.sql", "pipeline.py", "README.md", ".gitignore")
_NAME = "PROJECT"


class ProjectThere(MetadataError):
    """{folder} has these files already, with other contents: {files}; choose another name, or move them away"""

    folder: str
    files: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NoProjectName(MetadataError):
    """{name} is not the name of a project; use letters, digits, _, - and ., such as shop"""

    name: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def begin_project(cli: Cli, folder: Path) -> ExitCode:
    """Write what is not there yet. Raises ProjectThere before anything is written; nothing is ever overwritten."""
    folder = folder.absolute()
    name = folder.name
    if not name or not all(letter.isalnum() or letter in "_-." for letter in name) or not name.isascii():
        raise NoProjectName(name=repr(shown(name)))
    contents = {file: _text(file, name) for file in FILES}
    differing = [file for file, text in contents.items() if _differs(folder / file, text)]
    if differing:
        raise ProjectThere(folder=str(folder), files=", ".join(differing))
    written = [file for file in contents if not (folder / file).exists()] + outdated(folder)
    contents |= schemas()
    for file in written:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("w" if file in schemas() else "x", encoding="utf-8") as opened:
            opened.write(contents[file])
    answer = {"project": str(folder), "name": name, "written": written}
    told = f"{folder} is a project now, with {len(written)} files" if written else f"{folder} has all of it already"
    cli.show(answer, f"{told}; next: cd {folder} && metadata-assets dev")
    return ExitCode.OK


def schemas() -> dict[str, str]:
    """The JSON Schemas of this release, by the files in which a project has them."""
    from metadata_assets.spec.schema import FILES as SCHEMAS
    from metadata_assets.spec.schema import schema_of

    return {file: json.dumps(schema_of(kind), indent=1) + "\n" for kind, file in SCHEMAS.items()}


def outdated(folder: Path) -> list[str]:
    """The schemas that a project has not, or has from another release."""
    return [file for file, text in schemas().items() if not (folder / file).exists() or _differs(folder / file, text)]


def write_schemas(cli: Cli) -> ExitCode:
    folder, texts = cli.settings.project, schemas()
    written = outdated(folder)
    for file in written:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(texts[file], encoding="utf-8")
    cli.show({"written": written}, f"written: {', '.join(written)}" if written else "both are of this release")
    return ExitCode.OK


def show_schema(cli: Cli, kind: "FileKind") -> ExitCode:
    from metadata_assets.spec.schema import schema_of

    cli.write(document(schema_of(kind)))
    return ExitCode.OK


def _text(file: str, name: str) -> str:
    return (_SHIPPED / file.removeprefix(".")).read_text(encoding="utf-8").replace(_NAME, name)


def _differs(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())
