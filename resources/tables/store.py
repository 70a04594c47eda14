"""Materializations as tables: each attempt writes one of its own, once, and readers get exactly the one they ask for.

The table, its rows and its row in the registry are one transaction: whoever finds a table finds all of it. The rows
are frozen as they are copied, so that a reader whose snapshot is older than they are sees them as well when a view that
it opens only now has them.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.csv as pc
from psycopg import errors, sql

from identity.errors import MetadataError
from identity.ids import Entity, sha256_of
from resources.files.formats import NotStorable, as_arrow
from resources.files.staging import DataDamaged, DataUnreadable, StagingFailed, Written
from resources.locations import VERSIONS, location
from resources.metadata_store import MetadataStore
from resources.models import UNPARTITIONED, Attempt
from resources.storage import Clearing, Writing
from resources.tables import registry
from resources.tables.admission import admit
from resources.tables.columns import TableColumn, copy_lines, selected, table_columns, values_of
from resources.tables.names import announce
from resources.tables.registry import REGISTRY, Connection

PARTITION_COLUMN: Final = "partition_key"
"""What the view of a divided dataset says of each row, before the columns of the data."""

_READABLE: Final = 12
"""So many characters of the dataset's name begin the name of a table."""


class TableInUse(MetadataError):
    """{path} was not removed: {reason}"""

    path: str
    reason: str
    exit_code: ClassVar[int] = 1


