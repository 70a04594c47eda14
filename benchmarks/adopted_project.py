"""The trivial project, adopted in one line; each process tells a file what it has waited for us."""

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg

from benchmarks.trivial_project import project

WAITED: Final = "ADOPTED_PROJECT_WAITED"
"""The file, as the environment has it: a line of seconds for each time."""


def job() -> dg.JobDefinition:
    """The job of a few assets, as processes of their own find it."""
    with _told():
        from metadata_assets import with_metadata
        from metadata_assets.recording import Recording
    plain = project()
    with _told():
        adopted = with_metadata(plain)
    for name in ("__init__", "told", "stored"):
        method = getattr(Recording, name)
        if not hasattr(method, "__wrapped__"):  # a process asks twice
            setattr(Recording, name, _telling(method))
    return adopted.resolve_job_def("some")


def waited() -> float:
    """The seconds that were told, and forget them."""
    path = Path(os.environ[WAITED])
    seconds = sum(float(line) for line in path.read_text().splitlines()) if path.exists() else 0.0
    path.unlink(missing_ok=True)
    return seconds


@contextmanager
def _told() -> Iterator[None]:
    begin = time.perf_counter()
    yield
    with Path(os.environ[WAITED]).open("a") as file:
        file.write(f"{time.perf_counter() - begin}\n")


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def telling(*args: Any, **kwargs: Any) -> Any:
        with _told():
            return method(*args, **kwargs)

    return telling
