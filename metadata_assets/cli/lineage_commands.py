"""The surface of questions to the graph: commands, their parameters and their help."""

from enum import StrEnum
from typing import Annotated, ClassVar

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
        bool, typer.Option("--all", help="Of --from and --to: every path, not the shortest ones.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, metavar="N", help="Of --from and --to: how many paths at most; 20 without it."
        ),
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
        of_one["--columns"] = columns
        _refuse(of_one, "with --from and --to")
        return show_paths(cli, from_, to, every=every, limit=limit or 20, depth=depth, format_=format_, as_of=as_of)
    if key is None or from_ is not None or to is not None:
        raise typer.BadParameter("say of what: lineage KEY, or lineage --from KEY --to KEY")
    from metadata_assets.cli.lineage import show_lineage

    _refuse({"--all": every, "--limit": limit is not None}, "without --from and --to")
    if columns:
        from metadata_assets.cli.column_lineage import show_columns
        from metadata_assets.cli.lineage import format_meant
        from metadata_assets.cli.moments import moment

        _refuse({"--show-identities": show_identities}, "with --columns")
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
