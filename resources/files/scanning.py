"""Lazy scans of committed files: the manifest is verified now, the data are read when and as far as they are asked."""

import hashlib
import json
from dataclasses import dataclass

import polars as pl
from pyarrow.fs import FSSpecHandler, PyFileSystem
from upath import UPath

from resources.files import places
from resources.files.staging import MANIFEST, DataDamaged, content_of


@dataclass(frozen=True, slots=True)
class Manifested:
    """The data file of a folder, as its manifest tells it."""

    path: UPath
    is_table: bool
    columns: tuple[str, ...]

    def scan(self) -> pl.LazyFrame:
        """Polars reads local files itself; others through the file system that the path has, with its settings."""
        if places.is_local(self.path):
            return pl.scan_parquet(str(self.path))
        import pyarrow.dataset as pads  # and pandas, where there is one: no step that writes should wait for them

        files = PyFileSystem(FSSpecHandler(self.path.fs))
        return pl.scan_pyarrow_dataset(pads.dataset([self.path.path], format="parquet", filesystem=files))


def manifested(folder: UPath, manifest_sha256: bytes) -> Manifested:
    """What a folder holds, by its manifest, if that is what was committed. Raises DataDamaged, DataUnreadable."""
    path = folder / MANIFEST
    manifest = content_of(path)
    if hashlib.sha256(manifest).digest() != manifest_sha256:
        raise DataDamaged(path=str(path), reason="its digest differs from the commit's")
    (file,) = json.loads(manifest)["files"]
    columns = tuple(one["name"] for one in file["columns"])
    return Manifested(path=UPath(folder / file["name"]), is_table=file["format"] == "parquet", columns=columns)
