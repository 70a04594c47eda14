"""A table of a source is read with its own types, cannot be changed, and no error tells its password."""

import datetime as dt
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info
from psycopg import sql
from sqlalchemy.engine import make_url

from identity.keys import dataset_key
from metadata_assets.source_table import SourceTable, SourceUnreachable, UnusableAnswer

PASSWORD = "never-to-be-seen"
UTC = dt.UTC
MOMENT = dt.datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
UUID = "00000000-0000-0000-0000-000000000001"

TYPES: dict[str, tuple[Any, Any]] = {
    "true": (True, pl.Boolean),
    "(-1)::int2": (-1, pl.Int16),
    "2": (2, pl.Int32),
    "9223372036854775807": (2**63 - 1, pl.Int64),
    "4294967295::oid": (2**32 - 1, pl.UInt32),
    "0.5::float4": (0.5, pl.Float32),
    "'-infinity'::float8": (float("-inf"), pl.Float64),
    "1.10::numeric(4, 2)": (Decimal("1.10"), pl.Decimal(4, 2)),
    "12345678901234567890123456789012345678::numeric(38)": (
        Decimal("12345678901234567890123456789012345678"),
        pl.Decimal(38, 0),
    ),
    "1.5": (1.5, pl.Float64),
    "'infinity'::numeric": (float("inf"), pl.Float64),
    "1200::numeric(2, -2)": (1200.0, pl.Float64),
    "0.001::numeric(2, 4)": (0.001, pl.Float64),
    "1::numeric(39)": (1.0, pl.Float64),
    "'é'::text": ("é", pl.String),
    "'x'::varchar(3)": ("x", pl.String),
    "'x'::char(3)": ("x  ", pl.String),
    "'x'::\"char\"": ("x", pl.String),
    "'x'::name": ("x", pl.String),
    "'\\x00ff'::bytea": (b"\x00\xff", pl.Binary),
    "'0001-01-01'::date": (dt.date(1, 1, 1), pl.Date),
    "'23:59:59.999999'::time": (dt.time(23, 59, 59, 999999), pl.Time),
    "'2026-03-29 02:30'::timestamp": (MOMENT.replace(hour=2, tzinfo=None), pl.Datetime("us")),
    "'2026-03-29 02:30 Europe/Paris'::timestamptz": (MOMENT + dt.timedelta(hours=1), pl.Datetime("us", "UTC")),
    "'1 month 1 second'::interval": (dt.timedelta(days=30, seconds=1), pl.Duration("us")),
    "'{1,NULL}'::int4[]": ([1, None], pl.List(pl.Int32)),
    "'{}'::int4[]": ([], pl.List(pl.Int32)),
    "'{a,NULL}'::text[]": (["a", None], pl.List(pl.String)),
    f"'{{{UUID}}}'::uuid[]": ([UUID], pl.List(pl.String)),
    "'{2026-03-29 00:30Z}'::timestamptz[]": ([MOMENT], pl.List(pl.Datetime("us", "UTC"))),
    "'{1.5}'::numeric[]": ("{1.5}", pl.String),
    f"'{UUID}'::uuid": (UUID, pl.String),
    '\'{"b": 1, "a": [1.0, null]}\'::json': ('{"b": 1, "a": [1.0, null]}', pl.String),
    '\'{"b": 1, "a": [1.0, null]}\'::jsonb': ('{"a": [1.0, null], "b": 1}', pl.String),
    "'10.0.0.1/8'::inet": ("10.0.0.1/8", pl.String),
    "int4range(1, 2)": ("[1,2)", pl.String),
    "'12:00+02'::timetz": ("12:00:00+02", pl.String),
    "'(1,2)'::point": ("(1,2)", pl.String),
    "B'101'": ("101", pl.String),
    "ROW(1, 'x')": ("(1,x)", pl.String),
    "'happy'::mood": ("happy", pl.String),
    "'{happy}'::mood[]": ("{happy}", pl.String),
    "5::positive": (5, pl.Int32),
    "NULL": (None, pl.String),
}


@pytest.fixture(scope="module")
def source(make_database: Callable[..., str]) -> str:
    """A database of somebody else's."""
    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('happy')")
        connection.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
        connection.execute("CREATE TABLE flights (day int, carrier text)")
        connection.execute("INSERT INTO flights VALUES (1, 'UA'), (1, 'B6'), (2, 'UA')")
    return url


