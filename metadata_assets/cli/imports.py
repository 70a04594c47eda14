"""The surface of `import`: what other tools wrote, read into the store."""

from pathlib import Path
from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

imports = typer.Typer(help="Read what other tools wrote.", no_args_is_help=True)


@command(
    imports,
    "dbt",
    examples=[
        "import dbt target/manifest.json",
        "import dbt target/manifest.json --catalog target/catalog.json --endpoint warehouse",
        "import dbt target/manifest.json --endpoint raw --endpoint analytics=warehouse --dry-run --json",
    ],
    document=documents.DBT_IMPORTED,
)
def dbt(
    cli: Cli,
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The manifest.json that dbt compiled.", show_default=False)
    ],
    catalog: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The catalog.json of `dbt docs generate`: types of columns."),
    ] = None,
    endpoints: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="[DATABASE=]SLUG",
            help="Where its databases are; may be repeated. The project's endpoints of its system without it.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The dbt project's name, where the manifest does not say it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
) -> ExitCode:
    """Read a dbt project: its sources, seeds, snapshots and models, their columns, tests and lineage.

    Tables get the names that `collect` gives them, so that whichever comes first, each is one dataset. The same
    manifest again writes nothing; edges that a new one lacks are closed. What reads or tests a node that the manifest
    lacks is a gap: then nothing is closed, and the exit code is 5.
    """
    from metadata_assets.cli.importing import import_dbt

    return import_dbt(cli, manifest, catalog=catalog, endpoints=endpoints or [], name=name, dry_run=dry_run)


@command(
    imports,
    "openlineage",
    examples=[
        "import openlineage events.ndjson",
        "import openlineage logs/*.json --dry-run",
        "import openlineage events.ndjson --json",
    ],
    document=documents.EVENTS_IMPORTED,
)
def openlineage(
    cli: Cli,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Events: one on each line, a list of them, or one alone.", show_default=False
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
) -> ExitCode:
    """Read OpenLineage events: what ran, what it read and wrote, columns and where they come from, all facets.

    In any order, in parts and as often as you like: the store is the same. What is no event, or names what no key can
    name, is kept aside with the reason (`import refused`) and holds up nothing else; then the exit code is 5.
    """
    from metadata_assets.cli.event_importing import import_files

    return import_files(cli, files, dry_run=dry_run)


@command(
    imports,
    "refused",
    examples=["import refused", "import refused --limit 1000 --json"],
    document=documents.EVENTS_REFUSED,
)
def refused(
    cli: Cli,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many at most, up to 100,000.")] = 20,
) -> ExitCode:
    """List the events that were kept aside because they could not be read, what was tried last first."""
    from metadata_assets.cli.event_importing import show_refused

    return show_refused(cli, limit=limit)


@command(imports, "retry", examples=["import retry", "import retry --dry-run"], document=documents.EVENTS_IMPORTED)
def retry(
    cli: Cli,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")] = False,
) -> ExitCode:
    """Read the events that were kept aside once more: after an endpoint was registered, or with a newer release.

    Those that are read now are kept aside no longer. Of an event above 1 MiB only the beginning was kept: it is not
    tried, import its file again.
    """
    from metadata_assets.cli.event_importing import retry_refused

    return retry_refused(cli, dry_run=dry_run)
