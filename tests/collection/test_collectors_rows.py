"""Profiles: what is told of the rows of tables, on a real database of each system."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from metadata_assets.collection import duckdb_file, mysql, postgres, profiling, sqlite_file
from metadata_assets.collection.errors import EndpointBusy, SourceError
from metadata_assets.collection.profiling import profile_endpoint
from resources.metadata_store import MetadataStore
from tests.collection.places import Place, postgres_place, sqlite_place


def test_a_profile_counts_and_keeps_no_text(
    place: Place, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run(
        "CREATE TABLE a (n int, price decimal(6, 2), day date, who varchar(20))",
        "INSERT INTO a VALUES (1, 1.5, '2026-01-01', 'ann'), (2, 2.5, '2026-02-03', 'bob'), (NULL, NULL, NULL, 'bob'),"
        " (2, 2.5, NULL, 'bob')",
        f"CREATE TABLE {place.quoted('odd name')} ({place.quoted('a b')} int)",
        "CREATE VIEW v AS SELECT n FROM a",
    )
    place.collect(store)
    profiled = profile_endpoint(store, place.location, place.databases)
    assert profiled.left == ()
    found = {one.key.table: one for one in profiled.profiles}
    assert set(found) == {"a", "odd name"}
    columns = {one.name: one for one in found["a"].columns}
    assert (found["a"].rows, found["a"].sampled) == (4, 4)
    assert {name: (one.nulls, one.distinct) for name, one in columns.items()} == {
        "n": (0.25, 2),
        "price": (0.25, 2),
        "day": (0.5, 2),
        "who": (0.0, 2),
    }
    assert (columns["n"].least, columns["n"].greatest) == (1, 2)
    assert float(columns["price"].greatest or 0) == 2.5
    days = (None, None) if place.location.system == "sqlite" else ("2026-01-01", "2026-02-03")  # texts there
    assert (columns["day"].least, columns["day"].greatest) == days
    assert (columns["who"].least, columns["who"].greatest) == (None, None)
    assert (found["odd name"].columns[0].nulls, found["odd name"].rows) == (None, 0)

    place.run("INSERT INTO a VALUES (7, 7, NULL, NULL)")
    profile_endpoint(store, place.location, place.databases)
    newest, older = store.profiles(store.entity(place.key("a")))
    assert [newest.rows, older.rows] == [5, 4]
    assert older.columns == found["a"].columns
    monkeypatch.setattr(profiling, "TOTAL_SECONDS", -1.0)
    assert {gap.reason for gap in profile_endpoint(store, place.location, place.databases).left} == {
        "there was no time left for it"
    }


def test_a_large_table_is_told_from_a_sample(
    place: Place, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (profiling, postgres, duckdb_file, sqlite_file, mysql):
        monkeypatch.setattr(module, "SAMPLE", 1_000)
    numbers = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n, 'x' FROM s"
    wide = "(n int, pad char(200))"  # many blocks, of which whole ones are drawn
    place.run(f"CREATE TABLE b {wide}", f"CREATE TABLE a {wide}", f"INSERT INTO b {numbers}")
    place.run(*["INSERT INTO a SELECT n, pad FROM b"] * 12)
    place.run("ANALYZE TABLE a" if place.quotes == "`" else "ANALYZE")
    place.collect(store)
    (profile,) = [
        one for one in profile_endpoint(store, place.location, place.databases).profiles if one.key.table == "a"
    ]
    assert 300 <= profile.sampled <= 3_000
    assert abs((profile.rows or 0) - 10_800) < 1_500


ENDLESS = {
    "postgres": "SELECT pg_sleep(60)",
    "mariadb": "SELECT sleep(60)",
    "duckdb": "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range * b.range % 7 = 1",
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT count(*) FROM s",
}


def test_a_look_at_rows_ends_at_its_limit_and_the_next_one_works(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "STATEMENT_SECONDS", 0.2)
    with profiling.asking(place.location, place.databases) as rows:
        with pytest.raises(EndpointBusy, match="a query ran into the time limit"):
            rows.ask(ENDLESS[place.location.system])
        assert tuple(rows.ask("SELECT 1")) == (1,)
        with pytest.raises(SourceError):
            rows.ask(f"CREATE TABLE {rows.within}{place.schema}.t (x int)")


def test_a_table_that_cannot_be_looked_at_is_left_out_and_the_others_are_not(
    make_database: Callable[..., str], store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT", "50ms")
    url = make_database()
    place = postgres_place(url)
    place.run("CREATE TABLE free (n int)", "CREATE TABLE held (n int)")
    place.collect(store)
    with psycopg.connect(url) as holding:
        holding.execute("LOCK TABLE held")
        found = profile_endpoint(store, place.location, place.databases)
    assert [(one.name, "holds a lock" in one.reason) for one in found.left] == [(str(place.key("held")), True)]
    assert [one.key.table for one in found.profiles] == ["free"]


def test_looking_at_rows_keeps_no_writer_of_a_file_waiting(
    tmp_path: Path, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "SAMPLE", 1_000)
    monkeypatch.setattr(sqlite_file, "SAMPLE", 1_000)
    place = sqlite_place(tmp_path)
    numbers = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1500) SELECT n FROM s"
    place.run("CREATE TABLE a (n int)", f"INSERT INTO a {numbers}")
    place.collect(store)
    with profiling.asking(place.location, place.databases) as rows:
        rows.ask('SELECT count(*) FROM "main"."a"')
        with closing(sqlite3.connect(place.variables["SOURCE"], timeout=0.0)) as writing, writing:
            writing.execute("DELETE FROM a WHERE n > 1400")
        assert tuple(rows.ask('SELECT count(*) FROM "main"."a"')) == (1_400,)
    (profile,) = profile_endpoint(store, place.location, place.databases).profiles
    assert (profile.sampled, profile.rows) == (1_000, None), "nobody counted it, and more rows may be there"


def test_a_moment_that_python_has_not_costs_only_itself(
    make_database: Callable[..., str], store: MetadataStore
) -> None:
    place = postgres_place(make_database())
    place.run(
        "CREATE TABLE a (n int, day date, at timestamp, moment timestamptz)",
        "INSERT INTO a VALUES (1, '2026-01-01', '-infinity', '0044-03-15 12:00 BC')",
        "INSERT INTO a VALUES (2, 'infinity', '20000-01-01', now())",
    )
    place.collect(store)
    (profile,) = profile_endpoint(store, place.location, place.databases).profiles
    found = {one.name: (one.least, one.greatest) for one in profile.columns}
    assert (found["n"], found["day"], found["at"]) == ((1, 2), ("2026-01-01", None), (None, None))
    assert (found["moment"][0], found["moment"][1] is None) == (None, False)
