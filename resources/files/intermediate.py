"""Values that wait for the next op of the same run. They are no datasets: a retry replaces them."""

import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from upath import UPath

from resources.files.formats import Format, decode, encode


def keep(root: UPath, names: Sequence[str], value: object) -> None:
    """Store a value under its names (run, step, output, mapping key), replacing it as one step. Raises NotStorable."""
    encoded = encode(value)
    folder = _folder(root, names)
    folder.mkdir(parents=True, exist_ok=True)
    passing = folder / f".{os.getpid()}.{encoded.file_name}"
    passing.write_bytes(encoded.content)
    passing.rename(folder / encoded.file_name)
    (folder / "format.json").write_text(json.dumps(encoded.format))


def recall(root: UPath, names: Sequence[str]) -> Any:
    """The value under these names, as Arrow when it was a table."""
    folder = _folder(root, names)
    form: Format = json.loads((folder / "format.json").read_text())
    return decode((folder / f"data.{form}").read_bytes(), form)


def _folder(root: UPath, names: Sequence[str]) -> UPath:
    return root.joinpath(*(quote(name, safe="") or "-" for name in names))
