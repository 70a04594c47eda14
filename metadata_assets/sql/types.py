"""What people call types, and what DuckDB calls them."""

from functools import cache

import duckdb

_WORDS = {
    "int": "BIGINT",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float": "DOUBLE",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "str": "VARCHAR",
    "utf8": "VARCHAR",
    "large_string": "VARCHAR",
    "date32": "DATE",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[us, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
    "binary": "BLOB",
}
"""What Arrow, Polars and Python call types that DuckDB calls otherwise."""

_INEXACT = frozenset(["decimal", "numeric"])
"""Without precision and scale they say too little."""

_PLAIN = ("bool", "boolean", "tinyint", "smallint", "integer", "bigint", "double", "varchar", "text", "string", "blob")
KNOWN_TYPES = (*_WORDS, *_PLAIN, "date", "time", "timestamp", "timestamp with time zone", "interval", "decimal(12,2)")
"""Names to suggest."""


def is_inexact(declared: str) -> bool:
    """Whether any precision and scale will do."""
    return declared.strip().lower() in _INEXACT


@cache
def duckdb_type(declared: str) -> str | None:
    """DuckDB's name of a declared type; None where it has none."""
    text = declared.strip().lower()
    if text in _INEXACT:
        return None
    try:
        return str(duckdb.sqltype(_WORDS.get(text, declared)))
    except duckdb.Error:
        return None
