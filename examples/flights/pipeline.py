"""The datasets of this example: one function each, which takes its inputs by name and returns a table.

What they depend on, how they are partitioned, checked and published is in datasets/*.yml. A function is called for one
partition; it may take and return Polars, pandas or Arrow tables, as its annotations say. It returns None where there
are no data for the partition, which then stays missing.
"""

from datetime import date

import pandas as pd
import polars as pl

from metadata_assets import SourceTable

# The columns and their types, whatever a single day happens to hold.
FLIGHTS = pl.Schema(
    {
        "local_date": pl.Date(),
        "time_hour": pl.Datetime("us", "UTC"),
        "origin": pl.String(),
        "dest": pl.String(),
        "carrier": pl.String(),
        "flight": pl.Int32(),
        "tailnum": pl.String(),
        "sched_dep_time": pl.Int16(),
        "dep_time": pl.Int16(),
        "dep_delay": pl.Int16(),
        "arr_delay": pl.Int16(),
        "air_time": pl.Int16(),
        "distance": pl.Int32(),
    }
)
WEATHER = pl.Schema(
    {
        "local_date": pl.Date(),
        "time_hour": pl.Datetime("us", "UTC"),
        "origin": pl.String(),
        "hour": pl.Int16(),
        "temp": pl.Float64(),
        "dewp": pl.Float64(),
        "humid": pl.Float64(),
        "wind_dir": pl.Int16(),
        "wind_speed": pl.Float64(),
        "wind_gust": pl.Float64(),
        "precip": pl.Float64(),
        "pressure": pl.Float64(),
        "visib": pl.Float64(),
    }
)

ONE_DAY = "SELECT * FROM {table} WHERE local_date = %(day)s"
ADDITIVE = ["flights", "cancelled", "departed", "arrived", "dep_delay_minutes", "arr_delay_minutes"]


def flights(ewr: SourceTable, jfk: SourceTable, lga: SourceTable, partition: str) -> pl.DataFrame:
    """The departures of one local day from all three airports."""
    return _one_day(partition, FLIGHTS, ewr, jfk, lga).sort("time_hour", "origin", "carrier", "flight")


def weather(ewr: SourceTable, jfk: SourceTable, lga: SourceTable, partition: str) -> pl.DataFrame | None:
    """The weather of one local day at all three airports; None for a day without any observation."""
    found = _one_day(partition, WEATHER, ewr, jfk, lga).sort("time_hour", "origin")
    return None if found.is_empty() else found


def daily_delays(flights: pl.DataFrame, weather: pl.DataFrame | None) -> pl.DataFrame:
    """Delays by airport and carrier. Without weather (None: its partition is missing) the weather columns are null."""
    delays = flights.group_by("local_date", "origin", "carrier").agg(
        flights=pl.len().cast(pl.Int64),
        cancelled=pl.col("dep_time").null_count().cast(pl.Int64),
        departed=pl.col("dep_delay").count().cast(pl.Int64),
        arrived=pl.col("arr_delay").count().cast(pl.Int64),
        dep_delay_minutes=pl.col("dep_delay").cast(pl.Int64).sum(),
        arr_delay_minutes=pl.col("arr_delay").cast(pl.Int64).sum(),
        mean_dep_delay=pl.col("dep_delay").mean(),
        median_dep_delay=pl.col("dep_delay").median(),
        mean_arr_delay=pl.col("arr_delay").mean(),
        median_arr_delay=pl.col("arr_delay").median(),
    )
    observed = WEATHER.to_frame() if weather is None else weather
    conditions = observed.group_by("origin").agg(
        weather_hours=pl.len().cast(pl.Int64),
        mean_temp=pl.col("temp").mean(),
        mean_wind_speed=pl.col("wind_speed").mean(),
        mean_precip=pl.col("precip").mean(),
        mean_visib=pl.col("visib").mean(),
    )
    return delays.join(conditions, on="origin", how="left").sort("origin", "carrier")


def carrier_month(daily_delays: dict[str, pd.DataFrame], partition: str) -> pd.DataFrame | None:
    """Delays by carrier over the days that there are; None while there is no day. In pandas, because one may.

    Means are made from sums: a mean of daily means would give a quiet day the weight of a busy one.
    """
    if not daily_delays:
        return None
    days = pd.concat(daily_delays.values())
    by_carrier = days.groupby("carrier")
    month = by_carrier[ADDITIVE].sum()
    month.insert(0, "days", by_carrier["local_date"].nunique())
    month["mean_dep_delay"] = month.pop("dep_delay_minutes") / month["departed"]
    month["mean_arr_delay"] = month.pop("arr_delay_minutes") / month["arrived"]
    return month.reset_index().assign(month=partition[:7])[["month", "carrier", *month.columns]]


def _one_day(partition: str, columns: pl.Schema, *airports: SourceTable) -> pl.DataFrame:
    """These columns of one local day, from every airport's own database."""
    day = {"day": date.fromisoformat(partition)}
    typed = [pl.col(name).cast(kind) for name, kind in columns.items()]
    return pl.concat([airport.query(ONE_DAY, day).select(typed) for airport in airports])
