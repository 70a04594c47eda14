"""The trivial project, adopted in one line."""

import dagster as dg

from benchmarks.trivial_project import project
from metadata_assets import with_metadata


def job() -> dg.JobDefinition:
    """The job of a few assets, as processes of their own find it."""
    return with_metadata(project()).resolve_job_def("some")
