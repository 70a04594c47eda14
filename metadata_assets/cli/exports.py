"""The surface of `export`: what the store knows, in the words of other tools."""

from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

exports = typer.Typer(help="Tell other tools.", no_args_is_help=True)


@command(
    exports,
    "openlineage",
    examples=[
        "export openlineage > events.ndjson",
        "export openlineage --since 2026-03-01 --namespace team-flights",
        "export openlineage --run 4f0c21b8-1d2e-4c6a-9d57-0f9e4a1c2b3d --json",
    ],
    document=documents.EVENTS_EXPORTED,
)
def openlineage(
    cli: Cli,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN", help="Of this run; may be repeated. Of all without it.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Of runs in which something happened since then.", show_default=False),
    ] = None,
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="The namespace of our jobs: a word of a-z, 0-9, _, . and -.")
    ] = "dagster",
) -> ExitCode:
    """Print what our own runs did as events of OpenLineage 2-0-2, one on each line.

    A START and an end of each run and of each try of a step: inputs and outputs with their versions, sizes, columns and
    where these come from; failures with their reasons. The same runs give the same events each time. Runs that only
    imported events told are left out.
    """
    from metadata_assets.cli.exporting import export_events

    return export_events(cli, runs=runs or None, since=since, namespace=namespace)
