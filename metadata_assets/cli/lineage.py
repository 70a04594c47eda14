"""Lineage as text: a tree, a Mermaid diagram, a document. Pure, apart from `show_lineage`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, assert_never

from rich.text import Text
from rich.tree import Tree

from identity.errors import MetadataError
from identity.keys import CanonicalKey, short_name
from identity.nodes import IdentityKey
from metadata_assets.cli.app import LineageFormat
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.output import document, printable
from metadata_assets.cli.trees import Branch, draw
from resources.graph.walk import Lineage
from resources.models import AssetType, Direction


class TwoFormats(MetadataError):
    """--json and --format {format} cannot both be; leave one out"""

    format: str
    exit_code: ClassVar[int] = ExitCode.BAD_INPUT


Identities = Mapping[CanonicalKey, Sequence[IdentityKey]]
NO_IDENTITIES: Identities = {}
_RELATIONS = {AssetType.TABLE, AssetType.VIEW, AssetType.MATERIALIZED_VIEW, AssetType.FOREIGN_TABLE}


def show_lineage(
    cli: Cli,
    name: str,
    *,
    direction: Direction,
    depth: int | None,
    format_: LineageFormat | None,
    identities: bool = False,
) -> ExitCode:
    if cli.json_output and format_ not in (None, LineageFormat.JSON):
        raise TwoFormats(format=format_)
    with cli.opened() as opened:
        start = opened.store.thing(name).entity
        found = opened.graph.lineage(start, direction, depth=depth)
        nodes = opened.graph.identities_of(list(found.nodes)) if identities else NO_IDENTITIES
    match LineageFormat.JSON if cli.json_output else format_ or LineageFormat.TREE:
        case LineageFormat.JSON:
            led = {key: [str(one) for one in nodes[key]] for key in sorted(nodes)}
            cli.write(document({**described(found), **({"identities": led} if identities else {})}))
        case LineageFormat.MERMAID:
            cli.write(mermaid(found, nodes))
        case LineageFormat.TREE:
            cli.out.print(drawn(found, nodes))
        case other:
            assert_never(other)
    return ExitCode.OK


def described(found: Lineage) -> dict[str, object]:
    """The graph as JSON: `source` is made from `target`."""
    return {
        "start": found.start,
        "direction": found.direction,
        "nodes": [{"key": key, "name": short_name(key), "type": kind} for key, kind in sorted(found.nodes.items())],
        "edges": [{"source": edge.source, "target": edge.target} for edge in found.edges],
    }


def drawn(found: Lineage, identities: Identities = NO_IDENTITIES) -> Tree:
    """The graph as a tree from its start. A node with several ways to it is drawn once and referred to."""
    neighbours: dict[CanonicalKey, list[CanonicalKey]] = {}
    for edge in found.edges:
        near, far = (edge.source, edge.target) if found.direction == "up" else (edge.target, edge.source)
        neighbours.setdefault(near, []).append(far)

    def below(key: CanonicalKey) -> Iterator[Branch[CanonicalKey]]:
        yield from (Branch(Text(str(one), style="dim")) for one in identities.get(key, ()))
        yield from (Branch(_label(found, other), other) for other in sorted(neighbours.get(key, ())))

    return draw(found.start, _label(found, found.start), below)


def mermaid(found: Lineage, identities: Identities = NO_IDENTITIES) -> str:
    """The graph as a Mermaid flowchart, data flowing from left to right. Source tables are cylinders."""
    names = {key: f"n{number}" for number, key in enumerate(sorted(found.nodes))}
    lines = ["flowchart LR"]
    for key, name in names.items():
        opening, closing = ("[(", ")]") if found.nodes[key] in _RELATIONS else ("[", "]")
        lines.append(f'  {name}{opening}"{_quoted(short_name(key))}"{closing}')
    lines += [f"  {names[edge.target]} --> {names[edge.source]}" for edge in found.edges]
    for number, (key, one) in enumerate((to, by) for to in sorted(identities) for by in identities[to]):
        lines += [f'  i{number}(["{_quoted(str(one))}"])', f"  i{number} -.-> {names[key]}"]
    if found.start in names:
        lines.append(f"  style {names[found.start]} stroke-width:3px")
    return "\n".join(lines) + "\n"


_NOT_PLAIN = re.compile(r"[^\w ./:-]")


def _quoted(label: str) -> str:
    """The label for between quotes: everything that could mean something there as Mermaid's `#code;`."""
    return _NOT_PLAIN.sub(lambda match: f"#{ord(match[0])};", label)


def _label(found: Lineage, key: CanonicalKey) -> Text:
    kind = found.nodes.get(key)
    label = Text(printable(short_name(key)), style="bold")
    return label.append(f"  {kind.lower().replace('_', ' ')}", style="dim not bold") if kind else label
