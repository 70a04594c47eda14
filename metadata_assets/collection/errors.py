"""What can go wrong at a source. Nothing was changed then, and no message repeats what a driver said."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

import psycopg
from psycopg import errors

from identity.errors import MetadataError


class SourceError(MetadataError):
    """an endpoint could not be read; nothing was changed"""


class EndpointUnreachable(SourceError):
    """cannot reach endpoint {endpoint} at {where}: {reason}; nothing was changed"""

    endpoint: str
    where: str
    reason: str
    exit_code: ClassVar[int] = 4


class EndpointTooOld(SourceError):
    """endpoint {endpoint} is PostgreSQL {found}; version {needed} or newer can be collected"""

    endpoint: str
    found: int
    needed: int
    exit_code: ClassVar[int] = 4


class EndpointBusy(SourceError):
    """endpoint {endpoint} did not answer in time ({reason}); nothing was changed, try again later"""

    endpoint: str
    reason: str
    exit_code: ClassVar[int] = 4


class EndpointMoving(SourceError):
    """the schema of endpoint {endpoint} keeps changing while it is read; nothing was changed, try again later"""

    endpoint: str
    exit_code: ClassVar[int] = 4


class EndpointRefused(SourceError):
    """endpoint {endpoint} refused to show its catalog: {reason}; nothing was changed"""

    endpoint: str
    reason: str


class NotCollectable(SourceError):
    """endpoint {endpoint} is of system {system}, and only postgres endpoints have a catalog to collect"""

    endpoint: str
    system: str
    exit_code: ClassVar[int] = 2


# What libpq says, to look for in its message, and what we say. The message itself may hold a password.
_REASONS: Final = (
    ("password authentication failed", "the password or the user is wrong"),
    ("no password supplied", "it wants a password and the URL has none"),
    ("no pg_hba.conf entry", "the server does not let this user in from here"),
    ("peer authentication failed", "the server does not let this user in from here"),
    ("does not exist", "it has no such database or user"),
    ("permission denied for database", "this user may not connect to that database"),
    ("is not permitted to log in", "this user may not log in"),
    ("not currently accepting connections", "that database accepts no connections"),
    ("connection slots", "it has no connection left"),
    ("too many connections", "it has no connection left"),
    ("starting up", "it is starting up"),
    ("shutting down", "it is shutting down"),
    ("could not translate host name", "its host name is unknown"),
    ("failed to resolve host", "its host name is unknown"),
    ("timeout expired", "no answer within the time limit"),
    ("timed out", "no answer within the time limit"),
    ("Connection refused", "nothing listens there"),
    ("No such file or directory", "there is no such socket"),
    ("SSL", "it and the URL disagree about SSL"),
    ("is bad: invalid", "libpq cannot read its URL"),
)


def connection_problem(error: psycopg.Error) -> str:
    """Why there is no connection, in one of a few fixed phrases."""
    message = str(error)
    return next((ours for theirs, ours in _REASONS if theirs in message), "no answer that we know")


@contextmanager
def reading(endpoint: str, where: str) -> Iterator[None]:
    """Turn what goes wrong while a source is read into our errors, without the driver's words."""
    try:
        yield
    except psycopg.Error as error:
        raise _translated(error, endpoint, where) from None


def _translated(error: psycopg.Error, endpoint: str, where: str) -> MetadataError:
    match error:
        case errors.CharacterNotInRepertoire() | errors.UntranslatableCharacter():
            return EndpointRefused(endpoint=endpoint, reason="some of its names are not UTF-8")  # it is in SQL_ASCII
        case errors.QueryCanceled():
            return EndpointBusy(endpoint=endpoint, reason="a query ran into the time limit")
        case errors.LockNotAvailable():
            return EndpointBusy(endpoint=endpoint, reason="somebody holds a lock on a table")
        case errors.InternalError_() | errors.UndefinedTable() | errors.UndefinedObject() | errors.UndefinedColumn():
            return EndpointMoving(endpoint=endpoint)  # "cache lookup failed": dropped after our snapshot was taken
        case psycopg.OperationalError():
            return EndpointUnreachable(endpoint=endpoint, where=where, reason="the connection was lost")
    return EndpointRefused(endpoint=endpoint, reason=f"{type(error).__name__}, SQLSTATE {error.sqlstate}")
