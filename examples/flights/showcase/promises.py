"""Promises: what the demo claims, what it found, and whether that is so."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from metadata_assets.cli.output import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One claim of this demo. `name` is for scripts and stays; `promise` and `evidence` are for people."""

    name: str
    promise: str
    evidence: str
    held: bool


def summary(promises: Sequence[Promise]) -> Table:
    """The promises as a table."""
    rows = [
        (one.promise, one.evidence, Text("yes", "green") if one.held else Text("NO", "bold red")) for one in promises
    ]
    return table("What was promised", ("promise", "evidence", "held"), rows)


def few(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
