"""Arrow's types and PostgreSQL's: what a column becomes in a table, and back, value for value."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS: Final = 50_000
NULL: Final = r"\N"
_TEXT: Final = pa.large_string()
_MICROSECONDS: Final = pa.timestamp("us")
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999 in microseconds since 1970: the dates that PostgreSQL reads as ISO 8601 has them."""
_LONGEST_INTERVAL = 2**53
"""Microseconds, 285 years: as many as every client of PostgreSQL takes exactly."""
_ESCAPES: Final = (("\\", r"\\"), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t"))

_PLAIN: Final = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.uint8(): "smallint",
    pa.int16(): "smallint",
    pa.uint16(): "integer",
    pa.int32(): "integer",
    pa.uint32(): "bigint",
    pa.int64(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.null(): "text",
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: Arrow's type and PostgreSQL's, as each writes it."""

    name: str
    arrow: str
    postgres: str


def table_columns(schema: pa.Schema) -> list[TableColumn]:
    """The columns of a table for data of this schema. Raises TypeError, ValueError for what has no place in one."""
    if not schema.names:
        raise ValueError("a table without columns")
    for name in schema.names:
        if not name or "\0" in name or len(name.encode()) > 63:
            raise ValueError(f"a column is called {name[:63]!r}: PostgreSQL's names have 1 to 63 bytes")
        if schema.names.count(name) > 1:
            raise ValueError(f"two columns are called {name}")
    return [TableColumn(field.name, str(field.type), _postgres_type(field)) for field in schema]


def _postgres_type(field: pa.Field) -> str:
    kind = field.type
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pa.types.is_dictionary(kind):
        return _postgres_type(field.with_type(kind.value_type))
    if _is_text(kind):
        return "text"
    if _is_bytes(kind):
        return "bytea"
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp without time zone"
    if pa.types.is_time(kind):
        return "time without time zone"
    if pa.types.is_duration(kind):
        return "interval"
    if pa.types.is_nested(kind):
        _check_json(field.name, kind)
        return "jsonb"
    raise TypeError(f"column {field.name} is {kind}, which PostgreSQL has no type for; cast it")


def _check_json(name: str, kind: pa.DataType) -> None:
    """Only what JSON says exactly may be inside of lists and structs."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        _check_json(name, kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            _check_json(name, field.type)
    elif not (_is_text(kind) or pa.types.is_integer(kind) or kind in (pa.bool_(), pa.null(), *_JSON_FLOATS)):
        raise TypeError(f"column {name} has {kind} inside of lists or structs, which JSON does not say; take it out")


_JSON_FLOATS: Final = (pa.float32(), pa.float64())


def _is_text(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in _TEXTS)


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in _BYTES)


_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES: Final = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def copy_lines(table: pa.Table) -> Iterator[bytes]:
    """The rows in COPY's text format, some at a time. Raises ArrowException, ValueError where values do not fit."""
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        texts = [_texts(field, column) for field, column in zip(table.schema, batch.columns, strict=True)]
        separator = pa.scalar("\t", _TEXT)
        lines = pc.binary_join_element_wise(*texts, separator, null_handling="replace", null_replacement=NULL)
        if len(lines):
            yield "\n".join([*lines.to_pylist(), ""]).encode()


def _texts(field: pa.Field, column: pa.Array) -> pa.Array:
    kind = field.type
    if pa.types.is_dictionary(kind):
        return _texts(field.with_type(kind.value_type), column.cast(kind.value_type))
    if _is_text(kind):
        return _escaped(field.name, column.cast(_TEXT))
    if _is_bytes(kind):
        return pa.array([None if one is None else rf"\\x{one.hex()}" for one in column.to_pylist()], _TEXT)
    if pa.types.is_nested(kind):
        return _escaped(field.name, pa.array([_json(one) for one in column.to_pylist()], _TEXT))
    if pa.types.is_timestamp(kind):
        return _within(field, column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()), _moments(kind))
    if pa.types.is_date(kind):
        days = column.cast(pa.date32())
        return _within(field, days.cast(pa.timestamp("us")).cast(pa.int64()), lambda _: days.cast(_TEXT))
    if pa.types.is_time(kind):
        return column.cast(pa.time64("us")).cast(_TEXT)
    if pa.types.is_duration(kind):
        return _interval(field, column.cast(pa.duration("us")).cast(pa.int64()))
    if kind == pa.float16():
        column = column.cast(pa.float32())
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        column = column.cast(pa.decimal128(kind.precision, kind.scale))
    return column.cast(_TEXT)


