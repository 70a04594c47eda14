"""What is written at a location is what is read there, or it is refused; nothing is ever written over."""

import json
import os
import random
import shutil
import signal
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from identity.ids import Entity, EntityId, tenant_id
from identity.keys import dataset_key
from resources.files.staging import MANIFEST, DataDamaged, DataUnreadable, StagingFailed, path_of, read, write
from resources.models import Attempt

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "é"]})
DATASET = Entity(tenant_id("default"), dataset_key("lake", table="t")).id
HOSTILE = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "/absolute",
    "a b",
    " ",
    "a%2Fb",
    "%",
    "%~",
    "~",
    "é",
    "e\u0301",
    "\n\t\x7f",
    "*?<>|\"':",
    "CON",
    "unpartitioned",
    "partition=x",
    "2026-01-01|a",
    "-rf",
    "x" * 300,
    "x" * 301,
    "ü" * 300,
    "🙂" * 100,
]


def attempt(identifier: UUID | None = None) -> Attempt:
    return Attempt(id=identifier or uuid4(), run_id="r", step_key="s", retry_number=0, fencing_token=1)


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    """Where an endpoint keeps its files."""
    return UPath(tmp_path / "lake")


@pytest.mark.parametrize("value", [TABLE, {"a": [1, None, "é", 2.5, True], "b": {}}, [], "text", 0, None])
def test_what_is_written_is_read(root: UPath, value: Any) -> None:
    written = write(root / "d/p/1", value)
    found = read(root / "d/p/1", written.manifest_sha256)
    assert found.equals(value) if isinstance(value, pa.Table) else found == value


def test_the_manifest_says_what_is_there(root: UPath) -> None:
    written = write(root / "d/p/1", TABLE)
    (file,) = json.loads((root / "d/p/1" / MANIFEST).read_text())["files"]
    content = (root / "d/p/1/data.parquet").read_bytes()
    assert (file["name"], file["format"], file["rows"], file["bytes"]) == ("data.parquet", "parquet", 3, len(content))
    assert file["columns"] == [{"name": "a", "type": "int64"}, {"name": "b", "type": "string"}]
    assert (written.row_count, written.byte_count) == (3, len(content))
    assert file["sha256"].startswith(written.data_version)


def test_json_has_no_rows(root: UPath) -> None:
    assert write(root / "d/p/1", [1, 2]).row_count is None


def test_equal_data_has_equal_versions(root: UPath) -> None:
    long = pa.table({"n": range(5_000), "text": [f"{n % 50}" for n in range(5_000)]})
    pieces = pa.concat_tables([long.slice(0, 10), long.slice(10, 3_000), long.slice(3_010)])
    other = long.set_column(0, "n", pa.array(range(1, 5_001)))
    versions = [write(root / f"d/p/{n}", table).data_version for n, table in enumerate([long, pieces, other])]
    assert versions[0] == versions[1] != versions[2]
    assert write(root / "j/1", {"a": 1, "b": 2}).data_version == write(root / "j/2", {"b": 2, "a": 1}).data_version


@pytest.mark.parametrize("value", [TABLE, {"a": [1, 2, 3]}], ids=["parquet", "json"])
def test_every_flipped_byte_is_found(root: UPath, value: Any) -> None:
    written = write(root / "d/p/1", value)
    for path in (root / "d/p/1").iterdir():
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            with pytest.raises(DataDamaged):
                read(root / "d/p/1", written.manifest_sha256)
        path.write_bytes(whole)
    read(root / "d/p/1", written.manifest_sha256)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["data.parquet", MANIFEST])
@pytest.mark.parametrize("harm", [Path.unlink, Path.write_text, cut, lengthen], ids=["gone", "empty", "cut", "longer"])
def test_damage_is_found(root: UPath, name: str, harm: Callable[..., Any]) -> None:
    written = write(root / "d/p/1", TABLE)
    path = Path(str(root)) / "d/p/1" / name
    harm(path, "") if harm is Path.write_text else harm(path)
    with pytest.raises(DataDamaged, match=name):
        read(root / "d/p/1", written.manifest_sha256)


def test_a_folder_that_is_gone_is_found(root: UPath) -> None:
    written = write(root / "d/p/1", TABLE)
    shutil.rmtree(str(root / "d/p"))
    with pytest.raises(DataDamaged, match="it is missing"):
        read(root / "d/p/1", written.manifest_sha256)
    (root / "d/p").write_text("")
    with pytest.raises(DataDamaged, match="it is missing"):
        read(root / "d/p/1", written.manifest_sha256)


def test_whole_data_of_another_attempt_is_not_taken(root: UPath) -> None:
    written = write(root / "d/p/1", TABLE)
    write(root / "d/p/2", pa.table({"a": [1, 2, 4]}))
    shutil.rmtree(str(root / "d/p/1"))
    shutil.copytree(str(root / "d/p/2"), str(root / "d/p/1"))
    with pytest.raises(DataDamaged, match="its digest differs from the commit's"):
        read(root / "d/p/1", written.manifest_sha256)


