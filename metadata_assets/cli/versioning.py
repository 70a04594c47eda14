"""The surface of what people decide about versions: commands, their parameters and their help."""

from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="endpoint/schema/table, or the full key mid1:…", show_default=False)
]
Partitions = Annotated[
    list[str] | None,
    typer.Option("--partition", metavar="PARTITION", help="Only this one; may be repeated.", show_default=False),
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with it.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with it.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would come of it, or what is in the way.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many at most, up to 100,000.")]

versioning = typer.Typer()


@command(
    versioning,
    "publish",
    examples=[
        "publish lake/nyc/flights",
        "publish lake/nyc/flights --partition 2013-01-15 --dry-run",
        "publish 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10 --despite-checks --reason 'the check is wrong'",
    ],
    document=documents.PUBLISHED,
)
def publish(
    cli: Cli,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MATERIALIZATION|DATASET...",
            help="Materializations by their ids; or datasets: the newest that waits in each partition.",
            show_default=False,
        ),
    ],
    partitions: Partitions = None,
    despite_checks: Annotated[
        bool, typer.Option("--despite-checks", help="Also what a blocking check refused; needs --reason.")
    ] = False,
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Let readers get what is committed: all of it in one transaction, one new version of each dataset that changes.

    Publishes whatever the policy of the dataset is, and also what still waits for checks. Of a dataset, what the latest
    result of a blocking check refuses is left out and told by the name of the check; of materializations by id it
    refuses all. What a later attempt has overtaken replaces nothing. `why` is failed_checks or overtaken. The exit code
    is 5 when some of it was not published, 1 when nothing was.
    """
    from metadata_assets.cli.publishing import publish as act

    return act(cli, names, partitions or [], reason=reason, despite=despite_checks, dry_run=dry_run)


@command(
    versioning,
    "release",
    examples=[
        "release 'spring rates' lake/nyc/flights lake/nyc/daily_delays --reason 'they belong together'",
        "release 2013-q1 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10 lake/nyc/flights --dry-run",
    ],
    document=documents.RELEASED,
)
def release(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; given once.", show_default=False)],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="MATERIALIZATION|DATASET...",
            help="Materializations by their ids; or datasets: the newest that waits in each partition.",
            show_default=False,
        ),
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Publish several datasets together, in one transaction: all of it or nothing.

    What a later attempt has overtaken, what was retracted or collected, and what a blocking check refuses, refuses all.
    """
    from metadata_assets.cli.publishing import release as act

    return act(cli, name, names, reason=reason, dry_run=dry_run)


@command(versioning, "releases", examples=["releases", "releases --limit 1 --json"], document=documents.RELEASES)
def releases(cli: Cli, limit: Limit = 20) -> ExitCode:
    """List the releases, the newest first."""
    from metadata_assets.cli.publishing import list_releases

    return list_releases(cli, limit=limit)


@command(
    versioning,
    "rollback",
    examples=[
        "rollback lake/nyc/flights --to 12",
        "rollback lake/nyc/flights --to 12 --expect 15 --reason 'the new rates are wrong'",
        "rollback lake/nyc/flights --to 12 --dry-run",
    ],
    document=documents.ROLLED_BACK,
)
def rollback(
    cli: Cli,
    dataset: Dataset,
    to: Annotated[int, typer.Option(min=1, metavar="N", help="The version to go back to.", show_default=False)],
    expect: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The present version; scripts must say it.", show_default=False),
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Go back: append a version that equals an earlier one. What was published stays, so forward is the same command.

    When the present version is not the expected one, nothing happens. Without --expect, on a terminal, it shows what
    would change, and asks.
    """
    from metadata_assets.cli.reverting import roll_back

    return roll_back(cli, dataset, to=to, expect=expect, reason=reason, dry_run=dry_run)


@command(
    versioning,
    "retract",
    examples=["retract 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10 --reason 'wrong currency'"],
    document=documents.RETRACTED,
)
def retract(
    cli: Cli,
    materialization: Annotated[
        str, typer.Argument(metavar="MATERIALIZATION", help="Its id, as `materializations` tells it.")
    ],
    reason: Why,
    dry_run: DryRun = False,
) -> ExitCode:
    """Take bad data away, for ever: it is never published again, and no rollback brings it back.

    Where readers have it, the partition is absent from a new version on; nothing older takes its place. Pins keep it.
    """
    from metadata_assets.cli.reverting import retract as act

    return act(cli, materialization, reason=reason, dry_run=dry_run)


@command(
    versioning,
    "pin",
    examples=[
        "pin audit-2013 lake/nyc/flights@12 lake/nyc/daily_delays --reason 'the auditors'",
        "pin board-meeting lake/nyc/flights --expires 30d",
        "pin board-meeting lake/nyc/flights --expires 2027-01-01 --json",
    ],
    document=documents.PINNED,
)
def pin(
    cli: Cli,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Begins with a letter; then also digits - _ .", show_default=False)
    ],
    versions: Annotated[
        list[str],
        typer.Argument(metavar="DATASET[@VERSION]...", help="Without a version, the present one.", show_default=False),
    ],
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long (12h, 30d) or until when; for ever.", show_default=False),
    ] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Keep versions of datasets under a name, all in one transaction: read by it, never moved, never collected.

    The same again is the same pin; another one of its name is refused. Days end at midnight, UTC.
    """
    from metadata_assets.cli.pinning import pin as act

    return act(cli, name, versions, expires=expires, reason=reason, dry_run=dry_run)


@command(versioning, "unpin", examples=["unpin board-meeting"], document=documents.UNPINNED)
def unpin(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The pin.", show_default=False)],
    dry_run: DryRun = False,
) -> ExitCode:
    """Remove a pin: nobody reads by it any more, and it keeps nothing from being collected."""
    from metadata_assets.cli.pinning import unpin as act

    return act(cli, name, dry_run=dry_run)


@command(versioning, "pins", examples=["pins", "pins --all --json"], document=documents.PINS)
def pins(cli: Cli, all_: Annotated[bool, typer.Option("--all", help="Removed ones too.")] = False) -> ExitCode:
    """List the pins by name, and what they have; expired ones, too."""
    from metadata_assets.cli.pinning import list_pins

    return list_pins(cli, every=all_)


@command(
    versioning,
    "invalidate",
    examples=[
        "invalidate lake/nyc/flights --partition 2013-01-15 --reason 'half of its rows are missing'",
        "invalidate lake/nyc/flights --no-downstream --reason 'a new rule' --dry-run",
    ],
    document=documents.INVALIDATED,
)
def invalidate(
    cli: Cli,
    dataset: Dataset,
    reason: Why,
    partitions: Partitions = None,
    downstream: Annotated[
        bool, typer.Option("--downstream/--no-downstream", help="Also all that was really made from it, or not.")
    ] = True,
    dry_run: DryRun = False,
) -> ExitCode:
    """Say that what is published has to be made anew, with everything that was made from it. It stays readable."""
    from metadata_assets.cli.invalidating import invalidate as act

    return act(cli, dataset, partitions or [], reason=reason, downstream=downstream, dry_run=dry_run)


@command(versioning, "stale", examples=["stale", "stale lake/nyc/flights --json"], document=documents.STALE)
def stale(
    cli: Cli,
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="Only of this one.", show_default=False)
    ] = None,
    limit: Limit = 1000,
) -> ExitCode:
    """List the partitions that have to be made anew, and why."""
    from metadata_assets.cli.invalidating import list_stale

    return list_stale(cli, dataset, limit=limit)