def _moments(kind: pa.TimestampType) -> Any:
    suffix, nothing = pa.scalar("+00" if kind.tz else "", _TEXT), pa.scalar("", _TEXT)
    return lambda since: pc.binary_join_element_wise(since.cast(_MICROSECONDS).cast(_TEXT), suffix, nothing)


def _within(field: pa.Field, microseconds: pa.Array, texts: Any) -> pa.Array:
    found = pc.min_max(microseconds).as_py()
    if found["min"] is not None and not (found["min"] >= _FIRST and found["max"] <= _LAST):
        raise ValueError(f"column {field.name} has a date before the year 1 or after 9999; make it null")
    return texts(microseconds)


def _interval(field: pa.Field, microseconds: pa.Array) -> pa.Array:
    found = pc.min_max(microseconds).as_py()
    if found["min"] is not None and max(-found["min"], found["max"]) > _LONGEST_INTERVAL:
        raise ValueError(f"column {field.name} has a duration of more than 285 years; write it as a number")
    unit = pa.scalar(" microseconds", _TEXT)
    return pc.binary_join_element_wise(microseconds.cast(_TEXT), unit, pa.scalar("", _TEXT))


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _escaped(name: str, texts: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        raise ValueError(f"column {name} has a text with the character NUL, which PostgreSQL has not; take it out")
    for character, escaped in _ESCAPES:
        texts = pc.replace_substring(texts, character, escaped)
    return texts


def selected(kind: pa.DataType, column: str) -> str:
    """The expression that `values_of` takes for a (quoted) column of this type."""
    if pa.types.is_dictionary(kind):
        return selected(kind.value_type, column)
    if _is_bytes(kind):
        return f"encode({column}, 'hex')"
    if pa.types.is_date(kind):
        return f"{column} - date '1970-01-01'"
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        return f"(extract(epoch FROM {column}) * 1000000)::bigint"
    return column


def values_of(kind: pa.DataType, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of this type from what PostgreSQL wrote for `selected`."""
    if kind == pa.null():
        return pa.chunked_array([pa.nulls(len(texts))])
    if pa.types.is_dictionary(kind):
        return _dictionary(kind, values_of(kind.value_type, texts))
    if _is_bytes(kind):
        return _made([None if one is None else bytes.fromhex(one) for one in texts.to_pylist()], kind)
    if pa.types.is_nested(kind):
        return _made([None if one is None else _shaped(json.loads(one), kind) for one in texts.to_pylist()], kind)
    if kind == pa.bool_():
        return pc.equal(texts, "t")
    if pa.types.is_timestamp(kind):
        return texts.cast(pa.int64()).cast(pa.timestamp("us", kind.tz)).cast(kind)
    if pa.types.is_date(kind):
        return texts.cast(pa.int32()).cast(pa.date32()).cast(kind)
    if pa.types.is_time(kind):
        return texts.cast(pa.int64()).cast(pa.time64("us")).cast(kind)
    if pa.types.is_duration(kind):
        return texts.cast(pa.int64()).cast(pa.duration("us")).cast(kind)
    if kind == pa.float16():
        return texts.cast(pa.float32()).cast(kind)
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return texts.cast(pa.decimal128(kind.precision, kind.scale)).cast(kind)
    return texts.cast(kind)


def _shaped(value: Any, kind: pa.DataType) -> Any:
    """What jsonb says, as Arrow takes it: 1e16 is written 10000000000000000 there."""
    if value is None or not (pa.types.is_nested(kind) or pa.types.is_floating(kind)):
        return value
    if pa.types.is_struct(kind):
        return {field.name: _shaped(value.get(field.name), field.type) for field in kind}
    return [_shaped(one, kind.value_type) for one in value] if pa.types.is_nested(kind) else float(value)


def _dictionary(kind: pa.DictionaryType, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.dictionary_encode().cast(kind)


def _made(values: Sequence[object], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])
