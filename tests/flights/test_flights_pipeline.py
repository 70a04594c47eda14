"""The functions of the datasets: one local day is that day, a missing one is missing, months are sums of days."""

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import pytest

from examples.flights import pipeline
from metadata_assets import SourceTable

Tables = Callable[[str], dict[str, SourceTable]]
ORDINARY = "2013-01-15"
CLOCK_GOES_BACK = "2013-11-03"
WITHOUT_WEATHER = "2013-12-31"


@pytest.fixture(scope="module")
def flights_of(tables_of: Tables) -> Callable[[str], pl.DataFrame]:
    return lambda day: pipeline.flights(**tables_of("flights"), partition=day)


@pytest.fixture(scope="module")
def weather_of(tables_of: Tables) -> Callable[[str], pl.DataFrame | None]:
    return lambda day: pipeline.weather(**tables_of("weather"), partition=day)


@pytest.mark.parametrize(
    ("day", "rows"), [("2013-01-01", 842), (ORDINARY, 894), (CLOCK_GOES_BACK, 902), (WITHOUT_WEATHER, 776)]
)
def test_flights_of_a_local_day(flights_of: Callable[[str], pl.DataFrame], day: str, rows: int) -> None:
    found = flights_of(day)
    assert (found.height, found.schema) == (rows, pipeline.FLIGHTS)
    assert found["local_date"].unique().to_list() == [date.fromisoformat(day)]
    assert found["origin"].unique().sort().to_list() == ["EWR", "JFK", "LGA"]
    here = found.select(pl.col("time_hour").dt.convert_time_zone("America/New_York").dt.date()).to_series()
    assert here.unique().to_list() == [date.fromisoformat(day)]


def test_january_by_day(flights_of: Callable[[str], pl.DataFrame]) -> None:
    days = [flights_of(str(date(2013, 1, 1) + timedelta(days=number))).height for number in range(31)]
    assert (len(days), sum(days)) == (31, 27_004)


def test_weather_of_a_local_day(weather_of: Callable[[str], pl.DataFrame | None]) -> None:
    found = weather_of(CLOCK_GOES_BACK)
    assert found is not None
    assert (found.height, found.schema) == (72, pipeline.WEATHER)
    lived_twice = found.group_by("origin", "hour").len().filter(pl.col("len") > 1)
    assert sorted(lived_twice.rows()) == [("EWR", 1, 2), ("JFK", 1, 2), ("LGA", 1, 2)]


def test_a_day_without_weather_is_missing_and_not_empty(weather_of: Callable[[str], pl.DataFrame | None]) -> None:
    assert weather_of(WITHOUT_WEATHER) is None


def test_delays_of_a_day(
    flights_of: Callable[[str], pl.DataFrame], weather_of: Callable[[str], pl.DataFrame | None]
) -> None:
    flights, weather = flights_of(ORDINARY), weather_of(ORDINARY)
    delays = pipeline.daily_delays(flights, weather)
    assert delays["flights"].sum() == flights.height
    assert delays["flights"].equals(delays["cancelled"] + delays["departed"])
    jetblue = delays.row(by_predicate=(pl.col("origin") == "JFK") & (pl.col("carrier") == "B6"), named=True)
    own = flights.filter(origin="JFK", carrier="B6")
    assert jetblue["cancelled"] == own.filter(pl.col("dep_time").is_null()).height
    assert jetblue["mean_dep_delay"] == pytest.approx(own["dep_delay"].mean())
    assert jetblue["median_arr_delay"] == own["arr_delay"].median()
    assert weather is not None
    assert jetblue["weather_hours"] == 24
    assert jetblue["mean_temp"] == pytest.approx(weather.filter(origin="JFK")["temp"].mean())


def test_delays_of_a_day_without_weather_are_there_and_its_weather_is_null(
    flights_of: Callable[[str], pl.DataFrame], weather_of: Callable[[str], pl.DataFrame | None]
) -> None:
    with_weather = pipeline.daily_delays(flights_of(ORDINARY), weather_of(ORDINARY))
    without = pipeline.daily_delays(flights_of(WITHOUT_WEATHER), None)
    assert without.schema == with_weather.schema
    assert without["flights"].sum() == 776
    weather_columns = ["weather_hours", "mean_temp", "mean_wind_speed", "mean_precip", "mean_visib"]
    assert without.select(weather_columns).null_count().row(0) == (without.height,) * 5


def test_a_month_is_the_sum_of_the_days_that_there_are(flights_of: Callable[[str], pl.DataFrame]) -> None:
    some_days = {day: flights_of(day) for day in ("2013-12-01", "2013-12-24", WITHOUT_WEATHER)}
    delays = {day: pipeline.daily_delays(flights, None) for day, flights in some_days.items()}
    month = pipeline.carrier_month({day: frame.to_pandas() for day, frame in delays.items()}, "2013-12-01")
    assert month is not None
    flights = pl.concat(some_days.values())
    expected = flights.group_by("carrier").agg(
        days=pl.col("local_date").n_unique().cast(pl.Int64),
        flights=pl.len().cast(pl.Int64),
        mean_arr_delay=pl.col("arr_delay").mean(),
    )
    got = pl.from_pandas(month)
    assert got.columns == [
        *("month", "carrier", "days", "flights", "cancelled", "departed", "arrived"),
        *("mean_dep_delay", "mean_arr_delay"),
    ]
    assert got["month"].unique().to_list() == ["2013-12"]
    got = got.select(expected.columns).sort("carrier")
    assert got.drop("mean_arr_delay").equals(expected.drop("mean_arr_delay").sort("carrier"))
    assert got["mean_arr_delay"].to_list() == pytest.approx(expected.sort("carrier")["mean_arr_delay"].to_list())


def test_a_month_without_any_day_is_missing() -> None:
    assert pipeline.carrier_month({}, "2013-02-01") is None
