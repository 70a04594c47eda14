"""The surface: every command, its parameters and its help. What a command does is imported when it is called."""

from enum import StrEnum
from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import PROGRAM, accept_before_commands, command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.exports import exports
from metadata_assets.cli.identity import identity
from metadata_assets.cli.imports import imports
from metadata_assets.cli.lineage_commands import lineages
from metadata_assets.cli.partitions import partitions
from metadata_assets.cli.projects import projects
from metadata_assets.cli.references import collection
from metadata_assets.cli.versioning import versioning


class Migration(StrEnum):
    """What else than the schema can be migrated."""

    IDENTITIES = "identities"


Key = Annotated[
    str, typer.Argument(metavar="KEY", help="endpoint/schema/table, or the full key mid1:…", show_default=False)
]
At = Annotated[
    str | None,
    typer.Option(metavar="VERSION|PIN|TIME", help="As of a version, a pin or a moment.", show_default=False),
]
Depth = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many steps far; to the end without it.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many at most, up to 100,000.")]

app = typer.Typer(
    name=PROGRAM,
    help="One identity per dataset, one record per materialization, one lineage graph.",
    epilog="\n\n".join(["Exit codes:", *(f"{code.value} {code.meaning}" for code in ExitCode)]),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
accept_before_commands(app)
_dataset = typer.Typer(help="One dataset.", no_args_is_help=True)
_materialization = typer.Typer(help="One materialization.", no_args_is_help=True)
app.add_typer(_dataset, name="dataset")
app.add_typer(_materialization, name="materialization")
app.add_typer(identity, name="identity")
app.add_typer(collection, name="collection")
app.add_typer(imports, name="import")
app.add_typer(partitions, name="partitions")
app.add_typer(exports, name="export")
app.add_typer(versioning)
app.add_typer(lineages)
app.add_typer(projects)


@command(app, "dev", examples=["dev", "dev --port 3333", "dev --project ~/flights"], document=documents.DEV)
def dev(
    cli: Cli,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port to listen on.")] = 3000,
) -> ExitCode:
    """Run the project in the Dagster UI, until Ctrl-C.

    Opens the databases (the embedded PostgreSQL where none is configured), starts Dagster's webserver, daemon and code
    server, prints the address when it answers, and stops all of them when it ends. With --json the document comes when
    the address answers. When files of the project change it is loaded anew; a mistake is told at its place, and Dagster
    keeps what it has.
    """
    from metadata_assets.cli.dev import serve

    return serve(cli, host=host, port=port)


@command(app, "demo", examples=["demo", "demo --days 365", "demo --json > summary.json"], document=documents.DEMO)
def demo(
    cli: Cli,
    days: Annotated[int, typer.Option(min=1, metavar="N", help="How many days of data to materialize.")] = 31,
) -> int:
    """Run the project's demo headless, to its summary."""
    from metadata_assets.cli.demo import run_demo

    return run_demo(cli, days=days)


@command(
    app,
    "collect",
    examples=["collect", "collect jfk lga", "collect jfk --profile", "collect --json"],
    document=documents.COLLECT,
)
def collect(
    cli: Cli,
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENDPOINT]...", help="Which of the project's endpoints; all that it collects.", show_default=False
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Look at the rows, too: how many, nulls, distinct, least, greatest.")
    ] = False,
) -> ExitCode:
    """Read the catalogs of the project's endpoints into the store: PostgreSQL, MySQL, MariaDB, DuckDB, SQLite.

    Collecting an unchanged source writes nothing. What a source does not let us see is a gap: the rest is collected,
    nothing is closed, and the exit code is 5. An endpoint that is down does not stop the others; the exit code is 4.
    Renamed are tables and columns that the source calls otherwise by now; they keep their ids.

    --profile looks at each table for 20 s at most, at a sample where it has more than 100,000 rows, and at no view. Of
    numbers, dates and times the least and the greatest are kept, of texts no value is.
    """
    from metadata_assets.cli.collecting import collect_endpoints

    return collect_endpoints(cli, endpoints or [], profile=profile)


