"""Assets as a project has them that has never heard of us, and that compute nothing.

Half of them are stored by an I/O manager of the project's own, the others by themselves; each is made from the two
before.
"""

import os
from pathlib import Path
from typing import Final

import dagster as dg

FILES: Final = "TRIVIAL_PROJECT_FILES"
"""The folder of the I/O manager, as the environment has it."""
ASSETS: Final = 200
FEW: Final = 6


def project() -> dg.Definitions:
    """The assets, and a job of the first few of them."""
    files = dg.FilesystemIOManager(base_dir=str(Path(os.environ[FILES])))
    return dg.Definitions(
        assets=[_asset(number) for number in range(ASSETS)],
        jobs=[dg.define_asset_job("some", [f"asset_{number}" for number in range(FEW)])],
        resources={"io_manager": files},
    )


def job() -> dg.JobDefinition:
    """The job of a few assets, as processes of their own find it."""
    return project().resolve_job_def("some")


def _asset(number: int) -> dg.AssetsDefinition:
    before = [f"asset_{one}" for one in (number - 1, number - 2) if one >= 0]
    if number % 2:

        @dg.asset(name=f"asset_{number}", deps=before)
        def stores_itself() -> dg.MaterializeResult:
            return dg.MaterializeResult(metadata={"dagster/row_count": number})

        return stores_itself

    @dg.asset(name=f"asset_{number}", deps=before)
    def stored() -> int:
        return number

    return stored
