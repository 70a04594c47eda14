"""Writing and reading the files of one materialization.

A folder is written once and never again: data first, the manifest last, each durable before the next. Whoever finds a
manifest finds everything that it names. The manifest's digest goes into the commit, so a reader knows what to expect.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from upath import UPath

from identity.errors import MetadataError
from identity.ids import EntityId, sha256_of
from resources.failpoints import reach
from resources.files import places
from resources.files.formats import Encoded, Format, decode, encode
from resources.models import Attempt

MANIFEST = "manifest.json"
_LONGEST_NAME = 200
"""File systems take 255 bytes; encrypted ones, and tools that add an ending, take less."""


class StagingFailed(MetadataError):
    """could not write {path}: {reason}; nothing was committed, make room or give access and run the step again"""

    path: str
    reason: str


class DataDamaged(MetadataError):
    """{path} is not what was committed: {reason}; restore it from a copy, or materialize the partition again"""

    path: str
    reason: str


class DataMissing(DataDamaged):
    """{path} is not what was committed: {reason}; restore it from a copy, or materialize the partition again"""

    reason: str = "it is missing"


class DataUnreadable(MetadataError):
    """cannot read {path}: {reason}; nothing was changed, give access to it and run the step again"""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is in a folder now. `data_version` is the digest of the data; equal data has equal versions."""

    manifest_sha256: bytes
    row_count: int | None
    byte_count: int
    data_version: str


def path_of(dataset: EntityId, partition: str | None, attempt: Attempt) -> str:
    """Where an attempt writes, below the endpoint's root: no two attempts or partitions share a path."""
    part = "unpartitioned" if partition is None else f"partition={quote(partition, safe='')}"
    if partition is not None and len(part) > _LONGEST_NAME:  # "%~" is in no quoted text
        part = f"{part[: _LONGEST_NAME - 34]}%~{sha256_of(partition).hex()[:32]}"
    return f"{dataset}/{part}/{attempt.id}"


def write(folder: UPath, value: object) -> Written:
    """Write a value and its manifest into a new folder.

    Raises NotStorable or StagingFailed; what is left behind is garbage, not data.
    """
    encoded = encode(value)
    digest = hashlib.sha256(encoded.content).hexdigest()
    manifest = json.dumps(_manifest(encoded, digest), indent=1, sort_keys=True).encode()
    try:
        made = places.make_folders(folder)
        reach("folder.made")
        above = places.start_syncing(made)
        places.put(folder / encoded.file_name, encoded.content, "data")
        places.put(folder / MANIFEST, manifest, "manifest", named=True)
        reach("folder.synced")
        above.wait()
        reach("folders.synced")
    except places.failures() as error:
        raise StagingFailed(path=str(folder), reason=places.reason_of(error)) from error
    return Written(
        manifest_sha256=hashlib.sha256(manifest).digest(),
        row_count=encoded.row_count,
        byte_count=len(encoded.content),
        data_version=digest[:16],
    )


def is_there(folder: UPath) -> bool:
    """Whether a manifest is there, or it cannot be told."""
    try:
        return places.is_there(folder / MANIFEST)
    except places.failures():
        return True


def read(folder: UPath, manifest_sha256: bytes) -> Any:
    """The value in a folder, an Arrow table or JSON data, if it is what was committed.

    Raises DataDamaged, or DataUnreadable where it cannot be told.
    """
    manifest = content_of(folder / MANIFEST)
    if hashlib.sha256(manifest).digest() != manifest_sha256:
        raise DataDamaged(path=str(folder / MANIFEST), reason="its digest differs from the commit's")
    (file,) = json.loads(manifest)["files"]
    content = content_of(folder / file["name"])
    if hashlib.sha256(content).hexdigest() != file["sha256"]:
        raise DataDamaged(path=str(folder / file["name"]), reason="its digest differs from the manifest's")
    form: Format = file["format"]
    return decode(content, form)


def _manifest(encoded: Encoded, digest: str) -> dict[str, Any]:
    file = {
        "name": encoded.file_name,
        "format": encoded.format,
        "sha256": digest,
        "bytes": len(encoded.content),
        "rows": encoded.row_count,
        "columns": [{"name": name, "type": kind} for name, kind in encoded.columns],
    }
    return {"manifest_version": 1, "files": [file]}


def content_of(path: UPath) -> bytes:
    """The content of a file. Raises DataMissing, or DataUnreadable where it cannot be told."""
    try:
        return places.get(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataMissing(path=str(path)) from None
    except places.failures() as error:
        raise DataUnreadable(path=str(path), reason=places.reason_of(error)) from error
