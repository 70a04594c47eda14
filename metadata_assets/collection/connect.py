"""Connections to sources."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from metadata_assets.collection.errors import (
    EndpointTooOld,
    EndpointUnreachable,
    reading,
)
from resources.locations import EndpointLocation
from resources.postgres.databases import Databases
from resources.postgres.errors import connection_problem

OLDEST_SOURCE: Final = 15
CONNECT_TIMEOUT_SECONDS: Final = 10


@contextmanager
def connected(location: EndpointLocation, databases: Databases) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a Postgres endpoint; what goes wrong on it is raised as one of our errors.

    Raises EndpointUnreachable, EndpointTooOld; MissingVariable, InvalidUrl when it has no usable URL.
    """
    url, where = location.database_url(databases), location.where(databases)
    with _connect(url, location.slug, where) as connection, reading(location.slug, where):
        found = connection.info.server_version // 10000
        if found < OLDEST_SOURCE:
            raise EndpointTooOld(endpoint=location.slug, system="PostgreSQL", found=found, needed=OLDEST_SOURCE)
        yield connection


def _connect(url: str, endpoint: str, where: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            url,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="metadata-assets collection",
            client_encoding="utf8",
            prepare_threshold=None,  # each statement is asked once; and poolers may lose prepared ones
        )
    except psycopg.OperationalError as error:
        raise EndpointUnreachable(endpoint=endpoint, where=where, reason=connection_problem(error)) from None
    except psycopg.ProgrammingError:
        raise EndpointUnreachable(endpoint=endpoint, where=where, reason="libpq cannot read its URL") from None