@command(app, "datasets", examples=["datasets", "datasets --all --json"], document=documents.DATASETS)
def datasets(
    cli: Cli,
    all_: Annotated[bool, typer.Option("--all", help="The tables of the sources too.")] = False,
) -> ExitCode:
    """List the datasets: their published version, partitions, rows and materializations."""
    from metadata_assets.cli.catalog import list_datasets

    return list_datasets(cli, collected=all_)


@command(
    _dataset,
    "show",
    examples=["dataset show lake/nyc/flights", "dataset show lake/nyc/flights --at 2026-03-01 --json"],
    document=documents.DATASET,
)
def dataset_show(cli: Cli, key: Key, at: At = None) -> ExitCode:
    """Show one dataset or source table: columns, what is published, what it is made from and what from it.

    With --at the version and its partitions are those of then; the rest is as it is now.
    """
    from metadata_assets.cli.catalog import show_dataset

    return show_dataset(cli, key, at=at)


@command(
    app,
    "materializations",
    examples=[
        "materializations lake/nyc/flights --limit 5",
        "materializations lake/nyc/flights --partition 2013-01-15",
        "materializations --with model=b7 --json",
    ],
    document=documents.MATERIALIZATIONS,
)
def materializations(
    cli: Cli,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="endpoint/schema/table, or the full key mid1:…", show_default=False),
    ] = None,
    partition: Annotated[str | None, typer.Option(metavar="PARTITION", help="Only those of one partition.")] = None,
    having: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="KEY[=VALUE]", help="Only those whose metadata has it; of all datasets without one."
        ),
    ] = None,
    limit: Limit = 20,
) -> ExitCode:
    """List the materializations of a dataset, or those that noted something, the newest first.

    VALUE is JSON (7, true, "7"); what is no JSON is a text.
    """
    from metadata_assets.cli.history import list_materializations

    return list_materializations(cli, key, partition=partition, having=having, limit=limit)


@command(
    _materialization,
    "show",
    examples=[
        "materialization show lake/nyc/daily_delays --partition 2013-01-15",
        "materialization show 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10 --json",
    ],
    document=documents.MATERIALIZATION,
)
def materialization_show(
    cli: Cli,
    which: Annotated[
        str,
        typer.Argument(
            metavar="ID|KEY", help="A materialization's id, or a dataset: its published one.", show_default=False
        ),
    ],
    partition: Annotated[str | None, typer.Option(metavar="PARTITION", help="Which partition of the dataset.")] = None,
    depth: Depth = None,
) -> ExitCode:
    """Show what produced a materialization: run, step, attempt, and its exact inputs, down to the source tables."""
    from metadata_assets.cli.history import show_materialization

    return show_materialization(cli, which, partition=partition, depth=depth)


@command(
    app,
    "versions",
    examples=["versions lake/nyc/flights", "versions lake/nyc/flights --at 2026-03-01 --limit 1 --json"],
    document=documents.VERSIONS,
)
def versions(cli: Cli, key: Key, at: At = None, limit: Limit = 20) -> ExitCode:
    """List the published versions of a dataset, the newest first; with --at from the one of then on, backwards."""
    from metadata_assets.cli.history import list_versions

    return list_versions(cli, key, at=at, limit=limit)


@command(
    app,
    "runs",
    examples=["runs", "runs --failed --limit 5", "runs 3f0c2b6e", "runs --lost --json"],
    document=f"`{documents.RUNS}`; with RUN `{documents.RUN}`",
)
def runs(
    cli: Cli,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id, or how it begins: its attempts.", show_default=False),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs in which something failed.")] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Only runs with an attempt that nobody heard of again.")] = False,
    limit: Limit = 20,
) -> ExitCode:
    """List the runs, the newest first; or show one: its steps, their attempts, and why they failed."""
    from metadata_assets.cli.running import list_runs, show_run

    if run is None:
        return list_runs(cli, failed=failed, lost=lost, limit=limit)
    return show_run(cli, run, filtered=failed or lost)


