"""The same promises on a disk and in an object store: made once, whole, never overwritten, removed when asked."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pytest
from test_files_staging import DATASET, HOSTILE, TABLE, attempt
from upath import UPath

from resources.files import places
from resources.files.formats import encode
from resources.files.marking import RootUnreadable, present_root
from resources.files.scanning import manifested
from resources.files.staging import (
    MANIFEST,
    DataDamaged,
    DataUnreadable,
    StagingFailed,
    is_there,
    path_of,
    read,
    write,
)

DATA = "data.parquet"
OTHER = pa.table({"a": [4, 5, 6]})


@pytest.mark.parametrize("value", [TABLE, {"a": [1, None, "é", 2.5, True], "b": {}}, "text", None])
def test_what_is_written_is_read(place: UPath, value: Any) -> None:
    assert not is_there(place / "d/p/1")
    written = write(place / "d/p/1", value)
    assert is_there(place / "d/p/1")
    found = read(place / "d/p/1", written.manifest_sha256)
    assert found.equals(value) if isinstance(value, pa.Table) else found == value


def test_a_partition_can_be_called_anything(place: UPath) -> None:
    written = {}
    for number, partition in enumerate(HOSTILE):
        location = path_of(DATASET, partition, attempt())
        written[location] = (number, write(place / location, number).manifest_sha256)
    assert [read(place / at, digest) for at, (_number, digest) in written.items()] == list(range(len(HOSTILE)))
    assert {one.path.rpartition("/")[0] for one in places.files_below(place)} == set(written)


def test_nothing_is_written_over(place: UPath) -> None:
    written = write(place / "d/p/1", TABLE)
    with pytest.raises(StagingFailed):
        write(place / "d/p/1", OTHER)
    assert read(place / "d/p/1", written.manifest_sha256).equals(TABLE)


@pytest.mark.parametrize("name", [DATA, MANIFEST])
def test_what_somebody_else_put_there_stays(place: UPath, name: str) -> None:
    places.make_folders(place / "d/p/1")
    places.put(place / "d/p/1" / name, b"theirs", "data")
    with pytest.raises(StagingFailed):
        write(place / "d/p/1", TABLE)
    assert places.get(place / "d/p/1" / name) == b"theirs"


def test_of_two_that_write_one_file_at_once_one_wins(place: UPath) -> None:
    places.make_folders(place)
    for number in range(5):

        def one_of_many(mine: int, path: UPath = place / f"file{number}") -> bytes | None:
            content = bytes([mine]) * 10_000
            try:
                places.put(path, content, "manifest")
            except FileExistsError:
                return None
            return content

        with ThreadPoolExecutor(4) as pool:
            (winner,) = [one for one in pool.map(one_of_many, range(4)) if one is not None]
        assert places.get(place / f"file{number}") == winner


def test_an_object_whose_answer_was_lost_is_known_as_our_own(s3_root: str) -> None:
    """The library asks again, and is told that the object is there: it is, by the first request."""
    path = UPath(s3_root) / "manifest.json"
    for _twice in range(2):
        places.put(path, b"ours", "manifest")
    with pytest.raises(FileExistsError):
        places.put(path, b"not ours", "manifest")
    assert places.get(path) == b"ours"


def test_the_store_is_told_what_to_expect(s3_root: str) -> None:
    """The checksum is the store's own by then: S3 refuses bytes that differ from it."""
    root = UPath(s3_root)
    write(root / "d/p/1", TABLE)
    for name in (DATA, MANIFEST):
        path = root / "d/p/1" / name
        bucket, _slash, key = path.path.partition("/")
        facts = path.fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert facts["ChecksumSHA256"] == _base64(places.get(path))


def test_a_long_file_comes_in_parts_and_whole(s3_root: str) -> None:
    path = UPath(s3_root) / "long"
    content = bytes(range(256)) * 40_000
    path.fs.pipe_file(path.path, content, chunksize=5 * 2**20, mode="create")
    assert places.get(path) == content
    with pytest.raises(FileExistsError):
        path.fs.pipe_file(path.path, content, chunksize=5 * 2**20, mode="create")
    places.put(path, content, "data")


