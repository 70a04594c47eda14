"""The project's job, with what Dagster logs kept in a file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import dagster as dg

from metadata_assets.location import code_location
from metadata_assets.spec import load_project

LOG_NAME: Final = "metadata_assets.demo"
REEXECUTED_JOB: Final = "demo_daily_delays"
RUN_CONFIG: Final[dict[str, Any]] = {"loggers": {"demo": {}}}
"""Every run of the demo has it: a run that names a logger does not write to the terminal."""


@dg.logger
def demo_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    """Writes to the file that the demo has opened."""
    return logging.getLogger(LOG_NAME)


@lru_cache
def definitions_of(folder: str) -> dg.Definitions:
    """The code location of the project in a folder, as `dagster dev` has it, the demo's logger and a job by name."""
    named = dg.define_asset_job(REEXECUTED_JOB, selection=["lake/nyc/daily_delays"])
    own = dg.Definitions(loggers={"demo": demo_logger}, jobs=[named])
    return dg.Definitions.merge(code_location(load_project(Path(folder))), own)


@lru_cache
def job_of(folder: str) -> dg.JobDefinition:
    """The job over all assets of the project; resolving it once serves every run."""
    return definitions_of(folder).resolve_implicit_global_asset_job_def()


@lru_cache
def reexecuted_job_of(folder: str) -> dg.JobDefinition:
    """A job with a name, over daily_delays: Dagster re-executes no other ones from Python."""
    return definitions_of(folder).resolve_job_def(REEXECUTED_JOB)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """What Dagster says goes to this file, from its start, until the block ends."""
    path.unlink(missing_ok=True)
    # Dagster configures logging anew for each run, which closes all handlers; one that appends opens its file again.
    handler = logging.FileHandler(path, mode="a", encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger(LOG_NAME)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
