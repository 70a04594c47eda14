"""What a step of an adopted project waits for before it begins: each may be a process of its own."""

import subprocess
import sys

_SCRIPT = """
import sys
import dagster as dg
from metadata_assets import with_metadata
from metadata_assets.storage import MetadataPostgresStorage

@dg.asset
def orders() -> None: ...

jobs = with_metadata(dg.Definitions(assets=[orders])).get_repository_def().get_all_jobs()
print(len(jobs), *sorted({one.partition(".")[0] for one in sys.modules}))
"""
_HEAVY = {
    "duckdb",
    "fsspec",
    "networkx",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "ruamel",
    "rustworkx",
    "sqlglot",
    "upath",
}


def test_an_adopted_project_loads_nothing_that_reads_tables() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    jobs, *modules = done.stdout.split()
    assert int(jobs) >= 1
    assert set(modules) >= {"dagster", "psycopg", "metadata_assets", "resources"}
    assert not _HEAVY & set(modules)
