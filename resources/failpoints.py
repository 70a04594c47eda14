"""Named places at which a process may be told to die, as if its power were cut there.

METADATA_FAILPOINT=data.half kills the process (signal 9) when it comes to that place, data.half#3 when it comes there
for the third time. Without the variable a place costs one comparison.
"""

import os
import signal
from typing import ClassVar, Final

from identity.errors import MetadataError

VARIABLE: Final = "METADATA_FAILPOINT"

WRITING: Final = (
    "lease.before",
    "lease.after",
    "folder.made",
    "data.before",
    "data.half",
    "data.written",
    "data.synced",
    "manifest.before",
    "manifest.half",
    "manifest.written",
    "manifest.synced",
    "folder.synced",
    "folders.synced",
    "commit.before",
    "commit.after",
    "audit.after",
    "publish.before",
    "publish.after",
    "report.before",
    "report.after",
)
"""Of a step, from its lease to what it tells Dagster, in this order."""

COLLECTING: Final = (
    "gc.reap.before",
    "gc.reap.after",
    "gc.condemn.before",
    "gc.condemn.after",
    "gc.remove.before",
    "gc.remove.unmarked",
    "gc.remove.after",
    "gc.forget.before",
    "gc.forget.after",
    "gc.collected.before",
    "gc.collected.after",
)
"""Of the collection of garbage."""

LOCAL_ONLY: Final = frozenset(
    {"data.half", "data.synced", "manifest.half", "manifest.synced", "folder.synced", "folders.synced"}
)
"""What an object store does not have: half of a file, and anything to sync."""


class NoSuchFailpoint(MetadataError):
    """{variable} names no place where a process can die; unset it, or name one of {known}"""

    variable: str
    known: str
    exit_code: ClassVar[int] = 2


_armed: str | None = None
_passes = 0


def arm(text: str | None) -> None:
    """Die at a place, `name` or `name#n`; None or "" for nowhere. Raises NoSuchFailpoint."""
    global _armed, _passes
    name, _hash, times = (text or "").partition("#")
    if name and (name not in WRITING + COLLECTING or not (times or "1").isdigit()):
        raise NoSuchFailpoint(variable=VARIABLE, known=", ".join(WRITING + COLLECTING))
    _armed, _passes = name or None, int(times or "1")


def reach(name: str) -> None:
    """Come to a place: go on, or never return."""
    global _passes
    if name == _armed:
        _passes -= 1
        if _passes <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
