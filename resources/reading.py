"""Reading a dataset outside Dagster: a table, or a lazy scan of its files, as of a version, a pin or a moment."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import polars as pl
import pyarrow as pa

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from resources.files.formats import as_frame
from resources.files.scanning import Manifested
from resources.locations import place
from resources.models import PARTITION, Committed, Current
from resources.storage import FileStorage, Storage
from resources.version_records import At, Frame

Storages = Callable[[str], Storage]
"""Where an endpoint keeps data, by its slug."""


class NothingToRead(MetadataError):
    """{dataset} has no data {at}{partitions}; materialize and publish it, or read another version"""

    dataset: str
    at: str
    partitions: str
    exit_code: ClassVar[int] = 3


class RecordedOnly(MetadataError):
    """{materialization} ({partition}) is recorded, not stored by us: it has no location; read it where it is"""

    partition: str
    materialization: str
    exit_code: ClassVar[int] = 3


class PartitionColumnTaken(MetadataError):
    """{dataset} has a column {column} of its own; name another one for the partition, or None to read without it"""

    dataset: str
    column: str
    exit_code: ClassVar[int] = 2


class NotOneTable(MetadataError):
    """the partitions of {dataset} are not one table: {reason}; read fewer of them"""

    dataset: str
    reason: str


class Readable(Protocol):
    """What a reader asks of a store."""

    def current(
        self, dataset: CanonicalKey, partitions: Collection[str | None] | None = None, *, at: At = None
    ) -> list[Current]: ...

    def resolve(self, name: str) -> CanonicalKey: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what a store knows, from where the endpoints keep data. Needs no Dagster.

    Reader(store, lambda endpoint: FileStorage(endpoint, UPath("s3://lake") / endpoint)).read(key, at="june-report")
    """

    store: Readable
    storages: Storages

    def read(
        self,
        dataset: CanonicalKey | str,
        *,
        at: At = None,
        partitions: Collection[str] | None = None,
        frame: Frame = "polars",
        partition_column: str | None = PARTITION,
    ) -> Any:
        """The data of a dataset, published or `at` a version, pin or moment; all partitions, those named, or one.

        Partitions are one table, with the partition as its last column. "lazy" reads the manifests only, and verifies
        them: the files are scanned when and as far as the scan is collected. The other frames verify every byte, and so
        does "lazy" of tables in a database. What is no table is the value itself; of several partitions a dict from
        partition to value.

        Raises NothingToRead, UnknownKey, UnknownVersion, UnknownPin (expired and removed ones too), DataDamaged,
        DataUnreadable, RootNotThere, RecordedOnly, PartitionColumnTaken, NotOneTable.
        """
        key = self.store.resolve(dataset) if isinstance(dataset, str) else dataset
        wanted = [partitions] if isinstance(partitions, str) else partitions
        found = self.store.current(key, wanted, at=at)
        absent = sorted(set(wanted or ()) - {one.partition for one in found if one.partition is not None})
        if absent or not found:
            raise NothingToRead(dataset=short_name(key), at=_moment(at), partitions=_few(absent))
        if frame == "lazy" and all(isinstance(self._storage(one), FileStorage) for one in found):
            return self._scanned(key, found, partition_column)
        values = {one.partition: self._value(one) for one in found}
        if not all(isinstance(value, pa.Table) for value in values.values()):
            return _only(values)
        tables = [_with_partition(key, table, part, partition_column) for part, table in values.items()]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise NotOneTable(dataset=short_name(key), reason=str(error).splitlines()[0]) from None
        return as_frame(table, frame)

    def _scanned(self, key: CanonicalKey, found: Sequence[Current], column: str | None) -> Any:
        files = {one.partition: self._manifested(one) for one in found}
        if not all(file.is_table for file in files.values()):
            return _only({one.partition: self._value(one) for one in found})
        scans = [_scan(key, file, part, column) for part, file in files.items()]
        return pl.concat(scans, how="diagonal_relaxed") if len(scans) > 1 else scans[0]

    def _storage(self, one: Current) -> Storage:
        return self.storages(place_of(one)[0])

    def _value(self, one: Current) -> Any:
        _endpoint, path, digest = place_of(one)
        return self._storage(one).read(path, digest)

    def _manifested(self, one: Current) -> Manifested:
        storage = self._storage(one)
        assert isinstance(storage, FileStorage)
        _endpoint, path, digest = place_of(one)
        return storage.manifested(path, digest)


def place_of(one: Current | Committed) -> tuple[str, str, bytes]:
    """The endpoint, the path there and the manifest's digest. Raises RecordedOnly."""
    if one.location is None or one.manifest_sha256 is None:
        raise RecordedOnly(partition=one.partition or "this dataset", materialization=str(one.materialization_id))
    return *place(one.location), one.manifest_sha256


def _scan(key: CanonicalKey, file: Manifested, partition: str | None, column: str | None) -> pl.LazyFrame:
    if partition is None or column is None:
        return file.scan()
    if column in file.columns:
        raise PartitionColumnTaken(dataset=short_name(key), column=column)
    return file.scan().with_columns(pl.lit(partition).alias(column))


def _with_partition(key: CanonicalKey, table: pa.Table, partition: str | None, column: str | None) -> pa.Table:
    if partition is None or column is None:
        return table
    if column in table.column_names:
        raise PartitionColumnTaken(dataset=short_name(key), column=column)
    return table.append_column(column, pa.array([partition] * table.num_rows, pa.large_string()))


def _only(values: dict[str | None, Any]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values


def _moment(at: At) -> str:
    return "published" if at is None else f"at {at}"


def _few(partitions: Sequence[str]) -> str:
    more = f" and {len(partitions) - 3} more" if len(partitions) > 3 else ""
    return f" for {', '.join(partitions[:3])}{more}" if partitions else ""
