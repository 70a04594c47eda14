"""The surface of `identity`: its commands, their parameters and their help."""

from pathlib import Path
from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="endpoint/schema/table, or the full key mid1:…", show_default=False)
]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with the change.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would come of it, or what is in the way.")]

identity = typer.Typer(help="What things are called, and were called.", no_args_is_help=True)


@command(
    identity,
    "show",
    examples=[
        "identity show jfk/public/flights",
        "identity show jfk/public/flights --as-of 2026-03-01 --json",
        "identity show 'jfk/public/flights#dep_delay'",
    ],
    document=documents.IDENTITY,
)
def show(
    cli: Cli,
    key: Key,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="What had the name then, and its names then.", show_default=False),
    ] = None,
) -> ExitCode:
    """Show every name that a thing has and had: from when to when, of what kind, who gave it and why.

    Of a column, `endpoint/schema/table#column`, show its id, its key and what it was called before, by any name that
    it or its table had. Its document is `{name, key, id, asked, dataset, column, type, former_names, gone}`.
    Of an identity node, `identity:<id>`, show what it leads to and by which way, and its edges. Its document is
    `{reference, target, version, metadata, created_by, created_at, updated_at, path, key, type, problem,
    edges: [{source, target, type, resolved}]}`.
    """
    from metadata_assets.cli.identifying import show_names
    from metadata_assets.cli.referring import is_reference, show_node

    if is_reference(key) and as_of is None:
        return show_node(cli, key)
    return show_names(cli, key, as_of=as_of)


@command(
    identity,
    "rename",
    examples=[
        "identity rename jfk/public/flights departures --reason 'the source calls it so'",
        "identity rename lake/nyc/a lake/nyc/b lake/nyc/b lake/nyc/a --dry-run",
    ],
    document=documents.RENAMED,
)
def rename(
    cli: Cli,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="OLD NEW [OLD NEW]...",
            help="Names and new names: of a table alone, endpoint/schema/table, or full keys.",
            show_default=False,
        ),
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Give things new names, all or none: two may swap theirs, three may go round.

    History, versions, pins, lineage and references stay with the thing. An old name leads to it until something else
    takes the name. What is called so already is left alone.
    """
    from metadata_assets.cli.identifying import rename as act

    return act(cli, names, reason=reason, dry_run=dry_run)


@command(
    identity,
    "move",
    examples=["identity move jfk/public/flights --to warehouse-eu/nyc", "identity move lake/nyc/flights --to archive"],
    document=documents.RENAMED,
)
def move(
    cli: Cli,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="endpoint/schema/table, or full keys mid1:…", show_default=False),
    ],
    to: Annotated[
        str,
        typer.Option(metavar="ENDPOINT[/SCHEMA]", help="Where to; the schema stays without one.", show_default=False),
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Say that things are at another endpoint or in another schema now, under their own names; all or none."""
    from metadata_assets.cli.identifying import move as act

    return act(cli, keys, to, reason=reason, dry_run=dry_run)


