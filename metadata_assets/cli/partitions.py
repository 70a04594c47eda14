"""The surface of `partitions`: those that are added while a project runs."""

from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

partitions = typer.Typer(help="Partitions that are added while the project runs.", no_args_is_help=True)


@command(
    partitions,
    "add",
    examples=["partitions add customers acme", "partitions add customers acme globex --json"],
    document=documents.PARTITIONS_ADDED,
)
def add(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What `dynamic:` says in the project's files.")],
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The partitions to add.", show_default=False)],
) -> ExitCode:
    """Add partitions to all datasets that are divided by a dynamic NAME, as the Dagster UI does.

    What is there already stays; nothing is run. Then `run DATASET --partition KEY` makes them.
    """
    from metadata_assets.cli.dividing import add_partitions

    return add_partitions(cli, name, keys)


@command(
    partitions,
    "list",
    examples=["partitions list", "partitions list customers --json"],
    document=documents.PARTITIONS,
)
def list_(
    cli: Cli,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them; all without it.", show_default=False)
    ] = None,
) -> ExitCode:
    """Show the dynamic partitions of the project: their names, the datasets divided by them, what was added."""
    from metadata_assets.cli.dividing import list_partitions

    return list_partitions(cli, name)