def test_what_cannot_be_read_is_not_called_damaged(root: UPath) -> None:
    written = write(root / "d/p/1", TABLE)
    replace_by_a_folder(Path(str(root)) / "d/p/1/data.parquet")
    with pytest.raises(DataUnreadable, match="Is a directory"):
        read(root / "d/p/1", written.manifest_sha256)


def test_nothing_is_written_over(root: UPath) -> None:
    written = write(root / "d/p/1", TABLE)
    with pytest.raises(StagingFailed, match="File exists"):
        write(root / "d/p/1", pa.table({"a": [9]}))
    assert read(root / "d/p/1", written.manifest_sha256).equals(TABLE)


def test_a_root_that_is_no_folder_is_refused(root: UPath) -> None:
    root.write_text("a file")
    with pytest.raises(StagingFailed, match="Not a directory"):
        write(root / "d/p/1", TABLE)


def test_a_full_disk_is_refused_and_leaves_no_manifest(small: Path) -> None:
    root = UPath(small)
    noise = random.Random(1).randbytes(200_000)  # nothing that compression could make small
    with pytest.raises(StagingFailed, match=r"No space left on device|File too large"):
        write(root / "d/p/1", pa.table({"noise": [noise]}))
    assert not (root / "d/p/1" / MANIFEST).exists()
    shutil.rmtree(str(root / "d"))
    written = write(root / "d/p/2", TABLE)
    assert read(root / "d/p/2", written.manifest_sha256).equals(TABLE)


@pytest.mark.parametrize("partition", HOSTILE, ids=[ascii(name)[:20] for name in HOSTILE])
def test_a_partition_can_be_called_anything(root: UPath, partition: str) -> None:
    location = path_of(DATASET, partition, attempt())
    written = write(root / location, TABLE)
    assert read(root / location, written.manifest_sha256).equals(TABLE)
    files = [path for path in Path(str(root)).rglob("*") if path.is_file()]
    assert {path.relative_to(str(root)).parts[0] for path in files} == {str(DATASET)}
    assert {len(path.relative_to(str(root)).parts) for path in files} == {4}


def test_no_two_partitions_or_attempts_share_a_location() -> None:
    one, other = attempt(), attempt()
    locations = [path_of(DATASET, partition, one) for partition in [None, *HOSTILE]]
    locations += [path_of(DATASET, partition, other) for partition in [None, *HOSTILE]]
    assert len({os.path.normcase(location) for location in locations}) == 2 * (len(HOSTILE) + 1)


@given(st.lists(st.none() | st.text(string.printable + "é~%🙂", max_size=400), unique=True, min_size=2, max_size=4))
def test_locations_are_as_distinct_as_partitions(partitions: list[str | None]) -> None:
    locations = [path_of(DATASET, partition, attempt(UUID(int=1))) for partition in partitions]
    assert len(set(locations)) == len(partitions)
    for location in locations:
        pieces = location.split("/")
        assert len(pieces) == 3
        assert EntityId.from_database(UUID(pieces[0])) == DATASET
        assert pieces[1] not in {"", ".", ".."}
        assert len(pieces[1].encode()) <= 200


def test_an_object_store_takes_the_same() -> None:
    root = UPath(f"memory://lake-{uuid4()}")
    written = write(root / "d/p/1", pl.DataFrame({"a": [1]}))
    assert read(root / "d/p/1", written.manifest_sha256).to_pydict() == {"a": [1]}
    (root / "d/p/1/data.parquet").write_bytes(b"other")
    with pytest.raises(DataDamaged):
        read(root / "d/p/1", written.manifest_sha256)


@pytest.mark.parametrize("slow_one", [".", ".."])
def test_all_is_durable_when_it_is_written_and_the_data_before_the_manifest_is_there(
    root: UPath, monkeypatch: pytest.MonkeyPatch, slow_one: str
) -> None:
    folder, synced = Path(str(root / "d/p/1")), []
    folder.parents[1].mkdir(parents=True)
    real = os.fsync

    def slow(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if name.endswith("data.parquet"):
            assert not (folder / MANIFEST).exists()
        if name == os.path.normpath(folder / slow_one):
            time.sleep(0.3)
        real(descriptor)
        if name == str(folder):
            assert (folder / MANIFEST).exists(), "its name, too"
        synced.append(name)

    monkeypatch.setattr(os, "fsync", slow)
    write(root / "d/p/1", TABLE)
    written = [folder / "data.parquet", folder / MANIFEST, folder, folder.parent, folder.parents[1]]
    assert sorted(synced) == sorted(map(str, written))


def test_a_copy_of_the_process_syncs_with_threads_of_its_own(root: UPath) -> None:
    write(root / "d/p/1", TABLE)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            write(root / "d/p/2", TABLE)
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done == (child, 0)
