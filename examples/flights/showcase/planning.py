"""What is still to be run: pure, from what is asked for and what is published."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import ClassVar, Final

from identity.errors import MetadataError
from identity.keys import CanonicalKey

FIRST_DAY: Final = date(2013, 1, 1)
DAYS_OF_DATA: Final = 365
EXAMPLE_DAY: Final = "2013-01-15"


class NoSuchDays(MetadataError):
    """there are no {days} days of data: the sources have 365 of them, from 2013-01-01; ask for 1 to 365"""

    days: int
    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run to be made: some datasets for one partition."""

    partition: str
    datasets: tuple[CanonicalKey, ...]


def days_asked(number: int) -> list[str]:
    """So many days from the first one. Raises NoSuchDays."""
    if not 1 <= number <= DAYS_OF_DATA:
        raise NoSuchDays(days=number)
    return [str(FIRST_DAY + timedelta(days=offset)) for offset in range(number)]


def whole_months(days: Iterable[str]) -> list[str]:
    """The months, by their first day, of which every day is there. The days are in order."""
    months = {month: list(some) for month, some in groupby(days, key=lambda day: day[:7])}
    return [f"{month}-01" for month, some in months.items() if _is_last_of_month(some[-1]) and some[0].endswith("-01")]


def _is_last_of_month(day: str) -> bool:
    return (date.fromisoformat(day) + timedelta(days=1)).day == 1


def example_day(days: Sequence[str]) -> str:
    """The day that the demo looks at closely."""
    return EXAMPLE_DAY if EXAMPLE_DAY in days else days[-1]


def work(
    partitions: Iterable[str], datasets: Sequence[CanonicalKey], published: Mapping[CanonicalKey, Collection[str]]
) -> list[Work]:
    """One run for each partition that a dataset does not have yet, for those datasets alone."""
    wanted = (
        Work(partition=partition, datasets=tuple(key for key in datasets if partition not in published[key]))
        for partition in partitions
    )
    return [one for one in wanted if one.datasets]
