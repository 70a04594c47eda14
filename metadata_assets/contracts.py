"""Contracts: the rules of a dataset, asked of what was committed before anybody reads it; whole columns, by DuckDB."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

import duckdb
import pyarrow as pa

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, short_name
from metadata_assets._dagster import current_step
from metadata_assets.calls import Run
from metadata_assets.noted import as_json
from metadata_assets.partitioning import end_of_partition
from metadata_assets.pinned import pin_of, read_at
from metadata_assets.spec.queries import quoted
from metadata_assets.spec.rules import Accepted, Fresh, NotNull, Related, RowCount, Rule, TableColumns, Unique
from metadata_assets.sql.engine import alone, reason_of
from metadata_assets.sql.types import duckdb_type, is_inexact
from metadata_assets.uniqueness import gathered, published_values
from metadata_assets.writing import CommittedValues
from resources.configurable import MetadataResource
from resources.files.formats import as_frame

EXAMPLES: Final = 5
"""So many rows that broke a rule are shown, by their keys."""
_TIMES: Final = ("DATE", "TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in one partition: whether it holds, in words, and facts for the UI."""

    passed: bool
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Published:
    """What readers of this run get of other datasets, and of this one before: at the run's pin, else as published."""

    metadata: MetadataResource
    pin: str | None
    _versions: dict[CanonicalKey, int | None] = field(default_factory=dict)
    _columns: dict[tuple[CanonicalKey, str], pa.Table] = field(default_factory=dict)

    def column(self, key: CanonicalKey, name: str) -> pa.Table:
        """The values of a column, as the column `value`, of all partitions; read once. Raises what reading does."""
        if (key, name) not in self._columns:
            scan = self.metadata.read(key, at=self._at(key), frame="lazy", partition_column=None)
            values = scan.select(name).unique().collect().to_arrow()
            self._columns[key, name] = values.rename_columns(["value"])
        return self._columns[key, name]

    def row_count(self, key: CanonicalKey, partition: str | None) -> int | None:
        """How many rows the published version has in a partition; None where it has none."""
        return next((one.row_count for one in self.metadata.store().current(key, [partition])), None)

    def _at(self, key: CanonicalKey) -> int | None:
        if self.pin is None:
            return None
        if key not in self._versions:
            self._versions[key] = read_at(current_step(), self.metadata.store(), key, self.pin)
        return self._versions[key]


@dataclass(slots=True)
class Examined:
    """The table of one partition, in a database of its own, as `data`."""

    connection: duckdb.DuckDBPyConnection
    run: Run
    published: Published
    now: datetime
    committed: CommittedValues
    """All partitions of the run."""
    partition: str | None = None
    rows: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    """Their types, as DuckDB calls them."""
    gathered: dict[str, str] = field(default_factory=dict)
    """Tables of the values that are in several partitions, by their column."""

    def take(self, partition: str | None, data: Any) -> bool:
        """Look at this partition from now on; False when it is no table."""
        table = as_frame(data, "arrow")
        if not isinstance(table, pa.Table):
            return False
        self.connection.register("data", table)
        self.partition, self.rows = partition, table.num_rows
        found = self.connection.execute("DESCRIBE data").fetchall()
        self.columns = {str(row[0]): str(row[1]) for row in found}
        return True

    def ask(self, rule: Rule) -> Finding:
        """Whether the rule holds. What cannot be asked is a rule that does not hold, and why."""
        column = getattr(rule, "column", None)
        if column is not None and column not in self.columns:
            return Finding(False, f"there is no column {shown(column)}")
        try:
            return _found(self, rule)
        except (duckdb.Error, MetadataError) as error:
            reason = reason_of(error) if isinstance(error, duckdb.Error) else str(error)
            return Finding(False, f"cannot be checked: {shown(reason)}")

    def broken(self, column: str, condition: str, words: str, parameters: Mapping[str, Any] | None = None) -> Finding:
        """The rows of `data` that the condition is about: how many, and the keys of a few, in the order of the keys."""
        keys = list(dict.fromkeys([*self._keys(), column]))
        ((count,),) = self._rows(f"SELECT count(*) FROM data WHERE {condition}", parameters)
        if not count:
            return Finding(True, f"holds for all {self.rows:,} rows", {"rows": self.rows, "rows_failed": 0})
        wanted = ", ".join(f"{quoted(one)}::VARCHAR" for one in keys)
        first = f"SELECT {wanted} FROM data WHERE {condition} ORDER BY ALL LIMIT {EXAMPLES}"
        found = self._rows(first, parameters)
        examples = [{key: value and shown(value) for key, value in zip(keys, row, strict=True)} for row in found]
        told = f"{count:,} of {self.rows:,} rows {words}: {'; '.join(map(_example, examples))}"
        told += f" and {count - len(examples):,} more" if count > len(examples) else ""
        facts = as_json({"rows": self.rows, "rows_failed": count, "examples": examples})
        return Finding(False, told, facts)

    def values_elsewhere(self, column: str) -> str:
        """A SELECT of the values of a column that are in other partitions, of the run or as they are published."""
        if column not in self.gathered:
            key, own = self.run.dataset.key, self.committed
            there = own.others.look(own.metadata.store(), key)
            others = published_values(own.metadata, key, there, column, own.__contains__)
            self.gathered[column] = gathered(self.connection, column, own, others)
        return f"SELECT value FROM {self.gathered[column]} WHERE partition IS DISTINCT FROM $partition"

    def _rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        return self.connection.execute(statement, dict(parameters) if parameters else None).fetchall()

    def one(self, statement: str) -> Any:
        return self._rows(statement)[0][0]

    def _keys(self) -> list[str]:
        """The columns that tell rows apart: those that are declared to be unique, else the first one."""
        rules = [check.rule for check in self.run.dataset.checks]
        unique = [rule.column for rule in rules if isinstance(rule, Unique) and rule.column in self.columns]
        return unique or [one.name for one in self.run.dataset.columns[:1] if one.name in self.columns]


