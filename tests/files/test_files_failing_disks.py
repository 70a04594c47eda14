"""A disk that is full or broken: a clear error, nothing committed, nothing published; a later try succeeds."""

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from garbage_world import Look, World
from upath import UPath

from resources.files.staging import StagingFailed
from resources.metadata_store import MetadataStore

BIG = random.Random(1).randbytes(100_000).hex()
TOLD = r"could not write .*: (No space left on device|File too large); nothing was committed, make room"


def failed(world: World, told: str, value: object = BIG) -> str:
    """Try to write; where it was, nothing of it being committed."""
    by = world.attempt()
    with pytest.raises(StagingFailed, match=told):
        world.stage(value, by=by)
    assert (world.store.current(world.dataset.key), world.store.materializations(world.dataset.key)) == ([], [])
    (lease,) = world.leases()
    return lease


def recovers(world: World) -> None:
    """What was left is collected, which makes room, and what is written now is published."""
    world.expire()
    assert [one.kind for one in world.collect().gone] == ["abandoned"]
    one = world.publish([1])
    assert (world.read(one), world.folders(), world.leases()) == ([1], {one.location}, [])


def test_a_full_disk(store: MetadataStore, look: Look, small: Path) -> None:
    world = World.of(store, UPath(small), look)
    failed(world, TOLD)
    recovers(world)


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_disk_that_cannot_sync(
    store: MetadataStore, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Of the data, the manifest, the folder, the folder above it."""
    world = World.of(store, UPath(tmp_path / "lake"), look)
    real, left = os.fsync, [nth]

    def sync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", sync)
        failed(world, "Input/output error; nothing was committed", [0])
    recovers(world)


SCRIPT = """
import sys
from upath import UPath
from resources.files.staging import StagingFailed, write
try:
    write(UPath(sys.argv[1]), [1])
except StagingFailed as error:
    print(error)
"""


@pytest.mark.parametrize("fault", ["fsync:error=EIO:when=1", "fsync:error=EIO:when=2", "fsync:error=ENOSPC:when=1"])
def test_a_kernel_that_says_so(tmp_path: Path, fault: str) -> None:
    strace = shutil.which("strace")
    if strace is None or not _may_trace(strace):
        pytest.skip("cannot trace a process here")
    command = [strace, "-f", "-o", str(tmp_path / "trace"), "-e", "trace=fsync", "-e", f"inject={fault}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, str(tmp_path / "lake" / "1")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "could not write" in done.stdout
    assert "nothing was committed" in done.stdout


def _may_trace(strace: str) -> bool:
    return subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
