"""Connections: engines that act as the app's role, and the first look at a server that somebody configured."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from identity.errors import InvalidUrl
from identity.naming import authority
from resources.postgres.errors import DatabaseTooOld, DatabaseUnreachable, connection_problem
from resources.settings import VARIABLE, Plane

OLDEST_SERVER = 15
APP_ROLE = "metadata_app"

# What the role's own settings would say, for whoever logs in under another name and acts as it.
_DEFAULT_OPTIONS = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s"
_FIXED_OPTIONS = (
    f"-c role={APP_ROLE}"
    r" -c default_transaction_isolation=read\ committed"  # whatever the database's own default: the functions need it
)


_SHAPE = "write postgresql://user@host:5432/database"


def app_engine(url: str) -> sa.Engine:
    """An engine whose connections act as `metadata_app`, whoever logs in: row-level security holds for a superuser too.

    A process keeps one connection and may briefly open a few more; the first use opens it, not this call. `options` of
    the URL hold, except for what the role and the isolation are.
    """
    parsed = make_url(with_driver(url, "psycopg"))
    given = " ".join(parsed.normalized_query.get("options", ()))
    options = f"{_DEFAULT_OPTIONS} {given} {_FIXED_OPTIONS}"  # of two that say the same the server takes the last
    return sa.create_engine(
        parsed.difference_update_query(["options"]),
        isolation_level="READ COMMITTED",
        pool_size=1,
        max_overflow=15,
        use_native_hstore=False,  # it would be looked for on each first connection
        connect_args={"options": options, "prepare_threshold": 2, "application_name": "metadata-assets"},
    )


def plain_engine(url: str) -> sa.Engine:
    """An engine that acts as the login of the URL: for migrations and for source databases. Keeps no connection."""
    return sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool, isolation_level="READ COMMITTED")


def with_driver(url: str, driver: Literal["psycopg", "psycopg2"]) -> str:
    """The same PostgreSQL URL for another driver. Raises InvalidUrl, which does not repeat the URL."""
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        raise InvalidUrl(reason="it cannot be parsed", fix=_SHAPE) from None
    except ValueError:
        raise InvalidUrl(reason="its port is not a number, or it names several hosts", fix=_SHAPE) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise InvalidUrl(reason="it is not for PostgreSQL", fix=_SHAPE)
    return rendered(parsed.set(drivername=f"postgresql+{driver}"))


def rendered(url: sa.URL) -> str:
    """The URL with its password, for a driver.

    SQLAlchemy writes a space as it is before the query, and as `+` in it; libpq takes only `%20` for a space.
    """
    server, query, parameters = url.render_as_string(hide_password=False).partition("?")
    return server.replace(" ", "%20") + query + parameters.replace("+", "%20")


def libpq(url: str) -> str:
    """The URL as libpq and psycopg take it: without a driver's name."""
    return rendered(make_url(with_driver(url, "psycopg")).set(drivername="postgresql"))


def check_server(url: str, plane: Plane, *, timeout_seconds: int = 10) -> None:
    """Raise DatabaseUnreachable or DatabaseTooOld unless a connection can be made now. Never repeats a password."""
    with reached(url, plane, timeout_seconds=timeout_seconds):
        pass


@contextmanager
def reached(url: str, plane: Plane, *, timeout_seconds: int = 10) -> Iterator[psycopg.Connection]:
    """A connection for a first look at a server that somebody configured. Raises as `check_server`."""
    try:
        connection = psycopg.connect(libpq(url), connect_timeout=timeout_seconds)
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(
            database=plane, where=str(authority(url)), reason=connection_problem(error), variable=VARIABLE[plane]
        ) from None
    except psycopg.ProgrammingError:
        raise InvalidUrl(
            reason="libpq does not know what it says after ?", fix=f"correct the parameters in {VARIABLE[plane]}"
        ) from None
    with connection:
        found = connection.info.server_version
        if found // 10000 < OLDEST_SERVER:
            raise DatabaseTooOld(database=plane, found=str(found // 10000), needed=str(OLDEST_SERVER))
        yield connection
