"""Processes that read a whole dataset again and again, and tell the digest of everything that they got."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
from year_pool import FORKS

from identity.keys import CanonicalKey
from metadata_assets.location import metadata_resource
from metadata_assets.spec import load_project


def digest_of(table: pa.Table) -> str:
    """Of the values, in their order, whatever chunks they are in."""
    digest = hashlib.sha256()
    whole = table.combine_chunks()
    with pa.ipc.new_stream(_Sink(digest), whole.schema) as stream:
        stream.write_table(whole)
    return digest.hexdigest()[:16]


class _Sink:
    """A file whose content is only hashed."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, content: Any) -> int:
        self._digest.update(content)
        return len(content)

    def flush(self) -> None: ...


def read_all(dataset: CanonicalKey, at: int | str | None = None) -> pa.Table:
    """All of a dataset of METADATA_PROJECT, every byte verified."""
    metadata = metadata_resource(load_project(Path(os.environ["METADATA_PROJECT"])))
    return metadata.read(dataset, at=at, frame="arrow")


@dataclass
class Reading:
    """A process that reads: what it got, or why it failed."""

    process: BaseProcess
    told: Connection
    digests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, dataset: CanonicalKey, at: str | None) -> "Reading":
        ours, its = FORKS.Pipe()
        process = FORKS.Process(target=_read_on, args=(dict(os.environ), dataset, at, its))
        process.start()
        its.close()
        return cls(process, ours)

    def listen(self, seconds: float) -> None:
        """Take what it tells within this time."""
        until = time.monotonic() + seconds
        while self.told.poll(max(0.0, until - time.monotonic())):
            try:
                kind, what = self.told.recv()
            except (EOFError, ConnectionResetError):
                return
            (self.digests if kind == "digest" else self.errors).append(what)

    def wait_for(self, digest: str | None = None, *, times: int = 1, seconds: float = 120) -> None:
        """Until it has read so often from now, and this digest when one is given."""
        start, until = len(self.digests), time.monotonic() + seconds
        while sum(one == (digest or one) for one in self.digests[start:]) < times and not self.errors:
            assert time.monotonic() < until, f"nothing was read: {self.digests[-3:]}"
            assert self.process.is_alive(), "the reader died"
            self.listen(0.1)

    def end(self) -> None:
        """Let it finish what it is reading, and leave nothing behind."""
        if self.process.is_alive():
            self.told.send("stop")
        until = time.monotonic() + 60
        while self.process.is_alive() and time.monotonic() < until:
            self.listen(0.0)
            self.process.join(0.05)
        self.process.kill()
        self.listen(0.0)

    @property
    def seen(self) -> list[str]:
        """The digests in the order in which they appeared, each as long as it stayed."""
        return [digest for digest, _same in groupby(self.digests)]


def _read_on(variables: dict[str, str], dataset: CanonicalKey, at: str | None, told: Connection) -> None:
    os.environ.clear()
    os.environ.update(variables)
    while not told.poll():
        try:
            told.send(("digest", digest_of(read_all(dataset, at))))
        except Exception as error:  # noqa: BLE001 whatever it is, it is what is looked for
            told.send(("error", f"{type(error).__name__}: {error}"))
            return
    told.recv()
