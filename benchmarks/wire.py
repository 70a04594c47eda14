"""What a connection says and hears, message by message, as libpq traces it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import Trace


@dataclass(slots=True)
class Wire:
    """Counts of one traced stretch; filled in when it ends."""

    messages: list[tuple[str, str]] = field(default_factory=list)

    @property
    def round_trips(self) -> int:
        """How often the client spoke after it had listened, and once for the first time."""
        speakers = [speaker for speaker, _message in self.messages]
        return sum(now == "F" and before != "F" for before, now in zip(["", *speakers], speakers, strict=False))

    @property
    def transactions(self) -> int:
        """How often the server was ready with no transaction open: one was over."""
        return sum(message.startswith("ReadyForQuery") and message.endswith("I") for _speaker, message in self.messages)

    @property
    def statements(self) -> int:
        """How many statements ran."""
        return sum(message.startswith(("Execute", "Query")) for _speaker, message in self.messages)


@contextmanager
def traced(connection: psycopg.Connection) -> Iterator[Wire]:
    """The messages of everything that this connection does in the block."""
    wire = Wire()
    with tempfile.TemporaryFile("w+") as file:
        connection.pgconn.trace(file.fileno())
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield wire
        finally:
            connection.pgconn.untrace()
            file.seek(0)
            for line in file:
                if line.startswith(("F\t", "B\t")):  # the others are the rest of a text with line breaks
                    speaker, _length, message = line.rstrip("\n").split("\t", 2)
                    wire.messages.append((speaker, message))
