"""What is there after the backfill: counted in the sources, in the records, in the files, and in the runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psycopg
from deployment import Deployment

from examples.flights.sources import AIRPORTS
from identity.keys import dataset_key
from metadata_assets.location import metadata_resource
from metadata_assets.mirror.runs import mirror_runs
from metadata_assets.spec import load_project
from resources.files.staging import DataDamaged
from resources.locations import location
from resources.metadata_store import MetadataStore
from resources.postgres.databases import Databases
from resources.postgres.engine import libpq
from resources.settings import Settings

FLIGHTS = dataset_key("lake", schema="nyc", table="flights")
_FLIGHT = ("origin", "local_date", "carrier", "flight")
_OF_DAYS = "SELECT local_date::text, count(*) FROM flights WHERE local_date BETWEEN %s AND %s GROUP BY 1"
_RECORDED = """
SELECT count(*) AS materializations, count(DISTINCT (partition_key, intent)) AS intents
FROM metadata.materialization WHERE tenant_id = %(tenant)s AND dataset_id = %(dataset)s
"""
_REDELIVERED = "SELECT count(*) AS redeliveries FROM metadata.redelivery WHERE tenant_id = %(tenant)s"
_COMMITTED = "SELECT location FROM metadata.materialization WHERE tenant_id = %(tenant)s"
_LEASED = "SELECT location FROM metadata.staging_lease WHERE tenant_id = %(tenant)s"
_ATTEMPTS = "SELECT status, count(*) FROM metadata.task_attempt WHERE tenant_id = %(tenant)s GROUP BY 1"


@dataclass(frozen=True)
class Counted:
    materializations: int
    published: int
    rows_in_sources: int
    rows_recorded: int
    rows_in_files: int
    lost: int
    """Days whose rows are not in their file."""
    doubled: int
    """Intents that were recorded twice, and flights that stand twice."""
    torn: int
    """Files that are not what their manifest and their commit say."""
    redeliveries: int
    abandoned: int
    """Folders that hold files of attempts that never committed; each has a lease, so it is collected later."""
    unknown_files: int
    attempts: dict[str, int]


def count(deployment: Deployment, store: MetadataStore, settings: Settings, days: Sequence[str]) -> Counted:
    """Count the days, which are all that there are."""
    sources = _in_the_sources(settings, days)
    current = store.current(FLIGHTS)
    metadata = metadata_resource(load_project(settings.project))
    tables, torn = {}, 0
    for one in current:
        try:
            tables[one.partition] = metadata.read(FLIGHTS, partitions=[str(one.partition)])
        except DataDamaged:
            torn += 1
    every = pl.concat(tables.values())
    place = {"tenant": store.tenant.value, "dataset": store.entity(FLIGHTS).id.value}
    with store.session() as session:
        (recorded,) = session.rows(_RECORDED, place)
        (redelivered,) = session.rows(_REDELIVERED, place)
        committed = {row["location"] for row in session.rows(_COMMITTED, place)}
        leased = {row["location"] for row in session.rows(_LEASED, place)}
    while not mirror_runs(store, deployment.instance, location=deployment.name).complete:
        pass
    with store.session() as session:
        attempts = {row["status"]: row["count"] for row in session.rows(_ATTEMPTS, place)}
    root = Path(str(metadata.root_of(FLIGHTS.endpoint)))
    folders = {
        location(FLIGHTS.endpoint, str(path.parent.relative_to(root))) for path in root.rglob("*/*") if path.is_file()
    }
    heights = {day: table.height for day, table in tables.items()}
    return Counted(
        materializations=recorded["materializations"],
        published=len(current),
        rows_in_sources=sum(sources.values()),
        rows_recorded=sum(one.row_count or 0 for one in current),
        rows_in_files=every.height,
        lost=sum(heights.get(day) != rows for day, rows in sources.items()),
        doubled=recorded["materializations"] - recorded["intents"] + int(every.select(_FLIGHT).is_duplicated().sum()),
        torn=torn,
        redeliveries=redelivered["redeliveries"],
        abandoned=len(folders - committed),
        unknown_files=len(folders - committed - leased),
        attempts=attempts,
    )


def _in_the_sources(settings: Settings, days: Sequence[str]) -> dict[str, int]:
    found = dict.fromkeys(days, 0)
    for airport in AIRPORTS:
        with psycopg.connect(libpq(Databases(settings).data), dbname=airport) as connection:
            for day, rows in connection.execute(_OF_DAYS, [days[0], days[-1]]):
                found[day] += rows
    return found