@pytest.mark.parametrize("name", [DATA, MANIFEST])
def test_damage_is_found(place: UPath, name: str) -> None:
    written = write(place / "d/p/1", TABLE)
    path = place / "d/p/1" / name
    content = places.get(path)
    for harmed in (content[:-1], content + b"\0", b"", bytes([content[0] ^ 1]) + content[1:]):
        path.write_bytes(harmed)
        with pytest.raises(DataDamaged, match=name):
            read(place / "d/p/1", written.manifest_sha256)
    path.unlink()
    with pytest.raises(DataDamaged, match="it is missing"):
        read(place / "d/p/1", written.manifest_sha256)


def test_a_folder_is_removed_and_nothing_else(place: UPath) -> None:
    kept = write(place / "d/p/1", TABLE)
    gone = write(place / "d/p/2", OTHER)
    write(place / "d/p/22", OTHER)
    count, size = places.remove(place / "d/p/2", first=MANIFEST)
    assert (count, size > gone.byte_count) == (2, True)
    assert not is_there(place / "d/p/2")
    assert is_there(place / "d/p/22")
    assert read(place / "d/p/1", kept.manifest_sha256).equals(TABLE)
    assert places.remove(place / "d/p/2", first=MANIFEST) == (0, 0), "again is as good"
    assert {one.path for one in places.files_below(place)} == {
        f"d/p/{number}/{name}" for number in (1, 22) for name in (DATA, MANIFEST)
    }


def test_files_are_told_with_their_length_and_age(place: UPath) -> None:
    write(place / "d/p/1", TABLE)
    (data, manifest) = places.files_below(place / "d")
    assert (data.path, manifest.path) == (f"p/1/{DATA}", f"p/1/{MANIFEST}")
    assert data.byte_count == len(encode(TABLE).content)
    assert data.written_at == pytest.approx(manifest.written_at, abs=60)
    assert list(places.files_below(place / "nothing")) == []


def test_a_store_that_does_not_answer_is_told(s3_root: str) -> None:
    assert s3_root
    options = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    root = UPath("s3://lake/x", skip_instance_cache=True, **options)
    root.fs.retries = 1
    with pytest.raises(StagingFailed, match="nothing was committed"):
        write(root / "d/p/1", TABLE)
    with pytest.raises(DataUnreadable):
        read(root / "d/p/1", b"")
    with pytest.raises(DataUnreadable):
        manifested(root / "d/p/1", b"")
    with pytest.raises(RootUnreadable):
        present_root("lake", root)


def test_a_bucket_that_is_not_there_is_told(s3_root: str) -> None:
    assert s3_root
    with pytest.raises(StagingFailed, match="bucket"):
        write(UPath("s3://nobody/x/1"), TABLE)


def test_any_file_system_of_fsspec_takes_the_same(tmp_path: Path) -> None:
    assert tmp_path
    root = UPath(f"memory://lake-{uuid4()}")
    written = write(root / "d/p/1", pl.DataFrame({"a": [1]}))
    with pytest.raises(StagingFailed):
        write(root / "d/p/1", OTHER)
    assert read(root / "d/p/1", written.manifest_sha256).to_pydict() == {"a": [1]}
    assert places.remove(root / "d/p/1", first=MANIFEST)[0] == 2
    assert not is_there(root / "d/p/1")


def _base64(content: bytes) -> str:
    from base64 import b64encode

    return b64encode(hashlib.sha256(content).digest()).decode()


def test_what_goes_while_a_folder_is_looked_through_is_not_there(tmp_path: Path) -> None:
    """Two collections may be at one folder: what one of them removed is as good for the other."""
    for name in "ab":
        (tmp_path / name).write_text(name)
    found = places.files_below(UPath(tmp_path))
    assert next(found).path == "a"
    (tmp_path / "b").unlink()
    assert list(found) == []
