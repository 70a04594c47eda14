"""Values on their way to the next op: the last one kept is the one that is recalled, or none."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from upath import UPath

from resources.files.formats import NotStorable
from resources.files.intermediate import keep, recall
from resources.files.staging import DataDamaged, StagingFailed

NAMES = ("run", "step", "output", "")


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    """Where they wait."""
    return UPath(tmp_path)


@pytest.mark.parametrize("value", [{"a": [1]}, [], None, "a\nb", 1.5])
def test_a_value_is_recalled(root: UPath, value: Any) -> None:
    keep(root, NAMES, value)
    assert recall(root, NAMES) == value


def test_a_table_is_recalled(root: UPath) -> None:
    keep(root, NAMES, pl.DataFrame({"a": ["\n", "x"]}))
    assert recall(root, NAMES).to_pydict() == {"a": ["\n", "x"]}


def test_a_retry_replaces_it_also_by_another_kind(root: UPath) -> None:
    keep(root, NAMES, {"a": 1})
    keep(root, NAMES, pa.table({"a": [2]}))
    assert recall(root, NAMES).to_pydict() == {"a": [2]}
    keep(root, NAMES, 3)
    assert recall(root, NAMES) == 3


def test_what_cannot_be_kept_leaves_what_was_there(root: UPath) -> None:
    keep(root, NAMES, 1)
    with pytest.raises(NotStorable):
        keep(root, NAMES, object())
    assert recall(root, NAMES) == 1


def test_a_full_disk_leaves_what_was_there(small: Path) -> None:
    root = UPath(small)
    keep(root, NAMES, 1)
    with pytest.raises(StagingFailed, match=r"No space left on device|File too large"):
        keep(root, NAMES, random.Random(1).randbytes(100_000).hex())
    assert recall(root, NAMES) == 1


def test_what_was_never_kept_is_missing(root: UPath) -> None:
    with pytest.raises(DataDamaged, match="it is missing"):
        recall(root, NAMES)


def test_names_are_kept_apart(root: UPath, tmp_path: Path) -> None:
    pieces = ["", "-", "%", ".", "..", "a/b", "a", "b", "a%2Fb", "é", "mapped[key]", "value", "%2E"]
    for number, name in enumerate(pieces):
        keep(root / "below", ("run", name, "result", ""), number)
        keep(root / "below", ("run", "step", "result", name), -number - 1)
    assert [recall(root / "below", ("run", name, "result", "")) for name in pieces] == list(range(len(pieces)))
    assert [recall(root / "below", ("run", "step", "result", name)) for name in pieces] == [
        -number - 1 for number in range(len(pieces))
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["below"]
