"""A control plane of our own for a benchmark: the embedded server with its durable defaults, gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.postgres.embedded import Server, attach, ensure_databases, stop
from resources.postgres.engine import plain_engine
from resources.postgres.migrate import migrate


@contextmanager
def control_plane() -> Iterator[tuple[Server, str]]:
    """A server, and the URL of a migrated database on it."""
    home = Path(tempfile.mkdtemp(prefix="metadata-benchmark-"))
    try:
        server = attach(home)
        ensure_databases(server, ["metadata"])
        migrate(plain_engine(server.url("metadata")))
        yield server, server.url("metadata")
    finally:
        stop(home, remove=True)
        shutil.rmtree(home, ignore_errors=True)
