"""The one place where errors become messages and exit codes."""

import functools
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from identity.errors import MetadataError
from metadata_assets.cli.app import app
from metadata_assets.cli.commands import PROGRAM
from metadata_assets.cli.context import Start
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import document, plain
from metadata_assets.cli.scrubbing import scrub, scrub_all


class UsageRefused(MetadataError):
    """{problem}; see: metadata-assets --help"""

    problem: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class ConnectionBroke(MetadataError):
    """a database stopped answering ({reason}); nothing half-written; look with: metadata-assets doctor"""

    reason: str
    exit_code: ClassVar[int] = ExitCode.UNUSABLE


class LoginRefused(MetadataError):
    """a database login lacks a right ({reason}); nothing half-written; \
use the login that ran `metadata-assets migrate`, or grant it the role metadata_app"""

    reason: str
    exit_code: ClassVar[int] = ExitCode.UNUSABLE


class FileRefused(MetadataError):
    """cannot use {path}: {reason}"""

    path: str
    reason: str


class AnswerLost(MetadataError):
    """could not write the answer to stdout: {reason}; what the command did stays done, make room and ask again"""

    reason: str


class Unexpected(MetadataError):
    """unexpected: {type}; run `metadata-assets --debug …` again for the traceback"""

    type: str


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command; its exit code. Without arguments, those of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot write is no error
    start = Start(environ=dict(os.environ if environ is None else environ), cwd=Path.cwd)
    try:
        _check_encoding(given)
        outcome = _program()(given, prog_name=PROGRAM, standalone_mode=False, obj=start)
        print(end="", flush=True)  # a disk that is full says so here, not when Python ends
        return int(outcome or ExitCode.OK)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, people get a message and scripts a code
        return _report(error, given, start.environ)


@functools.cache
def _program() -> TyperGroup:
    """All commands. They are made of their functions once: that takes longer than most of them."""
    return typer.main.get_group(app)


def _check_encoding(arguments: Sequence[str]) -> None:
    """Raise UsageRefused for bytes that are no UTF-8, which Python smuggles in as lone surrogates."""
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageRefused(problem=f"argument {number} is not UTF-8, as keys, partitions and paths are") from None


def _report(error: Exception, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    ours = _ours(error)
    if "--debug" in arguments and not isinstance(error, TyperException):  # a wrong word has no traceback to read
        sys.stderr.write(scrub("".join(traceback.format_exception(error)), environ))
    if "--json" in arguments:
        described = {**ours.facts, "error": type(ours).__name__, "message": str(ours), "exit_code": ours.exit_code}
        sys.stderr.write(document(scrub_all(plain(described), environ)))
    else:
        sys.stderr.write(f"{scrub(str(ours), environ)}\n")
    return ours.exit_code


def _ours(error: Exception) -> MetadataError:
    match error:
        case MetadataError():
            return error
        case TyperException():
            return UsageRefused(problem=error.format_message().strip().rstrip("."))
        case OSError(filename=str() | Path() as path, strerror=str() as reason):
            return FileRefused(path=str(path), reason=reason)
        case OSError(filename=None) if lost := _lost_answer():
            return lost
        case _:
            return _of_a_driver(error) or Unexpected(type=type(error).__qualname__)


def _lost_answer() -> AnswerLost | None:
    """Why stdout takes no more, if it does not. What waits to be written is dropped: Python would try again."""
    try:
        print(end="", flush=True)
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor, no path
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return AnswerLost(reason=error.strerror or type(error).__name__)
    return None


def _of_a_driver(error: Exception) -> MetadataError | None:
    """What a database refused or why it went away, without the driver's words, which may hold a URL.

    Looked up only where a driver is loaded: it takes longer than most of the errors that come before.
    """
    if "psycopg" not in sys.modules:
        return None
    import psycopg
    from sqlalchemy.exc import DBAPIError

    match error.orig if isinstance(error, DBAPIError) else error:
        case psycopg.errors.InsufficientPrivilege() as refused:
            return LoginRefused(reason=refused.diag.message_primary or str(refused))
        case psycopg.OperationalError() as lost if "permission denied to set role" in str(lost):
            return LoginRefused(reason="it may not act as metadata_app")
        case psycopg.OperationalError() as lost:
            return ConnectionBroke(reason=type(lost).__name__)
    return None
