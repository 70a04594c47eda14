"""Values that wait for the next op of the same run. They are no datasets: a retry replaces them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from upath import UPath

from resources.files import places
from resources.files.formats import Format, decode, encode
from resources.files.staging import DataDamaged, StagingFailed


def keep(root: UPath, names: Sequence[str], value: object) -> None:
    """Store a value under its names (run, step, output, mapping key), replacing it as one step.

    Raises NotStorable or StagingFailed; then what was there before still is.
    """
    encoded = encode(value)
    path = _path(root, names)
    passing = path.with_name(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        passing.write_bytes(encoded.format.encode() + b"\n" + encoded.content)
        passing.rename(path)
    except OSError as error:
        raise StagingFailed(path=str(path), reason=places.reason_of(error)) from error


def recall(root: UPath, names: Sequence[str]) -> Any:
    """The value under these names, as Arrow when it was a table. Raises DataDamaged when it is not there."""
    path = _path(root, names)
    try:
        form, _newline, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise DataDamaged(path=str(path), reason="it is missing") from None
    known: dict[bytes, Format] = {b"parquet": "parquet", b"json": "json"}
    return decode(content, known[form])


@contextmanager
def passing_folder(root: UPath, run_id: str) -> Iterator[str | None]:
    """An empty folder on this machine for what does not fit into memory, gone when the block ends.

    None where none can be made. What a crash leaves goes with the run's other values.
    """
    folder = Path(str(_folder(root, [run_id])))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=".passing-", dir=folder)
    except OSError:
        made = None
    try:
        yield made
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()  # unless something of the run is kept there


def _path(root: UPath, names: Sequence[str]) -> UPath:
    return _folder(root, names) / "value"


def _folder(root: UPath, names: Sequence[str]) -> UPath:
    return root.joinpath(*(quote(name, safe="").replace(".", "%2E") or "%" for name in names))


def runs_waiting(root: UPath) -> list[str]:
    """The runs whose values are kept."""
    if not root.exists():
        return []
    return sorted(unquote(path.name) for path in root.iterdir() if path.is_dir())


def size_of(root: UPath, run_id: str) -> tuple[int, int, float]:
    """How many files and bytes of a run are kept, and when the last one was (seconds since 1970)."""
    found = list(places.files_below(_folder(root, [run_id])))
    return len(found), sum(one.byte_count for one in found), max((one.written_at for one in found), default=0.0)


def drop(root: UPath, run_id: str) -> tuple[int, int]:
    """Remove what is kept of a run; how many files and bytes that were. Raises what `places.failures` names."""
    return places.remove(_folder(root, [run_id]), first="value")
