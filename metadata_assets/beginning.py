"""The files of a new project, as this release brings them: for `init`, and for the component's scaffolder."""

import json
import re
from importlib import resources as package_files
from pathlib import Path
from typing import ClassVar

from identity.errors import MetadataError, shown

_SHIPPED = package_files.files("metadata_assets") / "new_project"
FILES = ("metadata.yml", "datasets/sales.yml", "datasets/revenue.sql", "pipeline.py", "README.md", ".gitignore")
_NAME = "PROJECT"
_A_NAME = re.compile(r"(?!null$)[a-z0-9_.-]*[a-z0-9][a-z0-9_.-]*", re.IGNORECASE)
"""Also in YAML, where null is none."""


class ProjectThere(MetadataError):
    """{folder} has these files already, with other contents: {files}; choose another name, or move them away"""

    folder: str
    files: str
    exit_code: ClassVar[int] = 2


class NoProjectName(MetadataError):
    """{name} is not the name of a project; use letters, digits, _, - and ., such as shop"""

    name: str
    exit_code: ClassVar[int] = 2


def begin(folder: Path) -> list[str]:
    """Write what is not there yet; the files that were written.

    Raises ProjectThere and NoProjectName before anything is written; nothing but an outdated schema is overwritten.
    """
    name = folder.name
    if not _A_NAME.fullmatch(name) or not name.isascii():
        raise NoProjectName(name=repr(shown(name)))
    contents = {file: _text(file, name) for file in FILES}
    differing = [file for file, text in contents.items() if _differs(folder / file, text)]
    if differing:
        raise ProjectThere(folder=str(folder), files=", ".join(differing))
    written = [file for file in contents if not (folder / file).exists()]
    for file in written:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("x", encoding="utf-8") as opened:
            opened.write(contents[file])
    return written + write_schemas(folder)


def write_schemas(folder: Path) -> list[str]:
    """Write the schemas that a project has not, or has from another release; the files that were written."""
    texts = _schemas()
    written = [file for file, text in texts.items() if not (folder / file).exists() or _differs(folder / file, text)]
    for file in written:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(texts[file], encoding="utf-8")
    return written


def _schemas() -> dict[str, str]:
    """The JSON Schemas of this release, by the files in which a project has them."""
    from metadata_assets.spec.schema import FILES as SCHEMAS
    from metadata_assets.spec.schema import schema_of

    return {file: json.dumps(schema_of(kind), indent=1) + "\n" for kind, file in SCHEMAS.items()}


def _text(file: str, name: str) -> str:
    return (_SHIPPED / file.removeprefix(".")).read_text(encoding="utf-8").replace(_NAME, name)


def _differs(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())
