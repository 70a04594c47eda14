"""The checks of the year under kills: what is as it has to be is not told, and each thing that can be wrong is."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from flights_loads import ROOT

sys.path.append(str(ROOT / "tests" / "dagster"))

from year_backfill import Backfilled
from year_counts import Counted
from year_pins import Pinned
from year_under_kills import Year, wrong_in

MADE = Backfilled(
    status="COMPLETED", runs=400, kills=40, given_up=35, retried=30, reexecuted=5, failed_by_themselves=0, seconds=1.0
)
COUNTED = Counted(
    materializations=365,
    published=365,
    rows_in_sources=336_776,
    rows_recorded=336_776,
    rows_in_files=336_776,
    lost=0,
    doubled=0,
    torn=0,
    redeliveries=3,
    abandoned=12,
    unknown_files=0,
    attempts={"succeeded": 365, "lost": 35},
)
PINNED = Pinned(
    version=400,
    reads_through_the_pin=50,
    through_the_pin=["d1"],
    reads_published=50,
    published_seen=["old", "altered", "old"],
    collected_before_rollback=0,
    collected_after_rollback=31,
    errors=[],
)
GOOD = Year(365, 100.0, MADE, COUNTED, MADE, PINNED, [])


def test_a_good_year_has_nothing_wrong() -> None:
    assert wrong_in(GOOD, 31) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"materializations": 366}, "materializations: 366, not 365"),
        ({"published": 364}, "partitions published: 364, not 365"),
        ({"rows_in_files": 336_775}, "rows in the files: 336775, not 336776"),
        ({"rows_recorded": 336_777}, "rows in the records: 336777"),
        ({"rows_in_sources": 336_775}, "rows in the sources: 336775"),
        ({"lost": 1}, "lost, doubled or torn: (1, 0, 0)"),
        ({"doubled": 1}, "lost, doubled or torn: (0, 1, 0)"),
        ({"torn": 1}, "lost, doubled or torn: (0, 0, 1)"),
        ({"unknown_files": 1}, "files that nobody knows: 1"),
        ({"attempts": {"running": 1, "succeeded": 365}}, "attempts left running: 1"),
        ({"attempts": {"succeeded": 364}}, "attempts that succeeded: False"),
    ],
)
def test_what_is_counted_wrong_is_told(changed: dict[str, Any], told: str) -> None:
    (only,) = [one for one in wrong_in(replace(GOOD, counted=replace(COUNTED, **changed)), 31) if one.startswith(told)]
    assert only


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"through_the_pin": ["d1", "d2"]}, "digests through the pin: 2, not 1"),
        ({"through_the_pin": []}, "digests through the pin: 0, not 1"),
        ({"errors": ["no such file"]}, "errors of readers: ['no such file']"),
        ({"published_seen": ["old", "altered"]}, "what readers saw published"),
        ({"published_seen": ["old", "half", "altered", "old"]}, "what readers saw published"),
        ({"collected_before_rollback": 1}, "collected while pinned: 1"),
        ({"collected_after_rollback": 30}, "collected after the rollback: 30, not 31"),
    ],
)
def test_what_readers_saw_wrong_is_told(changed: dict[str, Any], told: str) -> None:
    (only,) = wrong_in(replace(GOOD, pinned=replace(PINNED, **changed)), 31)
    assert only.startswith(told)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kills": 0}, "kills: False"),
        ({"failed_by_themselves": 1}, "runs that failed by themselves: 1"),
    ],
)
def test_a_year_that_was_not_tried_is_told(changed: dict[str, Any], told: str) -> None:
    (only,) = wrong_in(replace(GOOD, backfilled=replace(MADE, **changed)), 31)
    assert only.startswith(told)