@contextmanager
def examining(run: Run, committed: CommittedValues, clock: Callable[[], datetime]) -> Iterator[Examined]:
    """What asks the rules of a run of what it committed, until the block ends."""
    metadata, configured_pin = committed.metadata, committed.pin
    published = Published(metadata, pin_of(current_step(), configured_pin))
    with alone() as connection:
        yield Examined(connection, run, published, clock(), committed)


def now() -> datetime:
    return datetime.now(UTC)


def _found(of: Examined, rule: Rule) -> Finding:
    match rule:
        case NotNull(column):
            return of.broken(column, f"{quoted(column)} IS NULL", f"have no {column}")
        case Unique(column, across):
            name = quoted(column)
            repeated = (
                f"{name} IN (SELECT {name} FROM data WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1)"
            )
            if not across:
                return of.broken(column, repeated, f"share their {column} with another")
            repeated += f" OR {name} IN ({of.values_elsewhere(column)})"
            words = f"share their {column} with another, of this or another partition"
            return of.broken(column, repeated, words, {"partition": of.partition or ""})
        case Accepted(column, values):
            name = quoted(column)
            accepted = f"SELECT unnest($accepted)::{of.columns[column]}"
            condition = f"{name} IS NOT NULL AND {name} NOT IN ({accepted})"
            return of.broken(column, condition, f"have another {column}", {"accepted": list(values)})
        case Related(column, key, other):
            of.connection.register("other", of.published.column(key, other))
            name = quoted(column)
            condition = f"{name} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM other WHERE other.value = data.{name})"
            return of.broken(column, condition, f"have a {column} that is not in {short_name(key)}.{other}")
        case TableColumns():
            return _columns(of, rule)
        case RowCount():
            return _row_count(of, rule)
        case Fresh():
            return _fresh(of, rule)
    assert_never(rule)


def _columns(of: Examined, rule: TableColumns) -> Finding:
    declared = dict(rule.columns)
    absent = [name for name in declared if name not in of.columns]
    others = [] if rule.others else [name for name in of.columns if name not in declared]
    typed = [(name, kind) for name, kind in declared.items() if kind and name in of.columns]
    other_types = [(name, kind) for name, kind in typed if not _is_of_type(of.columns[name], kind)]
    words = [f"there is no column {shown(name)}" for name in absent]
    words += [f"{shown(name)} is {of.columns[name].lower()}, not {kind}" for name, kind in other_types]
    words += [f"{shown(name)} is not declared" for name in others]
    facts = as_json({"columns": {shown(name): kind for name, kind in of.columns.items()}})
    return Finding(not words, "; ".join(words) if words else f"has its {len(of.columns)} columns", facts)


def _is_of_type(found: str, declared: str) -> bool:
    return found.startswith("DECIMAL") if is_inexact(declared) else found == duckdb_type(declared)


def _row_count(of: Examined, rule: RowCount) -> Finding:
    relative = rule.fall is not None or rule.rise is not None
    before = of.published.row_count(of.run.dataset.key, of.partition) if relative else None
    bounds = [
        (rule.least is not None and of.rows < rule.least, f"fewer than {rule.least}"),
        (rule.most is not None and of.rows > rule.most, f"more than {rule.most}"),
    ]
    if before:
        if rule.fall is not None:
            bounds.append((of.rows < before * (1 - rule.fall), f"more than {rule.fall:.0%} fewer than {before:,}"))
        if rule.rise is not None:
            bounds.append((of.rows > before * (1 + rule.rise), f"more than {rule.rise:.0%} more than {before:,}"))
    broken = [words for is_broken, words in bounds if is_broken]
    told = f"{of.rows:,} rows" + (f": {', '.join(broken)}" if broken else "")
    return Finding(not broken, told, {"rows": of.rows, **({"rows_published": before} if before is not None else {})})


def _fresh(of: Examined, rule: Fresh) -> Finding:
    if not of.columns[rule.column].startswith(_TIMES):
        return Finding(False, f"{rule.column} is {of.columns[rule.column].lower()}, not a date or a time")
    newest = of.one(f"SELECT max({quoted(rule.column)})::TIMESTAMP FROM data")
    if newest is None:
        return Finding(False, f"no row has a {rule.column}")
    end = end_of_partition(of.run.dataset.partitions, of.partition)
    limit = min(of.now, end) if end else of.now
    age = max(limit - newest.replace(tzinfo=UTC), timedelta(0))
    told = f"the newest {rule.column} is {newest:%Y-%m-%d %H:%M} UTC, {_span(age)} before {limit:%Y-%m-%d %H:%M} UTC"
    return Finding(age <= rule.within, told, {"newest": str(newest), "age_seconds": round(age.total_seconds())})


def _span(age: timedelta) -> str:
    return f"{age.days} days" if age.days > 1 else f"{age.total_seconds() / 3600:.1f} hours"


def _example(row: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {'null' if value is None else value}" for name, value in row.items())