@command(
    app,
    "explain",
    examples=[
        "explain lake/nyc/daily_delays/2013-01-15",
        "explain lake/nyc/daily_delays@12",
        "explain 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10 --json",
    ],
    document=documents.EXPLAINED,
)
def explain(
    cli: Cli,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A materialization's id, DATASET, DATASET/PARTITION, DATASET@VERSION or DATASET@PIN.",
            show_default=False,
        ),
    ],
    partition: Annotated[
        list[str] | None, typer.Option(metavar="PARTITION", help="Which partition of the dataset; one.")
    ] = None,
) -> ExitCode:
    """Say what happened to data: what produced it, why it failed, what was published, what reads it, the way back.

    A dataset with partitions is explained by its newest version, one without by what it has now.
    """
    from metadata_assets.cli.explaining import explain as explained

    return explained(cli, what, partitions=partition or [])


@command(
    app,
    "migrate",
    examples=["migrate", "--tenant sales migrate", "migrate identities --dry-run"],
    document=documents.MIGRATE,
)
def migrate(
    cli: Cli,
    what: Annotated[
        Migration | None,
        typer.Argument(metavar="[identities]", help="Not the schema, but what is stored.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With identities: say what would be done.")] = False,
) -> ExitCode:
    """Bring the metadata database to this release and make the tenant. Safe to repeat.

    Needs a login that may create roles and schemas: the one in METADATA_DATABASE_URL, or the embedded server's.

    `migrate identities` replaces the keys that collections of earlier releases store by references to identity nodes,
    and brings the edges between references in line; once, by any login, and safe to repeat. Its document is
    `{dry_run, collections: [{slug, wrapped: [{key, reference}], dropped}], edges: {opened, closed}}`.
    """
    if what is None:
        from metadata_assets.cli.migrating import migrate_database

        return migrate_database(cli, dry_run=dry_run)
    from metadata_assets.cli.curating import migrate_identities

    return migrate_identities(cli, dry_run=dry_run)


@command(app, "doctor", examples=["doctor", "doctor --json", "doctor --fix"], document=documents.DOCTOR)
def doctor(
    cli: Cli,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Let views of tables follow what is published, where they did not; mark the roots of endpoints in "
            "which their data are.",
        ),
    ] = False,
) -> ExitCode:
    """Look at every part and say what to do about the ones that are not well."""
    from metadata_assets.cli.doctor import examine

    return examine(cli, fix=fix)


@command(
    app,
    "gc",
    examples=["gc --dry-run", "gc lake/nyc/flights --keep-versions 30 --keep-for 14d", "gc --json"],
    document=documents.GC,
)
def gc(
    cli: Cli,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATASET]...", help="Replaced data of these only; of all.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    keep_versions: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Keep the data of so many versions of each dataset; 10.", show_default=False
        ),
    ] = None,
    keep_for: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Keep what was replaced less than this ago: 90s, 5m, 1h; 7d.", show_default=False
        ),
    ] = None,
    keep_history: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Keep profiles, facets of runs and refused events so long; 90d.", show_default=False
        ),
    ] = None,
) -> ExitCode:
    """Remove files that nobody can ask for any more, and history that is told again and again.

    That is what attempts left that ended without a commit; what was delivered again; data that were replaced, in no
    pin, in none of the last versions and longer ago than --keep-for; and what steps of ended runs handed to each other.
    Never what is published, pinned or still being written. Records stay: versions, lineage and history are complete.
    Without --keep-versions and --keep-for, datasets that declare their retention in the project keep what that says.

    Without DATASET, what is older than --keep-history goes, too: profiles, but the newest of each table; facets of
    runs; events that were kept aside and not tried since. Of each table the last 100 profiles stay at most.

    It may be interrupted and repeated at any time. What cannot be removed is told, and the exit code is 5.
    """
    from metadata_assets.cli.garbage import collect_garbage

    return collect_garbage(
        cli,
        names or [],
        dry_run=dry_run,
        keep_versions=keep_versions,
        keep_for=keep_for,
        keep_history=keep_history,
    )


@command(app, "clean", examples=["clean", "clean --yes"], document=documents.CLEAN)
def clean(
    cli: Cli,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> ExitCode:
    """Stop the embedded PostgreSQL and delete its data. Files of datasets and configured databases stay."""
    from metadata_assets.cli.cleaning import remove_server

    return remove_server(cli, confirmed=yes)
