"""The collectors: for each system that has a catalog, how to look at it."""

from contextlib import AbstractContextManager

from metadata_assets.collection.errors import NotCollectable
from metadata_assets.collection.look import Look
from metadata_assets.collection.postgres import looking_at_postgres
from metadata_assets.collection.scope import EVERYTHING, Scope
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases


def looking_at(
    location: EndpointLocation, databases: Databases, scope: Scope = EVERYTHING
) -> AbstractContextManager[Look]:
    """A look at an endpoint's catalog; what goes wrong in it is raised as one of our errors.

    Only the driver of that system is loaded. Raises NotCollectable, EndpointUnreachable, EndpointTooOld, EndpointBusy,
    EndpointMoving, EndpointRefused, DriverMissing; MissingVariable, InvalidUrl when it has no usable URL.
    """
    match location.system:
        case "postgres":
            return looking_at_postgres(location, databases, scope)
        case "duckdb":
            from metadata_assets.collection.duckdb_file import looking_at_duckdb

            return looking_at_duckdb(location, databases, scope)
        case "sqlite":
            from metadata_assets.collection.sqlite_file import looking_at_sqlite

            return looking_at_sqlite(location, databases, scope)
        case "mysql" | "mariadb":
            from metadata_assets.collection.mysql import looking_at_mysql

            return looking_at_mysql(location, databases, scope)
    raise NotCollectable(endpoint=location.slug, system=location.system)
