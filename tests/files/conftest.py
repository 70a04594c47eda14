"""Disks that are full."""

import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

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
