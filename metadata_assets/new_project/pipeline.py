"""How the datasets are made: put your own sources in the place of these numbers."""

from datetime import date

import polars as pl


def customers() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2, 3], "name": ["Ann", "Bob", "Cho"], "country": ["NL", "NL", "KR"]})


def orders(partition: str) -> pl.DataFrame:
    """The orders of one day: `partition` is its date."""
    day = date.fromisoformat(partition).toordinal()
    numbers = [day * 10 + n for n in range(5)]
    return pl.DataFrame(
        {"id": numbers, "customer": [1 + n % 3 for n in numbers], "amount": [5.0 + n % 7 for n in numbers]}
    )


def positive(data: pl.DataFrame) -> bool:
    return bool((data["amount"] > 0).all())
