"""What the demo decides before it runs anything."""

import pytest

from examples.flights.showcase.planning import NoSuchDays, Work, days_asked, example_day, whole_months, work
from identity.keys import dataset_key

ONE, OTHER = (dataset_key("lake", schema="nyc", table=table) for table in ("one", "other"))


def test_days_are_counted_from_the_first_of_january() -> None:
    assert days_asked(2) == ["2013-01-01", "2013-01-02"]
    assert days_asked(365)[-1] == "2013-12-31"


@pytest.mark.parametrize("number", [0, -1, 366])
def test_days_without_data_are_refused(number: int) -> None:
    with pytest.raises(NoSuchDays, match="ask for 1 to 365"):
        days_asked(number)


@pytest.mark.parametrize(
    ("days", "months"),
    [
        (30, []),
        (31, ["2013-01-01"]),
        (58, ["2013-01-01"]),
        (59, ["2013-01-01", "2013-02-01"]),
        (365, [f"2013-{month:02}-01" for month in range(1, 13)]),
    ],
)
def test_a_month_is_made_when_all_of_its_days_are(days: int, months: list[str]) -> None:
    assert whole_months(days_asked(days)) == months


def test_days_that_do_not_begin_a_month_are_no_month() -> None:
    assert whole_months(["2013-12-31"]) == []


def test_the_fifteenth_is_looked_at_or_the_last_day_there_is() -> None:
    assert [example_day(days_asked(days)) for days in (1, 14, 15, 31)] == [
        "2013-01-01",
        "2013-01-14",
        "2013-01-15",
        "2013-01-15",
    ]


def test_only_what_is_not_published_is_run() -> None:
    published = {ONE: {"2013-01-01", "2013-01-02"}, OTHER: {"2013-01-01"}}
    assert work(days_asked(3), (ONE, OTHER), published) == [
        Work(partition="2013-01-02", datasets=(OTHER,)),
        Work(partition="2013-01-03", datasets=(ONE, OTHER)),
    ]
    assert work(days_asked(1), (ONE, OTHER), published) == []
