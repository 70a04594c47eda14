"""A value becomes a file and comes back as its reader wants it, or it is refused in words that say why."""

import datetime as dt
from decimal import Decimal
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.files.formats import NotStorable, as_frame, decode, encode, frame_of
from resources.version_records import Frame

SPRING = dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC)  # half an hour before Berlin's clocks go forward
BERLIN = ZoneInfo("Europe/Berlin")


def again(value: object, frame: Frame) -> Any:
    """The value after it was a file."""
    encoded = encode(value)
    return as_frame(decode(encoded.content, encoded.format), frame)


POLARS = {
    "empty": pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}),
    "no columns": pl.DataFrame(),
    "all null": pl.DataFrame({"a": [None, None]}),
    "widths": pl.DataFrame({"a": [2**64 - 1], "b": [-128]}, schema={"a": pl.UInt64, "b": pl.Int8}),
    "floats": pl.DataFrame({"a": [0.0, -0.0, float("inf"), 1e-320]}),
    "texts": pl.DataFrame({"a": ["", "é", "e\u0301", "🙂", "\0", None]}),
    "bytes": pl.DataFrame({"a": [b"\x00\xff", b""]}),
    "times": pl.DataFrame({"a": [dt.timedelta(microseconds=5)], "b": [dt.time(1, 2, 3, 4)], "c": [dt.date(1, 1, 1)]}),
    "zones": pl.DataFrame({"a": [SPRING], "b": [SPRING.astimezone(BERLIN)], "c": [SPRING.replace(tzinfo=None)]}),
    "nanoseconds": pl.DataFrame({"a": [SPRING]}, schema={"a": pl.Datetime("ns", "Asia/Kathmandu")}),
    "decimals": pl.DataFrame({"a": [Decimal("12345678901234567890.123456789")]}, schema={"a": pl.Decimal(38, 9)}),
    "categories": pl.DataFrame({"a": ["x", "y", None]}, schema={"a": pl.Categorical}),
    "enums": pl.DataFrame({"a": ["x", "y"]}, schema={"a": pl.Enum(["x", "y", "z"])}),
    "lists": pl.DataFrame({"a": [[{"x": [1, None], "y": None}], None, []]}),
    "arrays": pl.DataFrame({"a": [[1, 2], [3, 4]]}, schema={"a": pl.Array(pl.Int8, 2)}),
    "odd names": pl.DataFrame({" ": [1], 'a"b': [2], "é": [3], "a.b": [4]}),
}


@pytest.mark.parametrize("name", POLARS)
def test_a_polars_frame_comes_back(name: str) -> None:
    frame = POLARS[name]
    found = again(frame, "polars")
    assert found.schema == frame.schema
    assert found.equals(frame, null_equal=True)
    assert again(frame.lazy(), "lazy").collect().equals(frame)


PANDAS = {
    "empty": pd.DataFrame({"a": pd.array([], dtype="Int64")}),
    "no columns": pd.DataFrame(),
    "filtered": pd.DataFrame({"a": [1, 2, 3, 4]})[lambda frame: frame["a"] != 2],
    "named index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "times as index": pd.DataFrame({"a": [1, 2]}, index=pd.DatetimeIndex(["2026-01-01", "2026-01-05"])),
    "two indexes": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["i", None])
    ),
    "numbered columns": pd.DataFrame({0: [1], 1: [2]}),
    "columns of two levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
    "zones": pd.DataFrame({"a": pd.to_datetime([SPRING]).tz_convert("Europe/Berlin")}),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", None, "y"])}),
    "nulls": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": ["x", None]}),
    "decimals": pd.DataFrame({"a": [Decimal("1.10"), None]}),
}


@pytest.mark.parametrize("name", PANDAS)
def test_a_pandas_frame_comes_back_with_its_index(name: str) -> None:
    pd.testing.assert_frame_equal(again(PANDAS[name], "pandas"), PANDAS[name])


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("filtered", ["a", "__index_level_0__"]),
        ("named index", ["a", "key"]),
        ("times as index", ["a", "__index_level_0__"]),
        ("two indexes", ["a", "i", "__index_level_1__"]),
    ],
)
def test_an_index_is_a_column_for_other_readers(name: str, columns: list[str]) -> None:
    assert again(PANDAS[name], "polars").columns == columns


