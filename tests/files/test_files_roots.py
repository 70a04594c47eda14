"""A root that is not there, or is another's, has lost nothing; and nothing is written where it would be lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from garbage_world import ENDPOINT, Look, World
from upath import UPath

from resources.collecting import Collected
from resources.files import places
from resources.files.marking import (
    MARKER,
    RootNotMarked,
    RootNotThere,
    RootOfAnother,
    RootUnreadable,
    adopt,
    claim,
    present_root,
)
from resources.files.staging import DataDamaged, StagingFailed
from resources.locations import place as place_of
from resources.metadata_store import MetadataStore
from resources.storage import FileStorage, Writing


@pytest.fixture
def world(store: MetadataStore, place: UPath, look: Look) -> World:
    return World.of(store, place, look)


@pytest.fixture
def on_disk(store: MetadataStore, tmp_path: Path, look: Look) -> World:
    return World.of(store, UPath(tmp_path / "lake"), look)


def marker_of(root: UPath) -> Any:
    return json.loads(places.get(root / MARKER))


def unmark(root: UPath) -> None:
    places._remove_file(root / MARKER)


def write_marker(root: UPath, content: bytes) -> None:
    unmark(root)
    places.put(root / MARKER, content, "data")


def no_folder(root: Path) -> None:
    """The mount point is gone, too."""


def empty_folder(root: Path) -> None:
    root.mkdir()


def another_disk(root: Path) -> None:
    claim("archive", UPath(root))


@pytest.mark.parametrize(
    ("instead", "error"), [(no_folder, RootNotThere), (empty_folder, RootNotMarked), (another_disk, RootOfAnother)]
)
def test_what_is_not_mounted_is_not_gone(
    on_disk: World, instead: Callable[[Path], None], error: type[RootNotThere]
) -> None:
    """Neither replaced data, nor what was condemned before, nor what attempts left."""
    first, second = on_disk.publish([1]), on_disk.publish([2])
    assert on_disk.condemn() == 1
    third = on_disk.publish([3])
    left = on_disk.stage([4], by=on_disk.attempt())
    on_disk.expire()
    root = Path(str(on_disk.root))
    disk = root.rename(root.with_name("unplugged"))
    instead(root)
    for rehearsed in (True, False):
        done = on_disk.collect(rehearsed=rehearsed)
        assert (done.gone, done.left, done.condemned, list(done.away)) == ([], {}, 0, [ENDPOINT])
        assert type(done.away[ENDPOINT]) is error
    assert on_disk.states() == {first.materialization_id: "condemned"}
    assert on_disk.leases() == [left.location]
    shutil.rmtree(root, ignore_errors=True)
    disk.rename(root)
    assert {one.location for one in on_disk.collect().gone} == {first.location, second.location, left.location}
    assert on_disk.folders() == {third.location}


def test_a_root_is_marked_by_the_first_that_writes_there(store: MetadataStore, place: UPath, look: Look) -> None:
    world = World.of(store, place / "of another", look)
    root = place / "fresh"
    storage, by = FileStorage("fresh", root), world.attempt()
    assert not storage.exists("x") or not places.is_there(root)
    path = storage.path_of(world.dataset, None, by)
    writing = Writing(entity=world.dataset, partition=None, attempt=by, materialization_id=uuid4())
    written = storage.write(path, [1], writing)
    assert marker_of(root) == {"endpoints": ["fresh"]}
    assert storage.read(path, written.manifest_sha256) == [1]
    with pytest.raises(RootOfAnother, match="is marked as the root of endpoint fresh, not of other"):
        FileStorage("other", root).write(path + "x", [1], writing)
    assert not places.is_there(root / (path + "x"))


def write_again(world: World, known: Callable[[], list[str]]) -> Any:
    by = world.attempt()
    storage = FileStorage(ENDPOINT, world.root, known)
    writing = Writing(entity=world.dataset, partition=None, attempt=by, materialization_id=uuid4())
    return storage.write(storage.path_of(world.dataset, None, by), [1], writing)


def test_nothing_is_written_to_a_mount_point_without_its_disk(on_disk: World) -> None:
    """It would mark the folder below the disk, and be lost below it."""
    on_disk.publish([1])
    root = Path(str(on_disk.root))
    root.rename(root.with_name("unplugged"))
    with pytest.raises(RootNotMarked, match="mount what belongs there"):
        write_again(on_disk, known_of(on_disk))
    assert not root.exists()
    root.mkdir()
    with pytest.raises(RootNotMarked, match="to begin anew there, write"):
        write_again(on_disk, known_of(on_disk))
    assert list(root.iterdir()) == []
    (root / MARKER).write_text('{"endpoints": ["lake"]}')
    assert write_again(on_disk, known_of(on_disk)), "what the message says to begin anew"


def known_of(world: World) -> Callable[[], list[str]]:
    """Locations of this dataset: other tests have others on their roots."""
    here = f"{ENDPOINT}:{world.dataset.id}/"
    return lambda: [one for one in world.store.located_lately(ENDPOINT) if one.startswith(here)]


def test_a_root_of_an_older_version_is_marked_by_who_finds_its_data_there(world: World) -> None:
    first, second = world.publish([1]), world.publish([2])
    unmark(world.root)
    done = world.collect()
    assert isinstance(done.away[ENDPOINT], RootNotMarked)
    assert "doctor --fix" in str(done.away[ENDPOINT])
    assert not adopt(ENDPOINT, world.root, lambda: ["lake:no/such/thing"])
    assert adopt(ENDPOINT, world.root, known_of(world))
    assert [one.location for one in world.collect().gone] == [first.location]
    assert world.read(second) == [2]


def test_who_writes_to_a_root_of_an_older_version_marks_it(on_disk: World) -> None:
    on_disk.publish([1])
    unmark(on_disk.root)
    write_again(on_disk, known_of(on_disk))
    assert marker_of(on_disk.root) == {"endpoints": [ENDPOINT]}


def test_endpoints_that_share_a_root_share_its_marker(on_disk: World) -> None:
    on_disk.publish([1])
    write_marker(on_disk.root, b'{"endpoints": ["archive"]}')
    with pytest.raises(RootOfAnother):
        present_root(ENDPOINT, on_disk.root)
    assert adopt(ENDPOINT, on_disk.root, known_of(on_disk))
    for endpoint in (ENDPOINT, "archive"):
        assert present_root(endpoint, on_disk.root) == on_disk.root


@pytest.mark.parametrize("content", [b"", b"lake", b"[]", b'{"endpoints": "lake"}'])
def test_a_marker_that_is_none_of_ours_is_told(world: World, content: bytes) -> None:
    world.publish([1])
    world.publish([2])
    write_marker(world.root, content)
    done: Collected = world.collect()
    assert isinstance(done.away[ENDPOINT], RootUnreadable)
    assert world.states() == {}


def test_nothing_is_missing_from_a_root_that_is_not_there(world: World) -> None:
    one = world.publish([1])
    path, digest = place_of(one.location or "")[1], one.manifest_sha256 or b""
    storage = FileStorage(ENDPOINT, world.root)
    places.remove(world.root / path, first="manifest.json")
    for read in (storage.read, storage.manifested):
        with pytest.raises(DataDamaged, match="it is missing"):
            read(path, digest)
    assert not storage.exists(path)
    unmark(world.root)
    for read in (storage.read, storage.manifested):
        with pytest.raises(RootNotThere):
            read(path, digest)
    assert storage.exists(path), "it cannot be told"


def test_a_marker_that_cannot_be_written_is_a_clear_error(tmp_path: Path, store: MetadataStore, look: Look) -> None:
    world = World.of(store, UPath(tmp_path / "lake"), look)
    (tmp_path / "file").write_text("x")
    broken = World(store, UPath(tmp_path / "file" / "root"), look, world.dataset)
    with pytest.raises(StagingFailed, match="could not write"):
        write_again(broken, list)
