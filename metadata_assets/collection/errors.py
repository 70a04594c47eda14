"""What can go wrong at a source. Nothing was changed then, and no message repeats what a driver said."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

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
    """endpoint {endpoint} is {system} {found}; version {needed} or newer can be collected"""

    endpoint: str
    system: str
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
    """endpoint {endpoint} is of system {system}, which has no catalog to collect; name another endpoint"""

    endpoint: str
    system: str
    exit_code: ClassVar[int] = 2


class DriverMissing(SourceError):
    """endpoint {endpoint} is of system {system}: install what reads it, pip install 'metadata-assets[{extra}]'"""

    endpoint: str
    system: str
    extra: str
    exit_code: ClassVar[int] = 2


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
