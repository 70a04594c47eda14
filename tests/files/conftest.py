"""Places for files: disks, one of them full, and an object store."""

import itertools
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import fsspec
import psycopg
import pytest
from garbage_world import Look
from object_store import object_store
from psycopg.rows import dict_row
from upath import UPath

from resources.postgres.session import Row

FullDisk = Callable[[], Path]


@contextmanager
def tiny_disk(path: Path, size: str = "64k") -> Iterator[Path]:
    """A file system of this size, mounted there; the test is skipped where this user cannot mount one."""
    path.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def short_files(path: Path, size: int = 65_536) -> Iterator[Path]:
    """A folder where this process can write no longer file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield path
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(params=[tiny_disk, short_files], ids=["a full disk", "too long a file"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that takes less than 64 KiB."""
    with ExitStack() as stack:
        folder = tmp_path / "small"
        folder.mkdir()
        yield stack.enter_context(request.param(folder))


_roots = itertools.count()


@pytest.fixture(scope="session")
def s3_variables() -> Iterator[dict[str, str]]:
    """The environment of an S3 with the bucket `lake`."""
    with object_store() as variables:
        yield variables


@pytest.fixture
def s3_root(s3_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL below which this test has all to itself; this process can reach it."""
    for name, value in s3_variables.items():
        monkeypatch.setenv(name, value)
    filesystem = fsspec.filesystem("s3")
    if not filesystem.exists("lake"):
        filesystem.mkdir("lake")
    return f"s3://lake/root {next(_roots)}"


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> UPath:
    """Where an endpoint keeps its files: on a disk, or in an object store."""
    if request.param == "disk":
        return UPath(tmp_path / "lake")
    return UPath(request.getfixturevalue("s3_root"))


@pytest.fixture
def look(metadata_url: str) -> Iterator[Look]:
    with psycopg.connect(metadata_url, row_factory=dict_row, autocommit=True) as connection:

        def run(statement: str, *parameters: object) -> list[Row]:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

        yield run
