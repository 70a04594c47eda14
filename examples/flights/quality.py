"""The checks of this example. Each gets the partition as it was written (`data`) and the inputs that it names.

A check that is marked blocking in datasets/*.yml keeps a partition from being published; the others warn.
"""

import calendar
from datetime import date, timedelta

import dagster as dg
import polars as pl

from metadata_assets import SourceTable

AIRPORTS = ("EWR", "JFK", "LGA")
COUNT_OF_ONE_DAY = "SELECT count(*) AS rows FROM {table} WHERE local_date = %(day)s"


def matches_sources(
    data: pl.DataFrame, ewr: SourceTable, jfk: SourceTable, lga: SourceTable, partition: str
) -> dg.AssetCheckResult:
    """Every airport has as many rows here as its own database has for this day."""
    day = {"day": date.fromisoformat(partition)}
    there = {
        name: int(table.query(COUNT_OF_ONE_DAY, day).item())
        for name, table in zip(AIRPORTS, (ewr, jfk, lga), strict=True)
    }
    here = {name: data.filter(origin=name).height for name in AIRPORTS}
    return dg.AssetCheckResult(
        passed=here == there and data.height == sum(there.values()),
        description=f"{data.height:,} rows here, {sum(there.values()):,} in the sources",
        metadata={"here": here, "in_the_sources": there},
    )


def flight_keys_unique(data: pl.DataFrame) -> dg.AssetCheckResult:
    """An airport's day has a carrier's flight number once."""
    return _unique(data, "origin", "local_date", "carrier", "flight")


def weather_keys_unique(data: pl.DataFrame) -> dg.AssetCheckResult:
    """An airport has an hour of UTC once."""
    return _unique(data, "origin", "time_hour")


def local_hours_unique(data: pl.DataFrame) -> dg.AssetCheckResult:
    """An airport has a local hour once. Warns on the day when the clock goes back: the data are right, and still."""
    return _unique(data, "origin", "local_date", "hour", severity=dg.AssetCheckSeverity.WARN)


def one_local_day(data: pl.DataFrame, partition: str) -> bool:
    """All rows are of the partition's local day."""
    return data["local_date"].unique().to_list() == [date.fromisoformat(partition)]


def adds_up_to_flights(data: pl.DataFrame, flights: pl.DataFrame) -> bool:
    """Each airport and carrier has all of its flights, and once."""
    counted = flights.group_by("origin", "carrier").agg(flights=pl.len().cast(pl.Int64)).sort("origin", "carrier")
    return data.select("origin", "carrier", "flights").sort("origin", "carrier").equals(counted)


def weather_known(data: pl.DataFrame) -> dg.AssetCheckResult:
    """There is weather for every airport of the day; names those without."""
    unknown = data.filter(pl.col("weather_hours").is_null())["origin"].unique().sort().to_list()
    return dg.AssetCheckResult(
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"no weather at {', '.join(unknown)}: its columns are null" if unknown else None,
        metadata={"without_weather": unknown},
    )


def adds_up_to_days(data: pl.DataFrame, daily_delays: dict[str, pl.DataFrame]) -> bool:
    """Each carrier's counts are the sums over the days that went in."""
    counts = [pl.col(name).sum() for name in ("flights", "cancelled", "departed", "arrived")]
    summed = pl.concat(daily_delays.values()).group_by("carrier").agg(counts).sort("carrier")
    return data.select(summed.columns).sort("carrier").equals(summed)


def every_day_there(daily_delays: dict[str, pl.DataFrame], partition: str) -> dg.AssetCheckResult:
    """No day of the month is missing; names those that are."""
    first = date.fromisoformat(partition)
    _, length = calendar.monthrange(first.year, first.month)
    month = [str(first + timedelta(days=number)) for number in range(length)]
    missing = [day for day in month if day not in daily_delays]
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(missing)} of {length} days are missing and left out" if missing else None,
        metadata={"missing_days": missing},
    )


def _unique(
    data: pl.DataFrame, *key: str, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
) -> dg.AssetCheckResult:
    repeated = data.group_by(key).len().filter(pl.col("len") > 1).sort(key)
    return dg.AssetCheckResult(
        passed=repeated.is_empty(),
        severity=severity,
        description=None if repeated.is_empty() else f"{repeated.height} keys ({', '.join(key)}) stand more than once",
        metadata={"repeated": repeated.cast(pl.String).to_dicts()[:20]},
    )
