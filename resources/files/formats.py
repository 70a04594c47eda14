"""Values and files: a table is Parquet, any other JSON value is JSON. Nothing is guessed, and nothing is pickled."""

import io
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from identity.errors import MetadataError
from resources.version_records import Frame

Format = Literal["parquet", "json"]


class NotStorable(MetadataError):
    """a value of type {type} cannot be stored ({reason}); return a pandas, Polars or Arrow table, or JSON data"""

    type: str
    reason: str
    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A value as the bytes of one file. `row_count` is None for what is not a table."""

    format: Format
    content: bytes
    row_count: int | None
    columns: tuple[tuple[str, str], ...] = ()

    @property
    def file_name(self) -> str:
        return f"data.{self.format}"


def encode(value: object) -> Encoded:
    """The file that a value becomes; decoded it is equal again, but that tuples are lists. Raises NotStorable."""
    value = value.collect() if isinstance(value, pl.LazyFrame) else value
    try:
        table = as_arrow(value)
        return _json(value) if table is None else _parquet(table)
    except (pa.ArrowException, TypeError, ValueError, RecursionError) as error:
        raise NotStorable(type=type(value).__name__, reason=str(error)) from None


def _parquet(table: pa.Table) -> Encoded:
    repeated = [name for name, times in Counter(table.column_names).items() if times > 1]
    if repeated:
        raise ValueError(f"two columns are called {repeated[0]}")
    if table.num_rows and not table.num_columns:
        raise ValueError(f"{table.num_rows} rows without a column")
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    columns = tuple((field.name, str(field.type)) for field in table.schema)
    return Encoded(format="parquet", content=sink.getvalue(), row_count=table.num_rows, columns=columns)


def _json(value: object) -> Encoded:
    _check_keys(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1)
    return Encoded(format="json", content=text.encode(), row_count=None)


def _check_keys(value: object) -> None:
    """JSON writes the key 1 as "1", and then it is another one."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not a string")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)


def decode(content: bytes, form: Format) -> Any:
    """The value in a file: an Arrow table, or what the JSON says."""
    if form == "parquet":
        return pq.ParquetFile(pa.BufferReader(content)).read()
    return json.loads(content)


def as_arrow(value: object) -> pa.Table | None:
    """The value as an Arrow table; None when it is no table. pandas is looked at only where it is in use already.

    Raises ValueError, TypeError or an ArrowException for a table that Arrow has no words for.
    """
    match value:
        case pa.Table():
            return value
        case pa.RecordBatch():
            return pa.Table.from_batches([value])
        case pl.DataFrame():
            objects = [name for name, kind in value.schema.items() if kind == pl.Object]
            if objects:  # what Polars would write of them are their addresses
                raise TypeError(f"column {objects[0]} holds Python objects")
            return value.to_arrow()
    if type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ == "DataFrame":
        return pa.Table.from_pandas(value)
    return None


def as_frame(value: Any, frame: Frame) -> Any:
    """An Arrow table as the table that its reader wants; any other value as it is."""
    if not isinstance(value, pa.Table):
        return value
    match frame:
        case "arrow":
            return value
        case "polars":
            return pl.from_arrow(value)
        case "lazy":
            return pl.DataFrame(value).lazy()
        case "pandas":
            return value.to_pandas()


def frame_of(annotation: object) -> Frame | None:
    """The kind of table that a type annotation names; None when it names none."""
    if annotation is pa.Table:
        return "arrow"
    if annotation is pl.DataFrame:
        return "polars"
    if annotation is pl.LazyFrame:
        return "lazy"
    module, name = getattr(annotation, "__module__", ""), getattr(annotation, "__name__", "")
    return "pandas" if name == "DataFrame" and module.partition(".")[0] == "pandas" else None
