"""The surface of identity nodes and collections: commands of `identity`, and `collection`."""

from typing import Annotated

import typer

from metadata_assets.cli import documents
from metadata_assets.cli.commands import command
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.identity import Reason, identity

collection = typer.Typer(help="Curated lists: reports, data products.", no_args_is_help=True)

Node = Annotated[str, typer.Argument(metavar="REFERENCE", help="identity:<id>", show_default=False)]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="A key, or another identity:<id>.", show_default=False)]
Version = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Only if it is at this version; at whichever it is without.", show_default=False
    ),
]
Slug = Annotated[str, typer.Argument(metavar="COLLECTION", help="Its slug.", show_default=False)]
Items = Annotated[
    list[str], typer.Argument(metavar="KEY|REFERENCE...", help="Keys, or identity:<id>.", show_default=False)
]
Identities = Annotated[bool, typer.Option("--show-identities", help="The identity nodes on the way, too.")]
EXAMPLE = "identity:3f0c2b6e-52a5-5a0f-9d53-0e3a6a1d7c10"


@command(identity, "create", examples=["identity create lake/nyc/flights"], document=documents.REFERENCE)
def create(cli: Cli, target: Target) -> ExitCode:
    """Make another identity node: a reference that stays while what it leads to changes."""
    from metadata_assets.cli.referring import create as act

    return act(cli, target)


@command(identity, "ensure", examples=["identity ensure lake/nyc/flights"], document=documents.REFERENCE)
def ensure(cli: Cli, target: Target) -> ExitCode:
    """Print the identity node of a key: the same for everybody, made when there is none."""
    from metadata_assets.cli.referring import ensure as act

    return act(cli, target)


@command(
    identity, "list", examples=["identity list", "identity list --target lake/nyc/flights"], document=documents.NODES
)
def list_(
    cli: Cli,
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Only those that lead straight there.", show_default=False)
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="Those after this one.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 1000,
) -> ExitCode:
    """List the identity nodes in the order of their ids."""
    from metadata_assets.cli.referring import list_nodes

    return list_nodes(cli, target, after=after, limit=limit)


@command(
    identity, "retarget", examples=[f"identity retarget {EXAMPLE} lake/nyc/weather"], document=documents.RETARGETED
)
def retarget(cli: Cli, reference: Node, target: Target, version: Version = None) -> ExitCode:
    """Let an identity node lead to something else. Exactly the edges that go through it follow."""
    from metadata_assets.cli.referring import retarget as act

    return act(cli, reference, target, version=version)


@command(identity, "delete", examples=[f"identity delete {EXAMPLE}"], document=documents.RETARGETED)
def delete(cli: Cli, reference: Node, version: Version = None) -> ExitCode:
    """Delete an identity node. References to it stay and are told as broken; edges through it are closed."""
    from metadata_assets.cli.referring import delete as act

    return act(cli, reference, version=version)


@command(
    identity,
    "retype",
    examples=["identity retype jfk/public/orders jfk/public/orders --type view", "identity retype lake/a/x lake/b/x"],
    document=documents.RETYPED,
)
def retype(
    cli: Cli,
    old: Annotated[str, typer.Argument(metavar="OLD", help="What it was.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it became; may be the same.", show_default=False)],
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="What it is now: table, view, dataset, …", show_default=False),
    ] = None,
    reason: Reason = None,
) -> ExitCode:
    """Say that one thing became another: all identity nodes that lead to the old one lead to the new one."""
    from metadata_assets.cli.referring import retype as act

    return act(cli, old, new, type_=type_, reason=reason)


EdgeKind = Annotated[
    str, typer.Option("--type", metavar="TYPE", help="DEPENDS_ON, CONTAINS, PRODUCES, USES or RELATED_TO.")
]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A key, or an identity:<id>.", show_default=False)]


@command(identity, "link", examples=[f"identity link lake/nyc/flights {EXAMPLE}"], document=documents.LINKED)
def link(cli: Cli, source: Source, target: Target, type_: EdgeKind = "DEPENDS_ON") -> ExitCode:
    """Say that one thing depends on another (or contains it, …), wherever the two references lead from now on."""
    from metadata_assets.cli.referring import link as act

    return act(cli, source, target, type_=type_)


@command(identity, "unlink", examples=[f"identity unlink lake/nyc/flights {EXAMPLE}"], document=documents.UNLINKED)
def unlink(cli: Cli, source: Source, target: Target, type_: EdgeKind = "DEPENDS_ON") -> ExitCode:
    """Forget such an edge, by any names that its two ends have. Where there is none the exit code is 3."""
    from metadata_assets.cli.referring import unlink as act

    return act(cli, source, target, type_=type_)


@command(
    collection,
    "create",
    examples=["collection create punctuality --name 'How late we were' --kind report"],
    document=documents.COLLECTION,
)
def collection_create(
    cli: Cli,
    slug: Slug,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Its name.", show_default=False)] = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help="list, report or data_product.")] = "list",
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is.", show_default=False)] = None,
) -> ExitCode:
    """Make an empty collection. Safe to repeat."""
    from metadata_assets.cli.curating import create as act

    return act(cli, slug, name=name, kind=kind, description=description)


@command(collection, "list", examples=["collection list"], document=documents.COLLECTIONS)
def collection_list(cli: Cli) -> ExitCode:
    """List the collections."""
    from metadata_assets.cli.curating import list_collections

    return list_collections(cli)


@command(
    collection,
    "show",
    examples=["collection show punctuality", "collection show punctuality --show-identities"],
    document=documents.COLLECTION_ITEMS,
)
def collection_show(cli: Cli, slug: Slug, show_identities: Identities = False) -> ExitCode:
    """Show what the items of a collection lead to now, in order. With a broken one the exit code is 5."""
    from metadata_assets.cli.curating import show

    return show(cli, slug, identities=show_identities)


@command(
    collection, "add", examples=["collection add punctuality lake/nyc/flights"], document=documents.COLLECTION_CHANGED
)
def collection_add(cli: Cli, slug: Slug, items: Items) -> ExitCode:
    """Append items, keys as references to their identity nodes; what is there already stays where it is."""
    from metadata_assets.cli.curating import change

    return change(cli, slug, items, there=True)


@command(
    collection,
    "remove",
    examples=["collection remove punctuality lake/nyc/flights"],
    document=documents.COLLECTION_CHANGED,
)
def collection_remove(cli: Cli, slug: Slug, items: Items) -> ExitCode:
    """Take items out: by a key, all that lead to its thing. What is not there is no error."""
    from metadata_assets.cli.curating import change

    return change(cli, slug, items, there=False)


@command(
    collection,
    "move",
    examples=["collection move punctuality lake/nyc/flights --to 1"],
    document=documents.COLLECTION_CHANGED,
)
def collection_move(
    cli: Cli,
    slug: Slug,
    item: Annotated[str, typer.Argument(metavar="KEY|REFERENCE", help="Which item.", show_default=False)],
    to: Annotated[int, typer.Option(min=1, metavar="N", help="Its place from then on, from 1.", show_default=False)],
) -> ExitCode:
    """Move one item to another place; no other item moves."""
    from metadata_assets.cli.curating import move

    return move(cli, slug, item, to=to)


@command(collection, "delete", examples=["collection delete punctuality"], document=documents.DELETED)
def collection_delete(cli: Cli, slug: Slug) -> ExitCode:
    """Delete a collection; what it referred to stays."""
    from metadata_assets.cli.curating import delete as act

    return act(cli, slug)
