"""Lineage as text: a tree, a document. Pure, apart from `show_lineage`."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, assert_never
from uuid import UUID

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from identity.errors import MetadataError
from identity.ids import Entity
from identity.keys import short_name
from metadata_assets.cli.context import Cli
from metadata_assets.cli.diagrams import NO_IDENTITIES, Identities, dot, identities_of, mermaid, named, svg
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.lineage_commands import LineageFormat
from metadata_assets.cli.moments import moment
from metadata_assets.cli.naming import key_as_written
from metadata_assets.cli.output import document, printable
from metadata_assets.cli.trees import Branch, draw
from resources.graph.walk import Lineage, Node
from resources.metadata.assets import UnknownKey, is_id
from resources.metadata_store import MetadataStore
from resources.models import Direction


class TwoFormats(MetadataError):
    """--json and --format {format} cannot both be; leave one out"""

    format: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class PagesAreJson(MetadataError):
    """pages, by --after, are JSON; add --json, or leave --after out"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class NoSuchPlace(MetadataError):
    """nothing in this lineage is {after}, so no page begins after it; begin anew: --after ''"""

    after: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


class IdentitiesOfThen(MetadataError):
    """--show-identities tells of now, --as-of of then; leave one out"""

    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


def show_lineage(
    cli: Cli,
    name: str,
    *,
    direction: Direction,
    depth: int | None,
    format_: LineageFormat | None,
    identities: bool = False,
    as_of: str | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> ExitCode:
    """`limit`: how many things at most, the nearest ones; or with `after` so many behind it by name, as JSON."""
    form = format_meant(cli, format_)
    if after is not None and form is not LineageFormat.JSON:
        raise PagesAreJson
    at = None if as_of is None else moment(as_of)
    if identities and at is not None:
        raise IdentitiesOfThen
    with cli.opened() as opened:
        start = thing_then(opened.store, name, at)
        found = opened.graph.lineage(start, direction, depth=depth, at=at, limit=limit if after is None else None)
        page = None if after is None else page_after(found, after, limit)
        shown = found.nodes if page is None else [node.key for node in page if not node.name_taken]
        nodes = opened.graph.identities_of(list(shown)) if identities else NO_IDENTITIES
    match form:
        case LineageFormat.JSON:
            led = {key: [str(one) for one in nodes[key]] for key in sorted(nodes)}
            cli.write(document({**described(found, page), **({"identities": led} if identities else {})}))
        case LineageFormat.MERMAID:
            cli.write(mermaid(found, nodes))
        case LineageFormat.DOT:
            cli.write(dot(found, nodes))
        case LineageFormat.SVG:
            cli.write(svg(dot(found, nodes), len(found.things)))
        case LineageFormat.TREE:
            cli.out.print(bounded(found, nodes))
        case other:
            assert_never(other)
    return ExitCode.OK


def format_meant(cli: Cli, format_: LineageFormat | None) -> LineageFormat:
    """JSON with --json, else what --format says, else a tree. Raises TwoFormats."""
    if cli.json_output and format_ not in (None, LineageFormat.JSON):
        raise TwoFormats(format=format_)
    return LineageFormat.JSON if cli.json_output else format_ or LineageFormat.TREE


def thing_then(store: MetadataStore, name: str, at: datetime | None) -> Entity:
    """What a name meant at a moment; where it meant nothing then, what it means now. Raises as `thing` does."""
    thing = store.thing(name)
    if at is None or is_id(name):
        return thing.entity
    try:
        return store.entity_at(key_as_written(store, thing, name), at)
    except UnknownKey:
        return thing.entity


def page_after(found: Lineage, after: str, limit: int | None) -> list[Node]:
    """The things by name that are behind the one of this reference, or of this name where it is gone by now.

    Raises NoSuchPlace.
    """
    nodes = list(found.things.values())
    place = next((number for number, node in enumerate(nodes, 1) if node.reference == after), None)
    if place is None:
        if is_id(after):
            raise NoSuchPlace(after=after)
        place = bisect_right(nodes, after, key=lambda node: node.text)
    return nodes[place:] if limit is None else nodes[place : place + limit]


def described(found: Lineage, page: Sequence[Node] | None = None) -> dict[str, object]:
    """The graph as JSON: `source` is made from `target`. Both are keys or, of what lost its name, ids.

    Of a page: its things, and the edges whose `source` is one of these. `more`: how many are left out, or come behind
    the page; `next`: what the next page is after.
    """
    things = found.things
    told = things.values() if page is None else page
    last = page[-1] if page else None
    behind = 0 if last is None else len(things) - list(things).index(last.id) - 1
    on_it = {node.id for node in told}
    return {
        "start": found.start,
        "direction": found.direction,
        **({} if found.at is None else {"as_of": found.at}),
        "more": found.more if page is None else behind,
        "next": last.reference if last is not None and behind else None,
        "nodes": [
            {
                "key": node.text,
                "name": short_name(node.key),
                "type": node.type,
                "id": node.id,
                "closed_at": node.closed_at,
                "name_taken": node.name_taken,
            }
            for node in told
        ],
        "edges": [
            {"source": things[made].reference, "target": things[source].reference}
            for made, source in found.pairs
            if made in on_it
        ],
    }


def bounded(found: Lineage, identities: Identities = NO_IDENTITIES) -> RenderableType:
    """The tree, and how many more there are than it shows."""
    tree = drawn(found, identities)
    return Group(tree, Text(f"… and {found.more:,} more: --all", style="dim")) if found.more else tree


def drawn(found: Lineage, identities: Identities = NO_IDENTITIES) -> Tree:
    """The graph as a tree from its start. A node with several ways to it is drawn once and referred to."""
    neighbours: dict[UUID, list[UUID]] = {}
    for made, source in found.pairs:  # in the order of names on either side
        near, far = (made, source) if found.direction == "up" else (source, made)
        neighbours.setdefault(near, []).append(far)

    def below(one: UUID) -> Iterator[Branch[UUID]]:
        if one in found.things:
            leading = identities_of(found.things[one], identities)
            yield from (Branch(Text(str(by), style="dim")) for by in leading)
        yield from (Branch(_label(found.things[other]), other) for other in neighbours.get(one, ()))

    start = found.things.get(found.start_id)
    alone = Text(printable(short_name(found.start)), style="bold")
    return draw(found.start_id, alone if start is None else _label(start), below)


def _label(node: Node) -> Text:
    label = Text(printable(named(node)), style="bold")
    return label.append(f"  {node.type.lower().replace('_', ' ')}", style="dim not bold")
