"""What a step of an adopted project waits for before it begins: each may be a process of its own."""

import subprocess
import sys
import time

import pytest

from identity.naming import authority, endpoint_of
from resources.configurable import EndpointConfig, MetadataResource
from resources.metadata_store import MetadataStore
from resources.models import Endpoint
from resources.postgres.errors import EndpointAliasRefused

_SCRIPT = """
import sys
import dagster as dg
from metadata_assets import with_metadata
from metadata_assets.storage import MetadataPostgresStorage

@dg.asset
def orders() -> None: ...

jobs = with_metadata(dg.Definitions(assets=[orders])).get_repository_def().get_all_jobs()
print(len(jobs), *sorted(sys.modules))
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
_FOR_TICKS_AND_PEOPLE = {
    "identity.external.atlas",
    "metadata_assets.mirror.lineage",
    "metadata_assets.mirror.materialized",
    "metadata_assets.mirror.runs",
    "resources.graph_store",
    "resources.metadata_store",
}


def test_an_adopted_project_loads_nothing_that_its_steps_do_not_ask() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    jobs, *modules = done.stdout.split()
    assert int(jobs) >= 1
    assert set(modules) >= {"dagster", "psycopg", "resources.step_store", "metadata_assets.sensors"}
    assert not _HEAVY & {one.partition(".")[0] for one in modules}
    assert not _FOR_TICKS_AND_PEOPLE & set(modules)


def test_what_opens_the_store_takes_no_name_for_an_endpoint_that_another_one_has(stored: MetadataStore) -> None:
    slug = endpoint_of(authority("postgresql://db.example.com:5433/shop"))
    stored.register_endpoints([Endpoint(slug="jfk", system="postgres")])
    assert stored.register_endpoint_as(slug, "jfk", reason="we named it")
    declared = MetadataResource(endpoints={slug: EndpointConfig(system="postgres", url="env:SHOP")})
    before = connections(stored)
    for _look in range(5):
        with pytest.raises(EndpointAliasRefused, match=f"{slug} is jfk already"):
            declared.step_store()
    ended = time.monotonic() + 10
    while connections(stored) != before:
        assert time.monotonic() < ended, "connections that nobody uses are left"
        time.sleep(0.05)


def connections(store: MetadataStore) -> int:
    """How many there are to its database; a transaction sees them as they were when it first asked."""
    with store.session() as session:
        (row,) = session.rows("SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database()")
    number: int = row["number"]
    return number
