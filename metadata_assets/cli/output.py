"""What commands print: one JSON document, or tables for people."""

import json
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from typing import IO, Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from identity.ids import EntityId, TenantId
from identity.keys import CanonicalKey

NOT_A_TERMINAL = 200
"""Columns where nobody looks: wide enough that a key is not broken for grep."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def console(stream: IO[str]) -> Console:
    """A console on a stream: as wide as its terminal, without colours and emoji codes where it is none."""
    width = None if stream.isatty() else NOT_A_TERMINAL
    return Console(file=stream, width=width, highlight=False, emoji=False, soft_wrap=False)


def text(value: object, style: str = "") -> Text:
    """A value as a cell: never markup, never a control character, whatever a source calls its tables."""
    return Text(printable(value), style=style, overflow="fold")


def printable(value: object) -> str:
    """A value on one line for people; nothing is an empty string."""
    match value:
        case None:
            shown = ""
        case bool():
            shown = "yes" if value else "no"
        case int():
            shown = f"{value:,}"
        case datetime():
            shown = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case _:
            shown = str(value)
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), shown)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table; numbers stand to the right."""
    body = [list(row) for row in rows]
    made = Table(title=Text(title, style="bold"), title_justify="left", header_style="bold", pad_edge=False, box=None)
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int) and not isinstance(row[index], bool) for row in body)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        made.add_row(*(cell if isinstance(cell, Text) else text(cell) for cell in row))
    return made


def facts(title: str, pairs: Mapping[str, object]) -> Table:
    """Names and values, those that are there."""
    heading = Text(title, style="bold", no_wrap=True, overflow="ignore")  # an id stays on its line, for grep
    made = Table(title=heading, title_justify="left", show_header=False, pad_edge=False, box=None)
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None and value != "":
            made.add_row(name, text(value))
    return made


def document(value: object) -> str:
    """A value as one JSON document that ends in a line break."""
    return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The value in JSON's types: records by field, times in ISO 8601 and UTC, keys and ids as text, bytes as hex."""
    match value:
        case None | bool() | int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return value.total_seconds()
        case str():
            return str(value)
        case bytes():
            return value.hex()
        case CanonicalKey() | UUID() | EntityId() | TenantId():
            return str(value)
        case PathLike():
            return fspath(value)
        case Mapping():
            return {str(plain(name)): plain(item) for name, item in value.items()}
        case Set():
            return sorted(map(plain, value), key=repr)
        case Iterable():
            return [plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
