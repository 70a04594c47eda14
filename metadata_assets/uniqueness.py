"""Which values of a run's partitions are in another partition, of the run or as it is published."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from identity.keys import CanonicalKey
from metadata_assets.spec.queries import quoted
from resources.configurable import MetadataResource
from resources.files.formats import as_frame
from resources.models import Current

TOGETHER: Final = 32
"""So many partitions are looked at together: of no more of them one column is in memory at once; all columns of tables
in a database."""


def gathered(
    connection: duckdb.DuckDBPyConnection, column: str, own: Mapping[str | None, Any], others: Iterable[pa.Table]
) -> str:
    """A table (value, partition) of the values of this column in `own`, and of those that `others` have too.

    In the latter rows the partition is null. Each partition of `own` is read once, and one at a time.
    """
    name = quoted(f"values of {column}")
    for partition in own:
        table = as_frame(own[partition], "arrow")
        if isinstance(table, pa.Table) and column in table.column_names:
            connection.register("gathered", table.select([column]))
            wanted = f"{quoted(column)} AS value, {_literal(partition)}::VARCHAR AS partition FROM gathered"
            _fit(connection, name, wanted)
            connection.execute(f"INSERT INTO {name} SELECT DISTINCT {wanted} WHERE {quoted(column)} IS NOT NULL")
    for other in others:
        connection.register("gathered", other)
        connection.execute(
            f"INSERT INTO {name} SELECT DISTINCT value, NULL FROM gathered"
            f" WHERE value IN (SELECT value FROM {name} WHERE partition IS NOT NULL)"
        )
    return name


def _fit(connection: duckdb.DuckDBPyConnection, name: str, wanted: str) -> None:
    """Let the table have a type for its values that loses nothing of those that come: 1 and 1.4 are not one value."""
    connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT {wanted} LIMIT 0")
    both = f"SELECT value FROM {name} UNION ALL SELECT value FROM (SELECT {wanted})"
    held, common = (_type_of_one(connection, query) for query in (f"SELECT value FROM {name}", both))
    if held != common:
        connection.execute(f"ALTER TABLE {name} ALTER value TYPE {common}")


def _type_of_one(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    return str(connection.execute(f"DESCRIBE {query}").fetchall()[0][1])


def published_values(
    metadata: MetadataResource,
    key: CanonicalKey,
    there: Sequence[Current],
    column: str,
    without: Callable[[str], bool],
) -> Iterator[pa.Table]:
    """The values of a column, as the column `value`, in partitions of one version, some partitions at a time."""
    wanted = [one.partition for one in there if one.partition is not None and not without(one.partition)]
    for some in (wanted[first : first + TOGETHER] for first in range(0, len(wanted), TOGETHER)):
        scan = metadata.read(key, at=there[0].version, partitions=some, frame="lazy", partition_column=None)
        if isinstance(scan, pl.LazyFrame) and column in scan.collect_schema():
            yield scan.select(pl.col(column).alias("value")).unique().collect(engine="streaming").to_arrow()


def _literal(partition: str | None) -> str:
    text = "" if partition is None else partition
    return "'" + text.replace("'", "''") + "'"
