"""The surface of questions to the graph, and to what events said: commands, their parameters and their help."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import typer

from identity.errors import MetadataError
from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode


class LineageFormat(StrEnum):
    """How lineage is written."""

    TREE = "tree"
    JSON = "json"
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


THINGS: Final = 1_000
"""How many things of a lineage are told where nothing else is said."""


class OnlyOfPaths(MetadataError):
    """{option} has no meaning {where}; leave it out"""

    option: str
    where: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


Depth = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many steps far; to the end without it.")]
AsOf = Annotated[str | None, typer.Option(metavar="TIME", help="As it was then.", show_default=False)]

lineages = typer.Typer()
_graph = typer.Typer(help="The whole graph.", no_args_is_help=True)
lineages.add_typer(_graph, name="graph")


@command(
    lineages,
    "lineage",
    examples=[
        "lineage lake/nyc/daily_delays",
        "lineage jfk/public/flights --down --depth 2",
        "lineage jfk/public/flights --down --all --json",
        "lineage lake/nyc/carrier_month --format mermaid > lineage.mmd",
        "lineage lake/nyc/daily_delays --as-of 2026-03-01",
        "lineage --from jfk/public/flights --to lake/nyc/carrier_month --all",
        "lineage lake/nyc/daily_delays --columns",
        "lineage jfk/public/flights#dep_delay --columns --down --format mermaid",
    ],
    document=(
        f"`{documents.LINEAGE}`; with --from and --to `{documents.PATHS}`; with --columns `{documents.COLUMN_LINEAGE}`"
    ),
)
def lineage(
    cli: Cli,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="endpoint/schema/table, or the full key mid1:…", show_default=False),
    ] = None,
    up: Annotated[
        bool | None,
        typer.Option("--up/--down", help="What it is made from, as without it, or what is made from it."),
    ] = None,
    depth: Depth = None,
    as_of: AsOf = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="KEY", help="Why connected: where data come from.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="KEY", help="Why connected: what is made from them.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Everything, however much; of --from and --to every path, not the shortest.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, metavar="N", help="How many things at most, 1,000 without it; or how many paths, 20."
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="With --json: the page behind this, by name; the first is after ''."),
    ] = None,
    format_: Annotated[
        LineageFormat | None,
        typer.Option("--format", metavar="tree|json|mermaid|dot|svg", help="A tree without it.", show_default=False),
    ] = None,
    show_identities: Annotated[
        bool, typer.Option("--show-identities", help="The identity nodes that lead to each, too.")
    ] = False,
    columns: Annotated[
        bool, typer.Option("--columns", help="Of its columns; KEY#COLUMN or KEY.COLUMN is one of them.")
    ] = False,
) -> ExitCode:
    """Show what a dataset is made from, or what is made from it; or the paths from one to another.

    What is gone is said to be. Where its name is another thing's (`name_taken`), it is told by its id: `source`,
    `target` and what is on paths are keys or such ids.

    Of much the nearest is told, up to --limit; `more` says how much is left out. With --after it is told in pages, by
    name: so many things and the edges whose `source` is one of them; `next` is what the next page is after, null on the
    last one.

    With --as-of the edges and the names are those of then, and the document has `as_of`; KEY is what had that name
    then. With --show-identities the document has `identities` as well: `{key: [reference]}`.

    With --from and --to: by which steps the one is made from the other, the shortest paths, or with --all every path,
    shorter ones first. `more` says that there are more than --limit shows. The exit code is 3 where no path is, and it
    is said when there is one the other way round.

    With --columns: from which columns each of its columns is computed, or with --down which are computed from it, as
    far as SQL, Dagster's metadata and imported events say.
    """
    if from_ is not None and to is not None:
        from metadata_assets.cli.connecting import show_paths

        of_one = {"KEY": key is not None, "--up/--down": up is not None, "--show-identities": show_identities}
        of_one |= {"--columns": columns, "--after": after is not None}
        _refuse(of_one, "with --from and --to")
        return show_paths(cli, from_, to, every=every, limit=limit or 20, depth=depth, format_=format_, as_of=as_of)
    if key is None or from_ is not None or to is not None:
        raise typer.BadParameter("say of what: lineage KEY, or lineage --from KEY --to KEY")
    from metadata_assets.cli.lineage import show_lineage

    if columns:
        from metadata_assets.cli.column_lineage import show_columns
        from metadata_assets.cli.lineage import format_meant
        from metadata_assets.cli.moments import moment

        bounds = {"--all": every, "--limit": limit is not None, "--after": after is not None}
        _refuse({"--show-identities": show_identities, **bounds}, "with --columns")
        return show_columns(
            cli,
            key,
            direction="down" if up is False else "up",
            depth=depth,
            form=format_meant(cli, format_),
            at=None if as_of is None else moment(as_of),
        )
    return show_lineage(
        cli,
        key,
        direction="down" if up is False else "up",
        depth=depth,
        format_=format_,
        identities=show_identities,
        as_of=as_of,
        limit=None if every else limit or THINGS,
        after=after,
    )


@command(_graph, "check", examples=["graph check", "graph check --limit 1000 --json"], document=documents.GRAPH)
def check(
    cli: Cli,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="How many of each kind are listed, up to 100,000.")
    ] = 10,
    as_of: AsOf = None,
) -> ExitCode:
    """Look at the whole graph: its circles, its connected parts, its longest chain, and what is at its ends.

    A circle is no error: a dataset that reads its own day before has one. Of assets that are made from each other in
    many ways, one shortest circle is told. `unread`: made from something, and nothing is made from it; `unmade`: the
    other way round; `alone`: without any edge. All are keys or, of what is gone and whose name is another thing's, ids;
    `gone` has those of them that are gone, and `cut` names the lists that are longer than what is told.
    With --as-of the document has `as_of`.
    """
    from metadata_assets.cli.whole_graph import check_graph

    return check_graph(cli, limit=limit, as_of=as_of)


@command(_graph, "locations", examples=["graph locations", "graph locations --json"], document=documents.LOCATIONS)
def locations(cli: Cli) -> ExitCode:
    """List the code locations of Dagster that are mirrored, with what stands of each.

    `changed_at` is when the newest of it came: an asset, an edge, other definitions. One that is unchanged is not
    mirrored again, so an old time is no sign that it is gone.
    """
    from metadata_assets.cli.locations import list_locations

    return list_locations(cli)


@command(
    _graph,
    "close-location",
    examples=["graph close-location shop --dry-run", "graph close-location shop"],
    document=documents.LOCATION_CLOSED,
)
def close_location(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="LOCATION", help="As `graph locations` has it.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be closed, close nothing.")] = False,
) -> ExitCode:
    """Take back what a code location said that was renamed or removed: its edges, and its entries at assets.

    An asset that nobody else speaks of, no location, no import and no collection, is closed. Records, versions and
    lineage as of then stay, and what others said stays as it is. Done twice it is the same as once.

    Is it loaded still, it is mirrored again when its definitions change or the server of the control plane starts.
    """
    from metadata_assets.cli.locations import close

    return close(cli, name, dry_run=dry_run)


@command(
    lineages,
    "impact",
    examples=["impact lake/nyc/flights", "impact jfk/public/flights --json", "impact jfk/public/flights#dep_delay"],
    document=f"`{documents.IMPACT}`; of a column `{documents.COLUMN_IMPACT}`",
)
def impact(
    cli: Cli,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="endpoint/schema/table, or the full key mid1:…; with #column or .column behind it a column.",
            show_default=False,
        ),
    ],
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="How many of each kind are listed, up to 100,000.")
    ] = 100,
) -> ExitCode:
    """Say what breaks if a dataset, a table or a column goes: what is made from it, who reads it, who counts on that.

    Of what is made from it now, over any number of steps, by open edges or really: the published version, and how many
    of the partitions that readers get were really made from it (`partitions_made`).
    `pins` and `collections` are those that have it or any of that; `releases` those that what is published came with.
    `cut` names the lists of which there is more. Changes nothing.

    Of a column, every column that is computed from it, over any number of steps. A column that somebody only filters,
    joins or sorts by is not among them.
    """
    from metadata_assets.cli.impact import show_impact

    return show_impact(cli, key, limit=limit)


def _refuse(given: dict[str, bool], where: str) -> None:
    for option, is_given in given.items():
        if is_given:
            raise OnlyOfPaths(option=option, where=where)


@command(
    lineages,
    "search",
    examples=[
        "search --facet sql",
        "search --facet ownership.owners.name=ann --facet jobType.integration=SPARK",
        "search --runs --facet dataQualityMetrics.rowCount=0 --json",
    ],
    document=f"`{documents.SEARCHED}`; with --runs `{documents.SEARCHED_RUNS}`",
)
def search(
    cli: Cli,
    facets: Annotated[
        list[str] | None,
        typer.Option(
            "--facet", metavar="NAME[.PART][=VALUE]", help="What it has; may be repeated.", show_default=False
        ),
    ] = None,
    runs: Annotated[bool, typer.Option("--runs", help="Runs, not jobs and datasets.")] = False,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="The page behind this one: its `next`.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="How many at most, up to 100,000.")] = 100,
) -> ExitCode:
    """Find the jobs and datasets, or the runs, that have all of these facets of OpenLineage.

    VALUE is JSON (7, true, "7"); what is no JSON is a text. PART is a way into the facet, without the places in
    lists; NAME=VALUE is that value wherever in it. Write a name or a part that has a dot or = in it in double quotes.

    Jobs and datasets have what was said of them, datasets also what was said of them as inputs and outputs; runs have
    what was said of them, of their inputs and of their outputs.
    """
    from metadata_assets.cli.searching import search_facets

    return search_facets(cli, facets or [], runs=runs, after=after, limit=limit)