@pytest.fixture
def notes() -> list[int]:
    """How many rows each query read."""
    return []


@pytest.fixture
def flights(source: str, notes: list[int]) -> SourceTable:
    """A table of it."""
    key = dataset_key("jfk", source="jfk", schema="public", table="flights")
    return SourceTable(key, lambda: source, notes.append)


@pytest.mark.parametrize("expression", TYPES)
def test_an_answer_has_the_same_types_with_rows_and_without(flights: SourceTable, expression: str) -> None:
    value, kind = TYPES[expression]
    statement = f"SELECT {expression} AS it FROM generate_series(1, %s)"
    full, empty = flights.query(statement, [1]), flights.query(statement, [0])
    assert full.schema == empty.schema == {"it": kind}
    assert full["it"].to_list() == [value]


@pytest.mark.parametrize(
    ("kind", "polars"), [("int4", pl.Int32), ("numeric(4, 2)", pl.Decimal(4, 2)), ("text[]", pl.List(pl.String))]
)
def test_a_null_has_a_type_too(flights: SourceTable, kind: str, polars: Any) -> None:
    found = flights.query(f"SELECT NULL::{kind} AS it")
    assert found.schema == {"it": polars}
    assert found["it"].to_list() == [None]


@pytest.mark.parametrize(
    "expression",
    ["infinity::date", "infinity::timestamp", "infinity::timestamptz", "0044-03-15 BC::date", "24:00::time"],
)
def test_a_time_that_python_has_not_is_refused(flights: SourceTable, notes: list[int], expression: str) -> None:
    value, kind = expression.split("::")
    with pytest.raises(UnusableAnswer, match="cast it to text"):
        flights.query(f"SELECT '{value}'::{kind}")
    assert flights.query(f"SELECT '{value}'::{kind}::text AS it")["it"].to_list() == [value.replace(":00", ":00:00")]
    assert notes == [1], "what was not answered is not noted"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT 'NaN'::numeric(3, 1) AS it", "column it holds NaN, which no exact number is; cast it to float8"),
        ("SELECT '{{1},{2}}'::int[] AS it", r"column it holds values that are no List\(Int32\); cast it to text"),
        ("SELECT 1 AS it, 2 AS it", "two columns are called it; name them apart with AS"),
        ("SELECT FROM {table}", "the statement has no columns"),
        ("SET work_mem = '1MB'", "the statement has no columns"),
    ],
)
def test_what_is_no_table_is_refused(flights: SourceTable, statement: str, reason: str) -> None:
    with pytest.raises(UnusableAnswer, match=reason):
        flights.query(statement)


def test_rows_are_noted(flights: SourceTable, notes: list[int]) -> None:
    one_day = flights.query("SELECT carrier FROM {table} WHERE day = %(day)s ORDER BY 1", {"day": 1})
    assert one_day["carrier"].to_list() == ["B6", "UA"]
    assert flights.query("SELECT count(*) FROM {table}").item() == 3
    assert flights.query("SELECT carrier FROM {table} WHERE day = %s", [9]).is_empty()
    assert notes == [2, 1, 0]


@pytest.mark.parametrize("parameters", [[], ["UA"]], ids=["bare", "with parameters"])
@pytest.mark.parametrize("braces", ["{}", "{other}", "{0}", "{{x}}"])
def test_braces_and_percent_are_the_statements_own(flights: SourceTable, braces: str, parameters: list[str]) -> None:
    like = "carrier = %s" if parameters else "carrier LIKE 'U%'"
    rest = "7 %% 4" if parameters else "7 % 4"
    found = flights.query(f"SELECT '{braces}' AS braces, {rest} AS rest FROM {{table}} WHERE {like}", parameters)
    assert found.rows() == [(braces, 3)] * 2


