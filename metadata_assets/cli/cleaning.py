"""`clean`: the embedded server and its data are gone afterwards."""

import sys
from typing import ClassVar

import typer

from identity.errors import MetadataError
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from resources.postgres import embedded


class NotConfirmed(MetadataError):
    """nothing was removed: confirm with --yes"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def remove_server(cli: Cli, *, confirmed: bool) -> ExitCode:
    home = cli.settings.home / "postgres"
    found = embedded.status(home)
    if found.version is None:
        cli.show({"removed": None}, f"there is no embedded PostgreSQL in {home}")
        return ExitCode.OK
    if not confirmed:
        _confirm(cli, f"Delete {found.data_directory}, all of its databases, {_used_by(found)}?")
    embedded.stop(home, remove=True)
    cli.show({"removed": found.data_directory}, f"removed {found.data_directory}")
    return ExitCode.OK


def _confirm(cli: Cli, question: str) -> None:
    if cli.json_output or not sys.stdin.isatty() or not typer.confirm(question, err=True):
        raise NotConfirmed


def _used_by(found: embedded.Status) -> str:
    return f"in use by {found.users} processes" if found.users else "which nobody uses now"