@command(
    identity,
    "register",
    examples=[
        "identity register db.example.com:5433 --as jfk --reason 'we named the server'",
        "identity register postgresql_db-example-com-5433-72b0846926 --as jfk --dry-run",
    ],
    document=documents.REGISTERED,
)
def register(
    cli: Cli,
    where: Annotated[
        str,
        typer.Argument(
            metavar="HOST[:PORT]|URL|SLUG", help="The server, or its provisional endpoint.", show_default=False
        ),
    ],
    endpoint: Annotated[
        str, typer.Option("--as", metavar="ENDPOINT", help="The registered endpoint that it is.", show_default=False)
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Say that a server that nobody had registered is an endpoint: every key below its provisional one follows.

    No dataset is touched, and what was born there keeps its id. Refused when both have something of the same name,
    with the names: merge these first. May be repeated.
    """
    from metadata_assets.cli.identifying import register as act

    return act(cli, where, endpoint, reason=reason, dry_run=dry_run)


@command(
    identity,
    "unregister",
    examples=["identity unregister postgresql_db-example-com-5433-72b0846926 --reason 'it was another server'"],
    document=documents.UNREGISTERED,
)
def unregister(
    cli: Cli,
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="The provisional endpoint, as `register` told it.", show_default=False)
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Take `identity register` back: keys below the provisional endpoint and below the registered one are two again.

    No dataset is touched: each keeps its id, and is called by whichever of the two it was named with.
    """
    from metadata_assets.cli.identifying import unregister as act

    return act(cli, slug, reason=reason, dry_run=dry_run)


@command(
    identity,
    "merge",
    examples=["identity merge jfk-replica/public/flights jfk/public/flights --reason 'one server, collected twice'"],
    document=documents.MERGED,
)
def merge(
    cli: Cli,
    loser: Annotated[str, typer.Argument(metavar="LOSER", help="What is closed.", show_default=False)],
    winner: Annotated[
        str, typer.Argument(metavar="WINNER", help="What has its names and edges afterwards.", show_default=False)
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Say that two things were one all along: the winner has the names and edges of both from now on.

    What one server has, collected by two endpoints, may be merged either way. What its source still has is else only a
    winner, and so is what has data; two that both have data, or are two objects in their sources, stay two. A refusal
    says which way would work. `identity unmerge` takes it back.
    """
    from metadata_assets.cli.identifying import merge as act

    return act(cli, loser, winner, reason=reason, dry_run=dry_run)


@command(
    identity,
    "unmerge",
    examples=[
        "identity unmerge jfk/public/flights_copy --reason 'they are two'",
        "identity unmerge 3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10",
    ],
    document=documents.UNMERGED,
)
def unmerge(
    cli: Cli,
    which: Annotated[
        str, typer.Argument(metavar="MERGE|KEY", help="The merge, or a name of what it closed.", show_default=False)
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
) -> ExitCode:
    """Take a merge back: what it closed has its names and edges again."""
    from metadata_assets.cli.identifying import unmerge as act

    return act(cli, which, reason=reason, dry_run=dry_run)


@command(
    identity,
    "key",
    examples=[
        "identity key sales.orders --system postgres --endpoint jfk --source shop",
        "identity key s3://bucket/2013/flights.parquet --json",
        "identity key 'urn:li:dataset:(urn:li:dataPlatform:postgres,jfk.shop.public.orders,PROD)' --endpoint jfk",
        "identity key shop.public.orders --namespace postgres://db.example.com:5432",
        "identity key sales.orders --system postgres --endpoint jfk --source shop --column Total",
        "identity key 'mid1:dataset:jfk:shop/sales/orders#total'",
    ],
    document=documents.KEY,
)
def key(
    cli: Cli,
    name: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE|URL|URN", help="What somebody calls a thing, in whatever words.", show_default=False
        ),
    ],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORM",
            help="reference, key, url, openlineage, datahub, openmetadata, atlas or dagster; by its looks without it.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="Whose rules hold: postgres, snowflake, …", show_default=False)
    ] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="SLUG", help="Where it is.", show_default=False)] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The database or catalog of a reference without one.", show_default=False),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="NAME", help="The schema of a reference without one.", show_default=False)
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenLineage's namespace of the name.", show_default=False)
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="OpenMetadata's or Atlas's type of the thing.", show_default=False),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A column of it, as a statement writes its name.", show_default=False),
    ] = None,
) -> ExitCode:
    """Compute the key and id of what a reference, a URL or another catalog's name means, without a database.

    The id is the one of the first thing of that name; `identity show` asks the store who has it now. Nothing of a URL
    but its host, port and path is looked at, and none of it is repeated in a message. The document of a column is
    `{key, dataset, column, id, dataset_id}`.
    """
    from metadata_assets.cli.keys import Given, asked_form, show_key

    given = Given(
        name=name,
        form=asked_form(from_),
        of=system,
        endpoint=endpoint,
        source=source,
        schema=schema,
        namespace=namespace,
        type=type_,
        column=column,
    )
    return show_key(cli, given)


@command(
    identity,
    "names",
    examples=[
        "identity names --catalog datahub",
        "identity names --catalog datahub --lowercase --json",
        "identity names urns.txt --catalog datahub",
    ],
    document=documents.NAMES,
)
def names(
    cli: Cli,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Names of the other catalog, one a line.", show_default=False),
    ] = None,
    catalog: Annotated[
        str, typer.Option(metavar="NAME", help="datahub, openmetadata or atlas.", show_default=False)
    ] = "datahub",
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="DataHub's connectors write names in lower case there.")
    ] = False,
    environment: Annotated[str, typer.Option(metavar="NAME", help="DataHub's environment.")] = "PROD",
) -> ExitCode:
    """List what another catalog calls everything that is registered; with a FILE, what its names are here.

    Nothing is merged: two things with one name there, and two names there of one thing, are listed as conflicts; what
    has no name on the other side is listed with the reason. The exit code is then 5. In a FILE for OpenMetadata or
    Atlas the type of a thing and a tab stand before its name.
    """
    from metadata_assets.cli.catalog_names import Asked, asked_catalog, show_names

    asked = Asked(catalog=asked_catalog(catalog), file=file, lowercase=lowercase, environment=environment)
    return show_names(cli, asked)


@command(
    identity,
    "import",
    examples=["identity import old_catalog.csv --dry-run", "identity import old_catalog.jsonl --json > report.json"],
    document=documents.IMPORTED,
)
def import_(
    cli: Cli,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV with a header, or JSON Lines: legacy_id, and the reference that it meant.",
            show_default=False,
        ),
    ],
    reason: Reason = None,
    dry_run: DryRun = False,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Ids in one transaction.")] = 1000,
) -> ExitCode:
    """Let the ids of an earlier catalog (random UUIDs, bare table names) lead to what they meant.

    Afterwards every command that takes a KEY takes them. An id that could mean several things is listed with its
    candidates, one that means nothing here is listed, and neither is touched; the exit code is then 5. A reference is
    endpoint/schema/table, any end of such a name with dots, a full key, or the URL of a file; quotes and case follow
    the rules of the endpoints' systems. Safe to repeat, and to stop: what is done stays done.
    """
    from metadata_assets.cli.legacy import import_ids

    return import_ids(cli, file, reason=reason, dry_run=dry_run, batch_size=batch_size)