@pytest.mark.parametrize(
    "name",
    [
        "Upper",
        "with space",
        'quo"ted',
        "semi;colon",
        "'; DROP TABLE flights; --",
        "per%cent",
        "%s",
        "%(day)s",
        "{table}",
        "dot.ted",
        "back\\slash",
        "select",
        "é🙂",
        "x" * 63,
    ],
)
@pytest.mark.parametrize("place", ["table", "schema"])
def test_a_table_can_be_called_anything(source: str, notes: list[int], name: str, place: str) -> None:
    schema, table = (name, "t") if place == "schema" else ("odd", name)
    with psycopg.connect(source) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        made = sql.Identifier(schema, table).as_string(connection)
        connection.execute(f"CREATE TABLE {made} AS SELECT 7 AS it".encode())
    odd = SourceTable(dataset_key("jfk", source="jfk", schema=schema, table=table), lambda: source, notes.append)
    assert odd.query("SELECT it FROM {table}").item() == 7
    assert odd.query("SELECT it FROM {table} WHERE it = %s", [7]).item() == 7
    with psycopg.connect(source) as connection:
        connection.execute(f"DROP TABLE {made}".encode())
        assert connection.execute("SELECT count(*) FROM public.flights").fetchone() == (3,)


def test_a_table_without_a_schema_is_found_on_the_search_path(flights: SourceTable) -> None:
    bare = replace(flights, key=dataset_key("jfk", source="jfk", table="flights"))
    assert bare.query("SELECT count(*) FROM {table}").item() == 3


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "DROP TABLE {table}",
        "CREATE TABLE written AS SELECT 1",
        "WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT * FROM gone",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT 1; DELETE FROM {table}",
        "COMMIT; DELETE FROM {table}",
        "ROLLBACK; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM {table}",
        "DO $$ BEGIN DELETE FROM flights; END $$",
        "DO $$ BEGIN COMMIT; DELETE FROM flights; END $$",
        "SELECT lo_create(0)",
    ],
)
def test_nothing_can_be_changed(flights: SourceTable, source: str, statement: str) -> None:
    with pytest.raises(psycopg.Error):
        flights.query(statement)
    with psycopg.connect(source) as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (3,)
        assert connection.execute("SELECT to_regclass('written')").fetchone() == (None,)


def test_a_statement_that_is_wrong_says_where(flights: SourceTable) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn, match="nope"):
        flights.query("SELECT nope FROM {table}")
    with pytest.raises(psycopg.errors.DivisionByZero):
        flights.query("SELECT 1 / 0")


def unreachable(source: str) -> dict[str, str]:
    """URLs with a password that lead nowhere, each in its own way."""
    url = make_url(source).set(username="nobody", password=PASSWORD)
    socket = make_url(source).query["host"]

    def rendered(**changes: Any) -> str:
        return url.set(**changes).render_as_string(hide_password=False)

    return {
        "no such user": rendered(),
        "no such database": make_url(source).set(database=PASSWORD).render_as_string(hide_password=False),
        "no such host": rendered(host="host.invalid", query={}),
        "nothing listens": rendered(host="127.0.0.1", port=1, query={}),
        "a password with an @": f"postgresql://nobody:a@{PASSWORD}@127.0.0.1:1/x",
        "a password with a slash": f"postgresql://nobody:a/{PASSWORD}@127.0.0.1:1/x",
        "a password with a percent": f"postgresql://nobody:%zz{PASSWORD}@127.0.0.1:1/x",
        "a password with a space": f"postgresql://nobody:a {PASSWORD}@127.0.0.1:1/x",
        "an unknown option": f"postgresql://nobody:x@127.0.0.1:1/x?password={PASSWORD}&nope={PASSWORD}",
        "a port that is none": f"postgresql://nobody:x@127.0.0.1:{PASSWORD}/x",
        "no URL at all": f"host={socket} passwort={PASSWORD}",
    }


@pytest.mark.parametrize("way", unreachable("postgresql:///x?host=/nowhere"))
def test_an_error_never_tells_the_password(flights: SourceTable, source: str, way: str) -> None:
    table = replace(flights, url=lambda: unreachable(source)[way])
    with pytest.raises(SourceUnreachable) as caught:
        table.query("SELECT 1")
    error = caught.value
    assert error.facts["endpoint"] == "jfk"
    assert error.facts["reason"] != "no answer that we know"
    told = [
        str(error),
        repr(error),
        repr(table),
        "".join(traceback.format_exception(error)),
        str(serializable_error_info_from_exc_info((type(error), error, error.__traceback__))),
        repr(pickle.dumps(error)),
        repr((error.__context__, error.__cause__)),
    ]
    assert not [text for text in told if PASSWORD in text]


def test_a_connection_that_is_lost_is_an_error_of_ours(flights: SourceTable, notes: list[int]) -> None:
    with pytest.raises(SourceUnreachable, match="AdminShutdown"):
        flights.query("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)")
    assert notes == []
