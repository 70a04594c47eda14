"""DuckDB as the datasets of a project use it: in memory, alone, with nothing in reach but what it is given."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import duckdb

from identity.errors import shown
from identity.keys import short_name
from metadata_assets.spec.problems import At, nearest
from metadata_assets.spec.queries import Query, Relation, ascii_lower, quoted

_ALONE: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "errors_as_json": "true",
}


@dataclass(frozen=True, slots=True)
class Room:
    """What a SELECT may take: memory as DuckDB writes it (`4GB`, `25%` of the machine's), and a folder for the rest.

    Without a folder what does not fit into memory is refused.
    """

    memory: str = "25%"
    folder: str | None = None


LITTLE: Final = Room()


@contextmanager
def alone(room: Room = LITTLE) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory of its own, its time zone UTC, until the block ends."""
    config = {**_ALONE, "memory_limit": room.memory, "temp_directory": room.folder or ""}
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute("SET enable_external_access = false")  # no file, network, extension, variable of Python
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def provided(connection: duckdb.DuckDBPyConnection, relation: Relation, select: str) -> None:
    """An input of a SELECT, by the name that it has there: what another SELECT answers."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(relation.schema)}")
    connection.execute(f"CREATE VIEW {relation} AS {select}")


@dataclass(frozen=True, slots=True)
class Refused:
    """What DuckDB has against a statement: where, why and the way out. `kind` is its word for such errors."""

    at: At
    reason: str
    fix: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {self.reason}; {self.fix}"


Answer = TypeVar("Answer")


def asked(
    connection: duckdb.DuckDBPyConnection,
    query: Query,
    partition: str | None,
    read: Callable[[duckdb.DuckDBPyRelation], Answer],
) -> Answer | Refused:
    """What `read` makes of the SELECT's answer, or why there is none."""
    parameters = {"partition": partition} if query.takes_partition else None
    try:
        return read(connection.sql(query.statement, params=parameters))
    except duckdb.Error as error:
        failed = error
    try:  # asked again like this, DuckDB says where: the statement of a relation is another text than the file's
        connection.execute(query.statement, parameters)
    except duckdb.Error as error:
        failed = error
    columns = connection.execute("SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    return refused(failed, query, [name for (name,) in columns])


def called_once(query: Query, names: Sequence[str]) -> Refused | None:
    """Why an answer with these columns cannot be stored; None where each has a name of its own."""
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    return Refused(query.at(0), *two_columns(twice)) if twice is not None else None


def told_apart(query: Query, relation: Relation, names: Sequence[str]) -> Refused | None:
    """Why DuckDB would take one column of an input for another; None where it does not."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(ascii_lower(name), name)
        if other is not name:
            reason = f"{short_name(relation.key)} has the columns {shown(other)} and {shown(name)}, one name to DuckDB"
            return Refused(query.at(0), reason, "rename one of them, or read it through Python")
    return None


def two_columns(name: str) -> tuple[str, str]:
    """The reason and the fix where two columns of an answer have one name."""
    return f"two columns are called {shown(name)}", "name them apart with AS, or take one out of * with EXCLUDE"


_NO_COLUMN = re.compile(r'[\w ]+ "(?P<table>.*)" does not have a column named "(?P<column>.*)"')


def refused(error: duckdb.Error, query: Query, columns: Sequence[str] = ()) -> Refused:
    """DuckDB's error at its place in the file of the SELECT; at the file's beginning where DuckDB knows none."""
    details = _details(error)
    reason, *others = details["exception_message"].splitlines() or ["it cannot be computed"]
    unknown = _NO_COLUMN.fullmatch(reason)
    if unknown:
        reason = f"{unknown['table']} has no column {unknown['column']}"
        details = {"error_subtype": "COLUMN_NOT_FOUND", "name": unknown["column"], **details}
        details["candidates"] = ",".join(nearest(unknown["column"], columns))
    begun = query.statement.encode()[: int(details.get("position", 0))]
    at = query.at(len(begun.decode("utf-8", "ignore")))
    return Refused(at, shown(reason.rstrip("!.")), _fix(details, others), details.get("exception_type", ""))


def _fix(details: dict[str, str], others: list[str]) -> str:
    candidates = [one for one in details.get("candidates", "").split(",") if one]
    match details.get("exception_type"), details.get("error_subtype"):
        case _, "COLUMN_NOT_FOUND" if candidates:
            near = nearest(details.get("name", ""), candidates) or candidates[:3]
            return f"did you mean {' or '.join(near)}?"
        case "Parser", _:
            return "correct the SQL there"
        case "Out of Memory", _:
            return "let it have more by METADATA_SQL_MEMORY (25% of the machine's), or take it in smaller partitions"
        case "Permission", _:
            return "read data as {{ ref('…') }} or {{ source('…', '…', '…') }}, which are recorded as its inputs"
        case "Conversion", _:
            return "correct the value or use TRY_CAST, which gives null"
    return shown(" ".join(" ".join(others).split())) or "correct the SQL there"


def reason_of(error: duckdb.Error) -> str:
    """What an error says, in one line."""
    first = _details(error)["exception_message"].partition("\n")[0]
    return shown(first.rstrip("!."))


def _details(error: duckdb.Error) -> dict[str, str]:
    """What an error says about itself, as DuckDB writes it in JSON behind the name of its kind."""
    text = str(error)
    try:
        found = json.loads(text[text.index("{") :])
    except ValueError:
        found = {}
    return {"exception_message": text} | {str(name): str(value) for name, value in found.items()}
