"""The checks: green on true data, and each red on the data that it is for."""

from collections.abc import Callable

import dagster as dg
import polars as pl
import pytest

from examples.flights import pipeline, quality
from metadata_assets import SourceTable

Tables = Callable[[str], dict[str, SourceTable]]
DAY = "2013-01-15"


@pytest.fixture(scope="module")
def flights(tables_of: Tables) -> pl.DataFrame:
    return pipeline.flights(**tables_of("flights"), partition=DAY)


@pytest.fixture(scope="module")
def weather(tables_of: Tables) -> pl.DataFrame:
    found = pipeline.weather(**tables_of("weather"), partition=DAY)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def delays(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    return pipeline.daily_delays(flights, weather)


def doubled(data: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([data, data.head(1)])


def test_rows_match_the_sources(tables_of: Tables, flights: pl.DataFrame, weather: pl.DataFrame) -> None:
    result = quality.matches_sources(flights, **tables_of("flights"), partition=DAY)
    assert (result.passed, result.description) == (True, "894 rows here, 894 in the sources")
    assert quality.matches_sources(weather, **tables_of("weather"), partition=DAY).passed


@pytest.mark.parametrize("spoiled", [lambda data: data.tail(-1), doubled, lambda data: data.clear()])
def test_lost_and_doubled_rows_do_not_match(
    tables_of: Tables, flights: pl.DataFrame, spoiled: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    result = quality.matches_sources(spoiled(flights), **tables_of("flights"), partition=DAY)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_rows_that_changed_airports_do_not_match(tables_of: Tables, flights: pl.DataFrame) -> None:
    moved = flights.with_columns(origin=pl.lit("JFK"))
    assert not quality.matches_sources(moved, **tables_of("flights"), partition=DAY).passed


def test_keys_are_unique(flights: pl.DataFrame, weather: pl.DataFrame) -> None:
    assert quality.flight_keys_unique(flights).passed
    assert quality.weather_keys_unique(weather).passed
    for result in (quality.flight_keys_unique(doubled(flights)), quality.weather_keys_unique(doubled(weather))):
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_the_hour_lived_twice_is_reported_and_no_error(tables_of: Tables, weather: pl.DataFrame) -> None:
    assert quality.local_hours_unique(weather).passed
    autumn = pipeline.weather(**tables_of("weather"), partition="2013-11-03")
    assert autumn is not None
    assert quality.weather_keys_unique(autumn).passed
    result = quality.local_hours_unique(autumn)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == "3 keys (origin, local_date, hour) stand more than once"


def test_a_partition_is_one_local_day(flights: pl.DataFrame) -> None:
    assert quality.one_local_day(flights, DAY)
    assert not quality.one_local_day(flights, "2013-01-16")
    assert not quality.one_local_day(flights.with_columns(local_date=pl.col("time_hour").dt.date()), DAY)


def test_delays_add_up_to_the_flights(flights: pl.DataFrame, delays: pl.DataFrame) -> None:
    assert quality.adds_up_to_flights(delays, flights)
    assert not quality.adds_up_to_flights(delays.tail(-1), flights)
    assert not quality.adds_up_to_flights(delays, flights.tail(-1))
    assert not quality.adds_up_to_flights(doubled(delays), flights)


def test_unknown_weather_is_a_warning_that_names_the_airports(
    flights: pl.DataFrame, weather: pl.DataFrame, delays: pl.DataFrame
) -> None:
    assert quality.weather_known(delays).passed
    for known, named in ((None, "EWR, JFK, LGA"), (weather.filter(pl.col("origin") != "LGA"), "LGA")):
        result = quality.weather_known(pipeline.daily_delays(flights, known))
        assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert result.description == f"no weather at {named}: its columns are null"


def test_months_add_up_and_name_their_missing_days(delays: pl.DataFrame) -> None:
    january = {f"2013-01-{day:02}": delays for day in range(1, 32)}
    month = pipeline.carrier_month({day: frame.to_pandas() for day, frame in january.items()}, "2013-01-01")
    assert month is not None
    data = pl.from_pandas(month)
    assert quality.adds_up_to_days(data, january)
    assert quality.every_day_there(january, "2013-01-01").passed
    del january["2013-01-13"]
    assert not quality.adds_up_to_days(data, january)
    result = quality.every_day_there(january, "2013-01-01")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.description == "1 of 31 days are missing and left out"
    assert result.metadata["missing_days"].value == ["2013-01-13"]
