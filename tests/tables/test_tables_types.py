"""Whatever Arrow holds and PostgreSQL has a type for comes back as it was; the rest is refused in words."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from warehouse import Warehouse

from resources.files.formats import NotStorable

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "\\.", "\\N", "a\tb", "a\nb\r\n", '"', ",", "a\n\\.\nb", " ", "NULL"]
)
MOMENTS = st.datetimes()
MILLISECONDS = MOMENTS.map(lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000))
SHORT = st.timedeltas(dt.timedelta(days=-36_500), dt.timedelta(days=36_500))
TIMES = st.times()


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(lambda one: Decimal(f"{one}e-{scale}"))


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *((getattr(pa, f"int{bits}")(), integers(bits, signed=True)) for bits in (8, 16, 32, 64)),
    *((getattr(pa, f"uint{bits}")(), integers(bits, signed=False)) for bits in (8, 16, 32, 64)),
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.float16(), st.floats(width=16)),
    (pa.bool_(), st.booleans()),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.binary(), st.binary(max_size=8)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("us", "America/New_York"), MOMENTS.map(lambda one: one.replace(tzinfo=dt.UTC))),
    (pa.timestamp("ms"), MILLISECONDS),
    (pa.timestamp("ns"), MOMENTS.map(lambda one: one.replace(year=1700 + one.year % 500, day=min(one.day, 28)))),
    (pa.time64("us"), TIMES),
    (pa.time32("s"), TIMES.map(lambda one: one.replace(microsecond=0))),
    (pa.duration("us"), SHORT),
    (pa.decimal128(38, 10), decimals(38, 10)),
    (pa.decimal128(5, 0), decimals(5, 0)),
    (pa.decimal256(60, 3), decimals(60, 3)),
    (pa.null(), st.none()),
    (pa.list_(pa.int64()), st.lists(st.none() | integers(64, signed=True), max_size=3)),
    (pa.list_(pa.string()), st.lists(TEXTS, max_size=3)),
    (
        pa.struct({"a": pa.float64(), "b": pa.list_(pa.bool_())}),
        st.fixed_dictionaries(
            {"a": st.floats(allow_nan=False, allow_infinity=False).map(lambda one: one + 0.0), "b": st.none()}
        ),
    ),
]

ROWS = st.tuples(*(st.none() | values for _kind, values in KINDS))


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(st.lists(ROWS, max_size=4))
def test_every_type_comes_back_as_it_was(warehouse: Warehouse, rows: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(KINDS)
    arrays = [pa.array(list(values), kind) for values, (kind, _) in zip(columns, KINDS, strict=True)]
    given_table = pa.Table.from_arrays(arrays, names=[f'c{number} é"%' for number in range(len(KINDS))])
    name = f"t{uuid.uuid4().hex[:12]}"
    warehouse.publish(warehouse.commit(given_table, name=name))
    (found,) = warehouse.read(name).values()
    assert found.schema.equals(given_table.schema, check_metadata=True)
    for was, now in zip(given_table.columns, found.columns, strict=True):
        assert repr(now.to_pylist()) == repr(was.to_pylist()), "as texts, for NaN is not NaN"
    assert found.num_rows == given_table.num_rows


def test_polars_and_pandas_come_back_as_they_were(warehouse: Warehouse) -> None:
    polars = pl.DataFrame({"a": [1, None], "b": ["x", ""], "c": [[1.5], None]}).with_columns(
        pl.Series("d", ["x", None], dtype=pl.Categorical)
    )
    pandas = pd.DataFrame({"when": pd.to_datetime(["2013-01-01", None]), "n": [1.0, float("nan")]}, index=[7, 9])
    warehouse.publish(warehouse.commit(polars, name="polars"), warehouse.commit(pandas, name="pandas"))
    (found,) = warehouse.read("polars").values()
    assert pl.DataFrame(found).equals(polars, null_equal=True)
    (found,) = warehouse.read("pandas").values()
    pd.testing.assert_frame_equal(found.to_pandas(), pandas)
    assert found.to_pandas().index.tolist() == [7, 9]


def test_what_a_database_makes_of_it_is_what_a_person_expects(warehouse: Warehouse) -> None:
    table = pa.table(
        {
            "day": [dt.date(2013, 1, 2)],
            "at": pa.array([dt.datetime(2013, 1, 2, 3, tzinfo=dt.UTC)], pa.timestamp("us", "America/New_York")),
            "price": pa.array([Decimal("12.50")], pa.decimal128(8, 2)),
            "stops": [["EWR", "JFK"]],
            "plane": [{"seats": 12}],
            "late": pa.array([dt.timedelta(minutes=90)], pa.duration("us")),
        }
    )
    warehouse.show(table)
    assert warehouse.columns() == {
        "day": "date",
        "at": "timestamp with time zone",
        "price": "numeric(8,2)",
        "stops": "jsonb",
        "plane": "jsonb",
        "late": "interval",
    }
    said = warehouse.ask(f"SELECT stops ->> 1, plane -> 'seats', late, at FROM {warehouse.view()}")
    assert said == [("JFK", 12, dt.timedelta(minutes=90), dt.datetime(2013, 1, 2, 3, tzinfo=dt.UTC))]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1}, "takes tables only"),
        (pa.table({"a": ["x\0y"]}), "the character NUL"),
        (pa.table({"a": [[dt.date(2013, 1, 1)]]}), "inside of lists or structs"),
        (pa.table({"a": [[float("nan")]]}), "not JSON compliant"),
        (pa.table({"a": pa.array([1], pa.timestamp("ns"))}), "would lose data"),
        (pa.table({"a": pa.array([-(2**60)], pa.timestamp("us"))}), "before the year 1"),
        (pa.table({"a" * 64: [1]}), "1 to 63 bytes"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns are called a"),
        (pa.table({"ctid": [1]}), "PostgreSQL refuses it: DuplicateColumn"),
        (pa.table({}), "a table without columns"),
        (pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}), "map"),
        (pa.table({"a": pa.array([2**60], pa.duration("us"))}), "more than 285 years"),
        (pa.table({"a": pa.array([pa.MonthDayNano([1, 1, 1])])}), "no type for"),
    ],
)
def test_what_has_no_place_in_a_table_is_refused_in_words(warehouse: Warehouse, value: object, reason: str) -> None:
    with pytest.raises(NotStorable, match=reason):
        warehouse.stage(value)
    left = warehouse.ask(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{warehouse.schema}__versions'")
    assert left == [(0,)]
