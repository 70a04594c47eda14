"""The code location of METADATA_PROJECT in which a backfill asks for one run for each partition."""

import os
from pathlib import Path

import dagster as dg

from metadata_assets.location import code_location
from metadata_assets.spec import load_project


def _by_partition(project: dg.Definitions) -> dg.Definitions:
    policy = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
    assets = [
        one.with_attributes(backfill_policy=policy) if isinstance(one, dg.AssetsDefinition) else one
        for one in project.assets or ()
    ]
    return dg.Definitions(
        assets=assets, sensors=project.sensors, executor=project.executor, resources=project.resources
    )


defs = _by_partition(code_location(load_project(Path(os.environ["METADATA_PROJECT"]))))