_INSERT = f"""
INSERT INTO {REGISTRY}.written (schema_name, table_name, tenant_id, dataset_id, partition_key, attempt_id,
  materialization_id, manifest, manifest_sha256, row_count) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ROW = f"SELECT manifest, manifest_sha256, row_count FROM {REGISTRY}.written WHERE schema_name = %s AND table_name = %s"
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class TableStorage:
    """The tables of one endpoint. `control` is asked whether what is written is known to the control plane."""

    endpoint: str
    url: Callable[[], str]
    """Gives the connection URL; a function, so that no copy of this value carries a password."""
    control: MetadataStore

    def path_of(self, entity: Entity, partition: str | None, attempt: Attempt) -> str:
        """`<schema>__versions.<name>_<digest>_<attempt>`: at most 63 bytes, in no need of quotes."""
        readable = re.sub(r"[^a-z0-9]+", "_", entity.key.table.lower())[:_READABLE].strip("_") or "t"
        digest = sha256_of(str(entity.id), partition or UNPARTITIONED).hex()[:16]
        return f"{registry.versions_schema(entity.key.schema or '')}.{readable}_{digest}_{attempt.id.hex}"

    def write(self, path: str, value: object, writing: Writing) -> Written:
        """Copy a table into a new one, in one transaction with what the registry says about it.

        The control plane must know who writes: ReferenceDangles. Raises NotStorable, NameTaken, TooManyPartitions,
        NotWritable, StagingFailed, TablesUnreachable; then nothing was written.
        """
        table, columns = _table(value)
        if writing.partition is not None and any(column.name == PARTITION_COLUMN for column in columns):
            raise NotStorable(type=type(value).__name__, reason=f"a column is called {PARTITION_COLUMN}, as the view's")
        entity = writing.entity
        at = location(self.endpoint, path)
        self.control.check_lease(entity.id, writing.partition, writing.attempt.id, at)
        with self.connected() as connection:
            if registry.prepare(connection, self.endpoint, entity.key.schema or ""):
                connection.commit()
            announce(connection, self.endpoint, self.control, entity)
            admit(connection, self.endpoint, entity, {writing.partition})
            try:
                written = _copied(connection, path, table, columns, writing)
                connection.commit()
                return written
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise NotStorable(type=type(value).__name__, reason=str(error)) from None
            except errors.InsufficientPrivilege:
                raise
            except (errors.DataError, errors.ProgrammingError) as error:
                reason = f"PostgreSQL refuses it: {type(error).__name__}"
                raise NotStorable(type=type(value).__name__, reason=reason) from None
            except psycopg.Error as error:
                raise StagingFailed(path=at, reason=type(error).__name__) from None

    def admit(self, entity: Entity, partitions: Collection[str | None]) -> None:
        """Raise TooManyPartitions where the dataset would have too many with these: asked before much is written."""
        with self.connected() as connection:
            admit(connection, self.endpoint, entity, partitions)

    def read(self, path: str, manifest_sha256: bytes) -> pa.Table:
        """The table at a path, as Arrow, in the order of its rows. Verified: manifest, columns, number of rows.

        Raises RegistryNotThere, too.
        """
        at = location(self.endpoint, path)
        with self._reading(at) as connection:
            registry.require(connection, self.endpoint)
            row = connection.execute(_ROW.encode(), _split(path)).fetchone()
            found = connection.execute(_COLUMNS, [_quoted(path)]).fetchall()
            if row is None or not found:
                raise DataDamaged(path=at, reason="it is missing")
            text, digest, rows = row
            if digest != manifest_sha256 or hashlib.sha256(text.encode()).digest() != manifest_sha256:
                raise DataDamaged(path=at, reason="its digest differs from the commit's")
            manifest = json.loads(text)
            if [(one["name"], one["postgres"]) for one in manifest["columns"]] != found:
                raise DataDamaged(path=at, reason="its columns are not those that were written")
            table = _pulled(connection, path, _schema_of(manifest))
        if table.num_rows != rows or rows != manifest["rows"]:
            raise DataDamaged(path=at, reason=f"it has {table.num_rows} rows, {manifest['rows']} were written")
        return table

    def exists(self, path: str) -> bool:
        """Whether the table is there and registered, or it cannot be told."""
        try:
            with self._reading(path) as connection:
                registry.require(connection, self.endpoint)
                there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [_quoted(path)]).fetchone()
                return there == (True,) and connection.execute(_ROW.encode(), _split(path)).fetchone() is not None
        except MetadataError:
            return True

    def size(self, path: str) -> tuple[int, int]:
        """One table and its bytes, or nothing. Raises TablesUnreachable, RegistryNotThere."""
        with self.clearing() as tables:
            return tables.size(path)

    def remove(self, path: str) -> tuple[int, int]:
        """Drop the table at a path, with its row in the registry; the size that it had.

        Only what is in a schema of versioned tables, and never what a view shows: TableInUse. Safe to call again.
        """
        with self.clearing() as tables:
            return tables.remove(path)

    @contextmanager
    def clearing(self) -> Iterator[Clearing]:
        """One connection for as many tables as there are. Raises TablesUnreachable, RegistryNotThere."""
        with self.connected() as connection:
            registry.require(connection, self.endpoint)
            connection.commit()
            yield Tables(self.endpoint, connection)

    def shown(self, path: str) -> str:
        return location(self.endpoint, path)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection to the endpoint; committed when the block ends without an error. Raises TablesUnreachable."""
        with registry.connected(self.endpoint, self.url()) as connection:
            yield connection

    @contextmanager
    def _reading(self, at: str) -> Iterator[Connection]:
        problem = ""
        try:
            with self.connected() as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield connection
        except registry.TablesUnreachable as error:
            problem = error.reason
        except registry.NotWritable:
            problem = "the login may not"
        if problem:
            raise DataUnreadable(path=at, reason=problem)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of an endpoint over one connection. Each call is a transaction."""

    endpoint: str
    connection: Connection

    def size(self, path: str) -> tuple[int, int]:
        with self._asked(path):
            return _measured(self.connection, path)

    def remove(self, path: str) -> tuple[int, int]:
        schema, name = _split(path)
        if not schema.endswith(VERSIONS):
            at = location(self.endpoint, path)
            raise TableInUse(path=at, reason="it is not in a schema of versioned tables, so it is not ours")
        with self._asked(path):
            self.connection.execute("SET LOCAL lock_timeout = '2s'")
            size = _measured(self.connection, path)
            if size != (0, 0):
                self.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_identifier(path)))
            delete = f"DELETE FROM {REGISTRY}.written WHERE schema_name = %s AND table_name = %s"
            self.connection.execute(delete.encode(), [schema, name])
        return size

    @contextmanager
    def _asked(self, path: str) -> Iterator[None]:
        """A transaction about one table, and what keeps it from being done in our words."""
        at = location(self.endpoint, path)
        try:
            with self.connection.transaction():
                yield
        except errors.DependentObjectsStillExist:
            raise TableInUse(path=at, reason="a view shows it") from None
        except errors.LockNotAvailable:
            raise TableInUse(path=at, reason="somebody reads it now; ask again later") from None
        except errors.InsufficientPrivilege:
            raise TableInUse(path=at, reason="it belongs to another login") from None
        except psycopg.Error as error:
            if self.connection.closed:
                raise registry.TablesUnreachable(endpoint=self.endpoint, reason=type(error).__name__) from None
            raise TableInUse(path=at, reason=f"PostgreSQL refuses it: {type(error).__name__}") from None


def _measured(connection: Connection, path: str) -> tuple[int, int]:
    row = connection.execute("SELECT pg_total_relation_size(to_regclass(%s))", [_quoted(path)]).fetchone()
    return (0, 0) if row is None or row[0] is None else (1, row[0])


def _table(value: object) -> tuple[pa.Table, list[TableColumn]]:
    table = None
    try:
        table = as_arrow(value.collect() if isinstance(value, pl.LazyFrame) else value)
        if table is not None:
            return table, table_columns(table.schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise NotStorable(type=type(value).__name__, reason=str(error)) from None
    raise NotStorable(type=type(value).__name__, reason="an endpoint of system postgres takes tables only")


def _copied(
    connection: Connection, path: str, table: pa.Table, columns: Sequence[TableColumn], writing: Writing
) -> Written:
    named = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.postgres)) for column in columns
    )
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(_identifier(path), named))
    digest, size = hashlib.sha256(), 0
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT text, FREEZE)").format(_identifier(path))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for lines in copy_lines(table):
            copy.write(lines)
            digest.update(lines)
            size += len(lines)
    manifest = _manifest(table, columns, digest.hexdigest())
    _record(connection, path, manifest, table.num_rows, writing)
    return Written(
        manifest_sha256=hashlib.sha256(manifest.encode()).digest(),
        row_count=table.num_rows,
        byte_count=size,
        data_version=hashlib.sha256(manifest.encode()).hexdigest()[:16],
    )


def _record(connection: Connection, path: str, manifest: str, rows: int, writing: Writing) -> None:
    """The row of the registry: the last thing before the transaction is committed."""
    entity = writing.entity
    connection.execute(
        _INSERT.encode(),
        [
            *_split(path),
            entity.tenant.value,
            entity.id.value,
            writing.partition or UNPARTITIONED,
            writing.attempt.id,
            writing.materialization_id,
            manifest,
            hashlib.sha256(manifest.encode()).digest(),
            rows,
        ],
    )


def _manifest(table: pa.Table, columns: Sequence[TableColumn], digest: str) -> str:
    described = [{"name": one.name, "arrow": one.arrow, "postgres": one.postgres} for one in columns]
    content = {
        "manifest_version": 1,
        "rows": table.num_rows,
        "sha256": digest,
        "columns": described,
        "arrow_schema": base64.b64encode(table.schema.serialize().to_pybytes()).decode(),
    }
    return json.dumps(content, sort_keys=True)


def _schema_of(manifest: dict[str, Any]) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(manifest["arrow_schema"])))


def _pulled(connection: Connection, path: str, schema: pa.Schema) -> pa.Table:
    """All rows, in the order in which they were copied: one after the other from the beginning of the table."""
    connection.execute("SET LOCAL synchronize_seqscans = off; SET LOCAL max_parallel_workers_per_gather = 0")
    expressions = ", ".join(["1", *(selected(field.type, _quote(field.name)) for field in schema)])
    statement = f"COPY (SELECT {expressions} FROM ONLY {_quoted(path)}) TO STDOUT (FORMAT csv)"
    content = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for part in copy:
            content.write(part)
    size = content.tell()
    names = [str(number) for number in range(len(schema) + 1)]
    if size == 0:
        return schema.empty_table()
    content.seek(0)
    texts = pc.read_csv(
        content,
        read_options=pc.ReadOptions(column_names=names, block_size=max(1 << 20, min(size, 1 << 30))),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns = [values_of(field.type, texts.column(number + 1)) for number, field in enumerate(schema)]
    return pa.Table.from_arrays(columns, schema=schema)


def _split(path: str) -> tuple[str, str]:
    schema, _dot, name = path.rpartition(".")
    return schema, name


def _identifier(path: str) -> sql.Identifier:
    return sql.Identifier(*_split(path))


def _quoted(path: str) -> str:
    return ".".join(map(_quote, _split(path)))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
