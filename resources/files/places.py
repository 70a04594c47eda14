"""Files on a local disk or any other file system of fsspec: made once, read, listed and removed; never overwritten.

What is local is synced to the disk. What is not goes to its store by a call that makes a new object and nothing else
(S3: `If-None-Match: *`, with a SHA-256 that the store verifies). Transient errors are retried by the library, so after
a refusal it is looked at whether the object is our own. Credentials are the library's business: the environment's.
"""

import hashlib
import os
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any, Final

from upath import UPath

from resources.failpoints import reach

_ONE_REQUEST: Final = 90 * 2**20
"""Bytes that certainly go to S3 in one request. Parts of a longer object get their checksums from the library."""
_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a folder: its path from there, its length, and when it was last written (seconds since 1970)."""

    path: str
    byte_count: int
    written_at: float


def failures() -> tuple[type[Exception], ...]:
    """What goes wrong with files, in the words of the file systems that are in use."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError,) if botocore is None else (OSError, botocore.BotoCoreError)


def reason_of(error: Exception) -> str:
    """What went wrong, for people."""
    if isinstance(error, OSError):
        said = error.strerror or (str(error.args[0]) if error.args and isinstance(error.args[0], str) else "")
        return said or type(error).__name__
    return str(error) or type(error).__name__


def is_local(path: UPath) -> bool:
    return path.protocol in {"", "file", "local"}


def put(path: UPath, content: bytes, what: str, *, named: bool = False) -> None:
    """Make a file that was not there before, durably. `what` it is names the failpoints.

    With `named` its name and those of the files beside it are durable then, too.
    """
    reach(f"{what}.before")
    if is_local(path):
        _put_on_disk(path, content, what, named=named)
    else:
        _put_in_store(path, content)
        reach(f"{what}.written")


def _put_on_disk(path: UPath, content: bytes, what: str, *, named: bool) -> None:
    half = len(content) // 2
    with Path(str(path)).open("xb", buffering=0) as file:
        _write(file, content[:half])
        reach(f"{what}.half")
        _write(file, content[half:])
        reach(f"{what}.written")
        folder = start_syncing([path.parent] if named else [])
        os.fsync(file.fileno())
        reach(f"{what}.synced")
    folder.wait()


def _write(file: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _put_in_store(path: UPath, content: bytes) -> None:
    try:
        path.fs.pipe_file(path.path, content, mode="create", **_checksums(path, content))
    except failures():
        if _content_or_none(path) != content:  # else it is ours: an answer was lost, and the library asked again
            raise


def _checksums(path: UPath, content: bytes) -> dict[str, Any]:
    if path.protocol not in {"s3", "s3a"} or len(content) > _ONE_REQUEST:
        return {}
    digest = b64encode(hashlib.sha256(content).digest()).decode()
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest}


def _content_or_none(path: UPath) -> bytes | None:
    try:
        return get(path)
    except failures():
        return None


def get(path: UPath) -> bytes:
    """The content of a file. Raises what `failures` names."""
    if is_local(path):
        return Path(str(path)).read_bytes()
    return bytes(path.fs.cat_file(path.path))


def is_there(path: UPath) -> bool:
    """Whether there is such a file or folder by now, whatever was seen before."""
    if is_local(path):
        return Path(str(path)).exists()
    path.fs.invalidate_cache()
    return bool(path.fs.exists(path.path))


def make_folders(folder: UPath) -> list[UPath]:
    """Make a folder; the folders that got a new entry by it, innermost first. Object stores have none."""
    if not is_local(folder):
        return []
    here = Path(str(folder))
    new = [here]
    while not new[-1].parent.exists():
        new.append(new[-1].parent)
    here.mkdir(parents=True, exist_ok=True)
    return [UPath(path.parent) for path in new]


@dataclass(frozen=True, slots=True)
class Syncing:
    """Folders that are being synced by threads of their own."""

    under_way: Sequence[Future[None]]

    def wait(self) -> None:
        """Until all of them are. Raises the first OSError."""
        for one in self.under_way:
            one.result()


def start_syncing(folders: Iterable[UPath]) -> Syncing:
    """Begin to make new names durable: without it a crash of the machine may forget files that were synced themselves.

    A disk syncs several things in the time of one, so they are synced beside whatever comes next.
    """
    return Syncing([_threads().submit(_sync, str(folder)) for folder in folders if is_local(folder)])


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _threads() -> ThreadPoolExecutor:
    """Kept by the process: a thread takes longer to start than many a disk to sync."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="sync")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a copy of the process has no threads


def files_below(folder: UPath) -> Iterator[Found]:
    """All files below a folder, but those that go meanwhile; none where there is no such folder."""
    if is_local(folder):
        yield from _on_disk(Path(str(folder)))
        return
    folder.fs.invalidate_cache()
    start = len(folder.path.rstrip("/")) + 1
    for name, facts in sorted(folder.fs.find(folder.path, detail=True).items()):
        written = facts.get("LastModified") or facts.get("created") or facts.get("mtime")
        moment = written.timestamp() if hasattr(written, "timestamp") else float(written or 0)
        yield Found(name[start:], int(facts.get("size") or 0), moment)


def _on_disk(folder: Path) -> Iterator[Found]:
    if not folder.is_dir():
        return
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                facts = path.stat(follow_symlinks=False)
            except FileNotFoundError:  # removed since it was listed
                continue
            yield Found(str(path.relative_to(folder)), facts.st_size, facts.st_mtime)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def remove(folder: UPath, *, first: str) -> tuple[int, int]:
    """Remove a folder with its files, the one called `first` before the others; how many files and bytes there were.

    What somebody else removes meanwhile is as good. Empty folders above it stay: a writer may be about to use them.
    """
    found = sorted(files_below(folder), key=lambda one: (one.path != first, one.path))
    for number, one in enumerate(found):
        if number == 1 and found[0].path == first:
            reach("gc.remove.unmarked")
        _remove_file(folder / one.path)
    if is_local(folder):
        _remove_folders(Path(str(folder)))
    return len(found), sum(one.byte_count for one in found)


def _remove_file(path: UPath) -> None:
    try:
        if is_local(path):
            Path(str(path)).unlink()
        else:
            path.fs.rm_file(path.path)
    except FileNotFoundError:
        return


def _remove_folders(folder: Path) -> None:
    for parent, _folders, _names in os.walk(folder, topdown=False):
        try:
            Path(parent).rmdir()
        except FileNotFoundError:
            continue
