"""The catalogs that the vectors of external names are for, and their names to and from JSON."""

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from identity.external import (
    Atlas,
    AtlasName,
    Catalog,
    DagsterAssets,
    DataHub,
    LineageName,
    OpenLineage,
    OpenMetadata,
    OpenMetadataName,
)
from identity.naming import Authority

SYSTEMS = {
    "jfk": "postgres",
    "shop": "mysql",
    "bus": "kafka",
    "lake": "s3",
    "adl": "abfs",
    "snow": "snowflake",
    "one": "sqlite",
    "wh": "hive",
    "etl": "dagster",
    "air": "airflow",
    "bi": "looker",
    "files": "files",
    "sa": "postgresql+psycopg",
}
SERVERS = {
    "jfk": Authority("postgresql", "db", None),
    "shop": Authority("mysql", "db", 3307),
    "lake": Authority("s3", "my-bucket", None),
    "adl": Authority("abfs", "acct.dfs.core.windows.net", None),
    "air": Authority("openlineage", "airflow-prod", None),
}
CATALOGS: dict[str, Catalog[Any]] = {
    "datahub": DataHub(systems=SYSTEMS, prefixes={"lake": "my-bucket/"}),
    "openmetadata": OpenMetadata(systems=SYSTEMS),
    "atlas": Atlas(systems=SYSTEMS),
    "openlineage": OpenLineage(SERVERS),
    "dagster": DagsterAssets("etl"),
}
READ: dict[str, Callable[[Any], Any]] = {
    "datahub": str,
    "openmetadata": lambda name: OpenMetadataName(*name),
    "atlas": lambda name: AtlasName(*name),
    "openlineage": lambda name: LineageName(*name),
    "dagster": tuple,
}


def written(name: Any) -> Any:
    """A name as the vectors write it."""
    if isinstance(name, str):
        return name
    return list(name) if isinstance(name, tuple) else list(astuple(name))