def test_rows_counted_from_zero_are_no_column() -> None:
    assert again(pd.DataFrame({"a": [1, 2]}), "polars").columns == ["a"]


ARROW = {
    "batch": pa.record_batch({"a": [1]}),
    "views": pa.table({"a": pa.array(["x"], pa.string_view())}),
    "uuids": pa.table({"a": pa.array([b"0" * 16], pa.uuid())}),
    "maps": pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}),
    "schema metadata": pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}),
    "not null": pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int8(), nullable=False)])),
}


@pytest.mark.parametrize("name", ARROW)
def test_an_arrow_table_comes_back(name: str) -> None:
    table = ARROW[name] if isinstance(ARROW[name], pa.Table) else pa.Table.from_batches([ARROW[name]])
    found = again(ARROW[name], "arrow")
    assert found.equals(table)
    assert found.schema.metadata == table.schema.metadata
    assert [field.nullable for field in found.schema] == [field.nullable for field in table.schema]


LOOP: list[Any] = []
LOOP.append(LOOP)
DEEP: list[Any] = []
for _level in range(100_000):
    DEEP = [DEEP]
REFUSED = {
    "objects": (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "column a holds Python objects"),
    "a struct of nothing": (pl.DataFrame({"a": [{}]}), "no child field"),
    "too wide": (pl.DataFrame({"a": [2**100]}, schema={"a": pl.Int128}), "unsupported format"),
    "mixed": (pd.DataFrame({"a": [1, "x"]}), "Could not convert 'x'"),
    "complex": (pd.DataFrame({"a": [1j]}), "complex128"),
    "twice the same column": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate column names"),
    "twice the same in Arrow": (pa.table([[1], [2]], names=["a", "a"]), "two columns are called a"),
    "rows of nothing": (pd.DataFrame(index=range(5)), "5 rows without a column"),
    "intervals": (pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), "month_day_nano_interval"),
    "a number as key": ([{1: "a"}], "the key 1 is not a string"),
    "not a number": ({"a": float("nan")}, "not JSON compliant"),
    "half a character": ("\ud800", "surrogates not allowed"),
    "a loop": (LOOP, "recursion"),
    "too deep": (DEEP, "recursion"),
    "a date": (dt.date(2026, 1, 1), "date is not JSON serializable"),
    "a decimal": (Decimal(1), "Decimal is not JSON serializable"),
    "bytes": (b"x", "bytes is not JSON serializable"),
    "a series": (pl.Series([1]), "Series is not JSON serializable"),
    "a function": (print, "builtin_function_or_method is not JSON serializable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_come_back_is_refused(name: str) -> None:
    value, reason = REFUSED[name]
    with pytest.raises(NotStorable, match="cannot be stored") as refusal:
        encode(value)
    assert reason in refusal.value.facts["reason"]
    assert refusal.value.facts["type"] == type(value).__name__


def test_what_a_lazy_frame_raises_is_its_own() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        encode(pl.LazyFrame({"a": [1]}).select("b"))


texts = st.text(st.characters(codec="utf-8"), max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(documents)
def test_json_comes_back(value: Any) -> None:
    assert again(value, "polars") == value


def test_a_tuple_comes_back_as_a_list() -> None:
    assert again((1, (2, 3)), "arrow") == [1, [2, 3]]


@pytest.mark.parametrize(
    ("annotation", "frame"),
    [
        (pl.DataFrame, "polars"),
        (pl.LazyFrame, "lazy"),
        (pd.DataFrame, "pandas"),
        (pa.Table, "arrow"),
        (pl.Series, None),
        (dict[str, pl.DataFrame], None),
        (list, None),
        (None, None),
        (Any, None),
        ([], None),
    ],
    ids=str,
)
def test_an_annotation_names_a_kind_of_table(annotation: object, frame: Frame | None) -> None:
    assert frame_of(annotation) == frame


@pytest.mark.parametrize("frame", get_args(Frame))
def test_what_is_no_table_stays_as_it_is(frame: Frame) -> None:
    assert as_frame({"a": 1}, frame) == {"a": 1}
